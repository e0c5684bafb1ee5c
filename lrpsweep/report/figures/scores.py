"""The scores of the trials: perturbation curves, and how the objective is distributed."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrpsweep.report.figures.panels import (
    BLUE,
    LINES,
    objective_label,
    objective_name,
    trial_values,
)
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import format_value, plain
from lrpsweep.results import StudyResults


def figure_curves(results: StudyResults) -> Figure | None:
    """Perturbation curves of the best trial, with its quartiles, and of published composites.

    None without a complete trial, or when the objective is made of no curve.
    """
    ranked = results.ranked()
    best = ranked[0].result if ranked else None
    if best is None or not len(best.curve):
        return None
    figure = new_figure(7.2, 4.6)
    panel = figure.subplots()
    share = 100 * best.flipped
    panel.fill_between(
        share,
        best.curve_low,
        best.curve_high,
        color=BLUE,
        alpha=0.18,
        linewidth=0,
        label="best: middle half of the images",
    )
    named = [trial for trial in ranked if trial.literature is not None][: len(LINES)]
    for trial, (style, colour) in zip(named, LINES, strict=False):
        assert trial.result is not None
        panel.plot(
            100 * trial.result.flipped,
            trial.result.curve,
            style,
            color=colour,
            label=plain(f"{trial.literature}: {format_value(trial.result.value)}"),
        )
    panel.plot(
        share,
        best.curve,
        "o-",
        color=BLUE,
        markersize=3.5,
        label=f"best (trial {ranked[0].number}): {format_value(best.value)}",
    )
    score = results.provenance.get("score")
    panel.set_xlabel("patches perturbed [%]")
    panel.set_ylabel(plain(f"score of the explained class [{score}]" if score else "class score"))
    panel.set_xlim(0, 100)
    panel.grid(color="#e5e5e5")
    handles, labels = panel.get_legend_handles_labels()
    order = [len(labels) - 1, *range(len(labels) - 1)]
    panel.legend(
        [handles[n] for n in order],
        [labels[n] for n in order],
        title=plain(objective_name(results)),
        framealpha=0.9,
        edgecolor="none",
    )
    panel.set_title(plain(f"{results.name}: perturbation curves, mean over the search images"))
    return figure


def figure_distribution(results: StudyResults) -> Figure | None:
    """How the objective is distributed over the trials; None without a complete trial."""
    ranked = results.ranked()
    if not ranked:
        return None
    values = trial_values(ranked)
    figure = new_figure(7.2, 4.2)
    panel = figure.subplots()
    spread = np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max()))
    panel.hist(
        values,
        bins=min(20, max(5, len(values) // 3)) if spread else 1,
        color="#9cc5dd",
        edgecolor="white",
    )
    panel.plot(
        values,
        np.zeros(len(values)),
        "|",
        color="black",
        markersize=11,
        label="trial",
        clip_on=False,
    )
    panel.axvline(
        float(values[0]),
        color=BLUE,
        linewidth=2.2,
        label=f"best (trial {ranked[0].number}): {format_value(values[0])}",
    )
    named = [trial for trial in ranked if trial.literature is not None][: len(LINES)]
    for trial, (style, colour) in zip(named, LINES, strict=False):
        assert trial.result is not None
        panel.axvline(
            trial.result.value,
            linestyle=style,
            color=colour,
            linewidth=1.8,
            label=plain(f"{trial.literature}: {format_value(trial.result.value)}"),
        )
    panel.set_xlabel(objective_label(results))
    panel.set_ylabel("trials")
    panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    panel.set_title(plain(f"{results.name}: objective of {len(values)} trials"))
    return figure
