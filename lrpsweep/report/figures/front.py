"""The Pareto front of several objectives."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpsweep.report.figures.panels import (
    BLUE,
    ORANGE,
    RED,
    draw_legend,
    objective_label,
)
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import plain
from lrpsweep.results import Contender, Front, StudyResults, TrialResult

PALE_BLUE, PALE_ORANGE = "#8fb6cc", "#f0c675"
NEAR = 0.05
"""Labels of points no further from each other than this share of each axis would overlap."""

MOST_IN_A_LABEL = 4
LABEL_WIDTH = 24


def figure_front(results: StudyResults) -> Figure | None:
    """The first two objectives of all candidates, and the front; None for a single objective."""
    if not results.several or not results.complete:
        return None
    figure = new_figure(7.6, 6.0)
    panel = figure.subplots()
    _draw_candidates(panel, results)
    if results.front is not None and results.front.members:
        _draw_front(panel, results, results.front)
    panel.set_xlabel(objective_label(results))
    panel.set_ylabel(objective_label(results, 1))
    panel.grid(color="#e5e5e5")
    panel.set_axisbelow(True)
    draw_legend(figure, [panel])
    panel.set_title(plain(f"{results.name}: Pareto front on the search images"))
    return figure


def _draw_candidates(panel: Axes, results: StudyResults) -> None:
    """Hollow where they may not be on the front."""
    broken = results.front.broken if results.front else {}
    trials = [
        (f"trial {t.number if t.same_as is None else t.same_as}", t.result)
        for t in results.complete
        if t.result is not None
    ]
    published = list(results.literature.items())
    kinds = (("trial", "o", PALE_BLUE, trials), ("literature", "s", PALE_ORANGE, published))
    for name, mark, colour, candidates in kinds:
        for barred in (True, False):
            found = [result for label, result in candidates if (label in broken) == barred]
            face = "white" if barred else colour
            said = f"{name}, barred" if barred else name
            if found:
                x, y = _places(results, found)
                panel.plot(x, y, mark, color=colour, markerfacecolor=face, markersize=5, label=said)


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
    kinds = (("trial", "o", BLUE, False), ("literature", "s", ORANGE, True))
    for name, mark, colour, published in kinds:
        rows = [row for row, one in enumerate(members) if (one.number is None) == published]
        if rows:
            panel.plot(
                x[rows],
                y[rows],
                mark,
                color=colour,
                markeredgecolor="black",
                markersize=8,
                label=f"{name} on the front",
            )
    _name(panel, members, x, y)


def _name(panel: Axes, members: Sequence[Contender], x: np.ndarray, y: np.ndarray) -> None:
    """Trial numbers and published names beside the points; those that are near share a label."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    places = np.stack([(x - left) / (right - left), (y - low) / (high - low)], axis=1)
    for group in _near(places):
        names = [_short(members[row]) for row in group]
        more = [f"+{len(names) - MOST_IN_A_LABEL}"] if len(names) > MOST_IN_A_LABEL else []
        text = ", ".join(names[:MOST_IN_A_LABEL] + more)
        across, up = places[group].mean(0) > 0.5
        beside = "top" if up else "bottom"
        panel.annotate(
            "\n".join(map(plain, textwrap.wrap(text, LABEL_WIDTH))),
            (x[group].min() if across else x[group].max(), y[group].mean()),
            xytext=(-8 if across else 8, 0 if len(group) > 1 else -5 if up else 5),
            textcoords="offset points",
            ha="right" if across else "left",
            va="center" if len(group) > 1 else beside,
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.7},
        )


def _near(places: np.ndarray) -> list[list[int]]:
    """Rows of points (M, 2), those that are near the first of their group together."""
    groups: list[list[int]] = []
    for row, place in enumerate(places):
        near = (group for group in groups if np.abs(places[group[0]] - place).max() <= NEAR)
        group = next(near, None)
        if group is None:
            groups.append([row])
        else:
            group.append(row)
    return groups


def _short(one: Contender) -> str:
    name = one.label if one.number is None else str(one.number)
    return f"{name} = {one.published}" if one.number is not None and one.published else name
