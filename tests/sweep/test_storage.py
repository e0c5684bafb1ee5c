"""What the database holds, and what is said when it cannot be used."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from quadratic import plan, result

from lrpsweep.errors import InputError
from lrpsweep.results import Comparison, Finalist, Recommendation, TrialResult
from lrpsweep.sweep.samplers.mirror import distributions
from lrpsweep.sweep.storage import (
    Store,
    _record,
    create_store,
    open_store,
    recommendation_from_json,
    study_url,
)

PARAMS = {"x": 0.5, "y": 0.25}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return study_url(None, tmp_path, "s", tmp_path)


@pytest.fixture
def store(url: str) -> Store:
    return create_store(url, "s", ("minimize",))


def start(store: Store) -> None:
    store.start(PARAMS, distributions(plan().spec.search), PARAMS)


def test_a_study_lies_in_the_runs_folder_unless_it_names_a_database(tmp_path: Path) -> None:
    assert study_url(None, tmp_path, "s", tmp_path) == f"sqlite:///{tmp_path}/s/optuna.db"
    assert study_url("postgresql://host/db", tmp_path, "s", tmp_path) == "postgresql://host/db"


def test_a_result_is_read_as_it_was_stored(store: Store, url: str) -> None:
    start(store)
    stored = TrialResult.from_json(result([0.1, 1 / 3]))
    store.complete(0, stored, 1.5)
    reopened = open_store(url, "s")
    trial = reopened._trials()[0]
    read = TrialResult.from_json(trial.user_attrs["result"])
    assert read.to_json() == stored.to_json()
    assert trial.value == stored.value
    assert trial.params == PARAMS


def test_a_running_trial_of_a_dead_driver_waits_with_its_number_and_parameters(
    store: Store, url: str
) -> None:
    start(store)
    start(store)
    store.complete(0, TrialResult.from_json(result([0.5])), 1.0)
    reopened = create_store(url, "s", ("minimize",))
    reopened.release()
    assert reopened.waiting() == [1]
    reopened.restart(1)
    assert [trial.state for trial in reopened.history()] == ["complete", "running"]
    assert reopened.history()[1].params == PARAMS


def test_what_exceeds_a_bound_and_whose_result_it_is_are_stored(store: Store, url: str) -> None:
    found = TrialResult.from_json(result([0.5]))
    excess = {"hot_spot": 0.3, "unexplained": -0.01}
    for same_as in (None, 0):
        start(store)
        number = len(store.history()) - 1
        store.complete(number, found, 1.0, excess=excess, same_as=same_as)
    reopened = open_store(url, "s")
    assert [trial.excess for trial in reopened.history()] == [excess, excess]
    records = [_record(trial, "auc_morf") for trial in reopened._trials()]
    assert [(r.exceeded, r.same_as) for r in records] == [(("hot_spot",), None), (("hot_spot",), 0)]
    assert reopened._trials()[0].constraints == excess  # as Optuna's own tools see it


def test_a_result_of_an_earlier_version_has_no_blocks() -> None:
    stored = result([0.5])
    whole = TrialResult.from_json(stored)
    old = TrialResult.from_json(
        {k: v for k, v in stored.items() if k not in ("blocks", "unstable")}
    )
    assert (old.blocks, old.unstable) == ({}, "")
    assert old.to_json() == whole.to_json() | {"blocks": {}, "unstable": ""}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_never_stored_as_a_result(store: Store, value: float) -> None:
    start(store)
    with pytest.raises(ValueError, match="no result"):
        store.complete(0, TrialResult.from_json(result([value, 1.0])), 1.0)
    store.fail(0, "because")
    assert store.history()[0].state == "failed"
    assert store.failures() == ["because"]


def test_a_finished_trial_cannot_be_told_again(store: Store) -> None:
    start(store)
    store.fail(0, "because")
    with pytest.raises(Exception, match="finished"):
        store.complete(0, TrialResult.from_json(result([0.5])), 1.0)


def test_every_write_asks_the_guard_first(store: Store) -> None:
    def refuse() -> None:
        raise PermissionError

    store.guard = refuse
    with pytest.raises(PermissionError):
        start(store)
    with pytest.raises(PermissionError):
        store.set("key", 1)
    assert store.history() == []


def test_a_recommendation_is_read_as_it_was_stored() -> None:
    recommendation = Recommendation(
        number=3,
        values={"x": 0.5},
        validation_images=20,
        mean=0.1,
        low=0.0,
        high=0.2,
        comparisons=(Comparison("one", 0.2, -0.1, -0.2, -0.05, 0.01, 0.02, True),),
        verdict="better",
        sentence="Better.",
        finalists=(Finalist("trial 3", 3, {"x": 0.5}, {"auc_morf": 0.1}),),
        warnings=("Look.",),
    )
    stored = json.loads(json.dumps(asdict(recommendation)))
    assert recommendation_from_json(stored) == recommendation


def test_reading_a_study_that_was_never_run_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has not been run here yet"):
        open_store(study_url(None, tmp_path, "s", tmp_path), "s")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_study_is_answered_with_those_that_are_there(store: Store, url: str) -> None:
    with pytest.raises(InputError, match=r"has no study 't'. Studies there: s\."):
        open_store(url, "t")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "is not a database URL"),
        ("mysql://me:secret@host/db", r"mysql://me:\*\*\*@host/db' is a mysql database"),
        ("postgresql://me:secret@127.0.0.1:9/db", r"me:\*\*\*@127.0.0.1:9/db' cannot be used"),
        ("postgresql://127.0.0.1:9/db?password=secret", r"password=hidden.*cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_quickly_and_without_its_password(
    url: str, text: str
) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=text) as caught:
        create_store(url, "s", ("minimize",))
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "optuna.db").write_text("no database" * 100)
    with pytest.raises(InputError, match="not a database"):
        create_store(study_url(None, tmp_path, "s", tmp_path), "s", ("minimize",))
