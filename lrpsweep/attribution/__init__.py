"""Layer-wise relevance propagation: rules, composites, and the engine that applies them."""

from lrpsweep.attribution.lrp.balance import BlockBalance
from lrpsweep.attribution.lrp.composite import (
    Block,
    Composite,
    assign_layers,
    assign_parts,
    decayed,
)
from lrpsweep.attribution.lrp.diagnose import Instability, doubtful, find_instability
from lrpsweep.attribution.lrp.engine import Explainer, Explanation
from lrpsweep.attribution.lrp.layers import LayerInfo, list_layers, select_layers
from lrpsweep.attribution.lrp.operations import register
from lrpsweep.attribution.lrp.rules import RULES

__all__ = [
    "RULES",
    "Block",
    "BlockBalance",
    "Composite",
    "Explainer",
    "Explanation",
    "Instability",
    "LayerInfo",
    "assign_layers",
    "assign_parts",
    "decayed",
    "doubtful",
    "find_instability",
    "list_layers",
    "register",
    "select_layers",
]
