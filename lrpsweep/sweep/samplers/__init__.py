"""Samplers: a file each; the table of all. Importing it needs no optuna."""

from lrpsweep.registry import Registry
from lrpsweep.sweep.samplers.grid import GRID
from lrpsweep.sweep.samplers.random import RANDOM
from lrpsweep.sweep.samplers.sampler import Sampler
from lrpsweep.sweep.samplers.tpe import TPE

SAMPLERS: Registry[Sampler] = Registry("sampler", (GRID, RANDOM, TPE))

__all__ = ["SAMPLERS", "Sampler"]
