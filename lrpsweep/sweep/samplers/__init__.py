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

from lrpsweep.study import Dimension, Distribution, Space, free

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


OPTUNA: Mapping[str, type[BaseDistribution]] = {
    "categorical": CategoricalDistribution,
    "int": IntDistribution,
    "float": FloatDistribution,
}


def _distribution(dimension: Dimension) -> BaseDistribution:
    drawn: Distribution = dimension.distribution
    return OPTUNA[drawn.kind](**drawn.arguments)


def count_points(space: Space, most: int) -> int:
    """How many points differ, as far as `most`: more are not counted."""
    return sum(1 for _ in itertools.islice(space.every(), most)) if space.finite else most


def first_new(
    space: Space,
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
        if space.key(params) in seen:
            continue
        if not known(params):
            return params
        spare = spare or params
    return spare or params


Proposals = Callable[[Sequence[Asked]], Iterable[Params]]
"""Called with the trials so far, gives points for the next one, the preferred one first."""


def _grid(space: Space, seed: int, direction: Direction) -> Proposals:
    points = space.grid()
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


@dataclass(frozen=True)
class Sampler:
    """Who proposes points. exhaustive: it has a known number of them."""

    proposals: Callable[[Space, int, Direction], Proposals]
    exhaustive: bool = False

    def __call__(self, space: Space, seed: int, direction: Direction) -> Proposals:
        """As `proposals`."""
        return self.proposals(space, seed, direction)


SAMPLERS: dict[str, Sampler] = {
    "grid": Sampler(_grid, exhaustive=True),
    "random": Sampler(_random),
    "tpe": Sampler(_tpe),
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
            drawn = self._space.search[name].distribution
            getattr(trial, f"suggest_{drawn.kind}")(name, **drawn.arguments)
        self._study.tell(trial, state=TrialState.FAIL)
        return trial.params
