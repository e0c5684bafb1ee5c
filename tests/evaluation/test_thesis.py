"""The quirks of protocol `thesis`, one by one, against torchvision, OpenCV and plain loops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torchvision import transforms

from lrpsweep.errors import InputError
from lrpsweep.evaluation import ORDERS, PROTOCOLS, Series, Setting, flip
from lrpsweep.evaluation.protocols.thesis import bounds, drift_table, grey_pixel, normalized
from lrpsweep.study import EvaluationSpec

THESIS = PROTOCOLS["thesis"]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
IMAGES = np.random.default_rng(0).integers(3, 240, (5, 24, 24, 3), dtype=np.uint8)
RELEVANCE = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 3, 24, 24))).float()
COUNTS = [0, 1, 4, 9, 9]
PATCH = 8


def setting(perturbation: str = "telea", seed: int = 7, mean=MEAN, std=STD) -> Setting:
    evaluation = EvaluationSpec(
        protocol="thesis", patch=PATCH, perturbation=perturbation, seed=seed
    )
    return Setting(evaluation, IMAGES, np.zeros(3), mean, std)


def made(perturbation: str = "telea", order: str = "morf", first: int = 0, last: int = 5) -> Series:
    ranks = THESIS.rank(RELEVANCE[first:last], PATCH)
    places = THESIS.order(order).permute(ranks, 7, first)
    counts = THESIS.counts(setting().evaluation, 24, 24)
    return THESIS.series(setting(perturbation), places, counts, first)


def states(n: int, perturbation: str = "telea") -> list[np.ndarray]:
    return list(made(perturbation).states(n, range(5)))


def normalize(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, 3) -> (3, H, W), by torchvision."""
    return transforms.Normalize(MEAN.tolist(), STD.tolist())(transforms.ToTensor()(pixels))


def round_trip(pixels: np.ndarray) -> np.ndarray:
    back = transforms.Normalize((-MEAN / STD).tolist(), (1 / STD).tolist())
    values = back(normalize(pixels)) * 255.0
    return values.int().numpy().astype(np.uint8).transpose(1, 2, 0)


def mask(n: int, count: int) -> np.ndarray:
    """The pixels of the `count` most relevant patches, by torchvision's grey."""
    grey = transforms.Grayscale()(RELEVANCE[n : n + 1])[0, 0].double().numpy()
    corners = [(y, x) for y in range(0, 24, PATCH) for x in range(0, 24, PATCH)]
    sums = [-grey[y : y + PATCH, x : x + PATCH].sum() for y, x in corners]
    found = np.zeros((24, 24), np.uint8)
    for p in np.argsort(sums)[:count]:
        y, x = corners[p]
        found[y : y + PATCH, x : x + PATCH] = 1
    return found


def test_patches_are_ranked_by_the_luminance_of_relevance():
    found = THESIS.rank(RELEVANCE, PATCH)
    grey = transforms.Grayscale()(RELEVANCE)[:, 0].double().numpy()
    expected = grey.reshape(5, 3, PATCH, 3, PATCH).sum((2, 4)).reshape(5, 9)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert found.dtype == np.float32
    plain = RELEVANCE.sum(1).reshape(5, 3, PATCH, 3, PATCH).sum((2, 4)).reshape(5, 9)
    assert (np.argsort(found) != np.argsort(plain.numpy())).any()


def test_relevance_that_is_not_finite_is_refused():
    broken = RELEVANCE.clone()
    broken[3, 1, 2, 2] = torch.nan
    with pytest.raises(FloatingPointError, match=r"1 of 5 heatmaps .*number 3"):
        THESIS.rank(broken, PATCH)


def test_a_random_order_is_the_same_for_all_images():
    torch.manual_seed(7)
    expected = torch.randperm(9).numpy()
    order = THESIS.order("random").permute(np.zeros((3, 9)), 7, 2)
    np.testing.assert_array_equal(order, np.tile(expected, (3, 1)))


def test_there_are_thirty_states_of_28_by_28_patches():
    counts = THESIS.counts(setting().evaluation, 224, 224)
    assert counts.tolist() == [*(k * k for k in range(29)), 784]


