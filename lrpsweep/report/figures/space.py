"""The objective over the search space."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from lrpsweep.report.figures.importance import importances
from lrpsweep.report.figures.panels import (
    BLUE,
    ORANGE,
    RED,
    STOPPED,
    axis_places,
    draw_legend,
    is_complete,
    mark_alike,
    mark_best,
    mark_exceeding,
    mark_literature,
    mark_stopped,
    objective_colours,
    objective_label,
    objective_words,
    outside_note,
    scored_trials,
    trial_values,
    trials_having,
    varied_axes,
)
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import draw_scale, plain
from lrpsweep.results import Axis, StudyResults, TrialRecord

MAX_PAIRS = 6
SHARES = "%: each hyperparameter's share"


def figure_contour(results: StudyResults) -> Figure | None:
    """The objective over each pair of hyperparameters that trials have; None without a pair."""
    shares = importances(results, varied_axes(results))
    possible = _pairs(results, shares)
    pairs = possible[:MAX_PAIRS]
    if not pairs:
        return None
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    width = 6.4 if columns == 1 else 4.4 * columns + 0.8
    figure = new_figure(width, (4.9 if columns == 1 else 3.7 * rows) + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in panels[len(pairs) :]:
        unused.remove()
    colours = objective_colours(results)
    for panel, (across, up) in zip(panels, pairs, strict=False):
        _contour(panel, results, across, up, colours)
        panel.set_xlabel(_label(across, shares))
        panel.set_ylabel(_label(up, shares))
    figure.colorbar(colours, ax=panels[: len(pairs)].tolist(), label=objective_label(results))
    draw_legend(figure, panels[: len(pairs)].tolist())
    title = plain(f"{results.name}: {objective_words(results)} over the hyperparameters")
    some = f"{len(pairs)} of {len(possible)} " if len(possible) > len(pairs) else ""
    ordered = f"\n{some}pairs, by importance ({SHARES})" if shares else ""
    figure.suptitle(title + ordered + outside_note(results))
    return figure


def _by_importance(results: StudyResults, shares: Mapping[str, float]) -> list[Axis]:
    """The axes along which trials differ; those of the same importance as declared."""
    return sorted(varied_axes(results), key=lambda axis: -shares.get(axis.name, 0.0))


def _pairs(results: StudyResults, shares: Mapping[str, float]) -> list[tuple[Axis, Axis]]:
    """Pairs of hyperparameters that trials have, those that matter most together first."""
    pairs = [
        pair
        for pair in itertools.combinations(_by_importance(results, shares), 2)
        if trials_having(scored_trials(results), *pair)
    ]
    return sorted(pairs, key=lambda pair: -sum(shares.get(axis.name, 0.0) for axis in pair))


def _label(axis: Axis, shares: Mapping[str, float]) -> str:
    share = f" ({100 * shares[axis.name]:.0f} %)" if shares else ""
    return plain(axis.name) + share


def _contour(
    panel: Axes, results: StudyResults, across: Axis, up: Axis, colours: ScalarMappable
) -> None:
    trials = trials_having(scored_trials(results), across, up)
    x, y, whole = axis_places(across, trials), axis_places(up, trials), is_complete(trials)
    if not (across.categories or up.categories):
        _filled_contour(panel, *_best_of_place(results, trials, x, y), colours)
        dots: dict[str, Any] = {"color": "black", "markersize": 4, "clip_on": False, "zorder": 3}
        mark_stopped(panel, x[~whole], y[~whole], **dots)
        panel.plot(x[whole], y[whole], ".", label="trial", **dots)
        ring = 9
    else:
        _coloured_points(panel, results, trials, x, y, colours)
        ring = 16
    mark_alike(
        panel, results, trials, x, y, color="black", markersize=ring, clip_on=False, zorder=3
    )
    mark_exceeding(panel, trials, x, y, color="black", markersize=5, clip_on=False, zorder=3)
    failed = trials_having([t for t in results.trials if t.state == "failed"], across, up)
    if failed:
        panel.plot(
            axis_places(across, failed),
            axis_places(up, failed),
            "x",
            color=RED,
            label="failed trial",
            clip_on=False,
            zorder=3,
        )
    mark_literature(panel, trials, x, y)
    mark_best(panel, results, trials, x, y, markersize=17, zorder=5, clip_on=False)
    draw_scale(panel.xaxis, across, x)
    draw_scale(panel.yaxis, up, y)


def _coloured_points(
    panel: Axes,
    results: StudyResults,
    trials: Sequence[TrialRecord],
    x: np.ndarray,
    y: np.ndarray,
    colours: ScalarMappable,
) -> None:
    """Filled by their values; hollow ones, which have estimates, beneath them."""
    values, whole = trial_values(trials), is_complete(trials)
    if not whole.all():
        panel.scatter(
            x[~whole],
            y[~whole],
            s=90,
            marker="D",
            facecolors="white",
            edgecolors=colours.to_rgba(values[~whole]),
            linewidths=2,
            label=STOPPED,
        )
    order = np.argsort(values)[:: -1 if results.direction == "minimize" else 1]
    order = order[whole[order]]
    panel.scatter(
        x[order],
        y[order],
        c=values[order],
        s=130,
        cmap=colours.cmap,
        vmin=colours.get_clim()[0],
        vmax=colours.get_clim()[1],
        edgecolors="black",
        linewidths=0.6,
        label="trial (the best lies on top)",
    )


def _filled_contour(
    panel: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, colours: ScalarMappable
) -> None:
    points = np.stack([x, y])
    span = np.ptp(points, axis=1, keepdims=True)
    if len(x) < 3 or not span.all():
        return
    unit = (points - points.min(axis=1, keepdims=True)) / span
    if np.linalg.matrix_rank(unit - unit[:, :1], tol=1e-6) < 2:
        return
    mesh = Triangulation(x, y, Triangulation(*unit).triangles)
    levels = np.linspace(*colours.get_clim(), 15)
    panel.tricontourf(mesh, values, levels=levels, cmap=colours.cmap, norm=colours.norm)
    panel.tricontour(mesh, values, levels=levels[1:-1], colors="white", linewidths=0.4)


def _best_of_place(
    results: StudyResults, trials: Sequence[TrialRecord], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One value a place: with further hyperparameters several trials can share it."""
    best: dict[tuple[float, float], float] = {}
    better = min if results.direction == "minimize" else max
    for px, py, value in zip(x, y, trial_values(trials), strict=True):
        place = (round(float(px), 9), round(float(py), 9))
        best[place] = better(value, best.get(place, value))
    merged = np.array(list(best))
    return merged[:, 0], merged[:, 1], np.array(list(best.values()))


