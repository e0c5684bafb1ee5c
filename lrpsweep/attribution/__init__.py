"""Methods that give images relevance, above all layer-wise relevance propagation."""

from lrpsweep.attribution.lrp.balance import BlockBalance
from lrpsweep.attribution.lrp.diagnose import UNEXPLAINED, Instability, doubtful, find_instability
from lrpsweep.attribution.lrp.engine import Engine
from lrpsweep.attribution.lrp.explanation import Explanation
from lrpsweep.attribution.lrp.layers import LayerInfo, list_layers
from lrpsweep.attribution.lrp.operations import OPERATIONS, register
from lrpsweep.attribution.lrp.rules import (
    RULES,
    STABILIZER,
    LayerRule,
    Parameter,
    Rule,
    canonical,
    default_rule,
    mixes_images,
)
from lrpsweep.attribution.methods import METHODS, Method

__all__ = [
    "METHODS",
    "OPERATIONS",
    "RULES",
    "STABILIZER",
    "UNEXPLAINED",
    "BlockBalance",
    "Engine",
    "Explanation",
    "Instability",
    "LayerInfo",
    "LayerRule",
    "Method",
    "Parameter",
    "Rule",
    "canonical",
    "default_rule",
    "doubtful",
    "find_instability",
    "list_layers",
    "mixes_images",
    "register",
]
