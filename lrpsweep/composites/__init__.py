"""Composites: which rule, with which parameters, each block of layers gets."""

from lrpsweep.composites.block import Block, Composite, find_rule
from lrpsweep.composites.presets import PRESETS, preset
from lrpsweep.composites.selectors import assign_layers, assign_parts, select_layers

__all__ = [
    "PRESETS",
    "Block",
    "Composite",
    "assign_layers",
    "assign_parts",
    "find_rule",
    "preset",
    "select_layers",
]