def figure_slices(results: StudyResults) -> Figure | None:
    """The objective against each hyperparameter, a panel each; None if none varies."""
    shares = importances(results, varied_axes(results))
    axes = _by_importance(results, shares)
    if not axes:
        return None
    columns = min(len(axes), 3)
    rows = -(-len(axes) // columns)
    figure = new_figure(4.2 * columns + 0.4, 3.4 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for unused in panels[len(axes) :]:
        unused.remove()
    for panel, axis in zip(panels, axes, strict=False):
        _slice(panel, results, axis)
        panel.set_xlabel(_label(axis, shares))
    for row in range(rows):
        panels[row * columns].set_ylabel(objective_label(results))
    draw_legend(figure, panels[: len(axes)].tolist())
    title = plain(f"{results.name}: {objective_words(results)} against each hyperparameter")
    ordered = f"\nby importance ({SHARES})" if shares else ""
    figure.suptitle(title + ordered + outside_note(results))
    return figure


def _slice(panel: Axes, results: StudyResults, axis: Axis) -> None:
    trials = trials_having(scored_trials(results), axis)
    x, y, whole = axis_places(axis, trials), trial_values(trials), is_complete(trials)
    errors = np.array([t.result.stderr for t in trials if t.result is not None])
    label = "± standard error"
    panel.errorbar(
        x[whole], y[whole], errors, fmt="none", ecolor="#8fb6cc", elinewidth=1, label=label
    )
    mark_stopped(panel, x[~whole], y[~whole], color=BLUE, markersize=4)
    panel.plot(x[whole], y[whole], "o", color=BLUE, markersize=4, label="trial")
    mark_exceeding(panel, trials, x, y, color=BLUE, markersize=4)
    named = [n for n, trial in enumerate(trials) if trial.literature is not None]
    if named:
        panel.plot(
            x[named], y[named], "s", color=ORANGE, markeredgecolor="black", label="literature"
        )
    mark_best(panel, results, trials, x, y, markersize=15)
    draw_scale(panel.xaxis, axis, x)
    panel.grid(axis="y", color="#e5e5e5")
    panel.set_axisbelow(True)
