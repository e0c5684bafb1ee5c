"""Protocol `thesis`: pixel flipping as the code of Bermudez Schettino's thesis does it.

After the Python package lrp-pf-auc 0.1.6, whose curves it gives, with its quirks; each has a name
here. One is left out: what is scored is the unaltered network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lrpsweep.errors import InputError, guess
from lrpsweep.evaluation.orders import RANDOM
from lrpsweep.evaluation.patches import check_finite, patch_mask, schedule
from lrpsweep.evaluation.perturbations import INPAINT_RADIUS, TELEA, UNIFORM
from lrpsweep.evaluation.protocols.protocol import Protocol
from lrpsweep.evaluation.series import Series, Setting
from lrpsweep.study import EvaluationSpec

if TYPE_CHECKING:
    from torch import Tensor

LUMINANCE = (0.2989, 0.587, 0.114)
"""Quirk: relevance of red, green and blue counts as if it were their brightness."""


def rank_by_luminance(relevance: Tensor, patch: int) -> np.ndarray:
    """Sum over each patch of the relevance (N, 3, H, W) weighted by LUMINANCE; float32 (N, P)."""
    red, green, blue = relevance.cpu().float().unbind(1)
    weighted = LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue
    check_finite(weighted.numpy())
    patches = weighted.unfold(1, patch, patch).unfold(2, patch, patch)
    sums: np.ndarray = patches.reshape(len(weighted), -1, patch**2).sum(2).numpy()
    return sums


def same_for_all(relevance: np.ndarray, seed: int, first: int) -> np.ndarray:
    """Quirk: a random order is one permutation, the same for every image."""
    import torch

    images, patches = relevance.shape
    permutation = torch.randperm(patches, generator=torch.Generator().manual_seed(seed))
    return np.tile(permutation.numpy(), (images, 1))


def counts_with_grey(evaluation: EvaluationSpec, height: int, width: int) -> np.ndarray:
    """Quirk: after the quadratic schedule a last state, grey, in which all patches count again.

    (S + 1,): 30 states for 28 × 28 patches. Raises InputError unless whole patches make a square.
    """
    patch = evaluation.patch
    if height != width or height % patch:
        raise InputError(
            f"evaluation.patch: {patch} × {patch} pixels do not divide images of {height} × "
            f"{width} (height × width). Protocol thesis expects square images whose side is a "
            "multiple of the patch's."
        )
    patches = (height // patch) ** 2
    return np.append(schedule(patches), patches)


def summed_area(curves: np.ndarray) -> np.ndarray:
    """Quirk: the trapezoids are added up, not divided by the number of steps. (N, S + 1) -> (N,).

    >>> summed_area(np.array([[4.0, 2.0, 0.0], [1.0, 1.0, 1.0]]))
    array([4., 2.])
    """
    return np.asarray(curves.sum(axis=1) - (curves[:, 0] + curves[:, -1]) / 2)


def thesis_series(setting: Setting, order: np.ndarray, counts: np.ndarray, first: int) -> Series:
    """Quirk: each state is made from the one before, so that an image's states are a chain.

    order: (N, P); counts: (S + 1,) from `counts_with_grey`; first: position of the first of the N
    images in the split.
    """
    advance = _find_step(setting.evaluation.perturbation)(setting, counts)
    ranks = np.argsort(order, axis=1)
    grey = np.broadcast_to(grey_pixel(setting), setting.images.shape[1:])

    def states(n: int, steps: range) -> Sequence[np.ndarray]:
        place = first + n
        last = min(steps.stop, len(counts) - 1)
        chain = accumulate(
            range(1, last),
            lambda image, step: advance(image, ranks[n], place, step),
            initial=setting.images[place],
        )
        return [*chain, grey][steps.start : steps.stop]

    return Series(states, images=len(order), length=len(counts), together=len(counts), first=first)


def normalized(pixels: np.ndarray, setting: Setting) -> np.ndarray:
    """Pixel values (..., 3) as the network gets them, in float32 throughout."""
    mean, std = setting.mean.astype(np.float32), setting.std.astype(np.float32)
    return (pixels.astype(np.float32) / np.float32(255) - mean) / std


def bounds(setting: Setting) -> tuple[float, float]:
    """Quirk: lowest and highest normalised value of any channel of any image of the split."""
    found = [reduced(setting.images, axis=(0, 1, 2)) for reduced in (np.min, np.max)]
    values = normalized(np.stack(found), setting)
    return float(values.min()), float(values.max())


def pixel_of(values: np.ndarray, setting: Setting) -> np.ndarray:
    """Quirk: a fill has the same normalised value in all channels, so that it has a tint.

    values: (...,) -> pixel values (..., 3), float32: the normalisation inverted.
    """
    pixels = (values[..., None] * setting.std + setting.mean) * 255
    return np.asarray(pixels.astype(np.float32))


def grey_pixel(setting: Setting) -> np.ndarray:
    """Quirk: the last state is the midpoint of the `bounds` everywhere. (3,), 0 to 255."""
    return pixel_of(np.array(sum(bounds(setting)) / 2), setting)


def drift_table(setting: Setting) -> np.ndarray:
    """Quirk: what each pixel value becomes at every step, uint8 (1, 256, 3).

    Normalised, denormalised in float32 and cut off to an integer, many values lose a level, over
    and over again: in 28 steps an untouched pixel loses up to 28 levels of red.
    """
    std = (1 / setting.std).astype(np.float32)
    mean = (-setting.mean / setting.std).astype(np.float32)
    values = np.arange(256).repeat(3).reshape(1, 256, 3)
    back = (normalized(values, setting) - mean) / std * np.float32(255)
    table: np.ndarray = np.clip(back, 0, 255).astype(np.uint8)
    return table


# From an image (H, W, 3), the place (P,) of each of its patches in the order, the image's place in
# the split and the number of the step, to the image after that step.
Advance = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]


def inpaint_again(setting: Setting, counts: np.ndarray) -> Advance:
    """Quirk: all patches perturbed so far are inpainted anew, over what was inpainted before.

    Pixels under the mask are not zeroed, and OpenCV reads them. When the mask is full there is
    nothing to inpaint from: the last state but one differs by the drift alone.
    """
    table = drift_table(setting)

    def advance(image: np.ndarray, ranks: np.ndarray, place: int, step: int) -> np.ndarray:
        drifted = np.asarray(cv2.LUT(image, table))
        mask = _mask(ranks < counts[step], image, setting)
        if mask.all():
            return drifted
        mask = mask.view(np.uint8)
        return np.asarray(cv2.inpaint(drifted, mask, INPAINT_RADIUS, cv2.INPAINT_TELEA))

    return advance


def one_value_a_step(setting: Setting, counts: np.ndarray) -> Advance:
    """Quirk: 'uniform' fills a step's new patches with one value, drawn for each image and step.

    Uniform between the `bounds`, drawn for one step after the other, image after image of the
    split. Nothing is cut off to integers.
    """
    shape = (len(counts) - 2, len(setting.images))
    draws = np.random.default_rng(setting.evaluation.seed).uniform(*bounds(setting), shape)
    pixels = pixel_of(draws, setting)

    def advance(image: np.ndarray, ranks: np.ndarray, place: int, step: int) -> np.ndarray:
        now = (counts[step - 1] <= ranks) & (ranks < counts[step])
        mask = _mask(now, image, setting)
        return np.where(mask[..., None], pixels[step - 1, place], image)

    return advance


THESIS_PERTURBATIONS: dict[str, Callable[[Setting, np.ndarray], Advance]] = {
    TELEA.name: inpaint_again,
    UNIFORM.name: one_value_a_step,
}


def _mask(chosen: np.ndarray, image: np.ndarray, setting: Setting) -> np.ndarray:
    height, width, _ = image.shape
    return patch_mask(chosen, height, width, setting.evaluation.patch)


def _find_step(name: str) -> Callable[[Setting, np.ndarray], Advance]:
    if name not in THESIS_PERTURBATIONS:
        raise InputError(
            f"evaluation.perturbation: protocol thesis has no '{name}'. Expected one of "
            f"{', '.join(THESIS_PERTURBATIONS)}." + guess(name, THESIS_PERTURBATIONS)
        )
    return THESIS_PERTURBATIONS[name]


THESIS = Protocol(
    name="thesis",
    rank=rank_by_luminance,
    counts=counts_with_grey,
    series=thesis_series,
    area=summed_area,
    schedules=("quadratic",),
    perturbations=tuple(THESIS_PERTURBATIONS),
    second=(TELEA.name, UNIFORM.name),
    own_orders={RANDOM.name: replace(RANDOM, permute=same_for_all)},
    controls=True,
)
