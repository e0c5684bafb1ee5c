"""Protocols: named sets of evaluation choices that belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lrpsweep.evaluation.metrics import Area, auc
from lrpsweep.evaluation.patches import ORDERS, Order, patch_grid, rank_patches, schedule
from lrpsweep.evaluation.perturbations import PERTURBATIONS, independent_series
from lrpsweep.evaluation.series import Series, Setting
from lrpsweep.evaluation.thesis import (
    THESIS_ORDERS,
    THESIS_PERTURBATIONS,
    counts_with_grey,
    rank_by_luminance,
    summed_area,
    thesis_series,
)
from lrpsweep.study import EvaluationSpec


@dataclass(frozen=True)
class Protocol:
    """What a protocol decides.

    rank: relevance (N, C, H, W) and patch -> relevance of patches (N, P); FloatingPointError if it
    is not finite. orders: those it knows, by name. counts: for images of height × width, how many
    patches are perturbed in each state, (S + 1,); InputError if the study asks for what cannot be.
    series: a setting, order (n, P), counts and the place of the first of n images in the split ->
    their states. perturbations: the names it knows. auc: the area under a curve.
    """

    rank: Callable[[Tensor, int], np.ndarray]
    orders: Mapping[str, Order]
    counts: Callable[[EvaluationSpec, int, int], np.ndarray]
    series: Callable[[Setting, np.ndarray, np.ndarray, int], Series]
    perturbations: tuple[str, ...]
    auc: Area
    schedules: tuple[str, ...] = ("quadratic", "linear")
    controls: bool = False


def _rank(relevance: Tensor, patch: int) -> np.ndarray:
    return rank_patches(relevance.sum(1).cpu().numpy(), patch)


def _counts(evaluation: EvaluationSpec, height: int, width: int) -> np.ndarray:
    rows, columns = patch_grid(height, width, evaluation.patch)
    return schedule(rows * columns, evaluation.schedule, evaluation.steps)


def _series(setting: Setting, order: np.ndarray, counts: np.ndarray, first: int) -> Series:
    evaluation = setting.evaluation
    return independent_series(
        setting.images[first : first + len(order)],
        order,
        counts,
        evaluation.perturbation,
        patch=evaluation.patch,
        fill=setting.fill,
        seed=evaluation.seed,
        first=first,
    )


PROTOCOLS: dict[str, Protocol] = {
    "default": Protocol(_rank, ORDERS, _counts, _series, tuple(PERTURBATIONS), auc),
    "thesis": Protocol(
        rank_by_luminance,
        THESIS_ORDERS,
        counts_with_grey,
        thesis_series,
        tuple(THESIS_PERTURBATIONS),
        summed_area,
        ("quadratic",),
        True,
    ),
}
