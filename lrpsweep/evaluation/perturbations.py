"""What a patch is replaced by in protocol `default`.

A perturbation maps an image and the mask of all perturbed pixels to a new image, always from the
original: a step needs no earlier one, so that all states can be made side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from lrpsweep.evaluation.orders import NOISE, generator
from lrpsweep.evaluation.patches import patch_mask
from lrpsweep.evaluation.series import Series
from lrpsweep.registry import Registry

INPAINT_RADIUS = 3


Perturb = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Perturbation:
    """What a patch is replaced by.

    function: from an image uint8 (H, W, 3), mask bool (H, W), fill uint8 (3,) and random numbers
    that are the same at every step of an image, to uint8 (H, W, 3). Pixels outside the mask stay
    as they are.
    """

    name: str
    function: Perturb
    title: str


def telea(
    image: np.ndarray, mask: np.ndarray, fill: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Inpainting from the border inwards (Telea 2004), radius 3."""
    return _inpaint(image, mask, fill, cv2.INPAINT_TELEA)


def navier_stokes(
    image: np.ndarray, mask: np.ndarray, fill: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Inpainting along lines of equal brightness (Bertalmio et al. 2001), radius 3."""
    return _inpaint(image, mask, fill, cv2.INPAINT_NS)


def constant(
    image: np.ndarray, mask: np.ndarray, fill: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Black: pixel value 0 before normalisation."""
    return _replace(image, mask, np.zeros_like(fill))


def mean(
    image: np.ndarray, mask: np.ndarray, fill: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The fill colour, which a study sets to each channel's mean over its search images."""
    return _replace(image, mask, fill)


def uniform(
    image: np.ndarray, mask: np.ndarray, fill: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Noise, uniform over 0 to 255 for each pixel and channel (Samek et al. 2017).

    A pixel gets the same value at every step, so that a perturbed patch stays as it is.
    """
    return _replace(image, mask, rng.integers(0, 256, image.shape, dtype=np.uint8))


TELEA = Perturbation("telea", telea, "inpainting (Telea)")
MEAN = Perturbation("mean", mean, "mean colour of the search images")
UNIFORM = Perturbation("uniform", uniform, "uniform noise")

PERTURBATIONS: Registry[Perturbation] = Registry(
    "perturbation",
    (
        TELEA,
        Perturbation("navier_stokes", navier_stokes, "inpainting (Navier-Stokes)"),
        Perturbation("constant", constant, "black"),
        MEAN,
        UNIFORM,
    ),
)


def _replace(image: np.ndarray, mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], by, image)


def _inpaint(image: np.ndarray, mask: np.ndarray, fill: np.ndarray, method: int) -> np.ndarray:
    if mask.all():  # nothing is left to inpaint from: OpenCV would return its input
        return _replace(image, mask, fill)
    # OpenCV reads the pixels under the mask; zeroed, they cannot leak.
    black = _replace(image, mask, np.zeros_like(fill))
    return np.asarray(cv2.inpaint(black, mask.view(np.uint8), INPAINT_RADIUS, method))


def independent_series(
    images: np.ndarray,
    order: np.ndarray,
    counts: np.ndarray,
    perturbation: str,
    *,
    patch: int,
    fill: np.ndarray,
    seed: int = 0,
    first: int = 0,
) -> Series:
    """States that are each made from the original image.

    images: uint8 (N, H, W, 3); order: (N, P) from `patch_order`; counts: (S + 1,) from
    `schedule`; fill: (3,), the colour of 'mean' and of fully inpainted images, 0 to 255; first:
    position of the first image among all images of the study, which with `seed` decides its noise.
    """
    function = PERTURBATIONS.find(perturbation, "evaluation.perturbation").function
    ranks = np.argsort(order, axis=1)
    height, width = images.shape[1:3]
    colour = np.rint(fill).astype(np.uint8)

    def state(n: int, step: int) -> np.ndarray:
        mask = patch_mask(ranks[n] < counts[step], height, width, patch)
        return function(images[n], mask, colour, generator(seed, first + n, NOISE))

    return Series(
        lambda n, steps: [state(n, step) for step in steps],
        images=len(images),
        length=len(counts),
        first=first,
    )
