"""Who proposes the next point: one function for each sampler, by its name in the study file.

A proposal depends on the study's seed, the trial's number and the trials before it, and on nothing
else: a study that was killed and resumed goes on as if nothing had happened.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from optuna.trial import Trial, TrialState

from lrpsweep.study import Choice, Dimension, Int, Log, Space, bounds, decode, free, grid

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
    """A trial, as far as samplers care; one that waits will run, so it counts as running.

    excess: by how much it exceeds each constraint's bound.
    """

    params: Mapping[str, Any]
    state: Literal["complete", "failed", "running"] = "running"
    value: float | None = None
    excess: Mapping[str, float] = field(default_factory=dict)


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
    return tuple(decode(search, params).items())


def grid_points(space: Space) -> list[Params]:
    """All points of the grid; the first name is the outer loop."""
    axes = grid(space.search)

    def place(point: Params) -> list[int]:
        return [axis.index(point[name]) if name in point else -1 for name, axis in axes.items()]

    return sorted(space.points(axes), key=place)


def every_point(space: Space) -> Iterator[Params]:
    """All points of a space that has finitely many; none of another."""
    dimensions = free(space.search)
    if all(isinstance(dimension, Choice | Int) for dimension in dimensions.values()):
        yield from space.points({name: _all(d) for name, d in dimensions.items()})


def _all(dimension: Dimension) -> Sequence[Any]:
    if isinstance(dimension, Choice):
        return dimension.choice
    first, last = bounds(dimension)
    return range(int(first), int(last) + 1)


def count_points(space: Space, most: int) -> int:
    """How many points differ, as far as `most`: more are not counted."""
    if any(not isinstance(dimension, Choice | Int) for dimension in free(space.search).values()):
        return most
    return sum(1 for _ in itertools.islice(every_point(space), most))


def first_new(
    search: Search,
    proposals: Iterable[Params],
    seen: Container[tuple[Any, ...]],
    known: Callable[[Params], bool] = lambda params: False,
) -> Params:
    """The first proposal whose values no trial has, or the last when all have been seen.

    Values are compared, not parameters: all that lies below a logarithmic axis is 0. known: whether
    a trial has the same composite with other values; such a proposal is the last resort but one.
    """
    params: Params = {}
    spare: Params | None = None
    for params in proposals:
        if key(search, params) in seen:
            continue
        if not known(params):
            return params
        spare = spare or params
    return spare or params


Proposals = Callable[[Sequence[Asked]], Iterable[Params]]
"""Called with the trials so far, gives points for the next one, the preferred one first."""


def _grid(space: Space, seed: int, direction: Direction) -> Proposals:
    points = grid_points(space)
    return lambda trials: points


def _random(space: Space, seed: int, direction: Direction) -> Proposals:
    mirror = _Mirror(space, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        for attempt in range(ATTEMPTS):
            yield mirror.ask(RandomSampler(_seed(seed, len(trials), attempt)))

    return proposals


def _tpe(space: Space, seed: int, direction: Direction) -> Proposals:
    mirror = _Mirror(space, direction)

    def proposals(trials: Sequence[Asked]) -> Iterator[Params]:
        mirror.follow(trials)
        for attempt in range(ATTEMPTS):
            # An optimum at zero is proposed again and again: then look elsewhere.
            sampler = TPESampler if attempt < TPE_ATTEMPTS else RandomSampler
            yield mirror.ask(sampler(seed=_seed(seed, len(trials), attempt)))

    return proposals


SAMPLERS: dict[str, Callable[[Space, int, Direction], Proposals]] = {
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

    def __init__(self, space: Space, direction: Direction) -> None:
        self._space = space
        self._distributions = distributions(space.search)
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
                        distributions={name: self._distributions[name] for name in trial.params},
                        constraints=dict(trial.excess),
                    )
                )
                self._followed.append((number, trial))
            elif trial.state != self._followed[place][1].state:
                number = self._followed[place][0]
                told = Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)
                for name, excess in trial.excess.items():
                    told.set_constraint(name, excess)
                self._study.tell(told, trial.value, state=OPTUNA_STATES[trial.state])
                self._followed[place] = (number, trial)

    def ask(self, sampler: BaseSampler) -> Params:
        """What the sampler proposes after the trials that were followed."""
        self._study.sampler = sampler
        trial = self._study.ask()
        while (name := self._space.lacking(trial.params)) is not None:
            _suggest(trial, name, self._space.search[name])
        self._study.tell(trial, state=TrialState.FAIL)
        return trial.params


def _suggest(trial: Trial, name: str, dimension: Dimension) -> None:
    if isinstance(dimension, Choice):
        trial.suggest_categorical(name, dimension.choice)
        return
    low, high = bounds(dimension)
    if isinstance(dimension, Int):
        trial.suggest_int(name, int(low), int(high))
    else:
        trial.suggest_float(name, low, high, log=isinstance(dimension, Log))
