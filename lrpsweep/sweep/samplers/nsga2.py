"""NSGA-II (Deb et al. 2002): points are crossed from the best ones, and changed at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrpsweep.results import Direction
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.random import RANDOM
from lrpsweep.sweep.samplers.sampler import Asked, Params, Proposals, Sampler, draw_seed

POPULATION = 8


def _proposals(space: Space, seed: int, direction: Direction) -> Proposals:
    from optuna.samplers import NSGAIISampler

    from lrpsweep.sweep.samplers.mirror import remembering

    def sampler(number: int) -> NSGAIISampler:
        return NSGAIISampler(population_size=POPULATION, seed=draw_seed(seed, number, 0))

    proposal = remembering(space, direction, sampler)
    elsewhere = RANDOM.proposals(space, seed, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        yield proposal(trials)
        yield from elsewhere(trials)

    return proposals


NSGA2 = Sampler("nsga2", _proposals)
