"""How faithful a heatmap is: pixel flipping and the scores made from its curves.

What belongs to a protocol is in PROTOCOLS: rank -> patch_order -> series -> flip, with counts
beside them, then METRICS[...].combine.
"""

from lrpsweep.evaluation.flipping import FlipResult, Score, flip
from lrpsweep.evaluation.metrics import METRICS, SCORES, Metric, auc, hot_spot_index
from lrpsweep.evaluation.patches import (
    BLIND_ORDERS,
    ORDERS,
    patch_grid,
    patch_order,
    rank_patches,
    schedule,
)
from lrpsweep.evaluation.perturbations import PERTURBATIONS, Perturbation, independent_series
from lrpsweep.evaluation.protocols import PROTOCOLS, Protocol
from lrpsweep.evaluation.series import Series, Setting, perturbed

__all__ = [
    "BLIND_ORDERS",
    "METRICS",
    "ORDERS",
    "PERTURBATIONS",
    "PROTOCOLS",
    "SCORES",
    "FlipResult",
    "Metric",
    "Perturbation",
    "Protocol",
    "Score",
    "Series",
    "Setting",
    "auc",
    "flip",
    "hot_spot_index",
    "independent_series",
    "patch_grid",
    "patch_order",
    "perturbed",
    "rank_patches",
    "schedule",
]
