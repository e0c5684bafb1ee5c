"""Scores of curves whose area is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrpsweep.evaluation import (
    MEASURES,
    ORDERS,
    Evidence,
    Needs,
    auc,
    flip,
    hot_spot_index,
    independent_series,
    rank_patches,
    schedule,
)


def test_auc_is_the_trapezoid_divided_by_the_steps():
    assert auc(np.array([[5.0, 2.0, 0.0, -1.0, 0.0]])).tolist() == [(3.5 + 1 - 0.5 - 0.5) / 4]


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.floats(-10, 10), st.floats(-10, 10)
)
def test_auc_is_in_units_of_the_score(curve, scale, shift):
    row = np.array([curve])
    np.testing.assert_allclose(auc(np.full_like(row, shift)), shift)
    np.testing.assert_allclose(auc(scale * row + shift), scale * auc(row) + shift, atol=1e-9)
    np.testing.assert_allclose(auc(row), np.trapezoid(row, axis=1) / (len(curve) - 1), atol=1e-9)


def test_every_measure_says_what_it_needs_and_which_way_is_better():
    assert {name: (m.needs, m.direction, m.control) for name, m in MEASURES.items()} == {
        "auc_morf": (Needs(orders=("morf",)), "minimize", False),
        "auc_lerf": (Needs(orders=("lerf",)), "maximize", False),
        "auc_random": (Needs(orders=("random",)), "minimize", True),
        "srg": (Needs(orders=("morf", "lerf")), "maximize", False),
        "hot_spot": (Needs(heatmaps=True), "minimize", False),
    }
    assert {order for m in MEASURES.values() for order in m.needs.orders} <= set(ORDERS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("auc_morf", [1.0, 3.0]), ("auc_lerf", [2.0, 6.0]), ("auc_random", [4.0, 5.0]),
     ("srg", [1.0, 3.0])],
)  # fmt: skip
def test_measures_combine_the_curves_image_by_image(name, expected):
    levels = {"morf": [1.0, 3.0], "lerf": [2.0, 6.0], "random": [4.0, 5.0]}
    measure = MEASURES[name]
    curves = {o: np.repeat(np.array(levels[o])[:, None], 3, axis=1) for o in measure.needs.orders}
    assert measure.score(Evidence(curves=curves, area=auc)).tolist() == expected


def test_a_measure_of_heatmaps_needs_no_curve():
    heatmaps = np.array([[[1.0, 1.0], [1.0, 1.0]], [[0.0, -3.0], [0.0, 0.0]]])
    assert MEASURES["hot_spot"].score(Evidence(heatmaps=heatmaps)).tolist() == [0.25, 1.0]


@pytest.mark.parametrize("name", ["auc_morf", "auc_lerf", "srg"])
def test_the_true_heatmap_is_better_than_its_opposite(name):
    """Of a linear model that reads single pixels, in the direction that the registry names."""
    measure = MEASURES[name]
    weights = np.random.default_rng(0).normal(size=(6, 6))
    images = np.ones((1, 6, 6, 3), np.uint8)

    def value(heatmap: np.ndarray) -> float:
        relevance = rank_patches(heatmap[None], 2)
        curves = {
            order: flip(
                independent_series(
                    images,
                    ORDERS[order].permute(relevance, 0, 0),
                    schedule(9),
                    "constant",
                    patch=2,
                    fill=np.zeros(3),
                ),
                lambda samples, index: (samples[..., 0] * weights).sum(axis=(1, 2)),
            ).curves
            for order in measure.needs.orders
        }
        return float(measure.score(Evidence(curves=curves, area=auc))[0])

    sign = {"minimize": -1, "maximize": 1}[measure.direction]
    assert sign * value(weights) > sign * value(-weights)


def test_hot_spot_index_of_known_heatmaps():
    even, single, zero, signed = (
        np.ones((4, 5)),
        np.zeros((4, 5)),
        np.zeros((4, 5)),
        np.zeros((4, 5)),
    )
    single[2, 3] = -7
    signed[0, :3] = [1, -3, 2]
    found = hot_spot_index(np.stack([even, single, zero, signed]).astype(np.float32))
    np.testing.assert_allclose(found, [1 / 20, 1, 0, 3 / 6])
