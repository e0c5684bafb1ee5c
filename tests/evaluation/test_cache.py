"""What was scored before is not made again, and whatever is known changes no score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lrpsweep.evaluation import (
    PERTURBATIONS,
    Known,
    ScoreCache,
    Series,
    flip,
    independent_series,
    joined,
    schedule,
)

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 17, 12, 3), dtype=np.uint8)
COUNTS = schedule(15)
FILL = np.array([90.0, 120.0, 60.0])


def pixel_sum(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights every pixel and every image differently; exact in float64."""
    weights = np.arange(samples[0].size).reshape(samples.shape[1:]) % 251
    return (samples * weights).sum(axis=(1, 2, 3)) * (1.0 + index)


def orders(seed: int) -> np.ndarray:
    """An order of 15 patches for each image; the first ones are the same for all seeds."""
    swapped = np.random.default_rng(seed).permutation(4)
    return np.tile(np.concatenate([swapped, np.arange(4, 15)]), (len(IMAGES), 1))


def series(order: np.ndarray, perturbation: str = "telea") -> Series:
    return independent_series(IMAGES, order, COUNTS, perturbation, patch=4, fill=FILL)


def keys(order: np.ndarray) -> list[bytes]:
    """By image and set of patches."""
    return [bytes([n, *sorted(o[:count])]) for n, o in enumerate(order) for count in COUNTS]


def noting(sizes: list[int]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        sizes.append(len(samples))
        return pixel_sum(samples, index)

    return score


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
@pytest.mark.parametrize("most", [2**20, 7, 0])
def test_scores_are_exactly_those_of_a_run_that_knows_nothing(
    batch: int, perturbation: str, most: int
) -> None:
    cache = ScoreCache(most)
    for seed in range(5):
        made = series(orders(seed), perturbation)
        found = flip(made, pixel_sum, batch=batch, known=Known(cache, keys(orders(seed))))
        np.testing.assert_array_equal(found.curves, flip(made, pixel_sum).curves)
    assert len(cache) == min(most, len({key for s in range(5) for key in keys(orders(s))}))


def test_what_was_scored_is_neither_made_nor_scored_again() -> None:
    cache, sizes = ScoreCache(), list[int]()
    first = flip(series(orders(0)), noting(sizes), batch=5, known=Known(cache, keys(orders(0))))
    assert first.counts == {"states": 15, "known": 0, "forwards": 15}
    made = []

    def states(n: int, steps: range) -> list[np.ndarray]:
        made.extend(steps)
        return list(series(orders(1)).states(n, steps))

    others = Series(states, len(IMAGES), len(COUNTS))
    found = flip(others, noting(sizes), batch=5, known=Known(cache, keys(orders(1))))
    assert made == [1, 1, 1]  # one of four patches is another one; none, four, nine, all are not
    assert found.counts == {"states": 15, "known": 12, "forwards": 5}
    assert sizes == [5] * 4
    again = flip(others, noting(sizes), batch=5, known=Known(cache, keys(orders(1))))
    assert again.counts == {"states": 15, "known": 15, "forwards": 0}
    np.testing.assert_array_equal(again.curves, found.curves)


def test_orders_together_share_their_states_and_their_batches() -> None:
    both = [orders(0), orders(0)[:, ::-1]]
    known = Known(ScoreCache(), [key for order in both for key in keys(order)])
    sizes: list[int] = []
    found = flip(joined([series(order) for order in both]), noting(sizes), batch=8, known=known)
    expected = [flip(series(order), pixel_sum).curves for order in both]
    np.testing.assert_array_equal(found.curves, np.concatenate(expected))
    assert found.counts == {"states": 30, "known": 6, "forwards": 24}
    assert sizes == [8, 8, 8]


def test_an_image_whose_score_is_not_finite_is_named_in_every_order() -> None:
    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        broken = (samples == IMAGES[1]).all(axis=(1, 2, 3))
        return np.where(broken, np.nan, 1.0)

    flipped = [orders(0)[:, ::-1], orders(0)]
    parts = joined([series(order) for order in flipped])
    with pytest.raises(FloatingPointError, match=r"for 2 of 30 .*image 1 at step 0"):
        flip(parts, score)


def test_a_chain_is_made_whole_for_the_one_state_that_is_missing() -> None:
    asked = []

    def states(n: int, steps: range) -> list[np.ndarray]:
        asked.append((n, steps))
        return [np.full((2, 2, 3), 10 * n + step, np.uint8) for step in steps]

    cache = ScoreCache()
    known = Known(cache, [bytes([row]) for row in range(8)])
    for row in (0, 1, 2, 3, 4, 6, 7):
        cache.put(bytes([row]), -1.0)
    chained = Series(states, images=2, length=4, together=4)
    found = flip(chained, lambda samples, index: samples[:, 0, 0, 0], known=known)
    assert found.curves.tolist() == [[-1, -1, -1, -1], [-1, 11, -1, -1]]
    assert asked == [(1, range(4))]


def test_the_score_that_was_not_used_for_longest_is_dropped() -> None:
    cache = ScoreCache(most=2)
    cache.put(b"a", 1.0)
    cache.put(b"b", 2.0)
    assert cache.get(b"a") == 1.0
    cache.put(b"c", 3.0)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [1.0, None, 3.0]
