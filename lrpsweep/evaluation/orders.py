"""In which order the patches of an image are perturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lrpsweep.registry import Registry

PERMUTATION = 1
NOISE = 2


def generator(seed: int, position: int, purpose: int) -> np.random.Generator:
    """The random numbers of one image for one purpose, the same in whatever batch it comes."""
    return np.random.default_rng([purpose, seed, position])


@dataclass(frozen=True)
class Order:
    """An order of patches; ties go row-major.

    permute: from relevance of patches (N, P), as from `rank_patches`, seed, and the position of the
    first of these images among all of the study, so that chunks get what the whole would, to
    indices of patches (N, P). blind: it knows no heatmap, so that its curves are the same in every
    trial.
    """

    name: str
    permute: Callable[[np.ndarray, int, int], np.ndarray]
    blind: bool = False


def _most_first(relevance: np.ndarray, seed: int, first: int) -> np.ndarray:
    return np.argsort(-relevance, axis=1, kind="stable")


def _least_first(relevance: np.ndarray, seed: int, first: int) -> np.ndarray:
    return np.argsort(relevance, axis=1, kind="stable")


def _shuffled(relevance: np.ndarray, seed: int, first: int) -> np.ndarray:
    images, patches = relevance.shape
    return np.stack(
        [generator(seed, first + n, PERMUTATION).permutation(patches) for n in range(images)]
    )


MORF = Order("morf", _most_first)
LERF = Order("lerf", _least_first)
RANDOM = Order("random", _shuffled, blind=True)

ORDERS: Registry[Order] = Registry("order", (MORF, LERF, RANDOM))
"""Most relevant first, least relevant first, and one drawn from the seed and the image's position
alone."""
