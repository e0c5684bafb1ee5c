"""Tree-structured Parzen estimator (Bergstra et al. 2011): points near good ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lrpsweep.results import Directions
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.sampler import (
    ATTEMPTS,
    Asked,
    Params,
    Proposals,
    Sampler,
    draw_seed,
)

TPE_ATTEMPTS = 3


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    from optuna.samplers import RandomSampler, TPESampler

    from lrpsweep.sweep.samplers.mirror import Mirror

    mirror = Mirror(space, directions)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        mirror.follow(trials)
        for attempt in range(ATTEMPTS):
            # An optimum at zero is proposed again and again: then look elsewhere.
            sampler = TPESampler if attempt < TPE_ATTEMPTS else RandomSampler
            yield mirror.ask(sampler(seed=draw_seed(seed, len(trials), attempt)))

    return proposals


TPE = Sampler("tpe", _proposals, several=True)
