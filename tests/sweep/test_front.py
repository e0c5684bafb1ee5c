"""The Pareto front: of hand-made scores, and of a search for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratic import Several, plan

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Contender, StudyResults
from lrpsweep.sweep.front import find_front, undominated
from lrpsweep.sweep.nomination import EXCEEDS, Ballot, Criteria
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.storage import create_store, study_url
from lrpsweep.sweep.study import load_results, run_study

RULE = Criteria(MEASURES["srg"], {}, floor=True, further=(MEASURES["hot_spot"],))
CHANCE = {"srg": 0.0, "auc_morf": 1.0, "auc_lerf": 1.0}


def ballot(
    srg: list[float], spots: list[float], barred: dict[int, str] | None = None, **others: Any
) -> Ballot:
    """Candidates with these means over two images; LeRF and MoRF are as far from a random order."""
    scores = {
        "srg": srg,
        "hot_spot": spots,
        "auc_lerf": [1 + s / 2 for s in srg],
        "auc_morf": [1 - s / 2 for s in srg],
    } | others
    why = barred or {}
    return Ballot(
        tuple(Contender(f"trial {n}", n, {"x": n}) for n in range(len(srg))),
        {name: np.array(means)[:, None] + [[-0.01, 0.01]] for name, means in scores.items()},
        {name: np.array([mean, mean]) for name, mean in CHANCE.items()},
        tuple((f"{EXCEEDS}{why[n]}",) if n in why else () for n in range(len(srg))),
    )


def numbers(found: Ballot, rule: Criteria = RULE) -> list[int | None]:
    return [one.number for one in find_front(found, rule, "s").members]


@pytest.mark.parametrize(
    ("losses", "front"),
    [
        ([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [True, True, True]),
        ([[1.0, 2.0, 2.0], [1.0, 2.0, 0.5]], [True, False, True]),
        ([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]], [True, True, False]),
        ([[1.0, 2.0, 2.0], [2.0, 1.0, 2.0], [3.0, 3.0, 0.0]], [True, True, True]),
        ([[1.0, 1.0, 2.0], [2.0, 2.0, 2.0], [0.0, 1.0, 1.0]], [True, False, False]),
        ([[1.0], [2.0]], [True]),
    ],
)
def test_nobody_on_it_is_dominated(losses: list[list[float]], front: list[bool]) -> None:
    assert undominated(np.array(losses)).tolist() == front


def test_directions_count_and_the_best_by_the_first_objective_is_first() -> None:
    found = ballot([0.2, 0.9, 0.5, 0.4], [0.1, 0.4, 0.2, 0.3])
    assert numbers(found) == [1, 2, 0]


def test_equal_candidates_are_all_on_it() -> None:
    assert numbers(ballot([0.5, 0.5, 0.2], [0.2, 0.2, 0.2])) == [0, 1]


def test_those_that_are_barred_or_below_the_floor_are_not_on_it() -> None:
    found = ballot([0.9, 0.5, -0.2], [0.1, 0.2, 0.01], barred={0: "hot_spot"})
    front = find_front(found, RULE, "s")
    assert [one.number for one in front.members] == [1]
    assert front.broken["trial 0"] == ("exceeds the constraint of hot_spot",)
    assert "AUC (MoRF) is 1.1, no better than the 1 of a random order" in front.broken["trial 2"]
    free = Criteria(RULE.objective, {}, floor=False, further=RULE.further)
    assert numbers(found, free) == [1, 2]


def test_of_three_objectives_each_may_save_a_candidate() -> None:
    rule = Criteria(MEASURES["srg"], {}, True, (MEASURES["hot_spot"], MEASURES["auc_morf"]))
    found = ballot([0.9, 0.5, 0.4], [0.1, 0.2, 0.3], auc_morf=[0.5, 0.6, 0.2])
    assert numbers(found, rule) == [0, 2]


def test_the_sentence_says_who_chooses() -> None:
    front = find_front(ballot([0.9, 0.5], [0.4, 0.2]), RULE, "mine")
    assert front.sentence == (
        "2 of 2 candidates are on the Pareto front of SRG and hot-spot index on 2 search images. "
        "No single composite is recommended: with several objectives you choose: "
        "`lrpsweep export mine --trial N`."
    )
    nothing = find_front(ballot([-0.9, -0.5], [0.4, 0.2]), RULE, "mine")
    assert nothing.members == ()
    assert "nothing is recommended" in nothing.sentence


def several(**changes: Any) -> Any:
    settings: dict[str, Any] = {
        "version": 2,
        "objective": "[auc_morf, hot_spot]",
        "floor": False,
        "points": 9,
        "trials": 24,
        "sampler": "nsga2",
        "build": Several(version=2),
    }
    return plan(**(settings | changes))


def points(results: StudyResults) -> list[Any]:
    return [trial.values for trial in results.trials]


@pytest.mark.parametrize("name", [name for name, one in SAMPLERS.items() if one.several])
def test_a_study_that_was_stopped_goes_on_with_the_same_trials(name: str, tmp_path: Path) -> None:
    changes = {"sampler": name, "trials": 14} | ({"points": 3} if name == "grid" else {})
    once = run_study(several(**changes), runs_dir=tmp_path / "a", executor="local")
    for trials in (7, 14):
        study = several(**changes | {"trials": trials})
        twice = run_study(study, runs_dir=tmp_path / "b", executor="local")
    assert points(once) == points(twice)
    assert once.front == twice.front is not None


def test_the_front_is_kept_and_nothing_is_nominated(runs_dir: Path) -> None:
    study = several(baselines=("one",), sampler="grid", points=5)
    results = run_study(study, runs_dir=runs_dir, executor="local")
    assert results.objectives == ("auc_morf", "hot_spot")
    assert results.directions == ("minimize", "minimize")
    assert results.front is not None
    assert results.nomination is results.recommendation is results.nominee is None
    # Along y = 0 or 0.25, which are as near to 0.1: from the best of auc_morf at 0.25 to x = 1.
    assert {one.values["x"] for one in results.front.members if one.number is not None} == {
        *(0.25, 0.5, 0.75, 1.0)
    }
    assert load_results(study.spec, runs_dir).front == results.front


def test_a_trial_with_any_objective_that_is_not_finite_fails(runs_dir: Path) -> None:
    study = several(sampler="grid", points=3, build=Several(version=2, spots="nan"))
    results = run_study(study, runs_dir=runs_dir, executor="local")
    failed = [trial for trial in results.trials if trial.state == "failed"]
    assert {trial.values["x"] for trial in failed} == {0.0}
    assert {trial.reason for trial in failed} == {"hot_spot is nan"}
    assert len(results.complete) == 6


def test_objectives_may_change_before_the_first_trial(runs_dir: Path) -> None:
    """Optuna keeps the directions that a study was made with."""

    study = several(trials=5)
    url = study_url(None, runs_dir, study.spec.name, study.spec.base)
    create_store(url, study.spec.name, ("maximize",)).close()
    found = run_study(study, runs_dir=runs_dir, executor="local")
    assert found.front is not None
    assert found.directions == ("minimize", "minimize")
