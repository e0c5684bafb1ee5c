"""An image's patches: their relevance, their pixels, and how many are perturbed at each step.

An image of H × W pixels is cut into ceil(H / patch) × ceil(W / patch) patches, row-major from
the top left; those at the right and lower border may be smaller. P is their number.
"""

from __future__ import annotations

import math

import numpy as np

from lrpsweep.errors import InputError, guess


def patch_grid(height: int, width: int, patch: int) -> tuple[int, int]:
    """Rows and columns of patches of `patch` × `patch` pixels that cover an image.

    Raises InputError when a patch is larger than the image in either direction.
    """
    if not 1 <= patch <= min(height, width):
        raise InputError(
            f"evaluation.patch: {patch} does not fit images of {height} × {width} pixels "
            f"(height × width). Expected a whole number from 1 to {min(height, width)}."
        )
    return -(-height // patch), -(-width // patch)


def rank_patches(heatmaps: np.ndarray, patch: int) -> np.ndarray:
    """Relevance by which patches are ranked: their mean relevance, times patch².

    For a whole patch that is the plain sum of the heatmap over it, exactly; a smaller one at the
    border counts as if it went on with its mean, so that it is not last by size.
    heatmaps: (N, H, W) -> (N, P), float64. Raises FloatingPointError on NaN or infinity.
    """
    _, height, width = heatmaps.shape
    rows, columns = patch_grid(height, width, patch)
    check_finite(heatmaps)
    sums = np.add.reduceat(heatmaps.astype(np.float64), np.arange(rows) * patch, axis=1)
    sums = np.add.reduceat(sums, np.arange(columns) * patch, axis=2)
    heights = np.minimum(patch, height - np.arange(rows) * patch)
    widths = np.minimum(patch, width - np.arange(columns) * patch)
    whole = patch**2 / np.outer(heights, widths)
    return (sums * whole).reshape(len(heatmaps), rows * columns)


def check_finite(heatmaps: np.ndarray) -> None:
    """Raises FloatingPointError when one of (N, H, W) holds NaN or infinity."""
    broken = np.flatnonzero(~np.isfinite(heatmaps).all(axis=(1, 2)))
    if len(broken):
        raise FloatingPointError(
            f"relevance is NaN or infinite in {len(broken)} of {len(heatmaps)} heatmaps "
            f"(first: number {broken[0]}): patches cannot be ranked"
        )


def schedule(patches: int, kind: str = "quadratic", steps: int | None = None) -> np.ndarray:
    """How many patches are perturbed after each step: (S + 1,), from 0 to all of them.

    'quadratic': S = ⌈√P⌉ and min(k², P) patches after step k (Bermudez's code; the text there
    says logarithmic). 'linear': S = `steps` equal steps, ⌊k·P / S⌋ patches after step k; without
    `steps` as many as the quadratic has.
    """
    square_root = math.isqrt(patches - 1) + 1
    if kind == "quadratic" and steps is None:
        return np.minimum(np.arange(square_root + 1) ** 2, patches)
    if kind == "quadratic":
        raise InputError(
            f"evaluation.steps: {steps}, but the quadratic schedule has ⌈√P⌉ steps, here "
            f"{square_root}. Leave it out, or choose evaluation.schedule: linear."
        )
    if kind != "linear":
        raise InputError(
            f"evaluation.schedule: '{kind}' is unknown. Expected quadratic or linear."
            + guess(kind, ("quadratic", "linear"))
        )
    steps = square_root if steps is None else steps
    if not 1 <= steps <= patches:
        raise InputError(
            f"evaluation.steps: {steps}, with {patches} patches per image. "
            f"Expected a whole number from 1 to {patches}."
        )
    return np.arange(steps + 1) * patches // steps


def patch_mask(chosen: np.ndarray, height: int, width: int, patch: int) -> np.ndarray:
    """The pixels of the chosen patches: bool (P,) -> bool (height, width)."""
    grid = chosen.reshape(patch_grid(height, width, patch))
    return grid.repeat(patch, axis=0).repeat(patch, axis=1)[:height, :width]
