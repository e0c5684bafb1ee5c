"""Points drawn evenly over the axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    from optuna.samplers import RandomSampler

    from lrpsweep.sweep.samplers.mirror import Mirror

    mirror = Mirror(space, directions)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        for attempt in range(ATTEMPTS):
            yield mirror.ask(RandomSampler(draw_seed(seed, len(trials), attempt)))

    return proposals


RANDOM = Sampler("random", _proposals, several=True)


def then_random(
    proposal: Callable[[Sequence[Asked]], Params], space: Space, seed: int, directions: Directions
) -> Proposals:
    """What a sampler proposes once for a trial; where that is known already, points anywhere."""
    elsewhere = RANDOM.proposals(space, seed, directions)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        yield proposal(trials)
        yield from elsewhere(trials)

    return proposals
