"""Ranking, orders and schedules against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrpsweep.errors import InputError
from lrpsweep.evaluation import ORDERS, PROTOCOLS, patch_grid, rank_patches, schedule
from lrpsweep.evaluation.patches import patch_mask


def slices(height: int, width: int, patch: int) -> list[tuple[slice, slice]]:
    return [
        (slice(y, y + patch), slice(x, x + patch))
        for y in range(0, height, patch)
        for x in range(0, width, patch)
    ]


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    height, width = draw(st.integers(1, 23)), draw(st.integers(1, 23))
    return height, width, draw(st.integers(1, min(height, width)))


@given(shapes(), st.integers(0, 2**32 - 1))
def test_ranking_is_by_the_mean_over_each_patch(shape, seed):
    height, width, patch = shape
    heatmaps = np.random.default_rng(seed).normal(size=(2, height, width))
    means = [[h[cut].mean() for cut in slices(height, width, patch)] for h in heatmaps]
    np.testing.assert_allclose(rank_patches(heatmaps, patch), np.array(means) * patch**2)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_on_a_divisible_grid_relevance_is_the_plain_sum(rows, columns, patch, seed):
    shape = (1, rows * patch, columns * patch)
    heatmap = np.random.default_rng(seed).integers(-9, 10, shape)
    sums = [heatmap[0][cut].sum() for cut in slices(*shape[1:], patch)]
    assert rank_patches(heatmap, patch)[0].tolist() == sums


def test_a_small_border_patch_is_not_last_by_size():
    heatmap = np.ones((1, 2, 3))
    heatmap[0, :, 2] = 1.5  # sums 4 and 3, means 1 and 1.5
    assert ORDERS["morf"].permute(rank_patches(heatmap, 2), 0, 0).tolist() == [[1, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_relevance_that_is_not_finite_is_refused(value):
    heatmaps = np.zeros((3, 4, 4), np.float32)
    heatmaps[2, 1, 1] = value
    with pytest.raises(FloatingPointError, match=r"1 of 3 heatmaps \(first: number 2\)"):
        rank_patches(heatmaps, 2)


@pytest.mark.parametrize(
    ("height", "width", "patch"), [(8, 8, 9), (4, 20, 5), (20, 4, 5), (8, 8, 0)]
)
def test_a_patch_that_does_not_fit_is_the_users_error(height, width, patch):
    with pytest.raises(
        InputError, match=rf"evaluation\.patch: {patch} .* {height} × {width} pixels"
    ):
        rank_patches(np.zeros((1, height, width)), patch)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_morf_and_lerf_break_ties_row_major(relevance):
    row = np.array([relevance], float)
    patches = range(len(relevance))
    descending = sorted(patches, key=lambda p: (-relevance[p], p))
    ascending = sorted(patches, key=lambda p: (relevance[p], p))
    assert ORDERS["morf"].permute(row, 0, 0)[0].tolist() == descending
    assert ORDERS["lerf"].permute(row, 0, 0)[0].tolist() == ascending


def test_random_order_depends_on_seed_and_position_alone():
    rng = np.random.default_rng(0)
    whole = ORDERS["random"].permute(rng.normal(size=(6, 50)), 3, 0)
    chunks = [ORDERS["random"].permute(rng.normal(size=(2, 50)), 3, f) for f in (0, 2, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(chunks))
    np.testing.assert_array_equal(np.sort(whole), np.tile(np.arange(50), (6, 1)))
    assert len({tuple(row) for row in whole}) == 6
    assert (whole != ORDERS["random"].permute(np.zeros((6, 50)), 4, 0)).any()


def test_random_order_favours_no_patch():
    """The mean place of each of 9 patches over 4,000 images; its standard error is 0.041."""
    places = np.argsort(ORDERS["random"].permute(np.zeros((4000, 9)), 0, 0), axis=1)
    np.testing.assert_allclose(places.mean(axis=0), 4, atol=5 * 0.041)


def test_an_unknown_order_lists_those_there_are():
    with pytest.raises(InputError, match=r"morf, lerf, random\. Did you mean 'morf'\?"):
        PROTOCOLS["default"].order("morff")
    assert set(ORDERS) == {"morf", "lerf", "random"}


def test_the_quadratic_schedule_of_224_pixels_and_patch_8():
    counts = schedule(28 * 28)
    assert counts.tolist() == [k * k for k in range(29)]


@given(st.integers(1, 5000))
def test_quadratic_steps_are_the_rounded_up_root(patches):
    counts = schedule(patches, "quadratic")
    steps = next(s for s in range(patches + 1) if s * s >= patches)
    assert counts.tolist() == [min(k**2, patches) for k in range(steps + 1)]


@given(st.integers(1, 500), st.data())
def test_linear_steps_are_equal_within_one_patch(patches, data):
    steps = data.draw(st.integers(1, patches))
    counts = schedule(patches, "linear", steps)
    assert (counts[0], counts[-1], len(counts)) == (0, patches, steps + 1)
    assert set(np.diff(counts)) <= {patches // steps, math.ceil(patches / steps)}


def test_linear_without_steps_has_as_many_as_the_quadratic():
    assert len(schedule(50, "linear")) == len(schedule(50, "quadratic")) == 9


@pytest.mark.parametrize(
    ("kind", "steps", "message"),
    [
        ("linear", 0, "evaluation.steps: 0"),
        ("linear", 17, "from 1 to 16"),
        ("quadratic", 4, "Leave it out"),
        ("quadratc", None, "Did you mean 'quadratic'"),
    ],
)
def test_a_schedule_that_cannot_be_is_the_users_error(kind, steps, message):
    with pytest.raises(InputError, match=message):
        schedule(16, kind, steps)


@given(shapes(), st.integers(0, 2**32 - 1))
def test_the_mask_covers_the_chosen_patches(shape, seed):
    height, width, patch = shape
    rows, columns = patch_grid(height, width, patch)
    chosen = np.random.default_rng(seed).random(rows * columns) < 0.5
    expected = np.zeros((height, width), bool)
    for flag, cut in zip(chosen, slices(height, width, patch), strict=True):
        expected[cut] = flag
    np.testing.assert_array_equal(patch_mask(chosen, height, width, patch), expected)
