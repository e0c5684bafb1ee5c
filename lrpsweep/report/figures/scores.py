"""The scores of the trials: perturbation curves, and how the objective is distributed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrpsweep.evaluation import MEASURES
from lrpsweep.report.figures.panels import (
    BLUE,
    GREY,
    LINES,
    ORANGE,
    STOPPED,
    measure_of,
    objective_label,
    objective_words,
    trial_values,
)
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import format_value, plain
from lrpsweep.report.words import shown, shown_as
from lrpsweep.results import RANDOM_ORDER, StudyResults, TrialResult


def figure_curves(results: StudyResults) -> Figure | None:
    """Perturbation curves of the nominee, of published composites and of a random order.

    With curves from both ends, of the strongest published composite alone. All on the states of the
    trials: curves of fewer states are straight between. None without a complete trial, or when no
    measure is made of a curve.
    """
    one = shown(results)
    best = results.searched_result(one) if one else None
    if best is None or not len(best.curve):
        return None
    figure = new_figure(7.2, 5.2)
    panel = figure.subplots()
    looked_at = list(best.states) or None
    marks: dict[str, Any] = {"marker": "o", "markersize": 3.5, "markevery": looked_at}
    _draw_curves(panel, best, shown_as(results), "-", BLUE, zorder=3, **marks)
    panel.fill_between(
        100 * best.flipped,
        best.curve_low,
        best.curve_high,
        color=BLUE,
        alpha=0.18,
        linewidth=0,
        label="middle half of the images",
    )
    others = _published(results)
    if best.curves:
        for name, result in others[:1]:
            _draw_curves(panel, result, name, "-", ORANGE)
    else:
        for (name, result), (style, colour) in zip(others, LINES, strict=False):
            _draw_curves(panel, result, name, style, colour)
    if results.random is not None and len(results.random.curve):
        random = results.random
        panel.plot(100 * random.flipped, random.curve, ":", color=GREY, label=RANDOM_ORDER)
    score = results.provenance.get("score")
    panel.set_xlabel("patches perturbed [%]")
    panel.set_ylabel(plain(f"score of the explained class [{score}]" if score else "class score"))
    panel.set_xlim(0, 100)
    panel.grid(color="#e5e5e5")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    some = f"\non the {len(best.states)} of {len(best.curve)} states of the trials"
    title = plain(f"{results.name}: perturbation curves, mean over the search images")
    panel.set_title(title + (some if best.states else ""))
    return figure


def _published(results: StudyResults) -> list[tuple[str, TrialResult]]:
    """Published composites other than the nominee, by name, best first on the search images."""
    found = dict(results.literature)
    for trial in results.complete:
        if trial.literature is not None and trial.result is not None:
            found.setdefault(trial.literature, trial.result)
    one = shown(results)
    own = one.published if one else None
    sign = measure_of(results).sign
    return sorted(
        ((name, result) for name, result in found.items() if name != own),
        key=lambda named: sign * named[1].value,
    )


def _draw_curves(
    panel: Axes, result: TrialResult, label: str, style: str, colour: str, **more: Any
) -> None:
    """A line for every order that was looked at; dashed from the second on."""
    for number, (order, curve) in enumerate(_curves(result)):
        panel.plot(
            100 * result.flipped,
            curve,
            "--" if number else style,
            color=colour,
            label=plain(f"{label}: {_area(result, order)}"),
            **more,
        )


def _curves(result: TrialResult) -> Iterator[tuple[str, np.ndarray]]:
    """Mean curves by order, that of the objective first."""
    measures = [MEASURES[name] for name in result.objectives if name in MEASURES]
    orders = [order for measure in measures for order in measure.needs.orders]
    yield (orders or [""])[0], result.curve
    yield from result.curves.items()


def _area(result: TrialResult, order: str) -> str:
    """The score of the measure that is made of this order alone, with its title."""
    for name, scores in result.measures.items():
        if name in MEASURES and MEASURES[name].needs.orders == (order,):
            return f"{MEASURES[name].title} {format_value(float(np.mean(scores)))}"
    return format_value(result.value)


def figure_distribution(results: StudyResults) -> Figure | None:
    """How the objective is distributed over the trials; None without a complete trial."""
    one = shown(results)
    if one is None:
        return None
    values, estimates = trial_values(results.complete), trial_values(results.pruned)
    everything = np.concatenate([values, estimates])
    figure = new_figure(7.2, 4.2)
    panel = figure.subplots()
    spread = np.ptp(everything) > 1e-12 * max(1.0, float(np.abs(everything).max()))
    bins = min(20, max(5, len(everything) // 3)) if spread else 1
    edges = np.histogram_bin_edges(everything, bins).tolist()
    counts = np.asarray(panel.hist(values, bins=edges, color="#9cc5dd", edgecolor="white")[0])
    strokes: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 11, "clip_on": False}
    if len(estimates):
        _stack_hollow(panel, counts, np.histogram(estimates, edges)[0], np.asarray(edges))
        panel.plot(estimates, np.zeros(len(estimates)), color=GREY, **strokes)
    panel.plot(values, np.zeros(len(values)), color="black", label="trial", **strokes)
    best = results.searched_result(one)
    if best is not None:
        label = plain(f"{shown_as(results)}: {format_value(best.value)}")
        panel.axvline(best.value, color=BLUE, linewidth=2.2, label=label)
    for (name, result), (style, colour) in zip(_published(results), LINES, strict=False):
        panel.axvline(
            result.value,
            linestyle=style,
            color=colour,
            linewidth=1.8,
            label=plain(f"{name}: {format_value(result.value)}"),
        )
    panel.set_xlabel(objective_label(results))
    panel.set_ylabel("trials")
    panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    stopped = f", {len(estimates)} of them stopped early" if len(estimates) else ""
    count = f"{len(everything)} trials{stopped}"
    panel.set_title(plain(f"{results.name}: {objective_words(results)} of {count}"))
    return figure


def _stack_hollow(panel: Axes, below: np.ndarray, counts: np.ndarray, edges: np.ndarray) -> None:
    """Bars of the trials that were stopped early, on those of the complete ones; none of height 0.

    below, counts: (B,), edges: (B + 1,).
    """
    filled = counts > 0
    panel.bar(
        edges[:-1][filled],
        counts[filled],
        np.diff(edges)[filled],
        below[filled],
        align="edge",
        color="white",
        edgecolor=GREY,
        label=STOPPED,
    )
