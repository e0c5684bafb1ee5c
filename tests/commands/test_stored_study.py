"""A study that version 0.1.0 stored, stopped after five of eight trials, goes on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from lrpsweep.commands.export import export_composite
from lrpsweep.commands.report import write_study_report
from lrpsweep.commands.run import run
from lrpsweep.results import StudyResults
from lrpsweep.study import StudySpec, load_study
from lrpsweep.sweep.study import load_results

WENT_ON: list[tuple[dict[str, object], float]] = [
    ({"rule": "gamma", "gamma1": 0.128140266, "gamma2": 0.0}, -1.34247587),
    ({"rule": "epsilon", "gamma1": 0.278517883, "eps": 0.331125003}, -1.74915693),
    ({"rule": "epsilon", "gamma1": 0.0, "eps": 0.373227711}, -0.866901405),
]
STORED = Path(__file__).parent.parent / "stored"


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return load_study(STORED / "half-run.yaml")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with the stored database."""
    folder: Path = tmp_path_factory.mktemp("runs")
    (folder / "half-run").mkdir()
    with sqlite3.connect(folder / "half-run" / "optuna.db") as database:
        database.executescript((STORED / "half-run.sql").read_text(encoding="utf-8"))
    return folder


@pytest.fixture(scope="module")
def before(spec: StudySpec, runs: Path) -> StudyResults:
    return load_results(spec, runs)


@pytest.fixture(scope="module")
def after(spec: StudySpec, runs: Path, before: StudyResults) -> StudyResults:
    return run(spec, runs, executor="local")


def test_its_trials_are_read_with_the_scores_of_their_objective(before: StudyResults) -> None:
    assert len(before.complete) == 5
    for trial in before.complete:
        assert trial.result is not None
        assert trial.result.objectives == ("srg",)
        assert trial.result.measures.keys() == {"srg"}
        assert trial.result.scores.shape == (4,)


def test_it_goes_on_with_the_trials_that_are_missing(
    before: StudyResults, after: StudyResults
) -> None:
    assert [trial.state for trial in after.trials] == ["complete"] * 8
    for old, new in zip(before.complete, after.complete, strict=False):
        assert old.result is not None
        assert new.result is not None
        assert (old.number, old.values) == (new.number, new.values)
        np.testing.assert_array_equal(old.result.scores, new.result.scores)
    assert after.recommendation is not None
    assert len(after.recommendation.comparisons) == 2


def test_its_new_trials_are_those_of_the_version_that_began_it(after: StudyResults) -> None:
    """What 0.1.0 found when it went on itself."""
    found = [(t.values, t.result.value) for t in after.trials[5:] if t.result is not None]
    for (values, value), (expected, score) in zip(found, WENT_ON, strict=True):
        assert values.keys() == expected.keys()
        for name, number in expected.items():
            assert values[name] == (
                number if isinstance(number, str) else pytest.approx(number, rel=1e-6)
            )
        assert value == pytest.approx(score, rel=1e-3)


def test_it_ends_in_report_and_export(
    spec: StudySpec, runs: Path, after: StudyResults, tmp_path: Path
) -> None:
    page = write_study_report(spec, runs, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "half-run" in page
    said = export_composite(spec, runs, tmp_path / "composite.json", unvalidated=True)
    assert "written" in said
    document = json.loads((tmp_path / "composite.json").read_text(encoding="utf-8"))
    assert document["provenance"]["spec_hash"] == after.spec_hash
