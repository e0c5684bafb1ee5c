"""How faithful a heatmap is: pixel flipping and the scores made from its curves.

rank_patches -> patch_order -> flip -> METRICS[...].combine, with schedule beside them.
"""

from lrpsweep.evaluation.flipping import FlipResult, Score, flip
from lrpsweep.evaluation.metrics import METRICS, Metric, auc, hot_spot_index
from lrpsweep.evaluation.patches import ORDERS, patch_grid, patch_order, rank_patches, schedule
from lrpsweep.evaluation.perturb import PERTURBATIONS, Perturbation, perturbed

__all__ = [
    "METRICS",
    "ORDERS",
    "PERTURBATIONS",
    "FlipResult",
    "Metric",
    "Perturbation",
    "Score",
    "auc",
    "flip",
    "hot_spot_index",
    "patch_grid",
    "patch_order",
    "perturbed",
    "rank_patches",
    "schedule",
]
