"""NSGA-II (Deb et al. 2002): points are crossed from the best ones, and changed at random."""

from __future__ import annotations

from lrpsweep.results import Directions
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.random import then_random
from lrpsweep.sweep.samplers.sampler import Proposals, Sampler, draw_seed

POPULATION = 8


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    from optuna.samplers import NSGAIISampler

    from lrpsweep.sweep.samplers.mirror import remembering

    def sampler(number: int) -> NSGAIISampler:
        return NSGAIISampler(population_size=POPULATION, seed=draw_seed(seed, number, 0))

    return then_random(remembering(space, directions, sampler), space, seed, directions)


NSGA2 = Sampler("nsga2", _proposals, several=True)
