"""Which hyperparameters matter, by Optuna's PED-ANOVA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrpsweep.report.figures.panels import axis_places, scored_trials, trial_values
from lrpsweep.results import Axis, StudyResults, TrialRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FEWEST_TRIALS = 8
BETTER = 0.5
"""The share of the trials that is set against all: of the usual tenth, few are left in a sweep."""


def importances(results: StudyResults, axes: Sequence[Axis]) -> dict[str, float]:
    """By hyperparameter, its share of the importance for being among the better half of the trials.

    Estimates of trials that were stopped early count too: the complete ones alone are the good
    ones. The shares add up to 1. Empty where nothing is to be ordered, as for two hyperparameters,
    and where nothing can be said: with fewer than `FEWEST_TRIALS` complete trials, or equal ones.
    """
    trials = [t for t in scored_trials(results) if np.isfinite(trial_values([t])).all()]
    if len(axes) < 3 or len(results.complete) < FEWEST_TRIALS or not np.ptp(trial_values(trials)):
        return {}
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=results.direction)
    study.add_trials(_as_optuna_has_them(trials, axes))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER)
    return get_param_importances(study, evaluator=evaluator, params=[axis.name for axis in axes])


def _as_optuna_has_them(trials: Sequence[TrialRecord], axes: Sequence[Axis]) -> list[FrozenTrial]:
    """Trials with their places on the drawn axes: those of a logarithmic one are evenly spread."""
    from optuna.trial import create_trial

    params: list[dict[str, Any]] = [{} for _ in trials]
    known: dict[str, BaseDistribution] = {}
    for axis in axes:
        rows = [row for row, trial in enumerate(trials) if axis.name in trial.values]
        places = axis_places(axis, [trials[row] for row in rows]).tolist()
        known[axis.name] = _distribution(axis, places)
        for row, place in zip(rows, places, strict=True):
            params[row][axis.name] = int(place) if axis.categories else place
    return [
        create_trial(
            params=given, distributions={name: known[name] for name in given}, value=float(value)
        )
        for given, value in zip(params, trial_values(trials), strict=True)
    ]


def _distribution(axis: Axis, places: Sequence[float]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if axis.categories:
        return CategoricalDistribution(range(len(axis.categories)))
    return FloatDistribution(min(places), max(places))
