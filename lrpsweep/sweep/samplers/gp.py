"""Gaussian process (Optuna's, with expected improvement): for few and costly trials."""

from __future__ import annotations

from collections.abc import Sequence

from lrpsweep.results import Directions
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.random import then_random
from lrpsweep.sweep.samplers.sampler import Asked, Params, Proposals, Sampler, draw_seed


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    from optuna.samplers import GPSampler

    from lrpsweep.sweep.samplers.mirror import Mirror

    mirror = Mirror(space, directions)

    def proposal(trials: Sequence[Asked]) -> Params:
        mirror.follow(trials)
        asked = draw_seed(seed, len(trials), 0)
        return mirror.ask(GPSampler(seed=asked, warn_independent_sampling=False))

    return then_random(proposal, space, seed, directions)


GP = Sampler("gp", _proposals, several=True)
