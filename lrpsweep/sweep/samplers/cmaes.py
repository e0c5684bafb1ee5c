"""Covariance matrix adaptation (Hansen and Ostermeier 2001): a cloud that moves and stretches."""

from __future__ import annotations

from lrpsweep.results import Directions
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.random import then_random
from lrpsweep.sweep.samplers.sampler import Proposals, Sampler, draw_seed


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    from optuna.samplers import CmaEsSampler

    from lrpsweep.sweep.samplers.mirror import remembering

    def sampler(number: int) -> CmaEsSampler:
        return CmaEsSampler(seed=draw_seed(seed, number, 0), warn_independent_sampling=False)

    return then_random(remembering(space, directions, sampler), space, seed, directions)


CMAES = Sampler("cmaes", _proposals, numeric=True)
