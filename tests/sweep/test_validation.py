"""What is said about a nominee on the validation images, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from quadratic import result

from lrpsweep.results import Candidate, Recommendation, StudyResults, TrialRecord, TrialResult
from lrpsweep.study import EvaluationSpec
from lrpsweep.sweep.execution import Outcome
from lrpsweep.sweep.validation import Validation, measurements

IMAGES = 24
BASELINES = {name: Candidate("lrp", {"preset": name}) for name in ("one", "two")}
SPREAD = np.linspace(-0.01, 0.01, IMAGES)


def judge(
    objective: str = "auc_morf",
    *,
    failed: tuple[str, ...] = (),
    looks: int = 1,
    exceeded: tuple[str, ...] = (),
    unstable: str = "",
    **scores: Mapping[str, float],
) -> Recommendation:
    """The recommendation when composites have these mean scores: `ours`, `one`, `two`, `random`.

    A measure that is not given is 1 (random: 2), in the nominee 0.5.
    """
    searched = TrialResult.from_json(result([0.1, 0.2], unstable=unstable))
    trial = TrialRecord(7, "complete", {"x": 0.5}, searched, exceeded=exceeded)
    direction: Any = "minimize" if objective == "auc_morf" else "maximize"
    study = StudyResults("s", objective, direction, (trial,), 1, (), "", "")
    validation = Validation(study, "lrp", BASELINES, EvaluationSpec())

    def outcome(name: str) -> Outcome:
        if name in failed:
            return Outcome(reason="no memory")
        label, measure = name.split(": ")
        label = "ours" if label == "trial 7" else label
        default = 0.5 if label == "ours" else 1.0
        mean = scores.get(label, {}).get(measure, 2.0 if "random" in measure else default)
        return Outcome(result=result(list(mean + SPREAD)))

    outcomes = {name: outcome(name) for name in validation.jobs()}
    return validation.recommend(outcomes, looks)


def test_nothing_is_said_against_a_nominee_that_is_ahead_everywhere() -> None:
    found = judge(ours={"auc_lerf": 3.0})
    assert found.verdict == "better"
    assert found.warnings == ()


@pytest.mark.parametrize("label", ["trial 7", "one"])
@pytest.mark.parametrize("measure", ["auc_lerf", "auc_random", "auc_morf (mean)"])
def test_a_side_measurement_that_failed_keeps_nothing_from_being_recommended(
    label: str, measure: str
) -> None:
    found = judge(failed=(f"{label}: {measure}",), ours={"auc_lerf": 3.0})
    assert found.verdict == "better"


def test_a_failed_srg_of_nominee_or_baseline_is_not_compared() -> None:
    """Caught: a KeyError, with a baseline's SRG above zero and the nominee's missing."""
    found = judge(failed=("trial 7: auc_lerf",), one={"auc_lerf": 3.0})
    assert not any("SRG" in warning for warning in found.warnings)
    assert "srg" not in found.finalists[0].scores


def test_srg_is_compared_with_the_best_srg_of_the_literature() -> None:
    # `one` is the strongest by MoRF, `two` by SRG.
    found = judge(
        ours={"auc_lerf": 3.0},
        one={"auc_morf": 0.9, "auc_lerf": 2.0},
        two={"auc_morf": 1.5, "auc_lerf": 5.0},
    )
    assert found.warnings == ("SRG (LeRF − MoRF) is 2.5, below the 3.5 of two.",)


@pytest.mark.parametrize(
    ("objective", "ours", "warning"),
    [
        ("auc_morf", {"auc_morf": 0.5, "auc_random": 0.4}, "auc_morf is 0.5, no better than the"),
        ("auc_lerf", {"auc_lerf": 3.0, "auc_random": 4.0}, "auc_lerf is 3, no better than the 4"),
        (
            "srg",
            {"srg": -0.1, "auc_lerf": 0.4},
            "srg is -0.1, no better than the 0 of a random order",
        ),
    ],
)
def test_a_random_order_that_does_as_well_is_warned_of(
    objective: str, ours: dict[str, float], warning: str
) -> None:
    assert warning in " ".join(judge(objective, ours=ours).warnings)


def test_a_second_look_at_the_same_images_is_told() -> None:
    assert judge(ours={"auc_lerf": 3.0}, looks=1).warnings == ()
    (warning,) = judge(ours={"auc_lerf": 3.0}, looks=3).warnings
    assert warning.startswith("These validation images have been looked at 3 times; ")


def test_the_second_perturbation_is_one_that_the_protocol_has() -> None:
    def last(**evaluation: Any) -> str | None:
        return measurements("auc_morf", EvaluationSpec(**evaluation))[-1].perturbation

    assert last() == "mean"
    assert last(perturbation="uniform") == "telea"
    assert last(protocol="thesis") == "uniform"
    assert last(protocol="thesis", perturbation="uniform") == "telea"


def test_an_unstable_nominee_and_one_beyond_all_bounds_are_warned_of() -> None:
    found = judge(ours={"auc_lerf": 3.0}, unstable="features.12: z comes near zero")
    assert found.warnings == (
        "The nominee's explanations are unstable: features.12: z comes near zero.",
    )
    found = judge(ours={"auc_lerf": 3.0}, exceeded=("hot_spot", "unexplained"))
    assert found.warnings == (
        "No trial keeps all constraints; the nominee exceeds that of hot_spot and unexplained.",
    )


def test_a_composite_is_a_finalist_once_and_one_within_the_bounds_is_nominated() -> None:
    def trial(number: int, value: float, **what: Any) -> TrialRecord:
        found = TrialResult.from_json(result([value, value]))
        return TrialRecord(number, "complete", {"x": value}, found, **what)

    trials = (
        trial(0, 0.1, exceeded=("hot_spot",)),
        trial(1, 0.3, same_as=2),
        trial(2, 0.3),
        trial(3, 0.2),
    )
    study = StudyResults("s", "auc_morf", "minimize", trials, 4, (), "", "")
    assert [t.number for t in study.ranked()] == [3, 2, 1, 0]
    names = Validation(study, "lrp", {}, EvaluationSpec()).jobs()
    assert list(dict.fromkeys(name.split(":")[0] for name in names)) == [
        "trial 3",
        "trial 2",
        "trial 0",
    ]
