"""Whom a trial races against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from quadratic import both_ends

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import TrialResult
from lrpsweep.sweep.nomination import Criteria
from lrpsweep.sweep.races import Races

CRITERIA = Criteria(MEASURES["srg"], {"auc_morf": 2.5}, floor=True)
SPREAD = np.array([0.0, 0.01, 0.02, -0.03])
RANDOM = {name: np.full(4, 1.0) for name in ("auc_morf", "auc_lerf")} | {"srg": np.zeros(4)}


def trial(morf: float, lerf: float, **more: Any) -> TrialResult:
    found = both_ends((morf + SPREAD).tolist(), (lerf + SPREAD).tolist(), objective="srg", **more)
    return TrialResult.from_json(found)


def races(*trials: TrialResult, criteria: Criteria = CRITERIA, **bounds: float) -> Races:
    found = Races(criteria, bounds, RANDOM)
    for number, result in enumerate(trials):
        found.add(number, result)
    return found


def incumbent(found: Races, *known: int) -> float | None:
    """The SRG that is raced against."""
    race = found.race(known)
    return None if race is None else round(float(race.incumbent["srg"].mean()), 9)


def test_the_best_of_those_that_are_known() -> None:
    found = races(trial(0.5, 1.5), trial(0.5, 1.9), trial(0.5, 1.7))
    assert incumbent(found) is None
    assert incumbent(found, 0) == 1.0
    assert incumbent(found, 0, 2) == 1.2
    assert incumbent(found, 0, 1, 2) == 1.4


def test_it_keeps_the_guards() -> None:
    """Of MoRF the range is 0.6: within the guard is up to 0.415."""
    found = races(trial(0.4, 1.5), trial(0.42, 9.0), trial(0.41, 1.6))
    assert incumbent(found, 0, 1, 2) == 1.19
    assert incumbent(found, 1) == 8.58


@pytest.mark.parametrize(("morf", "lerf"), [(1.5, 9.0), (0.1, 0.99)])
def test_it_keeps_the_floor(morf: float, lerf: float) -> None:
    found = races(trial(morf, lerf), trial(0.5, 1.5))
    assert incumbent(found, 0) is None
    assert incumbent(found, 0, 1) == 1.0
    free = replace(CRITERIA, floor=False, guards={})
    assert incumbent(races(trial(morf, lerf), criteria=free), 0) == round(lerf - morf, 9)


def test_it_keeps_the_constraints() -> None:
    found = races(trial(0.5, 9.0, hot_spot=0.6), trial(0.5, 1.5, hot_spot=0.4), hot_spot=0.5)
    assert incumbent(found, 0) is None
    assert incumbent(found, 0, 1) == 1.0


def test_it_is_stable_where_that_is_asked_for() -> None:
    shaky = trial(0.5, 9.0, unstable="features.3")
    assert incumbent(races(shaky, trial(0.5, 1.5)), 0, 1) == 1.0
    free = replace(CRITERIA, floor=False)
    assert incumbent(races(shaky, trial(0.5, 1.5), criteria=free), 0, 1) == 8.5


def test_a_trial_may_be_behind_by_what_the_guard_allows_and_by_the_objective_not_at_all() -> None:
    race = races(trial(0.4, 1.5), trial(0.41, 1.6)).race((0, 1))
    assert race is not None
    assert race.allowed == pytest.approx({"srg": 0.0, "auc_morf": 0.025 * 0.6})
    np.testing.assert_array_equal(race.incumbent["auc_morf"], 0.41 + SPREAD)


def test_leaders_are_the_best_by_each_guard_that_keep_the_floor() -> None:
    """The incumbent's MoRF is 0.41; 0.4 leads; 0.2 is worse than chance from the other end."""
    race = races(trial(0.4, 1.1), trial(0.41, 1.6), trial(0.2, 0.9)).race((0, 1, 2))
    assert race is not None
    assert list(race.leaders) == ["auc_morf"]
    np.testing.assert_array_equal(race.leaders["auc_morf"], 0.4 + SPREAD)
    np.testing.assert_array_equal(race.incumbent["auc_morf"], 0.41 + SPREAD)


def test_no_order_of_patches_is_needed_where_no_measure_knows_any() -> None:
    free = Criteria(MEASURES["srg"], {}, floor=False)
    found = Races(free, {}, {})
    found.add(0, trial(0.5, 1.5))
    assert incumbent(found, 0) == 1.0
