"""Curves against a closed form and against plain loops."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpsweep.evaluation import PERTURBATIONS, flip, patch_order, perturbed, rank_patches, schedule
from lrpsweep.evaluation.flipping import BATCHES_AHEAD

FILL = np.array([90.0, 120.0, 60.0])


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
    places = patch_order(rank_patches(weights.reshape(1, 2, 2), 1), order)
    found = flip(
        image,
        places,
        schedule(4, "linear", 4),
        "constant",
        lambda samples, index: samples[..., 0].reshape(-1, 4) @ weights,
        patch=1,
        fill=FILL,
    )
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
    found = flip(
        images,
        patch_order(relevance, order),
        counts,
        method[0],
        pixel_sum,
        patch=patch,
        fill=FILL,
        batch=batch,
        threads=threads,
    )
    expected = slow_curves(images, heatmaps, order, patch, counts, method[1])
    np.testing.assert_array_equal(found.curves, expected)


def scene(count: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images = np.random.default_rng(1).integers(0, 256, (count, 17, 12, 3), dtype=np.uint8)
    return images, patch_order(np.zeros((count, 15)), "random", 0), schedule(15)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_batch_size_and_threads_change_nothing(perturbation):
    images, order, counts = scene()

    def curves(batch: int, threads: int) -> np.ndarray:
        return flip(
            images,
            order,
            counts,
            perturbation,
            pixel_sum,
            patch=4,
            fill=FILL,
            batch=batch,
            threads=threads,
        ).curves

    reference = curves(64, 1)
    for batch, threads in [(1, 1), (4, 2), (7, 4), (25, 3)]:
        np.testing.assert_array_equal(curves(batch, threads), reference)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_chunks_of_images_give_the_curves_of_the_whole(perturbation):
    images, order, counts = scene()

    def curves(first: int, last: int) -> np.ndarray:
        return flip(
            images[first:last],
            order[first:last],
            counts,
            perturbation,
            lambda samples, index: pixel_sum(samples, index + first),
            patch=4,
            fill=FILL,
            seed=7,
            first=first,
        ).curves

    np.testing.assert_array_equal(curves(0, 5), np.concatenate([curves(0, 2), curves(2, 5)]))


def test_steps_are_scored_as_perturbed_shows_them():
    images, order, counts = scene()
    curves = flip(images, order, counts, "telea", pixel_sum, patch=4, fill=FILL).curves
    for step, count in enumerate(counts):
        shown = perturbed(images, order, count, "telea", patch=4, fill=FILL)
        np.testing.assert_array_equal(pixel_sum(shown, np.arange(5)), curves[:, step])


def test_samples_come_in_fixed_batches_with_their_images():
    images, order, counts = scene()
    images[:] = np.arange(5)[:, None, None, None]
    sizes = []

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        assert (samples.max(axis=(1, 2, 3)) == index).all()  # black patches on colour n
        sizes.append(len(samples))
        return index.astype(float)

    partly = counts[:-1]  # the last step would be all black
    found = flip(images, order, partly, "constant", score, patch=4, fill=FILL, batch=8)
    assert sizes == [8, 8, 4]
    np.testing.assert_array_equal(found.curves, np.repeat(np.arange(5.0)[:, None], 4, axis=1))


def test_a_constant_score_gives_flat_curves():
    images, order, counts = scene()
    score = lambda samples, index: np.full(len(samples), 2.5)  # noqa: E731
    assert (flip(images, order, counts, "mean", score, patch=4, fill=FILL).curves == 2.5).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_named(value):
    images, order, counts = scene()

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.where(index == 3, value, 1.0)

    with pytest.raises(FloatingPointError, match=r"5 of 25 .*image 13 at step 0"):
        flip(images, order, counts, "mean", score, patch=4, fill=FILL, first=10)


def test_a_failing_score_is_passed_on_and_leaves_no_thread_behind():
    images, order, counts = scene()
    before = threading.active_count()

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        flip(images, order, counts, "telea", score, patch=4, fill=FILL, batch=2, threads=2)
    assert threading.active_count() == before


def test_memory_is_bounded_by_the_batches_ahead(monkeypatch):
    """While the first batch is scored, no more than the batches ahead are made."""
    images, order, counts = scene()
    made = []

    def count_only(image, mask, fill, rng):
        made.append(1)
        return image

    monkeypatch.setitem(PERTURBATIONS, "count", count_only)
    excess = []

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        threading.Event().wait(0.01)  # time enough to make too many
        excess.append(len(made) - 2 * len(excess) - 2)
        return np.zeros(len(samples))

    flip(images, order, counts, "count", score, patch=4, fill=FILL, batch=2)
    assert max(excess) <= 2 * BATCHES_AHEAD
    assert len(made) == 25


def test_waiting_and_scoring_are_timed_apart():
    images, order, counts = scene()

    def score(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        threading.Event().wait(0.02)
        return np.zeros(len(samples))

    seconds = flip(images, order, counts, "mean", score, patch=4, fill=FILL, batch=5).seconds
    assert seconds.keys() == {"perturb", "score"}
    assert seconds["score"] >= 5 * 0.02
    assert seconds["perturb"] >= 0
