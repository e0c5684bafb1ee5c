"""How faithful a heatmap is: pixel flipping and the scores made from its curves.

What belongs to a protocol is in PROTOCOLS: rank -> order -> series -> flip, with counts beside
them, then the scores of MEASURES. Importing this needs no torch.
"""

from lrpsweep.evaluation.cache import Known, ScoreCache
from lrpsweep.evaluation.flipping import FlipResult, Score, flip
from lrpsweep.evaluation.measures import MEASURES, Evidence, Measure, Needs, auc, hot_spot_index
from lrpsweep.evaluation.orders import ORDERS, Order
from lrpsweep.evaluation.patches import patch_grid, rank_patches, schedule
from lrpsweep.evaluation.perturbations import PERTURBATIONS, Perturbation, independent_series
from lrpsweep.evaluation.protocols import PROTOCOLS, Protocol
from lrpsweep.evaluation.scores import SCORES, ClassScore
from lrpsweep.evaluation.series import Series, Setting, joined, perturbed

__all__ = [
    "MEASURES",
    "ORDERS",
    "PERTURBATIONS",
    "PROTOCOLS",
    "SCORES",
    "ClassScore",
    "Evidence",
    "FlipResult",
    "Known",
    "Measure",
    "Needs",
    "Order",
    "Perturbation",
    "Protocol",
    "Score",
    "ScoreCache",
    "Series",
    "Setting",
    "auc",
    "flip",
    "hot_spot_index",
    "independent_series",
    "joined",
    "patch_grid",
    "perturbed",
    "rank_patches",
    "schedule",
]
