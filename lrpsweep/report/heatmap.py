"""How a heatmap becomes colours: one fixed rendering, since it changes what people read in it."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lrpsweep.report.scales import plain

COLOURS = "RdBu_r"
CLIP_PERCENTILE = 99.5
OVERLAY_ALPHA = 0.85
RENDERING: dict[str, Any] = {
    "colour_map": f"matplotlib {COLOURS}, red positive, symmetric around zero",
    "clip_percentile": CLIP_PERCENTILE,
    "overlay": f"over grey levels, opacity {OVERLAY_ALPHA} * sqrt(|relevance| / limit)",
}


def colour_limit(heatmaps: np.ndarray) -> float:
    """The |relevance| at which colours saturate: its 99.5th percentile, or its largest value.

    heatmaps: any shape. The largest value stands in where the percentile is 0; 1 if all is 0.
    """
    size = np.abs(heatmaps[np.isfinite(heatmaps)])
    if not size.size:
        return 1.0
    return float(np.percentile(size, CLIP_PERCENTILE)) or float(size.max()) or 1.0


def draw_heatmap(axes: Axes, heatmap: np.ndarray, limit: float) -> AxesImage:
    """(H, W) relevance, or a mosaic of it with NaN between the tiles, on white-centred colours."""
    _bare(axes)
    return axes.imshow(heatmap, cmap=COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")


def draw_image(axes: Axes, image: np.ndarray) -> None:
    """uint8 (H, W, 3), without axes."""
    _bare(axes)
    axes.imshow(image, interpolation="nearest")


def overlay(heatmap: np.ndarray, image: np.ndarray, limit: float) -> np.ndarray:
    """Heatmap (H, W) over the grey levels of image uint8 (H, W, 3): float (H, W, 3) in [0, 1]."""
    grey = (image @ np.array([0.299, 0.587, 0.114]) / 255)[..., None]
    scaled = np.clip(np.nan_to_num(heatmap) / limit, -1, 1)
    colour = colormaps[COLOURS]((scaled + 1) / 2)[..., :3]
    alpha = OVERLAY_ALPHA * np.sqrt(np.abs(scaled))[..., None]
    return np.asarray((1 - alpha) * grey + alpha * colour)


def colour_bar(figure: Figure, panels: Any, limit: float, label: str = "relevance") -> None:
    """A bar for heatmaps drawn with `limit`; its pointed ends say that colours saturate there."""
    mappable = ScalarMappable(Normalize(-limit, limit), COLOURS)
    bar = figure.colorbar(
        mappable, ax=panels, extend="both", extendfrac=0.03, fraction=0.05, pad=0.02, aspect=25
    )
    bar.set_label(plain(label))
    bar.set_ticks([-limit, 0, limit], labels=[f"−{limit:.3g}", "0", f"{limit:.3g}"])


def render_heatmap(
    heatmap: np.ndarray,
    *,
    image: np.ndarray | None = None,
    title: str = "",
    limit: float | None = None,
    unit: str = "",
) -> Figure:
    """A heatmap with its colour bar; beside it, if given, the image and both laid over each other.

    heatmap: (H, W); image: uint8 (H, W, 3); limit: where colours saturate, else `colour_limit`;
    unit: of the relevance, 'logit' for one. Needs no display and leaves nothing behind.
    """
    limit = colour_limit(heatmap) if limit is None else limit
    columns = 1 if image is None else 3
    height, width = heatmap.shape
    tall = min(max(3.2 * height / width, 1.6), 8)
    figure = new_figure(3.2 * columns + 1, tall + 0.7)
    panels = np.atleast_1d(figure.subplots(1, columns))
    if image is not None:
        draw_image(panels[0], image)
        panels[0].set_title("image")
        draw_image(panels[1], overlay(heatmap, image, limit))
        panels[1].set_title("heatmap over image")
    draw_heatmap(panels[-1], heatmap, limit)
    panels[-1].set_title("heatmap")
    colour_bar(figure, panels[-1], limit, f"relevance [{unit}]" if unit else "relevance")
    if title:
        figure.suptitle(plain(title))
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, dpi: int = 120) -> bytes:
    """The figure as PNG; the file says in its metadata how heatmaps are rendered."""
    buffer = io.BytesIO()
    about = {"Software": "lrpsweep", "Description": json.dumps({"heatmaps": RENDERING})}
    figure.savefig(buffer, format="png", dpi=dpi, metadata=about)
    return buffer.getvalue()


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
