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
from lrpsweep.attribution.lrp.engine import Engine, Explanation
from lrpsweep.attribution.lrp.layers import LayerInfo, list_layers, select_layers
from lrpsweep.attribution.lrp.operations.kinds import register, registrations
from lrpsweep.attribution.lrp.rules import (
    RULES,
    LayerRule,
    Parameter,
    Rule,
    canonical,
    mixes_images,
)

__all__ = [
    "RULES",
    "Block",
    "BlockBalance",
    "Composite",
    "Engine",
    "Explanation",
    "Instability",
    "LayerInfo",
    "LayerRule",
    "Parameter",
    "Rule",
    "assign_layers",
    "assign_parts",
    "canonical",
    "decayed",
    "doubtful",
    "find_instability",
    "list_layers",
    "mixes_images",
    "register",
    "registrations",
    "select_layers",
]
