"""The nominee against the literature."""

from __future__ import annotations

from matplotlib.figure import Figure

from lrpsweep.report.figures.panels import BLUE, GREY, objective_name
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import plain
from lrpsweep.results import StudyResults


def figure_validation(results: StudyResults) -> Figure | None:
    """The nominee against each published composite, on images it was not tuned on."""
    found = results.recommendation
    if found is None or not found.comparisons:
        return None
    rows = len(found.comparisons)
    figure = new_figure(7.6, 0.42 * rows + 2.0)
    panel = figure.subplots()
    for row, one in enumerate(found.comparisons):
        colour = BLUE if one.better else GREY
        error = [[max(one.difference - one.low, 0)], [max(one.high - one.difference, 0)]]
        panel.errorbar(
            one.difference,
            row,
            xerr=error,
            fmt="o" if one.better else "s",
            color=colour,
            markerfacecolor=colour if one.better else "white",
            capsize=4,
        )
    panel.axvline(0, color="black", linewidth=1)
    panel.set_yticks(range(rows), [plain(one.baseline) for one in found.comparisons])
    panel.set_ylim(rows - 0.5, -0.5)
    panel.grid(axis="x", color="#e5e5e5")
    right = panel.secondary_yaxis("right")
    right.set_yticks(range(rows), [f"p = {one.p_adjusted:.2g}" for one in found.comparisons])
    right.tick_params(length=0)
    side = "left" if results.direction == "minimize" else "right"
    objective = plain(f"{objective_name(results)}: nominee − baseline")
    panel.set_xlabel(
        f"{objective}, mean over {found.validation_images} images, 95 % interval\n"
        f"{side} of zero: the nominee is better; filled: at p < 0.05 (Holm)"
    )
    panel.set_title(
        plain(f"{results.name}: nominee (trial {found.number}) on validation images")
        + f"\nagainst every composite of the literature: {found.verdict}"
    )
    return figure
