"""The search space and the trials as Optuna's samplers know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from lrpsweep.results import Direction
from lrpsweep.study import Dimension, Space, free
from lrpsweep.sweep.samplers.sampler import Asked, Params

OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
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


class Mirror:
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
