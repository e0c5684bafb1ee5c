"""A study of several objectives, from its file to its front, report, MLflow and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fabricated import SMALL_STUDY

from lrpsweep.commands.compare import compare_studies
from lrpsweep.commands.describe import describe_study
from lrpsweep.commands.export import export_composite
from lrpsweep.commands.report import publish_study, write_study_report
from lrpsweep.commands.run import outcome_lines, run
from lrpsweep.commands.status import study_status
from lrpsweep.errors import InputError
from lrpsweep.report import draw_figures
from lrpsweep.results import StudyResults
from lrpsweep.study import StudySpec, parse_study
from lrpsweep.sweep.study import load_results
from lrpsweep.trial.context import prepare

CHANGES = (
    "version=2",
    "objective=[auc_lerf, auc_morf, hot_spot]",
    "floor=false",
    "sampler={name: nsga2, seed: 0}",
    "search.gamma1.points=null",
    "search.gamma2.points=null",
)


def several(*changes: str) -> StudySpec:
    return parse_study(SMALL_STUDY, Path("several.yaml"), [*CHANGES, *changes])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a study of twelve trials that was stopped after five, and one that was not."""
    folder: Path = tmp_path_factory.mktemp("runs")
    run(several("trials=5"), folder, executor="local")
    run(several("trials=12"), folder, executor="local")
    run(several("trials=12", "name=whole"), folder, executor="local")
    return folder


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return several("trials=12")


@pytest.fixture(scope="module")
def results(spec: StudySpec, runs: Path) -> StudyResults:
    return load_results(spec, runs)


@pytest.fixture(scope="module")
def member(results: StudyResults) -> int:
    """A trial on the front."""
    assert results.front is not None
    return next(one.number for one in results.front.members if one.number is not None)


def test_it_goes_on_as_if_nothing_had_happened(results: StudyResults, runs: Path) -> None:
    whole = load_results(several("trials=12", "name=whole"), runs)
    assert [t.values for t in whole.trials] == [t.values for t in results.trials]
    assert whole.front is not None
    assert results.front is not None
    assert whole.front.members == results.front.members


def test_published_composites_are_candidates_and_nothing_was_validated(
    results: StudyResults, runs: Path
) -> None:
    assert results.front is not None
    assert {"decreasing_gamma", "epsilon_gamma_box"} >= results.literature.keys()
    assert results.front.candidates == len(results.literature) + sum(
        trial.same_as is None for trial in results.complete
    )
    assert results.nomination is None
    assert results.recommendation is None
    assert not (runs / "small" / "composite.json").exists()


def test_the_console_shows_the_front_and_leaves_the_choice(
    results: StudyResults, runs: Path, member: int
) -> None:
    text = "\n".join(outcome_lines(results, runs))
    assert f"  trial {member}: auc_lerf " in text
    assert "you choose: `lrpsweep export small --trial N`." in text
    assert "Verdict" not in text
    status = study_status(several("trials=12"), runs)
    assert f"trial {member}" in status["front"]
    assert {"best auc_lerf", "best auc_morf", "best hot_spot"} <= status.keys()
    assert not {"nominee", "verdict"} & status.keys()


def test_the_page_has_table_and_figure_of_the_front(
    spec: StudySpec, results: StudyResults, runs: Path, tmp_path: Path
) -> None:
    assert "front" in draw_figures(results)
    page = write_study_report(spec, runs, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Yours to choose" in page
    assert "<code>lrpsweep export small --trial N</code>" in page
    assert "<h2>The front</h2>" in page
    assert "<h3>Pareto front</h3>" in page
    assert "Best by AUC (LeRF) (" in page
    assert "nominee" not in page.lower().split("<h2>study</h2>")[0].split("<h2>figures</h2>")[0]


def test_before_the_search_is_over_there_is_no_front(
    results: StudyResults, runs: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    from lrpsweep.report import render_page

    begun = replace(results, front=None, literature={}, random=None)
    assert "Not finished" in render_page(begun, draw_figures(begun))


def test_export_wants_a_trial_and_takes_it(
    spec: StudySpec, results: StudyResults, runs: Path, member: int, tmp_path: Path
) -> None:
    target = tmp_path / "composite.json"
    with pytest.raises(InputError, match=rf"Expected --trial, of the front's .*trial {member}"):
        export_composite(spec, runs, target)
    export_composite(spec, runs, target, trial=member)
    document = json.loads(target.read_text(encoding="utf-8"))
    assert document["provenance"]["trial"] == member
    assert not document["result"]["validated"]
    found = results.trials[member].result
    assert found is not None
    assert {one["name"]: one["mean"] for one in document["result"]["objectives"]} == {
        name: found.mean(name) for name in results.objectives
    }


def test_mlflow_has_every_objective_and_the_figure(
    spec: StudySpec, results: StudyResults, runs: Path, member: int, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    publish_study(spec, runs, uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("lrpsweep/small")
    found = client.search_runs([experiment.experiment_id])
    parent = next(run for run in found if "lrpsweep.front" in run.data.tags)
    assert f"trial {member}" in parent.data.tags["lrpsweep.front"]
    assert parent.data.tags["lrpsweep.objective"] == "auc_lerf, auc_morf, hot_spot"
    assert results.front is not None
    assert parent.data.metrics["front/members"] == len(results.front.members)
    assert "lrpsweep.nominee" not in parent.data.tags
    figures = [artifact.path for artifact in client.list_artifacts(parent.info.run_id, "figures")]
    assert "figures/front.png" in figures
    trial = next(run for run in found if run.data.tags.get("lrpsweep.trial") == str(member))
    record = results.trials[member].result
    assert record is not None
    for name in results.objectives:
        assert trial.data.metrics[name] == record.mean(name)
        assert trial.data.metrics[f"{name}_stderr"] == record.standard_error(name)


def test_studies_are_compared_by_the_first_objective_and_it_is_said(
    spec: StudySpec, runs: Path, tmp_path: Path
) -> None:
    studies = [spec, several("trials=12", "name=whole")]
    lines = compare_studies(studies, runs, tmp_path / "compare.png")
    assert any("small has several objectives (auc_lerf, auc_morf, hot_spot)" in s for s in lines)
    assert any("small − whole: 0.000" in line for line in lines)


def test_validate_says_from_what_to_choose(spec: StudySpec) -> None:
    facts = describe_study(prepare(spec))
    assert facts["yours to choose from"].startswith("the Pareto front of AUC (LeRF), AUC (MoRF)")
    assert not {"the nominee", "validation"} & facts.keys()
