"""Gaussian process (Optuna's, with expected improvement): for few and costly trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrpsweep.results import Direction
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.random import RANDOM
from lrpsweep.sweep.samplers.sampler import Asked, Params, Proposals, Sampler, draw_seed


def _proposals(space: Space, seed: int, direction: Direction) -> Proposals:
    from optuna.samplers import GPSampler

    from lrpsweep.sweep.samplers.mirror import Mirror

    mirror = Mirror(space, direction)
    elsewhere = RANDOM.proposals(space, seed, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        mirror.follow(trials)
        asked = draw_seed(seed, len(trials), 0)
        yield mirror.ask(GPSampler(seed=asked, warn_independent_sampling=False))
        yield from elsewhere(trials)

    return proposals


GP = Sampler("gp", _proposals)
