"""Measures: a file each, or one for those of a kind; the table of all."""

from lrpsweep.evaluation.measures.curves import AUC_LERF, AUC_MORF, AUC_RANDOM, SRG, auc
from lrpsweep.evaluation.measures.hot_spot import HOT_SPOT, hot_spot_index
from lrpsweep.evaluation.measures.measure import Area, Evidence, Explain, Measure, Needs
from lrpsweep.registry import Registry

MEASURES: Registry[Measure] = Registry("measure", (AUC_MORF, AUC_LERF, AUC_RANDOM, SRG, HOT_SPOT))

__all__ = [
    "MEASURES",
    "Area",
    "Evidence",
    "Explain",
    "Measure",
    "Needs",
    "auc",
    "hot_spot_index",
]
