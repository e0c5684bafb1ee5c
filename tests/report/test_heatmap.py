from __future__ import annotations

import io
import json

import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.figure import Figure
from PIL import Image

from lrpsweep.report.heatmap import RENDERING, colour_limit, overlay, render_heatmap, to_png


def meshes(figure: Figure) -> list[tuple[float, float]]:
    return [image.get_clim() for panel in figure.axes for image in panel.images]


def test_the_colour_scale_is_symmetric_around_zero() -> None:
    heatmap = np.linspace(-1, 5, 12).reshape(3, 4)
    figure = render_heatmap(heatmap)
    (low, high) = meshes(figure)[0]
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(heatmap), 99.5))
    assert len(figure.axes) == 2, "the heatmap and its bar"


def test_zero_is_white_positive_red_and_negative_blue() -> None:
    heatmap = np.array([[1.0, 0.0, -1.0]])
    drawn = render_heatmap(heatmap, limit=1.0).axes[0].images[0]
    red, white, blue = drawn.cmap(drawn.norm(0.7 * heatmap))[0, :, :3]
    assert red[0] > red[2] + 0.3
    assert blue[2] > blue[0] + 0.3
    assert white.min() > 0.95


@pytest.mark.parametrize("heatmap", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_an_empty_heatmap_can_be_drawn(heatmap: np.ndarray) -> None:
    assert colour_limit(heatmap) == 1.0
    assert to_png(render_heatmap(heatmap))


def test_a_heatmap_of_a_single_pixel_keeps_it() -> None:
    heatmap = np.zeros((32, 32))
    heatmap[3, 3] = -0.5
    assert colour_limit(heatmap) == 0.5


def test_the_overlay_is_grey_where_nothing_is_relevant() -> None:
    image = np.full((2, 2, 3), (200, 100, 50), dtype=np.uint8)
    shown = overlay(np.array([[0.0, 1.0], [-1.0, np.nan]]), image, 1.0)
    grey = (200 * 0.299 + 100 * 0.587 + 50 * 0.114) / 255
    assert shown[0, 0] == pytest.approx([grey] * 3)
    assert shown[1, 1] == pytest.approx([grey] * 3)
    assert shown[0, 1, 0] > shown[0, 1, 2]
    assert shown[1, 0, 2] > shown[1, 0, 0]
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_the_plain_image_stands_beside_the_overlay() -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    figure = render_heatmap(np.ones((8, 6)), image=image, title="a $b$", unit="logit")
    assert [panel.get_title() for panel in figure.axes[:3]] == [
        "image",
        "heatmap over image",
        "heatmap",
    ]
    assert np.array_equal(figure.axes[0].images[0].get_array(), image)
    assert figure.axes[3].get_ylabel() == "relevance [logit]"


def test_the_png_records_the_rendering_and_leaves_no_figure_behind() -> None:
    with Image.open(io.BytesIO(to_png(render_heatmap(np.eye(4))))) as picture:
        assert json.loads(picture.text["Description"])["heatmaps"] == RENDERING  # type: ignore[attr-defined]
    assert not _pylab_helpers.Gcf.figs
