"""The Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpsweep.report.figures.panels import (
    BLUE,
    ORANGE,
    RED,
    draw_legend,
    mark_exceeding,
    objective_label,
)
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import plain
from lrpsweep.results import Contender, Front, StudyResults, TrialResult

NEAR = 0.04
"""Labels of points no further from each other than this share of each axis would overlap."""

MOST_IN_A_LABEL = 4


def figure_front(results: StudyResults) -> Figure | None:
    """The first two objectives of all candidates, and the front; None for a single objective."""
    if not results.several or not results.complete:
        return None
    figure = new_figure(7.6, 6.0)
    panel = figure.subplots()
    trials = results.complete
    x, y = _places(results, [t.result for t in trials if t.result is not None])
    panel.plot(x, y, "o", color="#8fb6cc", markersize=4, label="trial")
    mark_exceeding(panel, trials, x, y, color="#8fb6cc", markersize=4)
    if results.literature:
        px, py = _places(results, list(results.literature.values()))
        panel.plot(
            px, py, "s", color=ORANGE, markersize=5, markeredgecolor="black", label="literature"
        )
    if results.front is not None and results.front.members:
        _draw_front(panel, results, results.front)
    panel.set_xlabel(objective_label(results))
    panel.set_ylabel(objective_label(results, 1))
    panel.grid(color="#e5e5e5")
    panel.set_axisbelow(True)
    draw_legend(figure, [panel])
    panel.set_title(plain(f"{results.name}: Pareto front on the search images"))
    return figure


def _places(results: StudyResults, found: Sequence[TrialResult]) -> tuple[np.ndarray, np.ndarray]:
    """Means by the first two objectives."""
    first, second = results.objectives[:2]
    return np.array([r.mean(first) for r in found]), np.array([r.mean(second) for r in found])


def _draw_front(panel: Axes, results: StudyResults, front: Front) -> None:
    """Its members with their numbers; of two objectives, with the border of what they dominate."""
    found = [(one, results.result_of(one)) for one in front.members]
    members = [one for one, result in found if result is not None]
    x, y = _places(results, [result for _, result in found if result is not None])
    if len(results.objectives) == 2:
        panel.plot(x, y, drawstyle="steps-post", color=RED, linewidth=1.2)
    for published, mark in ((False, "o"), (True, "s")):
        rows = [row for row, one in enumerate(members) if (one.number is None) == published]
        if rows:
            label = "front: literature" if published else "front: trial"
            colour = ORANGE if published else BLUE
            panel.plot(
                x[rows], y[rows], mark, color=colour, markeredgecolor=RED, markersize=8, label=label
            )
    _name(panel, members, x, y)


def _name(panel: Axes, members: Sequence[Contender], x: np.ndarray, y: np.ndarray) -> None:
    """Trial numbers and published names beside the points; those that are near share a label."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    places = np.stack([x / (right - left), y / (high - low)], axis=1)
    groups: list[list[int]] = []
    for row, place in enumerate(places):
        near = (g for g in groups if np.abs(places[g[0]] - place).max() <= NEAR)
        group = next(near, None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    for group in groups:
        names = [_short(members[row]) for row in group]
        more = [f"+{len(names) - MOST_IN_A_LABEL}"] if len(names) > MOST_IN_A_LABEL else []
        row = group[0]
        panel.annotate(
            plain(", ".join(names[:MOST_IN_A_LABEL] + more)),
            (x[row], y[row]),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize=8,
        )


def _short(one: Contender) -> str:
    name = one.label if one.number is None else str(one.number)
    return f"{name} = {one.published}" if one.number is not None and one.published else name
