"""Quasi-Monte Carlo (scrambled Sobol points): spread more evenly than by chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

from lrpsweep.results import Directions
from lrpsweep.study import Space, free
from lrpsweep.sweep.samplers.sampler import (
    ATTEMPTS,
    Asked,
    Params,
    Proposals,
    Sampler,
    draw_seed,
)


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import QMCSampler

    from lrpsweep.sweep.samplers.mirror import Mirror

    mirror = Mirror(space, directions)
    # Optuna learns from a trial which names there are: here one that has all of them.
    everywhere = {name: dimension.lowest for name, dimension in free(space.search).items()}
    mirror.follow([Asked(everywhere, "complete", (0.0,) * len(directions))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = QMCSampler(scramble=True, seed=draw_seed(seed, 0, 0))
    points: list[Params] = []

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        for place in range(len(trials), len(trials) + ATTEMPTS):
            while len(points) <= place:
                points.append(mirror.ask(sampler))
            yield points[place]

    return proposals


QMC = Sampler("qmc", _proposals, several=True)
