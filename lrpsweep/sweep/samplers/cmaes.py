"""Covariance matrix adaptation (Hansen and Ostermeier 2001): a cloud that moves and stretches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrpsweep.results import Direction
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.random import RANDOM
from lrpsweep.sweep.samplers.sampler import Asked, Params, Proposals, Sampler, draw_seed


def _proposals(space: Space, seed: int, direction: Direction) -> Proposals:
    from optuna.samplers import CmaEsSampler

    from lrpsweep.sweep.samplers.mirror import remembering

    def sampler(number: int) -> CmaEsSampler:
        return CmaEsSampler(seed=draw_seed(seed, number, 0), warn_independent_sampling=False)

    proposal = remembering(space, direction, sampler)
    elsewhere = RANDOM.proposals(space, seed, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        yield proposal(trials)
        yield from elsewhere(trials)

    return proposals


CMAES = Sampler("cmaes", _proposals, numeric=True)
