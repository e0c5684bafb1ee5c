"""Who proposes the next point: one function for each sampler, by its name in the study file.

A proposal depends on the study's seed, the trial's number and the trials before it, and on nothing
else: a study that was killed and resumed goes on as if nothing had happened.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from lrpsweep.spec import Choice, Dimension, Int, Log, bounds, decode, free, grid

Search = Mapping[str, Dimension]
Params = dict[str, Any]
Direction = Literal["minimize", "maximize"]

ATTEMPTS = 50


def distributions(search: Search) -> dict[str, BaseDistribution]:
    """The space as Optuna knows it; fixed values have no part in it."""
    return {name: _distribution(dimension) for name, dimension in free(search).items()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.choice)
    low, high = bounds(dimension)
    if isinstance(dimension, Int):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=isinstance(dimension, Log))


def propose(
    name: str, search: Search, seed: int, direction: Direction, trials: Sequence[FrozenTrial]
) -> Params:
    """The next point after these trials, as parameters of `distributions`.

    A point whose values a trial has already is passed over, unless the space seems to have no
    other. Values are compared, not parameters: all that lies below a logarithmic axis is 0.
    """
    seen = {key(search, trial.params) for trial in trials}
    params: Params = {}
    for params in SAMPLERS[name](search, seed, direction, trials):
        if key(search, params) not in seen:
            break
    return params


def key(search: Search, params: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two points have in common that are the same point."""
    return tuple(decode(search, params).values())


def grid_points(search: Search) -> list[Params]:
    """All points of the grid; the first name is the outer loop."""
    axes = grid(search)
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def _grid(
    search: Search, seed: int, direction: Direction, trials: Sequence[FrozenTrial]
) -> Iterable[Params]:
    return grid_points(search)


def _random(
    search: Search, seed: int, direction: Direction, trials: Sequence[FrozenTrial]
) -> Iterable[Params]:
    number = len(trials)
    for attempt in range(ATTEMPTS):
        yield _ask(RandomSampler(_seed(seed, number, attempt)), search, direction, ())


def _tpe(
    search: Search, seed: int, direction: Direction, trials: Sequence[FrozenTrial]
) -> Iterable[Params]:
    number = len(trials)
    for attempt in range(ATTEMPTS):
        yield _ask(TPESampler(seed=_seed(seed, number, attempt)), search, direction, trials)


SAMPLERS: dict[str, Callable[[Search, int, Direction, Sequence[FrozenTrial]], Iterable[Params]]] = {
    "grid": _grid,
    "random": _random,
    "tpe": _tpe,
}


def _seed(seed: int, number: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])


def _ask(
    sampler: BaseSampler, search: Search, direction: Direction, trials: Sequence[FrozenTrial]
) -> Params:
    """What the sampler proposes after these trials, asked of a copy of the study in memory."""
    study = optuna.create_study(sampler=sampler, direction=direction)
    study.add_trials([_bare(trial) for trial in trials])
    return study.ask(distributions(search)).params


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """The trial without its results; one that waits will run, so it counts as running."""
    complete = trial.state is TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=TrialState.RUNNING if trial.state is TrialState.WAITING else trial.state,
        value=trial.value if complete else None,
        params=trial.params,
        distributions=trial.distributions,
    )
