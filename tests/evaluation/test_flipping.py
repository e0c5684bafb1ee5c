"""Curves against a closed form and against plain loops."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpsweep.evaluation import (
    ORDERS,
    PERTURBATIONS,
    Perturbation,
    Series,
    flip,
    independent_series,
    perturbed,
    rank_patches,
    schedule,
)
from lrpsweep.evaluation.flipping import BATCHES_AHEAD

FILL = np.array([90.0, 120.0, 60.0])
IMAGES = np.random.default_rng(1).integers(0, 256, (5, 17, 12, 3), dtype=np.uint8)
COUNTS = schedule(15)


def pixel_sum(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Weights every pixel and every image differently; exact in float64."""
    weights = np.arange(samples[0].size).reshape(samples.shape[1:]) % 251
    return (samples * weights).sum(axis=(1, 2, 3)) * (1.0 + index)


@pytest.mark.parametrize(
    ("order", "expected"), [("morf", [5, 2, 0, -1, 0]), ("lerf", [5, 6, 5, 3, 0])]
)
def test_a_linear_model_has_the_curve_of_the_closed_form(order, expected):
    """w = (3, 1, 2, -1), x = 1, flipped to 0 one by one."""
    weights = np.array([3.0, 1.0, 2.0, -1.0])
    image = np.ones((1, 2, 2, 3), np.uint8)
    places = ORDERS[order].permute(rank_patches(weights.reshape(1, 2, 2), 1), 0, 0)
    counts = schedule(4, "linear", 4)
    series = independent_series(image, places, counts, "constant", patch=1, fill=FILL)
    found = flip(series, lambda samples, index: samples[..., 0].reshape(-1, 4) @ weights)
    assert found.curves.tolist() == [expected]


def slow_curves(images, heatmaps, order, patch, steps, method):
    """Pixel flipping as one would explain it to a friend: one image, one step, one patch."""
    curves = []
    for n, image in enumerate(images):
        height, width, _ = image.shape
        corners = [(y, x) for y in range(0, height, patch) for x in range(0, width, patch)]
        means = [heatmaps[n, y : y + patch, x : x + patch].mean() for y, x in corners]
        sign = -1 if order == "morf" else 1
        ranked = sorted(range(len(corners)), key=lambda p: (sign * means[p], p))
        curve = []
        for count in steps:
            mask = np.zeros((height, width), np.uint8)
            for p in ranked[:count]:
                y, x = corners[p]
                mask[y : y + patch, x : x + patch] = 255
            state = image.copy()
            state[mask == 255] = 0
            if count == len(corners):
                state[:] = FILL
            elif method is not None:
                state = cv2.inpaint(state, mask, 3, method)
            curve.append(pixel_sum(state[None], np.array([n]))[0])
        curves.append(curve)
    return np.array(curves)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(3, 20),
    width=st.integers(3, 20),
    data=st.data(),
    order=st.sampled_from(["morf", "lerf"]),
    kind=st.sampled_from(["quadratic", "linear"]),
    method=st.sampled_from([("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_curves_equal_those_of_plain_loops(height, width, data, order, kind, method, seed):
    patch = data.draw(st.integers(1, min(height, width)))
    batch, threads = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    heatmaps = rng.integers(-4, 5, (2, height, width))  # ties, and sums that are exact
    relevance = rank_patches(heatmaps, patch)
    counts = schedule(relevance.shape[1], kind)
    places = ORDERS[order].permute(relevance, 0, 0)
    series = independent_series(images, places, counts, method[0], patch=patch, fill=FILL)
    found = flip(series, pixel_sum, batch=batch, threads=threads)
    expected = slow_curves(images, heatmaps, order, patch, counts, method[1])
    np.testing.assert_array_equal(found.curves, expected)


def scene(
    perturbation: str = "mean",
    chosen: slice = slice(None),
    counts: np.ndarray = COUNTS,
    images: np.ndarray = IMAGES,
    **others: int,
) -> Series:
    order = ORDERS["random"].permute(np.zeros((5, 15)), 0, 0)
    return independent_series(
        images[chosen], order[chosen], counts, perturbation, patch=4, fill=FILL, **others
    )


def chained(images: int = 5, length: int = 4) -> Series:
    """Each state is the one before, brighter by one: nothing of it can be made on its own."""

    def states(n: int, steps: range) -> list[np.ndarray]:
        state = np.full((2, 2, 3), n * length, np.uint8)
        found = []
        for _ in range(steps.stop):
            found.append(state)
            state = state + np.uint8(1)
        return found[steps.start :]

    return Series(states, images, length, together=length)


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 2), (4, 1), (7, 3), (64, 8)])
def test_chains_come_in_order_whatever_the_batch(batch, threads):
    found = flip(
        chained(), lambda samples, index: samples[:, 0, 0, 0], batch=batch, threads=threads
    )
    np.testing.assert_array_equal(found.curves, np.arange(20).reshape(5, 4))


