"""Some of a schedule's states in place of all: between them, curves are drawn as straight lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

PARTS: Mapping[str, int] = {"quarters": 4, "sixths": 6, "eighths": 8}
"""Named subsets, the cheapest first: into how many parts of equal length each divides the steps."""


def subsets(last: int) -> dict[str, tuple[int, ...]]:
    """The steps of each named subset, of those from 0 to `last`, where it saves something.

    >>> subsets(8)
    {'quarters': (0, 2, 4, 6, 8), 'sixths': (0, 1, 3, 4, 5, 7, 8)}
    """
    found = {name: np.rint(np.linspace(0, last, parts + 1)) for name, parts in PARTS.items()}
    return {
        name: tuple(dict.fromkeys(map(int, steps)))
        for name, steps in found.items()
        if len(steps) <= last
    }


def with_ends(steps: Sequence[int], last: int) -> tuple[int, ...]:
    """The steps with the untouched and the last state, which are the same for every heatmap."""
    return tuple(sorted({0, *steps, last}))


def filled(curves: np.ndarray, steps: Sequence[int], last: int) -> np.ndarray:
    """Curves (N, len(steps)) at some steps as curves (N, last + 1) at all of them."""
    every = np.arange(last + 1)
    found = [np.interp(every, steps, curve) for curve in curves]
    return np.array(found).reshape(len(curves), last + 1)


def thinned(curves: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """Curves (N, S + 1) as they are found when only these steps are looked at."""
    return filled(curves[:, list(steps)], steps, curves.shape[1] - 1)
