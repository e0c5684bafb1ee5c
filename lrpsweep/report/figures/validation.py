"""The nominee against the literature."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrpsweep.report.figures.panels import BLUE, GREY, measure_of, objective_name
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import plain
from lrpsweep.report.words import (
    correction_name,
    early_interval,
    fewer_images,
    interval_name,
    is_older,
)
from lrpsweep.results import Comparison, Recommendation, StudyResults


def figure_validation(results: StudyResults) -> Figure | None:
    """The nominee against each published composite, on images it was not tuned on."""
    found = results.recommendation
    if found is None or not found.comparisons:
        return None
    rows = len(found.comparisons)
    figure = new_figure(7.6, 0.42 * rows + 2.2)
    panel = figure.subplots()
    for row, one in enumerate(found.comparisons):
        _draw_row(panel, row, one)
    panel.axvline(0, color="black", linewidth=1)
    margin = _margin(found)
    if margin:
        panel.axvline(measure_of(results).sign * margin, color=GREY, linestyle="--", linewidth=1)
    labels = [plain(one.baseline + fewer_images(found, one.baseline)) for one in found.comparisons]
    panel.set_yticks(range(rows), labels)
    panel.set_ylim(rows - 0.5, -0.5)
    panel.grid(axis="x", color="#e5e5e5")
    right = panel.secondary_yaxis("right")
    right.set_yticks(range(rows), [f"p = {one.p_adjusted:.2g}" for one in found.comparisons])
    right.tick_params(length=0)
    panel.set_xlabel(_explained(results, found, margin))
    panel.set_title(
        plain(f"{results.name}: nominee ({found.nominee.label}) on validation images")
        + f"\nagainst the composites of the literature: {found.verdict}"
    )
    return figure


def _draw_row(panel: Axes, row: int, one: Comparison) -> None:
    """A mark, filled where the nominee is better, and its interval where it has two ends."""
    colour = BLUE if one.better else GREY
    arms = (max(one.difference - one.low, 0), max(one.high - one.difference, 0))
    panel.errorbar(
        one.difference,
        row,
        xerr=[[arm if math.isfinite(arm) else math.nan] for arm in arms],
        fmt="o" if one.better else "s",
        color=colour,
        markerfacecolor=colour if one.better else "white",
        capsize=4,
    )


def _margin(found: Recommendation) -> float:
    """How far behind by the objective is still as good; 0 where nothing says."""
    objective = next((bound for bound in found.bounds if not bound.guard), None)
    return 0.0 if objective is None else objective.margin / 100 * max(objective.range, 0.0)


def _explained(results: StudyResults, found: Recommendation, margin: float) -> str:
    side, limit = ("left", "right") if results.direction == "minimize" else ("right", "left")
    level = "p < 0.05" if is_older(found) else f"p ≤ {found.level:.4g}"
    lines = [
        plain(f"{objective_name(results)}: nominee − baseline"),
        f"mean over {found.validation_images} images, {interval_name(found)} for each row alone",
        f"{side} of zero: the nominee is better; filled: {level} ({correction_name(found)})",
    ]
    if any(fewer_images(found, one.baseline) for one in found.comparisons):
        lines.append(f"(n images): clearly behind on these, {early_interval(found)} interval")
    if margin:
        lines.append(f"dashed: as good, while no interval goes beyond it to the {limit}")
    return "\n".join(lines)
