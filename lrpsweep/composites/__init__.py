"""Composites: which rule, with which parameters, each block of layers gets."""

from lrpsweep.composites.block import Block, Composite, find_rule, pooling_rules
from lrpsweep.composites.presets import PRESETS, Preset, preset
from lrpsweep.composites.selectors import assign_layers, assign_parts, select_layers
from lrpsweep.composites.values import rounded, same_value

__all__ = [
    "PRESETS",
    "Block",
    "Composite",
    "Preset",
    "assign_layers",
    "assign_parts",
    "find_rule",
    "pooling_rules",
    "preset",
    "rounded",
    "same_value",
    "select_layers",
]
