"""What a protocol is told of a study, and what it makes of it: images, state after state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lrpsweep.study import EvaluationSpec


@dataclass(frozen=True)
class Setting:
    """What a protocol knows of a study, whichever of its images are at hand.

    images: all of the split, uint8 (N, H, W, 3). fill: (3,), the search images' mean, 0 to 255.
    mean, std: (3,), of the model's normalisation, in which a pixel value v is v / 255.
    """

    evaluation: EvaluationSpec
    images: np.ndarray
    fill: np.ndarray
    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Series:
    """The states that images go through, from the untouched one on.

    states: (n, steps) -> the states of the n-th image after these steps, each (H, W, 3), uint8 or
    float32, 0 to 255. images, length: N and S + 1. together: how many steps of an image are made
    in one go; all of them where a state is made from the one before. first: position of the first
    image among all images of the study. orders: how often the images come, in one order of patches
    after the other: n counts up to N · orders.
    """

    states: Callable[[int, range], Sequence[np.ndarray]]
    images: int
    length: int
    together: int = 1
    first: int = 0
    orders: int = 1


def joined(parts: Sequence[Series]) -> Series:
    """The same images in several orders of their patches, as one series."""
    one = parts[0]

    def states(n: int, steps: range) -> Sequence[np.ndarray]:
        order, image = divmod(n, one.images)
        return parts[order].states(image, steps)

    return replace(one, states=states, orders=len(parts))


def perturbed(series: Series, step: int) -> np.ndarray:
    """The images as `flip` scores them after this step, rounded to uint8 (N, H, W, 3); to look at.

    Step 0 is the untouched image.
    """
    found = [series.states(n, range(step, step + 1))[0] for n in range(series.images)]
    pixels: np.ndarray = np.clip(np.rint(np.stack(found)), 0, 255).astype(np.uint8)
    return pixels
