"""Layer-wise relevance propagation: rules, composites, and the engine that applies them."""

from lrpsweep.attribution.composite import Block, Composite, assign_layers, assign_parts, decayed
from lrpsweep.attribution.engine import Explainer, Explanation
from lrpsweep.attribution.layers import LayerInfo, list_layers, select_layers
from lrpsweep.attribution.ledger import BlockBalance
from lrpsweep.attribution.operations import register, registrations
from lrpsweep.attribution.rules import RULES
from lrpsweep.attribution.stability import Instability, doubtful, find_instability

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
    "registrations",
    "select_layers",
]
