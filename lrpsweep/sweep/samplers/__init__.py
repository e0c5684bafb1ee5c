"""Samplers: a file each; the table of all. Importing it needs no optuna."""

from lrpsweep.registry import Registry
from lrpsweep.sweep.samplers.cmaes import CMAES
from lrpsweep.sweep.samplers.gp import GP
from lrpsweep.sweep.samplers.grid import GRID
from lrpsweep.sweep.samplers.nsga2 import NSGA2
from lrpsweep.sweep.samplers.qmc import QMC
from lrpsweep.sweep.samplers.random import RANDOM
from lrpsweep.sweep.samplers.sampler import Sampler
from lrpsweep.sweep.samplers.tpe import TPE

SAMPLERS: Registry[Sampler] = Registry("sampler", (GRID, RANDOM, QMC, TPE, GP, CMAES, NSGA2))

__all__ = ["SAMPLERS", "Sampler"]
