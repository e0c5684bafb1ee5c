"""The search space and the trials as Optuna's samplers know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import Trial, TrialState

from lrpsweep.results import Directions
from lrpsweep.study import Dimension, Space, free
from lrpsweep.sweep.samplers.sampler import Asked, Params, seen_by

OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.COMPLETE,  # by its estimate: some samplers do not look at pruned trials
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


def distributions(search: Mapping[str, Dimension]) -> dict[str, BaseDistribution]:
    """The space as Optuna knows it; fixed values have no part in it."""
    return {name: _distribution(dimension) for name, dimension in free(search).items()}


OPTUNA: Mapping[str, type[BaseDistribution]] = {
    "categorical": CategoricalDistribution,
    "int": IntDistribution,
    "float": FloatDistribution,
}


def _distribution(dimension: Dimension) -> BaseDistribution:
    drawn = dimension.distribution
    return OPTUNA[drawn.kind](**drawn.arguments)


@dataclass(frozen=True)
class Answer:
    """What a sampler proposes. notes: what it wrote down beside it, in system attributes."""

    params: Params
    notes: Mapping[str, Any]


class Mirror:
    """A study in memory in which Optuna's samplers can be asked without writing anything down.

    A question leaves a failed trial behind, which samplers do not look at.
    """

    def __init__(self, space: Space, directions: Directions) -> None:
        self._space = space
        self._distributions = distributions(space.search)
        self._study = optuna.create_study(directions=directions)
        self._followed: list[tuple[int, Asked]] = []

    def follow(self, trials: Sequence[Asked], answers: Sequence[Answer] = ()) -> None:
        """Takes over what has happened since the last time.

        answers: to the questions for these trials, where the sampler has to find its notes again.
        """
        for place, trial in enumerate(trials):
            if place == len(self._followed):
                self._add(trial, answers[place].notes if answers else {})
            elif trial.state != self._followed[place][1].state:
                self._tell(place, trial)

    def _add(self, trial: Asked, notes: Mapping[str, Any]) -> None:
        number = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(
            optuna.trial.create_trial(
                state=OPTUNA_STATES[trial.state],
                values=trial.values,
                params=dict(trial.params),
                distributions={name: self._distributions[name] for name in trial.params},
                constraints=dict(sorted(trial.excess.items())),
                system_attrs=dict(notes),
            )
        )
        self._followed.append((number, trial))

    def _tell(self, place: int, trial: Asked) -> None:
        number = self._followed[place][0]
        told = Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)
        for name, excess in sorted(trial.excess.items()):
            told.set_constraint(name, excess)
        self._study.tell(told, trial.values, state=OPTUNA_STATES[trial.state])
        self._followed[place] = (number, trial)

    def ask(self, sampler: BaseSampler) -> Params:
        """What the sampler proposes after the trials that were followed."""
        return self.question(sampler).params

    def question(self, sampler: BaseSampler) -> Answer:
        """As `ask`, with the sampler's notes."""
        self._study.sampler = sampler
        trial = self._study.ask()
        while (name := self._space.lacking(trial.params)) is not None:
            drawn = self._space.search[name].distribution
            getattr(trial, f"suggest_{drawn.kind}")(name, **drawn.arguments)
        notes = dict(trial._get_latest_trial().system_attrs)
        self._study.sampler = RandomSampler()  # for the others, what is told here is no news
        self._study.tell(trial, state=TrialState.FAIL)
        return Answer(trial.params, notes)


def remembering(
    space: Space, directions: Directions, sampler: Callable[[int], BaseSampler]
) -> Callable[[Sequence[Asked]], Params]:
    """The one proposal for each trial of a sampler that learns by what it notes beside trials.

    No database has the notes: they are made again, by asking for each trial in turn what was asked
    when it began. sampler: a new one for the trial of that number.
    """
    mirror = Mirror(space, directions)
    answers: list[Answer] = []

    def proposal(trials: Sequence[Asked]) -> Params:
        for number in range(len(answers), len(trials) + 1):
            mirror.follow(seen_by(trials, number), answers)
            answers.append(mirror.question(sampler(number)))
        return answers[len(trials)].params

    return proposal