def test_a_state_of_a_chain_can_be_looked_at():
    assert (perturbed(chained(), 2) == np.arange(2, 20, 4)[:, None, None, None]).all()


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_batch_size_and_threads_change_nothing(perturbation):
    def curves(batch: int, threads: int) -> np.ndarray:
        return flip(scene(perturbation), pixel_sum, batch=batch, threads=threads).curves

    reference = curves(64, 1)
    for batch, threads in [(1, 1), (4, 2), (7, 4), (25, 3)]:
        np.testing.assert_array_equal(curves(batch, threads), reference)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_chunks_of_images_give_the_curves_of_the_whole(perturbation):
    def curves(first: int, last: int) -> np.ndarray:
        series = scene(perturbation, slice(first, last), seed=7, first=first)
        return flip(series, lambda samples, index: pixel_sum(samples, index + first)).curves

    np.testing.assert_array_equal(curves(0, 5), np.concatenate([curves(0, 2), curves(2, 5)]))


def test_steps_are_scored_as_perturbed_shows_them():
    series = scene("telea")
    curves = flip(series, pixel_sum).curves
    for step in range(series.length):
        np.testing.assert_array_equal(
            pixel_sum(perturbed(series, step), np.arange(5)), curves[:, step]
        )


def test_samples_come_in_fixed_batches_with_their_images():
    images = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None], IMAGES.shape)
    sizes = []

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        assert (samples.max(axis=(1, 2, 3)) == index).all()  # black patches on colour n
        sizes.append(len(samples))
        return index.astype(float)

    partly = COUNTS[:-1]  # the last step would be all black
    found = flip(scene("constant", counts=partly, images=images), score, batch=8)
    assert sizes == [8, 8, 4]
    np.testing.assert_array_equal(found.curves, np.repeat(np.arange(5.0)[:, None], 4, axis=1))


def test_a_constant_score_gives_flat_curves():
    score = lambda samples, index: np.full(len(samples), 2.5)  # noqa: E731
    assert (flip(scene(), score).curves == 2.5).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_named(value):
    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.where(index == 3, value, 1.0)

    with pytest.raises(FloatingPointError, match=r"5 of 25 .*image 13 at step 0"):
        flip(scene(first=10), score)


@pytest.mark.parametrize("series", [scene("telea"), chained()])
def test_a_failing_score_is_passed_on_and_leaves_no_thread_behind(series):
    before = threading.active_count()

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        flip(series, score, batch=2, threads=2)
    assert threading.active_count() == before


def test_memory_is_bounded_by_the_batches_ahead():
    """While the first batch is scored, no more than the batches ahead are made."""
    made = []

    def count_only(image, mask, fill, rng):
        made.append(1)
        return image

    excess = []

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        threading.Event().wait(0.01)  # time enough to make too many
        excess.append(len(made) - 2 * len(excess) - 2)
        return np.zeros(len(samples))

    with PERTURBATIONS.register(Perturbation("count", count_only, "nothing")):
        flip(scene("count"), score, batch=2)
    assert max(excess) <= 2 * BATCHES_AHEAD
    assert len(made) == 25


def test_waiting_and_scoring_are_timed_apart():
    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        threading.Event().wait(0.02)
        return np.zeros(len(samples))

    seconds = flip(scene(), score, batch=5).seconds
    assert seconds.keys() == {"perturb", "score"}
    assert seconds["score"] >= 5 * 0.02
    assert seconds["perturb"] >= 0
