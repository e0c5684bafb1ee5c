"""Against a real SQLite store and a real server; nothing of MLflow is replaced."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fabricated import (
    FAILED,
    LITERATURE,
    concluded_study,
    conditional_study,
    fabricate_study,
    raced_study,
)
from mlflow import MlflowClient

from lrpsweep.errors import InputError
from lrpsweep.report.mlflow import Publisher, default_uri, open_ui, publish
from lrpsweep.results import StudyResults, TrialRecord, TrialResult

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)
MARKS = ("lrpsweep.exceeded", "lrpsweep.unstable", "lrpsweep.same_as")
NUMBERS = (0, 1, FAILED, 39, 40)


def small_study(**changes: Any) -> StudyResults:
    study = fabricate_study()
    trials = tuple(study.trials[n] for n in NUMBERS)
    return dataclasses.replace(study, **{"trials": trials, "planned": len(trials), **changes})


def children(client: MlflowClient, parent: str) -> dict[int, Any]:
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    numbers = [int(run.data.tags["lrpsweep.trial"]) for run in found]
    assert len(set(numbers)) == len(numbers), "a trial was published twice"
    return dict(zip(numbers, found, strict=True))


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


@dataclasses.dataclass(frozen=True)
class Store:
    uri: str
    folder: Path
    elsewhere: Path
    study: StudyResults
    parent: str
    client: MlflowClient


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A study published from a folder in which nothing may appear."""
    folder = tmp_path_factory.mktemp("a place") / "runs"
    elsewhere = tmp_path_factory.mktemp("cwd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        uri = default_uri(folder)
        study = small_study()
        yield Store(
            uri, folder, elsewhere, study, publish(study, tracking_uri=uri), MlflowClient(uri)
        )


def test_a_trial_is_a_run_with_its_parameters_and_scores(store: Store) -> None:
    run = children(store.client, store.parent)[40]
    record = next(t for t in store.study.trials if t.number == 40)
    assert record.result is not None
    written = {k: float(v) for k, v in run.data.params.items()}
    assert written == pytest.approx(record.values, rel=1e-11)
    assert run.data.metrics["auc_morf"] == record.result.value
    assert run.data.metrics["auc_morf_stderr"] == record.result.stderr
    assert run.data.metrics["balance/bias"] == 0.11
    assert run.data.metrics["seconds/flip"] == 0.42
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "trial 040 = LRP-Tutorial"
    assert run.data.tags["lrpsweep.trial.literature"] == "LRP-Tutorial"
    assert run.info.end_time - run.info.start_time == 700


def test_the_perturbation_curve_is_a_metric_by_step(store: Store) -> None:
    run = children(store.client, store.parent)[39]
    record = next(t for t in store.study.trials if t.number == 39)
    assert record.result is not None
    curve = history(store.client, run.info.run_id, "curve/mean")
    assert curve == list(enumerate(record.result.curve.tolist()))
    flipped = history(store.client, run.info.run_id, "curve/flipped")
    assert flipped == list(enumerate(record.result.flipped.tolist()))


def test_a_failed_trial_is_a_failed_run_with_its_reason(store: Store) -> None:
    run = children(store.client, store.parent)[FAILED]
    assert run.info.status == "FAILED"
    assert run.data.tags["lrpsweep.reason"] == "the logit of image 4 is NaN"
    assert "auc_morf" not in run.data.metrics
    assert set(run.data.params) == {"early.gamma", "late.gamma"}


def test_a_stopped_trial_is_a_killed_run_with_an_estimate(tmp_path: Path) -> None:
    """Under another name than the objective: MLflow ranks by that."""
    raced = raced_study(["early.gamma", "late.gamma"], number=12)
    uri = default_uri(tmp_path)
    client = MlflowClient(uri)
    parent = publish(raced, tracking_uri=uri)
    (stopped, *_) = raced.pruned
    assert stopped.pruned is not None
    run = children(client, parent)[stopped.number]
    assert run.info.status == "KILLED"
    assert run.data.metrics == {
        "auc_morf_estimate": stopped.pruned.estimate,
        "images": stopped.pruned.images,
        "seconds": 0.2,
    }
    words = f"topped early after {stopped.pruned.images} images"
    assert run.data.tags["lrpsweep.pruned"] == f"s{words}"
    assert run.data.tags["mlflow.note.content"].startswith(f"S{words}: auc_morf ≈ ")
    study = client.get_run(parent)
    assert study.info.status == "FINISHED", "a stopped trial is over"
    assert study.data.metrics["trials/stopped early"] == len(raced.pruned)
    publish(raced, tracking_uri=uri)
    assert len(history(client, run.info.run_id, "auc_morf_estimate")) == 1


def test_absent_values_blocks_and_what_is_wrong_with_a_trial_are_published(tmp_path: Path) -> None:
    study = conditional_study()
    trials = tuple(study.trials[n] for n in (2, 7, 20))
    few = dataclasses.replace(study, trials=trials, illustrations=None)
    uri = default_uri(tmp_path)
    client = MlflowClient(uri)
    runs = {
        number: run.data for number, run in children(client, publish(few, tracking_uri=uri)).items()
    }
    assert set(runs[2].params) == {"early.gamma", "rule"}
    assert set(runs[7].params) == {"early.gamma", "rule", "late.epsilon"}
    assert runs[2].metrics["blocks/late/hot_spot"] == 0.11
    marks = {
        number: {k: v for k, v in run.tags.items() if k in MARKS} for number, run in runs.items()
    }
    assert marks == {
        2: {},
        7: {
            "lrpsweep.exceeded": "hot_spot",
            "lrpsweep.unstable": "features.12: R is 4e9 times its input",
        },
        20: {"lrpsweep.same_as": "2"},
    }


def test_zero_is_written_as_zero(store: Store) -> None:
    run = children(store.client, store.parent)[0]
    assert run.data.params == {"early.gamma": "0", "late.gamma": "0"}


def test_the_parent_run_carries_verdict_and_recommendation(store: Store) -> None:
    run = store.client.get_run(store.parent)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "quickstart"
    assert run.data.tags["lrpsweep.verdict"] == "not better"
    assert float(run.data.tags["recommended.early.gamma"]) == pytest.approx(10**-0.8)
    assert "EpsilonGammaBox is as good" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics["best/trial"] == 39
    assert run.data.metrics["validation/auc_morf"] == 3.4
    assert run.data.metrics["difference/LRP-Tutorial: low"] == -0.55
    assert run.data.metrics["trials/failed"] == 1


def published_run(study: StudyResults, uri: str) -> Any:
    few = tuple(trial for trial in study.trials if trial.number in NUMBERS)
    small = dataclasses.replace(study, trials=few, planned=len(few), illustrations=None)
    return MlflowClient(uri).get_run(publish(small, tracking_uri=uri)).data


def test_nomination_and_statement_are_published(tmp_path: Path) -> None:
    study = concluded_study(current="Better than what you use today (epsilon_plus).", look=2)
    assert study.nomination is not None
    assert study.nomination.stability is not None
    data = published_run(study, default_uri(tmp_path))
    assert data.tags["lrpsweep.nominee"] == "trial 39"
    assert data.tags["lrpsweep.verdict"] == "better"
    assert data.tags["lrpsweep.recommended_trial"] == "39"
    assert data.metrics["stability/same"] == study.nomination.stability.same
    assert data.metrics["range/srg"] == study.nomination.ranges["srg"]
    assert data.metrics["validation/look"] == 2
    assert study.recommendation is not None
    (bound, guard) = study.recommendation.bounds
    assert data.metrics["bound/srg: low"] == bound.low
    assert data.metrics["bound/auc_morf: percent"] == guard.low_percent
    note = data.tags["mlflow.note.content"]
    for words in (study.recommendation.sentence, "today", "99 % interval | p (Hochberg)"):
        assert words in note


def test_tags_of_an_earlier_outcome_are_taken_away(tmp_path: Path) -> None:
    uri = default_uri(tmp_path)
    assert "recommended.early.gamma" in published_run(concluded_study(), uri).tags
    published = concluded_study({**LITERATURE, "epsilon_gamma_box": 1.2}, validated=1.2)
    tags = published_run(published, uri).tags
    assert tags["lrpsweep.recommended_published"] == "epsilon_gamma_box"
    assert not {"lrpsweep.recommended_trial", "recommended.early.gamma"} & tags.keys()
    tags = published_run(concluded_study(chance=0.6), uri).tags
    assert tags["lrpsweep.nominee"] == "nothing"
    assert "lrpsweep.verdict" not in tags
    assert tags["mlflow.note.content"].startswith("**Nothing recommended.** None of the 51")


def test_a_nominee_that_was_not_compared_is_published_as_such(tmp_path: Path) -> None:
    tags = published_run(concluded_study(validated=None), default_uri(tmp_path)).tags
    assert tags["mlflow.note.content"].startswith("Nominated, not validated: trial 39, early.gamma")
    assert "lrpsweep.verdict" not in tags


def test_a_view_with_the_trials_best_first_is_linked_from_the_parent_run(store: Store) -> None:
    run = store.client.get_run(store.parent)
    experiment = store.client.get_experiment(run.info.experiment_id)
    (key,) = (k for k in experiment.tags if k.startswith("mlflow.sharedViewState.trials-"))
    view = json.loads(experiment.tags[key])
    found = store.client.search_runs(
        [experiment.experiment_id],
        view["searchFilter"],
        order_by=[f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"],
    )
    best_first = [t.number for t in store.study.ranked()]
    assert [int(r.data.tags["lrpsweep.trial"]) for r in found][:4] == best_first
    assert view["selectedColumns"][:2] == ["params.`early.gamma`", "params.`late.gamma`"]
    link = f"viewStateShareKey={key.removeprefix('mlflow.sharedViewState.')})"
    assert link in run.data.tags["mlflow.note.content"]


def test_figures_report_study_and_composite_are_artifacts(store: Store) -> None:
    names = {file.path for file in store.client.list_artifacts(store.parent)}
    assert names == {"figures", "report.html", "study.yaml", "composite.json"}
    figures = {Path(f.path).stem for f in store.client.list_artifacts(store.parent, "figures")}
    assert {"contour", "slices", "curves", "heatmaps", "heatmap_grid", "distribution"} <= figures
    folder = store.folder / "mlflow-artifacts" / store.parent / "artifacts"
    assert json.loads((folder / "composite.json").read_text()) == store.study.composite
    assert (folder / "study.yaml").read_text() == store.study.spec_text
    assert (folder / "figures" / "contour.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_written_elsewhere(store: Store) -> None:
    assert list(store.elsewhere.iterdir()) == []
    assert {p.name for p in store.folder.iterdir()} == {"mlflow.db", "mlflow-artifacts"}


def test_publishing_again_changes_nothing_and_adds_what_is_new(store: Store) -> None:
    study = small_study(name="grown", illustrations=None)
    first = publish(study, tracking_uri=store.uri)
    before = children(store.client, first)
    grown = dataclasses.replace(
        study, trials=(*study.trials, fabricate_study().trials[41]), planned=9
    )
    assert publish(grown, tracking_uri=store.uri) == first
    after = children(store.client, first)
    assert set(after) == {*NUMBERS, 41}
    for number, run in before.items():
        assert after[number].info.run_id == run.info.run_id
        assert after[number].data.to_dictionary() == run.data.to_dictionary()
        assert after[number].info.end_time == run.info.end_time
    assert len(history(store.client, before[39].info.run_id, "curve/mean")) == 17
    assert history(store.client, first, "validation/auc_morf") == [(0, 3.4)]
    assert store.client.get_run(first).info.status == "KILLED", "4 trials are still to come"


def test_another_study_of_the_same_name_gets_its_own_run(store: Store) -> None:
    other = small_study(spec_hash="b" * 64, trials=(), recommendation=None, illustrations=None)
    assert publish(other, tracking_uri=store.uri) != store.parent


@pytest.mark.parametrize(
    "published", ["0.15848931924611143", "0.1584893192461114", "0.158489319246"]
)
def test_a_trial_whose_publishing_was_cut_off_is_completed(store: Store, published: str) -> None:
    """On whatever processor: numpy gives the last digit otherwise on some."""
    study = small_study(
        name=f"cut-{len(published)}", trials=(), illustrations=None, recommendation=None
    )
    parent = publish(study, tracking_uri=store.uri)
    experiment = store.client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent, "lrpsweep.trial": "39"}
    cut = store.client.create_run(experiment, tags=tags)
    store.client.log_param(cut.info.run_id, "early.gamma", published)
    record = fabricate_study().trials[39]
    publish(dataclasses.replace(study, trials=(record,)), tracking_uri=store.uri)
    (run,) = children(store.client, parent).values()
    assert run.info.run_id == cut.info.run_id
    assert run.info.status == "FINISHED"
    assert set(run.data.params) == {"early.gamma", "late.gamma"}
    assert run.data.params["early.gamma"] == published


def test_a_cut_off_trial_of_another_point_is_not_taken_for_this_one(store: Store) -> None:
    study = small_study(name="other", trials=(), illustrations=None, recommendation=None)
    parent = publish(study, tracking_uri=store.uri)
    experiment = store.client.get_run(parent).info.experiment_id
    tags = {"mlflow.parentRunId": parent, "lrpsweep.trial": "39"}
    cut = store.client.create_run(experiment, tags=tags)
    store.client.log_param(cut.info.run_id, "early.gamma", "0.1585")
    record = fabricate_study().trials[39]
    with pytest.raises(Exception, match=r"0\.1585"):
        publish(dataclasses.replace(study, trials=(record,)), tracking_uri=store.uri)


def awkward(result: TrialResult) -> TrialResult:
    curve = result.curve.copy()
    curve[3] = math.inf
    return dataclasses.replace(
        result, measures={"auc_morf": result.scores[:1]}, curve=curve, balance={"bias": -math.inf}
    )


def test_metrics_that_are_not_finite_are_left_out(store: Store) -> None:
    record = fabricate_study().trials[39]
    assert record.result is not None
    values = {"early.gamma": math.inf, "late.rule": "z_plus", "flag": False}
    odd = TrialRecord(3, "complete", values, result=awkward(record.result))
    study = small_study(name="odd", trials=(odd,), axes=(), illustrations=None)
    run = children(store.client, publish(study, tracking_uri=store.uri))[3]
    assert "auc_morf_stderr" not in run.data.metrics
    assert "balance/bias" not in run.data.metrics
    assert [s for s, _ in history(store.client, run.info.run_id, "curve/mean")] == [
        s for s in range(17) if s != 3
    ]
    assert run.data.params == {"early.gamma": "inf", "late.rule": "z_plus", "flag": "False"}


def test_hostile_and_long_names_are_published(store: Store) -> None:
    found = fabricate_study().recommendation
    assert found is not None
    comparison = dataclasses.replace(found.comparisons[0], baseline="ε = ∞; <b>'\"`", images=16)
    study = small_study(
        name="it's `odd` \" é",
        trials=(TrialRecord(0, "failed", {"a": 1.0}, reason="x" * 20_000),),
        axes=(),
        illustrations=None,
        recommendation=dataclasses.replace(found, comparisons=(comparison,)),
    )
    first = publish(study, tracking_uri=store.uri)
    assert publish(study, tracking_uri=store.uri) == first
    note = store.client.get_run(first).data.tags["mlflow.note.content"]
    assert "| ε = ∞; <b>'\"` (16 images) |" in note


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_publisher_shows_trials_while_the_study_runs_and_when_it_was_stopped(
    store: Store,
) -> None:
    study = small_study(name="live", illustrations=None)
    said: list[str] = []
    publisher = Publisher(
        dataclasses.replace(study, trials=(), recommendation=None),
        tracking_uri=store.uri,
        warn=said.append,
    )
    started = time.perf_counter()
    for record in study.trials[:3]:
        publisher.submit(record)
    assert (time.perf_counter() - started) / 3 < 0.001
    wait_until(lambda: publisher._work.empty() and publisher._runs is not None)
    (experiment,) = [e for e in store.client.search_experiments() if e.name == "lrpsweep/live"]
    (parent,) = store.client.search_runs(
        [experiment.experiment_id], "tags.`lrpsweep.study` = 'live'"
    )
    assert parent.info.status == "RUNNING"
    assert publisher.close()
    assert store.client.get_run(parent.info.run_id).info.status == "KILLED"
    assert set(children(store.client, parent.info.run_id)) == set(NUMBERS[:3])

    again = Publisher(study, tracking_uri=store.uri, warn=said.append)
    again.submit(study.trials[3])
    again.finish(study)
    assert again.close()
    assert set(children(store.client, parent.info.run_id)) == set(NUMBERS)
    assert store.client.get_run(parent.info.run_id).info.status == "FINISHED"
    assert said == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_down_is_told_once_and_costs_nothing() -> None:
    said: list[str] = []
    study = small_study()
    publisher = Publisher(study, tracking_uri=f"http://127.0.0.1:{free_port()}", warn=said.append)
    for record in study.trials:
        publisher.submit(record)
    publisher.finish(study)
    assert not publisher.close(timeout=20)
    assert len(said) == 1
    assert "cannot be reached" in said[0]
    assert "lrpsweep publish" in said[0]


def test_a_server_that_does_not_answer_does_not_hold_up_the_end() -> None:
    said: list[str] = []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        publisher = Publisher(small_study(), tracking_uri=uri, warn=said.append)
        publisher.submit(small_study().trials[0])
        started = time.perf_counter()
        assert not publisher.close(timeout=0.3)
        assert time.perf_counter() - started < 3
        assert "no answer within 0.3 s" in said[0]


def get(url: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: bytes = answer.read()
    return found


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[str]:
    """`open_ui` on the store, as `lrpsweep ui` calls it, in a process of its own."""
    port = free_port()
    code = "import sys; from lrpsweep.report.mlflow import open_ui\n"
    code += "open_ui(sys.argv[1], port=int(sys.argv[2]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, store.uri, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(30)
        with pytest.raises(ProcessLookupError):  # no worker is left behind
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, "the server has stopped"
        try:
            get(f"{address}/health")
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the server did not start")


def test_the_ui_serves_its_pages(server: str) -> None:
    page = get(server).decode()
    assert "<title>MLflow</title>" in page
    script = page.split('src="')[1].split('"')[0].removeprefix("./")
    assert len(get(f"{server}/{script}")) > 10_000


def test_the_api_finds_the_runs_and_their_curves(server: str, store: Store) -> None:
    api = f"{server}/api/2.0/mlflow"
    experiment = store.client.get_run(store.parent).info.experiment_id
    body = {"experiment_ids": [experiment], "filter": "tags.`lrpsweep.trial` = '39'"}
    (run,) = json.loads(get(f"{api}/runs/search", body))["runs"]
    metrics = {m["key"]: m["value"] for m in run["data"]["metrics"]}
    record = next(t for t in store.study.trials if t.number == 39)
    assert record.result is not None
    assert metrics["auc_morf"] == record.result.value
    query = urllib.parse.urlencode({"run_id": run["info"]["run_id"], "metric_key": "curve/mean"})
    points = json.loads(get(f"{api}/metrics/get-history?{query}"))["metrics"]
    assert [p["value"] for p in points] == record.result.curve.tolist()
    query = urllib.parse.urlencode({"run_uuid": store.parent, "path": "figures/contour.png"})
    assert get(f"{server}/get-artifact?{query}").startswith(b"\x89PNG")


def test_publishing_through_a_server_is_the_same_and_silent(
    server: str, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    study = small_study(name="over http", illustrations=None)
    parent = publish(study, tracking_uri=server)
    assert publish(study, tracking_uri=server) == parent
    assert capfd.readouterr() == ("", "")
    assert set(children(store.client, parent)) == set(NUMBERS)
    assert {f.path for f in store.client.list_artifacts(parent)} >= {"figures", "report.html"}
    assert list(store.elsewhere.iterdir()) == []


@pytest.mark.parametrize("uri", ["postgresql://host/db", "file:///tmp/x", "runs", "http//x"])
def test_other_stores_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="expected sqlite:///PATH"):
        publish(small_study(), tracking_uri=uri)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match="cannot use this store"):
        publish(small_study(), tracking_uri=default_uri(tmp_path))


def test_a_store_that_was_moved_is_refused_with_a_way_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes((store.folder / "mlflow.db").read_bytes())
    with pytest.raises(InputError, match="Delete it and publish again"):
        publish(store.study, tracking_uri=default_uri(tmp_path))


def test_the_ui_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no MLflow store here yet"):
        open_ui(default_uri(tmp_path))
    with pytest.raises(InputError, match="open that address in a browser"):
        open_ui("http://127.0.0.1:5000")


def test_a_taken_port_is_refused(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="Take another"):
            open_ui(store.uri, port=taken.getsockname()[1])
