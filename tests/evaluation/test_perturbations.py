"""What perturbed images look like, pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrpsweep.errors import InputError
from lrpsweep.evaluation import PERTURBATIONS, independent_series, perturbed

FILL = np.array([100.4, 20.6, 250.0])
FILL_PIXEL = [100, 21, 250]
SHAPE = (13, 10)


def pixels(seed: int, count: int = 1) -> np.ndarray:
    shape = (count, *SHAPE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def random_mask(seed: int, share: float = 0.4) -> np.ndarray:
    mask = np.random.default_rng(seed).random(SHAPE) < share
    mask[0, 0] = False
    return mask


def apply(name: str, image: np.ndarray, mask: np.ndarray, seed: int = 0) -> np.ndarray:
    fill = np.array(FILL_PIXEL, np.uint8)
    return PERTURBATIONS[name].function(image, mask, fill, np.random.default_rng(seed))


def after(
    count: int, images: np.ndarray, order: np.ndarray, name: str, seed: int = 0, first: int = 0
) -> np.ndarray:
    """The images when `count` patches are perturbed."""
    counts = np.array([0, count])
    series = independent_series(
        images, order, counts, name, patch=4, fill=FILL, seed=seed, first=first
    )
    return perturbed(series, 1)


@pytest.mark.parametrize("name", PERTURBATIONS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_pixels_outside_the_mask_stay_exactly_as_they_are(name, seed, share):
    image, mask = pixels(seed)[0], random_mask(seed, share)
    before = image.copy()
    found = apply(name, image, mask)
    np.testing.assert_array_equal(found[~mask], image[~mask])
    np.testing.assert_array_equal(image, before)
    assert (found.dtype, found.shape) == (image.dtype, image.shape)


@pytest.mark.parametrize("name", PERTURBATIONS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_of_what_lies_under_the_mask_is_left(name, seed):
    image, mask = pixels(seed)[0], random_mask(seed)
    other = np.where(mask[..., None], pixels(seed + 1)[0], image)
    np.testing.assert_array_equal(apply(name, image, mask), apply(name, other, mask))


@pytest.mark.parametrize(
    ("name", "method"), [("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)]
)
def test_inpainting_is_opencvs_with_radius_3(name, method):
    image, mask = pixels(3)[0], random_mask(3)
    zeroed = image.copy()
    zeroed[mask] = 0
    expected = cv2.inpaint(zeroed, mask.astype(np.uint8) * 255, 3, method)
    np.testing.assert_array_equal(apply(name, image, mask), expected)


@pytest.mark.parametrize("name", ["telea", "navier_stokes"])
def test_inpainting_an_even_surface_restores_it(name):
    """Within rounding: OpenCV's Telea is up to two levels off on its own."""
    image, mask = np.full((*SHAPE, 3), 77, np.uint8), random_mask(1)
    np.testing.assert_allclose(apply(name, image, mask), image, atol=2)


@pytest.mark.parametrize("name", ["telea", "navier_stokes", "mean"])
def test_a_full_mask_gives_the_fill(name):
    assert (apply(name, pixels(0)[0], np.ones(SHAPE, bool)) == FILL_PIXEL).all()


def test_constant_is_black_and_mean_is_the_fill():
    image, mask = pixels(0)[0], random_mask(0)
    assert (apply("constant", image, mask)[mask] == 0).all()
    assert (apply("mean", image, mask)[mask] == FILL_PIXEL).all()


def test_the_fill_is_rounded_to_the_nearest_pixel_value():
    order = np.arange(12)[None]
    assert (after(12, pixels(0), order, "mean") == FILL_PIXEL).all()


def test_noise_covers_the_range_evenly():
    """Mean 127.5; the standard error over 150 × 200 × 3 values is 0.25."""
    image = np.zeros((150, 200, 3), np.uint8)
    mask = np.ones(image.shape[:2], bool)
    noise = PERTURBATIONS["uniform"].function(
        image, mask, np.zeros(3, np.uint8), np.random.default_rng(0)
    )
    assert (noise.min(), noise.max()) == (0, 255)
    assert abs(noise.mean() - 127.5) < 5 * 0.25


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_chunk_of_images_is_perturbed_like_the_whole(name):
    images = pixels(0, count=4)
    order = np.stack([np.random.default_rng(n).permutation(12) for n in range(4)])
    whole = after(7, images, order, name, seed=5)
    part = after(7, images[2:], order[2:], name, seed=5, first=2)
    np.testing.assert_array_equal(whole[2:], part)


def test_noise_differs_by_image_and_seed_and_stays_from_step_to_step():
    images = np.repeat(pixels(0), 2, axis=0)
    order = np.tile(np.arange(12), (2, 1))

    def noise(count: int, seed: int) -> np.ndarray:
        return after(count, images, order, "uniform", seed=seed)

    full = noise(12, 0)
    assert (full[0] != full[1]).mean() > 0.9
    assert (full != noise(12, 1)).mean() > 0.9
    np.testing.assert_array_equal(noise(3, 0)[:, :4], full[:, :4])


def test_an_unknown_perturbation_lists_those_there_are():
    with pytest.raises(InputError, match=r"telea, navier_stokes, .*Did you mean 'telea'\?"):
        PERTURBATIONS.find("tela", "evaluation.perturbation")