@pytest.mark.parametrize(("height", "width"), [(28, 28), (24, 32), (4, 4)])
def test_patches_that_do_not_make_a_square_are_refused(height, width):
    with pytest.raises(InputError, match=rf"evaluation\.patch: 8 .* {height} × {width}"):
        THESIS.counts(setting().evaluation, height, width)


def test_the_area_is_not_divided_by_the_steps():
    curves = np.random.default_rng(0).normal(size=(4, 30))
    np.testing.assert_allclose(THESIS.area(curves), np.trapezoid(curves, axis=1))


@pytest.mark.parametrize("channel", range(3))
def test_pixels_drift_as_in_torchvision(channel):
    table = drift_table(setting())[0]
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    np.testing.assert_array_equal(table[:, channel], round_trip(values)[0, :, channel])
    lost = np.arange(256) - table[:, channel]
    assert set(lost.tolist()) == {0, 1}


def test_values_that_rounding_pushes_out_of_range_stay_in_range():
    table = drift_table(setting(mean=np.array([0.1, 0.3, 0.7]), std=np.array([0.3, 0.7, 0.9])))
    assert abs(table[0].astype(int) - np.arange(256)[:, None]).max() <= 1


def test_each_state_is_inpainted_from_the_one_before():
    for n in range(5):
        image = IMAGES[n]
        found = states(n)
        np.testing.assert_array_equal(found[0], image)
        for step, count in [(1, 1), (2, 4)]:
            image = cv2.inpaint(round_trip(image), mask(n, count), 3, cv2.INPAINT_TELEA)
            np.testing.assert_array_equal(found[step], image)


def test_the_full_mask_changes_nothing_but_the_drift():
    found = states(2)
    np.testing.assert_array_equal(found[3], round_trip(found[2]))
    full = np.ones((24, 24), np.uint8)
    drifted = round_trip(found[2])
    np.testing.assert_array_equal(found[3], cv2.inpaint(drifted, full, 3, cv2.INPAINT_TELEA))


def test_the_last_state_is_the_midpoint_of_the_whole_split():
    pixels = torch.stack([normalize(image) for image in IMAGES])
    low, high = float(pixels.min()), float(pixels.max())
    assert bounds(setting()) == (low, high)
    for perturbation in ("telea", "uniform"):
        last = states(1, perturbation)[4]
        np.testing.assert_allclose(
            normalized(last, setting()), np.full((24, 24, 3), (low + high) / 2), atol=1e-6
        )
    assert np.ptp(grey_pixel(setting())) > 1  # so that grey has a tint


def test_uniform_fills_new_patches_with_one_value_for_each_image_and_step():
    low, high = bounds(setting())
    random = np.random.default_rng(7)
    draws = [[random.uniform(low, high) for _ in range(5)] for _ in range(3)]
    for n in range(5):
        expected = normalize(IMAGES[n])
        found = states(n, "uniform")
        for step in (1, 2, 3):
            new = mask(n, COUNTS[step]) - mask(n, COUNTS[step - 1])
            expected[:, torch.from_numpy(new).bool()] = draws[step - 1][n]
            np.testing.assert_allclose(
                normalized(found[step], setting()), expected.permute(1, 2, 0), atol=2e-6
            )


@pytest.mark.parametrize("perturbation", THESIS.perturbations)
@pytest.mark.parametrize("order", ORDERS)
def test_chunks_batches_and_threads_change_nothing(perturbation, order):
    def score(first: int):
        return lambda samples, index: (
            samples.astype(np.float64).sum((1, 2, 3)) * (1 + index + first)
        )

    whole = flip(made(perturbation, order), score(0), batch=64).curves
    for (first, last), batch, threads in [((0, 2), 3, 2), ((2, 5), 1, 1)]:
        part = flip(
            made(perturbation, order, first, last), score(first), batch=batch, threads=threads
        )
        np.testing.assert_array_equal(part.curves, whole[first:last])


@pytest.mark.parametrize("perturbation", THESIS.perturbations)
def test_a_single_state_is_that_of_the_chain(perturbation):
    series = made(perturbation)
    for step, state in enumerate(states(3, perturbation)):
        (found,) = series.states(3, range(step, step + 1))
        np.testing.assert_array_equal(found, state)


def test_other_perturbations_are_refused():
    with pytest.raises(InputError, match=r"thesis has no 'mean'.*telea, uniform"):
        made("mean")
