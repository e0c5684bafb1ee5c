"""The figures of a study: each a function from results to a matplotlib figure; the table of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from lrpsweep.report.figures.front import figure_front
from lrpsweep.report.figures.heatmaps import figure_heatmap_grid, figure_heatmaps
from lrpsweep.report.figures.scores import figure_curves, figure_distribution
from lrpsweep.report.figures.space import figure_contour, figure_slices
from lrpsweep.report.figures.validation import figure_validation
from lrpsweep.report.heatmap import to_png
from lrpsweep.results import StudyResults


@dataclass(frozen=True)
class Plate:
    """A figure with the words around it. draw gives None where there is nothing to show."""

    draw: Callable[[StudyResults], Figure | None]
    title: str
    caption: str


FIGURES: dict[str, Plate] = {
    "validation": Plate(
        figure_validation,
        "Against the literature",
        "Mean paired difference on the validation images, on which nothing was chosen.",
    ),
    "front": Plate(
        figure_front,
        "Pareto front",
        "Means over the search images. No candidate is better than one of the front by one "
        "objective and no worse by the rest. Numbers are those of trials. Of two objectives, the "
        "line borders what the front is better than; of more, the first two are drawn. Hollow: "
        "breaks a constraint or the floor.",
    ),
    "contour": Plate(
        figure_contour,
        "Objective over the hyperparameters",
        "Interpolated between the trials (dots). Logarithmic axes show zero at their end, not to "
        "scale. Where trials differ in a third hyperparameter, the best of them is drawn; those "
        "that do not depend on both hyperparameters are not. Ringed: trials whose difference from "
        "the nominee, image by image, is at most one standard error of that difference, so that "
        "these images do not tell them apart. Hollow: trials that were stopped early; their "
        "estimates (the incumbent's mean plus the mean difference from it so far) are part of the "
        "surface. Of more than two hyperparameters, up to six pairs are drawn, those that matter "
        "most (by PED-ANOVA, for being among the better half of the trials) first.",
    ),
    "slices": Plate(
        figure_slices,
        "Objective against each hyperparameter",
        "All trials see the same images, so differences between two trials are surer than their "
        "standard errors, which are over images, suggest. Hollow: trials that were stopped early, "
        "at their estimates.",
    ),
    "curves": Plate(
        figure_curves,
        "Perturbation curves",
        "The AUC averages over the steps (dots), which need not be evenly spaced on this axis. "
        "MoRF: the patches called most relevant go first; LeRF: the least relevant (dashed). Where "
        "both are there, the published composite shown is the best one on the search images.",
    ),
    "heatmaps": Plate(
        figure_heatmaps,
        "Heatmaps",
        "Red is relevance for the explained class, blue against it, white none. Colours saturate "
        "at the 99.5th percentile of the absolute relevance of both heatmaps in a row.",
    ),
    "heatmap_grid": Plate(
        figure_heatmap_grid,
        "One image under many composites",
        "All heatmaps share one colour scale, saturating at the 99.5th percentile of the absolute "
        "relevance over all of them.",
    ),
    "distribution": Plate(
        figure_distribution,
        "Distribution over the trials",
        "Each stroke under the histogram is a trial. Hollow: trials that were stopped early, at "
        "their estimates.",
    ),
}


def draw_figures(results: StudyResults) -> dict[str, bytes]:
    """Every figure that the results can fill, as PNG, in the order of `FIGURES`."""
    drawn = ((name, plate.draw(results)) for name, plate in FIGURES.items())
    return {name: to_png(figure) for name, figure in drawn if figure is not None}
