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
from lrpsweep.evaluation.racing import Race, looks
from lrpsweep.evaluation.scores import SCORES, ClassScore
from lrpsweep.evaluation.series import Series, Setting, joined, perturbed
from lrpsweep.evaluation.subsets import filled, subsets, thinned, with_ends

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
    "Race",
    "Score",
    "ScoreCache",
    "Series",
    "Setting",
    "auc",
    "filled",
    "flip",
    "hot_spot_index",
    "independent_series",
    "joined",
    "looks",
    "patch_grid",
    "perturbed",
    "rank_patches",
    "schedule",
    "subsets",
    "thinned",
    "with_ends",
]
