"""From perturbation curves to one score per image, and which way is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

# From curves (N, S + 1) to the area under each, (N,).
Area = Callable[[np.ndarray], np.ndarray]

# From a network's outputs (B, classes) to what is followed of each class, (B, classes).
SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda outputs: outputs,
    "probability": lambda outputs: outputs.softmax(1),
}


def auc(curves: np.ndarray) -> np.ndarray:
    """Mean score along each curve: trapezoid over the steps, divided by their number.

    curves: (N, S + 1) -> (N,), in units of the score.

    >>> auc(np.array([[4.0, 2.0, 0.0], [1.0, 1.0, 1.0]]))
    array([2., 1.])
    """
    inner = curves.sum(axis=1) - (curves[:, 0] + curves[:, -1]) / 2
    return np.asarray(inner / (curves.shape[1] - 1))


@dataclass(frozen=True)
class Metric:
    """orders: those whose curves it needs. direction: which way is better.

    combine: curves (N, S + 1) by order, and the protocol's area under them -> scores (N,).
    """

    orders: tuple[str, ...]
    direction: Literal["minimize", "maximize"]
    combine: Callable[[Mapping[str, np.ndarray], Area], np.ndarray]
    control: bool = False


METRICS: dict[str, Metric] = {
    # The score falls early if the patches named most relevant are.
    "auc_morf": Metric(("morf",), "minimize", lambda curves, area: area(curves["morf"])),
    # It holds out if those named least relevant are.
    "auc_lerf": Metric(("lerf",), "maximize", lambda curves, area: area(curves["lerf"])),
    # A control that no heatmap changes; its direction, that of MoRF, decides nothing.
    "auc_random": Metric(
        ("random",), "minimize", lambda curves, area: area(curves["random"]), control=True
    ),
    # Symmetric relevance gain (Blücher et al. 2024): less bound to one perturbation.
    "srg": Metric(
        ("morf", "lerf"),
        "maximize",
        lambda curves, area: area(curves["lerf"]) - area(curves["morf"]),
    ),
}


def hot_spot_index(heatmaps: np.ndarray) -> np.ndarray:
    """Share of all absolute relevance that lies in one pixel: max |R| / Σ |R|.

    1 / (H·W) for an even heatmap, 1 for a single hot pixel, 0 for one that is zero everywhere.
    heatmaps: (N, ...) -> (N,).
    """
    absolute = np.abs(heatmaps.astype(np.float64)).reshape(len(heatmaps), -1)
    total = absolute.sum(axis=1)
    peak = absolute.max(axis=1)
    return np.asarray(peak / np.where(total > 0, total, 1.0))
