"""Protocol `default`: every state is made from the original image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lrpsweep.evaluation.measures import auc
from lrpsweep.evaluation.patches import patch_grid, rank_patches, schedule
from lrpsweep.evaluation.perturbations import MEAN, PERTURBATIONS, TELEA, independent_series
from lrpsweep.evaluation.protocols.protocol import Protocol
from lrpsweep.evaluation.series import Series, Setting
from lrpsweep.study import EvaluationSpec

if TYPE_CHECKING:
    from torch import Tensor


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


DEFAULT = Protocol(
    name="default",
    rank=_rank,
    counts=_counts,
    series=_series,
    area=auc,
    schedules=("quadratic", "linear"),
    stepped=("linear",),
    perturbations=PERTURBATIONS,
    second=(TELEA.name, MEAN.name),
    independent=True,
)
