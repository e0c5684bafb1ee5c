"""Who proposes the next point: one function for each sampler, by its name in the study file.

A proposal depends on the study's seed, the trial's number and the trials before it, and on nothing
else: a study that was killed and resumed goes on as if nothing had happened.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from optuna.trial import TrialState

from lrpsweep.spec import Choice, Dimension, Int, Log, bounds, decode, free, grid

Search = Mapping[str, Dimension]
Params = dict[str, Any]
Direction = Literal["minimize", "maximize"]

ATTEMPTS = 50
TPE_ATTEMPTS = 3
OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


@dataclass(frozen=True)
class Asked:
    """A trial, as far as samplers care; one that waits will run, so it counts as running."""

    params: Mapping[str, Any]
    state: Literal["complete", "failed", "running"] = "running"
    value: float | None = None


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


def key(search: Search, params: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two points have in common that are the same point."""
    return tuple(decode(search, params).values())


def grid_points(search: Search) -> list[Params]:
    """All points of the grid; the first name is the outer loop."""
    axes = grid(search)
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def count_points(search: Search) -> float:
    """How many points differ: infinitely many where an axis is continuous."""
    return math.prod(_count(dimension) for dimension in free(search).values())


def _count(dimension: Dimension) -> float:
    if isinstance(dimension, Choice):
        return len(set(dimension.choice))
    if isinstance(dimension, Int):
        first, last = bounds(dimension)
        return last - first + 1
    return math.inf


def every_point(search: Search) -> Iterator[Params]:
    """All points of a space that has finitely many; none of another."""
    if math.isinf(count_points(search)):
        return
    axes = {
        name: d.choice if isinstance(d, Choice) else range(int(bounds(d)[0]), int(bounds(d)[1]) + 1)
        for name, d in free(search).items()
    }
    for point in itertools.product(*axes.values()):
        yield dict(zip(axes, point, strict=True))


def first_new(
    search: Search, proposals: Iterable[Params], seen: Container[tuple[Any, ...]]
) -> Params:
    """The first proposal whose values no trial has, or the last when all have been seen.

    Values are compared, not parameters: all that lies below a logarithmic axis is 0.
    """
    params: Params = {}
    for params in proposals:
        if key(search, params) not in seen:
            break
    return params


Proposals = Callable[[Sequence[Asked]], Iterable[Params]]
"""Called with the trials so far, gives points for the next one, the preferred one first."""


def _grid(search: Search, seed: int, direction: Direction) -> Proposals:
    points = grid_points(search)
    return lambda trials: points


def _random(search: Search, seed: int, direction: Direction) -> Proposals:
    mirror = _Mirror(search, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        for attempt in range(ATTEMPTS):
            yield mirror.ask(RandomSampler(_seed(seed, len(trials), attempt)))

    return proposals


def _tpe(search: Search, seed: int, direction: Direction) -> Proposals:
    mirror = _Mirror(search, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        mirror.follow(trials)
        for attempt in range(ATTEMPTS):
            # An optimum at zero is proposed again and again: then look elsewhere.
            sampler = TPESampler if attempt < TPE_ATTEMPTS else RandomSampler
            yield mirror.ask(sampler(seed=_seed(seed, len(trials), attempt)))

    return proposals


SAMPLERS: dict[str, Callable[[Search, int, Direction], Proposals]] = {
    "grid": _grid,
    "random": _random,
    "tpe": _tpe,
}


def _seed(seed: int, number: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])


class _Mirror:
    """A study in memory in which Optuna's samplers can be asked without writing anything down.

    A question leaves a failed trial behind, which samplers do not look at.
    """

    def __init__(self, search: Search, direction: Direction) -> None:
        self._space = distributions(search)
        self._study = optuna.create_study(direction=direction)
        self._followed: list[tuple[int, Asked]] = []

    def follow(self, trials: Sequence[Asked]) -> None:
        """Takes over what has happened since the last time."""
        for place, trial in enumerate(trials):
            if place == len(self._followed):
                number = len(self._study.get_trials(deepcopy=False))
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=OPTUNA_STATES[trial.state],
                        value=trial.value,
                        params=dict(trial.params),
                        distributions=self._space,
                    )
                )
                self._followed.append((number, trial))
            elif trial.state != self._followed[place][1].state:
                number = self._followed[place][0]
                self._study.tell(number, trial.value, state=OPTUNA_STATES[trial.state])
                self._followed[place] = (number, trial)

    def ask(self, sampler: BaseSampler) -> Params:
        """What the sampler proposes after the trials that were followed."""
        self._study.sampler = sampler
        trial = self._study.ask(self._space)
        self._study.tell(trial, state=TrialState.FAIL)
        return trial.params
