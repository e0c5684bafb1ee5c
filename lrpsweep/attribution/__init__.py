"""Layer-wise relevance propagation: rules, composites, and the engine that applies them."""

from lrpsweep.attribution.lrp.balance import BlockBalance
from lrpsweep.attribution.lrp.diagnose import Instability, doubtful, find_instability
from lrpsweep.attribution.lrp.engine import Explainer, Explanation
from lrpsweep.attribution.lrp.layers import LayerInfo, list_layers
from lrpsweep.attribution.lrp.operations.kinds import register, registrations
from lrpsweep.attribution.lrp.rules import RULES

__all__ = [
    "RULES",
    "BlockBalance",
    "Explainer",
    "Explanation",
    "Instability",
    "LayerInfo",
    "doubtful",
    "find_instability",
    "list_layers",
    "register",
    "registrations",
]
