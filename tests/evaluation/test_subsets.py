"""Some states in the place of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lrpsweep.evaluation import auc, filled, subsets, thinned, with_ends


@pytest.mark.parametrize("last", [0, 1, 2, 3, 4])
def test_where_there_are_few_states_no_subset_saves_any(last: int) -> None:
    assert subsets(last) == {}


@pytest.mark.parametrize("last", range(5, 60))
def test_every_subset_saves_something_and_the_cheapest_comes_first(last: int) -> None:
    found = subsets(last)
    assert found
    assert [len(steps) for steps in found.values()] == sorted({len(s) for s in found.values()})
    for steps in found.values():
        assert len(steps) < last + 1
        assert steps == with_ends(steps, last) == tuple(sorted(set(steps)))
        gaps = np.diff(steps)
        assert gaps.max() - gaps.min() <= 1


def test_the_states_that_were_measured_are_those_of_eight_steps_twice_as_far_apart() -> None:
    assert subsets(16)["quarters"] == (0, 4, 8, 12, 16)
    assert subsets(16)["eighths"] == tuple(range(0, 17, 2))


def test_the_ends_are_looked_at_whatever_is_listed() -> None:
    assert with_ends((3,), 8) == with_ends((0, 3, 8), 8) == (0, 3, 8)
    assert with_ends((), 8) == (0, 8)


STEPS = (0, 1, 4, 9, 16)


def test_what_is_straight_between_the_states_is_found_exactly() -> None:
    rng = np.random.default_rng(0)
    knots = rng.normal(size=(7, len(STEPS)))
    whole = np.stack([np.interp(np.arange(17), STEPS, row) for row in knots])
    np.testing.assert_array_equal(filled(knots, STEPS, 16), whole)
    np.testing.assert_allclose(thinned(whole, STEPS), whole, rtol=0, atol=1e-15)


@pytest.mark.parametrize("steps", [STEPS, (0, 16), tuple(range(17)), (0, 15, 16)])
def test_the_area_is_that_of_trapezoids_between_the_states(steps: Sequence[int]) -> None:
    curves = np.random.default_rng(1).normal(size=(5, 17))
    uneven = np.trapezoid(curves[:, list(steps)], steps, axis=1) / 16
    np.testing.assert_allclose(auc(thinned(curves, steps)), uneven, rtol=1e-12)


def test_all_states_are_the_curve_itself_and_no_curve_stays_none() -> None:
    curves = np.random.default_rng(2).normal(size=(3, 9))
    np.testing.assert_array_equal(thinned(curves, range(9)), curves)
    assert thinned(curves[:0], (0, 8)).shape == (0, 9)
