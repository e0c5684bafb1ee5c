"""Figures and the report page, from the results of a study alone."""

from lrpsweep.report.figures import FIGURES, draw_figures
from lrpsweep.report.figures.comparison import comparison_lines, figure_distributions
from lrpsweep.report.heatmap import RENDERING, render_heatmap, to_png
from lrpsweep.report.page import render_page, write_report

__all__ = [
    "FIGURES",
    "RENDERING",
    "comparison_lines",
    "draw_figures",
    "figure_distributions",
    "render_heatmap",
    "render_page",
    "to_png",
    "write_report",
]
