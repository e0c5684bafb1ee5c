from __future__ import annotations

import math

import numpy as np
import pytest
from fabricated import AXES, LOW, ZERO_AT

from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import draw_scale, format_score, format_value, plain, positions
from lrpsweep.results import Axis


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0, "0"),
        (0.1584893, "0.1585"),
        (1e-05, "1e-05"),
        (math.inf, "inf"),
        (math.nan, "—"),
        ("z_plus", "z_plus"),
        (True, "True"),
        (np.float64(0.25), "0.25"),
    ],
)
def test_values_are_written_short(value: object, text: str) -> None:
    assert format_value(value) == text


def test_scores_keep_their_digits() -> None:
    assert [format_score(v) for v in (5.41, -0.12, -math.inf)] == ["5.410", "−0.1200", "—"]


def test_zero_lies_at_its_place_on_a_logarithmic_axis() -> None:
    places = positions(AXES[0], [0.0, LOW, 0.1])
    assert places == pytest.approx([math.log10(ZERO_AT), -4, -1])


def test_categories_lie_at_their_index_whatever_their_type() -> None:
    axis = Axis("gamma", categories=("0.25", "inf", "True"))
    assert positions(axis, [True, 0.25, "inf"]).tolist() == [2, 0, 1]


def labels(axis: Axis, values: list[object]) -> list[str]:
    panel = new_figure(3, 3).subplots()
    places = positions(axis, values)
    panel.plot(places, places, ".")
    draw_scale(panel.xaxis, axis, places)
    return [tick.get_text() for tick in panel.get_xticklabels()]


def test_a_logarithmic_axis_shows_zero_and_decades() -> None:
    assert labels(AXES[0], [0.0, LOW, 0.01, 1.0]) == ["0", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]


def test_a_logarithmic_axis_without_zero_does_not_show_it() -> None:
    assert labels(Axis("epsilon", log=True), [0.01, 10.0]) == ["10⁻²", "10⁻¹", "1", "10"]


def test_a_range_within_a_decade_has_ticks_too() -> None:
    assert labels(Axis("epsilon", log=True), [0.15, 0.7]) == ["0.2", "0.5"]


def test_whole_numbers_have_whole_ticks() -> None:
    """Caught: a depth of 1.5 layers."""
    panel = new_figure(6, 6).subplots()
    places = positions(Axis("depth"), [0, 1, 3])
    panel.plot(places, places, ".")
    assert np.any(panel.get_xticks() % 1 != 0)
    draw_scale(panel.xaxis, Axis("depth"), places)
    assert np.all(panel.get_xticks() % 1 == 0)


def test_an_axis_on_which_all_trials_are_zero_shows_only_zero() -> None:
    assert labels(AXES[0], [0.0, 0.0]) == ["0"]


def test_text_is_neither_mathematics_nor_missing_glyphs() -> None:
    assert plain("a $x^2$\nb") == r"a \$x^2\$ b"
    assert plain("漢字 γ") == "?? γ"
