"""What a patch is replaced by.

A perturbation maps an image and the mask of all perturbed pixels to a new image, always from the
original: a step needs no earlier one.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from lrpsweep.errors import InputError, guess
from lrpsweep.evaluation.patches import NOISE, generator, patch_mask

INPAINT_RADIUS = 3


# From image uint8 (H, W, 3), mask bool (H, W), fill uint8 (3,) and random numbers that are the
# same at every step of an image, to uint8 (H, W, 3). Pixels outside the mask stay as they are.
Perturbation = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


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


PERTURBATIONS: dict[str, Perturbation] = {
    "telea": telea,
    "navier_stokes": navier_stokes,
    "constant": constant,
    "mean": mean,
    "uniform": uniform,
}


def _replace(image: np.ndarray, mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], by, image)


def _inpaint(image: np.ndarray, mask: np.ndarray, fill: np.ndarray, method: int) -> np.ndarray:
    if mask.all():  # nothing is left to inpaint from: OpenCV would return its input
        return _replace(image, mask, fill)
    # OpenCV reads the pixels under the mask; zeroed, they cannot leak.
    black = _replace(image, mask, np.zeros_like(fill))
    return np.asarray(cv2.inpaint(black, mask.view(np.uint8), INPAINT_RADIUS, method))


def find_perturbation(name: str) -> Perturbation:
    """The perturbation of that name; InputError lists those there are."""
    if name not in PERTURBATIONS:
        raise InputError(
            f"evaluation.perturbation: '{name}' is unknown. "
            f"Expected one of {', '.join(PERTURBATIONS)}." + guess(name, PERTURBATIONS)
        )
    return PERTURBATIONS[name]


def perturb_one(
    image: np.ndarray,
    ranks: np.ndarray,
    count: int,
    perturbation: Perturbation,
    *,
    patch: int,
    fill: np.ndarray,
    seed: int,
    position: int,
) -> np.ndarray:
    """One image with its first `count` patches perturbed.

    image: uint8 (H, W, 3); ranks: (P,), the place of each patch in the order; fill: (3,), pixel
    values 0 to 255; position: that of the image among all images of the study.
    """
    height, width, _ = image.shape
    mask = patch_mask(ranks < count, height, width, patch)
    colour = np.rint(fill).astype(np.uint8)
    return perturbation(image, mask, colour, generator(seed, position, NOISE))


def perturbed(
    images: np.ndarray,
    order: np.ndarray,
    count: int,
    perturbation: str = "telea",
    *,
    patch: int,
    fill: np.ndarray,
    seed: int = 0,
    first: int = 0,
) -> np.ndarray:
    """The images as `flip` scores them when `count` patches are perturbed; to look at.

    Arguments as for `flip`. -> uint8 (N, H, W, 3).
    """
    function = find_perturbation(perturbation)
    ranks = np.argsort(order, axis=1)
    return np.stack(
        [
            perturb_one(
                image,
                ranks[n],
                count,
                function,
                patch=patch,
                fill=fill,
                seed=seed,
                position=first + n,
            )
            for n, image in enumerate(images)
        ]
    )
