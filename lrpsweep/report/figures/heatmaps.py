"""Heatmaps side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lrpsweep.report.figures.panels import relevance_label, shortened
from lrpsweep.report.heatmap import (
    colour_bar,
    colour_limit,
    draw_heatmap,
    draw_image,
    new_figure,
)
from lrpsweep.report.scales import format_value, plain
from lrpsweep.report.words import shown_as
from lrpsweep.results import StudyResults

MAX_IMAGES = 6


def figure_heatmaps(results: StudyResults) -> Figure | None:
    """Images, the nominee's and a baseline's heatmaps, and the half perturbed image."""
    shown = results.illustrations
    if shown is None or not len(shown.ids):
        return None
    count = min(len(shown.ids), MAX_IMAGES)
    tall = 2.1 * min(shown.images.shape[1] / shown.images.shape[2], 2)
    figure = new_figure(9.6, tall * count + 0.9)
    panels = figure.subplots(count, 4, squeeze=False)
    for row, (image_id, panel) in enumerate(zip(shown.ids, panels, strict=False)):
        limit = colour_limit(np.stack([shown.best[row], shown.baseline[row]]))
        draw_image(panel[0], shown.images[row])
        draw_image(panel[1], shown.halfway[row])
        draw_heatmap(panel[2], shown.best[row], limit)
        draw_heatmap(panel[3], shown.baseline[row], limit)
        colour_bar(figure, [panel[2], panel[3]], limit, relevance_label(results))
        panel[0].set_ylabel(plain(shortened(image_id)), fontsize=8)
    ours = shown_as(results).replace(" (", "\n(", 1)
    titles = ("image", "half of the steps\nperturbed", ours, shown.baseline_name)
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title("\n".join(map(plain, title.splitlines())), fontsize=10)
    figure.suptitle(plain(f"{results.name}: heatmaps (colours: one scale a row)"))
    return figure


def figure_heatmap_grid(results: StudyResults) -> Figure | None:
    """One image's heatmaps over one or two hyperparameters, all on one scale."""
    shown = results.illustrations
    if shown is None or not shown.grid.size:
        return None
    limit = colour_limit(shown.grid)
    rows, columns, height, width = shown.grid.shape
    gap = max(1, round(0.06 * max(height, width)))
    cell = min(1.2, 10 / max(rows, columns))
    figure = new_figure(max(cell * columns + 1.9, 4.5), cell * rows * height / width + 1.1)
    panel = figure.subplots()
    draw_heatmap(panel, _mosaic(shown.grid, gap), limit)
    panel.set_yticks(
        np.arange(rows) * (height + gap) + height / 2,
        [plain(format_value(value)) for value in shown.grid_rows],
    )
    panel.set_xticks(
        np.arange(len(shown.grid_columns)) * (width + gap) + width / 2,
        [plain(format_value(value)) for value in shown.grid_columns],
    )
    panel.tick_params(length=0)
    panel.set_ylabel(plain(shown.grid_names[0]))
    panel.set_xlabel(plain("".join(shown.grid_names[1:])))
    title = plain(f"{results.name}: heatmaps of {shortened(shown.ids[0])}")
    panel.set_title(f"{title}\none colour scale for all")
    colour_bar(figure, panel, limit, relevance_label(results))
    return figure


def _mosaic(grid: np.ndarray, gap: int) -> np.ndarray:
    """(A, B, H, W) tiles as one picture, NaN between them."""
    padded = np.pad(
        grid.astype(float), ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan
    )
    rows, columns, height, width = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-gap, :-gap]
