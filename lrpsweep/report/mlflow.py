"""MLflow: a picture of a study's results that can be drawn again from them at any time.

The only file that knows mlflow. A study is one parent run in an experiment of its name, each of
its trials a child run. Runs are found again by their tags, so publishing twice changes nothing,
and a trial that was published once is left alone.
"""

from __future__ import annotations

import json
import math
import os
import queue
import re
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from lrpsweep.errors import InputError
from lrpsweep.report.figures import draw_figures
from lrpsweep.report.page import render_page
from lrpsweep.report.scales import format_score, format_value, format_values
from lrpsweep.report.words import (
    correction_name,
    fewer_images,
    front_labels,
    interval_name,
    stability_sentence,
    stopped_after,
)
from lrpsweep.results import (
    Contender,
    Nomination,
    Recommendation,
    StudyResults,
    TrialRecord,
    TrialResult,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

SQLITE = "sqlite:///"
OUTCOME = (
    *("lrpsweep.verdict", "lrpsweep.recommended", "lrpsweep.nominee", "lrpsweep.front"),
    "recommended.",
)
"""How the tags begin that tell what came of a study: those of an earlier outcome are taken away."""
PUBLISHED = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SAME_NUMBER = 1e-11  # relative: values are written with 12 digits
BATCH = 800  # metrics a request: MLflow takes 1,000 entities, up to 100 of them params and tags


def default_uri(runs_dir: Path) -> str:
    """The SQLite store that the studies of a runs folder share."""
    return f"{SQLITE}{runs_dir.resolve() / 'mlflow.db'}"


def publish(results: StudyResults, *, tracking_uri: str) -> str:
    """Bring MLflow up to date with a study and return the id of its parent run.

    tracking_uri: 'sqlite:///PATH', with artifacts in 'mlflow-artifacts' beside it, or the address
    of a server. InputError if the store or the server cannot be used.
    """
    runs = _open(results, tracking_uri)
    try:
        for record in results.trials:
            runs.log_trial(record)
        runs.log_study(results)
    except OSError as error:
        raise InputError(f"{tracking_uri}: publishing '{results.name}' failed: {error}") from error
    return runs.parent


class Publisher:
    """Publishes trials while a study runs, on a thread of its own.

    `submit` and `finish` only put their work in a queue. Whatever goes wrong is told to `warn`
    once and forgotten, since `publish` can make up for it later: a tracking server that is down
    costs a sweep nothing.
    """

    def __init__(
        self, study: StudyResults, *, tracking_uri: str, warn: Callable[[str], None]
    ) -> None:
        """study: what is known before the trials; those it has already are not published."""
        self._study = study
        self._tracking_uri = tracking_uri
        self._warn = warn
        self._warned = False
        self._finished = False
        self._runs: _StudyRuns | None = None
        self._work: queue.SimpleQueue[TrialRecord | StudyResults | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="mlflow-publisher", daemon=True)
        self._thread.start()

    def submit(self, record: TrialRecord) -> None:
        """Publish a trial, some time soon."""
        self._work.put(record)

    def finish(self, results: StudyResults) -> None:
        """Publish all that is missing, and the figures, after what was submitted."""
        self._work.put(results)

    def close(self, timeout: float = 60.0) -> bool:
        """Wait for the queue to empty, at most `timeout` seconds; False if some was left.

        A study that was not finished is shown as killed, until it goes on.
        """
        self._work.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._complain(f"no answer within {timeout:g} s")
        return not self._warned

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            self._guarded(partial(self._publish, work))
        if self._runs is not None and not self._finished:
            self._guarded(self._runs.stop)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Nothing that a server does may reach the sweep."""
        try:
            if self._runs is not None:
                _check_reachable(self._tracking_uri)
            call()
        except Exception as error:
            self._complain(str(error))

    def _publish(self, work: TrialRecord | StudyResults) -> None:
        if isinstance(work, StudyResults):
            publish(work, tracking_uri=self._tracking_uri)
            self._finished = True
            return
        if self._runs is None:
            self._runs = _open(self._study, self._tracking_uri)
            self._runs.start()
        self._runs.log_trial(work)

    def _complain(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                f"MLflow at {self._tracking_uri} could not be brought up to date: {reason} "
                f"The study is not affected; `lrpsweep publish` makes up for it."
            )


def open_ui(tracking_uri: str, *, port: int = 5000) -> None:
    """Become MLflow's server for a store, on 127.0.0.1 until it is stopped; does not return.

    InputError if the store does not exist, if it is a server already, or if the port is taken.
    """
    if not tracking_uri.startswith(SQLITE):
        raise InputError(
            f"--tracking-uri: {tracking_uri} is not a local store (sqlite:///PATH). "
            f"A server shows its own pages: open that address in a browser."
        )
    database = _database(tracking_uri)
    if not database.is_file():
        raise InputError(
            f"{database}: there is no MLflow store here yet. `lrpsweep run` and "
            f"`lrpsweep publish` make one; --runs-dir says where."
        )
    _check_free(port)
    artifacts = _artifacts(tracking_uri).as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", tracking_uri]
    command += ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    print(f"MLflow: http://127.0.0.1:{port} (stop with Ctrl-C)", flush=True)
    quiet = QUIET | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    environment = quiet | dict(os.environ)
    os.execve(sys.executable, command, environment)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--port: {port} cannot be used on 127.0.0.1 ({error}). Take another."
            ) from error


def _database(tracking_uri: str) -> Path:
    return Path(tracking_uri.removeprefix(SQLITE)).absolute()


def _artifacts(tracking_uri: str) -> Path:
    return _database(tracking_uri).parent / "mlflow-artifacts"


def _open(study: StudyResults, tracking_uri: str) -> _StudyRuns:
    """The study's runs; whatever keeps the store from opening becomes an InputError."""
    _check_reachable(tracking_uri)
    try:
        client = _client(tracking_uri)
        return _StudyRuns(study, client, _experiment(client, study.name, tracking_uri))
    except InputError:
        raise
    except Exception as error:  # mlflow raises its own, SQLAlchemy's, requests' and the system's
        said = (str(error).splitlines() or [repr(error)])[0]
        raise InputError(
            f"{tracking_uri}: MLflow cannot use this store: {said} "
            f"Expected sqlite:///PATH or the address of a running MLflow server."
        ) from error


def _check_reachable(tracking_uri: str) -> None:
    """InputError within seconds, where mlflow itself would retry for minutes."""
    if tracking_uri.startswith(SQLITE):
        return
    if urlsplit(tracking_uri).scheme not in ("http", "https"):
        raise InputError(
            f"--tracking-uri: found '{tracking_uri}', expected sqlite:///PATH, http://HOST:PORT "
            f"or https://HOST. For other databases start `mlflow server` on them."
        )
    try:
        urllib.request.urlopen(tracking_uri.rstrip("/") + "/health", timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()  # an answer, even if it is no: somebody is there
    except OSError as error:
        raise InputError(
            f"--tracking-uri: the MLflow server {tracking_uri} cannot be reached: {error}"
        ) from error


def _client(tracking_uri: str) -> MlflowClient:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    if tracking_uri.startswith(SQLITE):
        _database(tracking_uri).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri, registry_uri=tracking_uri)


def _experiment(client: MlflowClient, name: str, tracking_uri: str) -> str:
    """The experiment 'lrpsweep/NAME', made if missing, taken out of the bin if it lies there."""
    local = tracking_uri.startswith(SQLITE)
    expected = _artifacts(tracking_uri).as_uri() if local else None
    title = f"lrpsweep/{name}"
    found = client.get_experiment_by_name(title)
    if found is None:
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI's runs, not prompts
        return str(client.create_experiment(title, artifact_location=expected, tags=tags))
    if local and found.artifact_location != expected:
        raise InputError(
            f"{_database(tracking_uri)}: this store keeps its artifacts in "
            f"{found.artifact_location}, expected {expected}. It seems to have been moved. "
            f"Delete it and publish again: it holds nothing that the studies do not."
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


class _StudyRuns:
    """The parent run of a study and the child runs of its trials, found again or made."""

    def __init__(self, study: StudyResults, client: MlflowClient, experiment: str) -> None:
        self.study = study
        self.client = client
        self.experiment = experiment
        self.parent = self._find_parent() or self._create_parent()
        self.children = {
            int(run.data.tags["lrpsweep.trial"]): (run.info.run_id, run.info.status)
            for run in self._search(f"tags.`mlflow.parentRunId` = '{self.parent}'")
            if "lrpsweep.trial" in run.data.tags
        }

    def start(self) -> None:
        """Show the study as running."""
        self.client.update_run(self.parent, status="RUNNING")
        self._share_view()

    def stop(self) -> None:
        """Show the study as stopped before its end."""
        self.client.set_terminated(self.parent, status="KILLED")

    def _share_view(self) -> None:
        """A view of the runs page with the trials best first and the columns that matter.

        MLflow's own hides child runs and all metrics. `_view_link` leads to it.
        """
        objectives = [(name, f"{name}_stderr") for name in self.study.objectives]
        metrics = (*chain.from_iterable(objectives), "hot_spot")
        view = {
            "searchFilter": f"tags.`mlflow.parentRunId` = '{self.parent}'",
            "orderByKey": f"metrics.`{_metric_name(self.study.objective)}`",
            "orderByAsc": self.study.direction == "minimize",
            "selectedColumns": [f"params.`{axis.name}`" for axis in self.study.axes]
            + [f"metrics.`{_metric_name(name)}`" for name in metrics],
        }
        key = f"mlflow.sharedViewState.{self._view()}"
        self.client.set_experiment_tag(self.experiment, key, json.dumps(view))

    def _view(self) -> str:
        return f"trials-{self.parent[:8]}"

    def _view_link(self) -> str:
        page = f"#/experiments/{self.experiment}/runs?workflowType=machine_learning"
        return f"[All trials, best first]({page}&viewStateShareKey={self._view()})"

    def _search(self, condition: str) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], condition, max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _find_parent(self) -> str | None:
        digest = re.sub(r"\W", "", self.study.spec_hash)
        found = list(self._search(f"tags.`lrpsweep.study_hash` = '{digest}'"))
        oldest = min(found, key=lambda run: run.info.start_time, default=None)
        return None if oldest is None else str(oldest.info.run_id)

    def _create_parent(self) -> str:
        tags = {
            "mlflow.source.name": "lrpsweep",
            "lrpsweep.study_hash": re.sub(r"\W", "", self.study.spec_hash),
            "lrpsweep.study": self.study.name,
        }
        run = self.client.create_run(self.experiment, tags=tags, run_name=self.study.name)
        return str(run.info.run_id)

    def log_trial(self, record: TrialRecord) -> None:
        """A finished trial as a finished run; nothing for others, or if it is there already."""
        run_id, status = self.children.get(record.number, (None, None))
        if record.state not in PUBLISHED or status in PUBLISHED.values():
            return
        end = _now()
        start = end - round(1000 * (record.seconds or 0))
        there: Mapping[str, str] = {}
        if run_id is None:
            run_id = self._create_child(record, start)
        else:
            there = self.client.get_run(run_id).data.params
        metrics = list(_trial_metrics(self.study.objectives, record, start))
        params = {k: v for k, v in record.values.items() if not _is_same(there.get(k), v)}
        self._log(run_id, metrics, params=params)
        status = PUBLISHED[record.state]
        self.client.set_terminated(run_id, status=status, end_time=end)
        self.children[record.number] = (run_id, status)

    def _create_child(self, record: TrialRecord, start: int) -> str:
        tags = {
            "mlflow.parentRunId": self.parent,
            "mlflow.source.name": "lrpsweep",
            "lrpsweep.trial": str(record.number),
        }
        name = f"trial {record.number:03d}"
        if record.literature is not None:
            tags["lrpsweep.trial.literature"] = record.literature
            name += f" = {record.literature}"
        if record.same_as is not None:
            tags["lrpsweep.same_as"] = str(record.same_as)
        if record.exceeded:
            tags["lrpsweep.exceeded"] = ", ".join(record.exceeded)
        if record.result is not None and record.result.unstable:
            tags["lrpsweep.unstable"] = record.result.unstable
            tags["mlflow.note.content"] = f"Unstable: {record.result.unstable}"
        if record.pruned is not None:
            tags["lrpsweep.pruned"] = stopped_after(record.pruned)
            about = f"{self.study.objective} ≈ {format_score(record.pruned.estimate)}"
            tags["mlflow.note.content"] = f"{tags['lrpsweep.pruned'].capitalize()}: {about}"
        if record.reason is not None:
            tags["lrpsweep.reason"] = record.reason
            tags["mlflow.note.content"] = f"Failed: {record.reason}"
        run = self.client.create_run(self.experiment, start, _cut(tags), name)
        self.children[record.number] = (str(run.info.run_id), "RUNNING")
        return str(run.info.run_id)

    def log_study(self, results: StudyResults) -> None:
        """Everything about the study as a whole, in place of what was there before."""
        self._share_view()
        tags = _study_tags(results)
        tags["mlflow.note.content"] = _note(results, self._view_link())
        run = self.client.get_run(self.parent)
        news = {k: v for k, v in _study_metrics(results).items() if run.data.metrics.get(k) != v}
        self._log(self.parent, list(_metrics(news, _now())), tags=tags)
        for tag in run.data.tags:
            if tag.startswith(OUTCOME) and tag not in tags:
                self.client.delete_tag(self.parent, tag)
        with tempfile.TemporaryDirectory(prefix="lrpsweep-") as folder:
            _write_artifacts(results, Path(folder))
            self.client.log_artifacts(self.parent, folder)
        status = _study_status(results)
        if run.info.status != status:
            self.client.set_terminated(self.parent, status=status)

    def _log(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """One request where it fits: params and tags travel with the first batch of metrics."""
        from mlflow.entities import Param, RunTag

        first = {
            "params": [Param(name, _written(value)) for name, value in (params or {}).items()],
            "tags": [RunTag(key, value) for key, value in _cut(tags or {}).items()],
        }
        self.client.log_batch(run_id, metrics[:BATCH], **first)
        for start in range(BATCH, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics[start : start + BATCH])


def _now() -> int:
    return time.time_ns() // 1_000_000


def _cut(tags: Mapping[str, str], longest: int = 4000) -> dict[str, str]:
    return {key: v if len(v) <= longest else v[:longest] + "…" for key, v in tags.items()}


def _written(value: Any) -> str:
    """A hyperparameter as text: numbers to 12 digits, as others differ by processor; zero is '0'.

    MLflow takes no other value for a parameter that it has.
    """
    if isinstance(value, float):
        value = float(f"{value:.12g}")
    return "0" if value == 0 and not isinstance(value, bool) else str(value)


def _is_same(text: str | None, value: Any) -> bool:
    """Whether a parameter that was published says this value, up to the last digits of a number."""
    if text is None:
        return False
    try:
        return math.isclose(float(text), value, rel_tol=SAME_NUMBER)
    except (TypeError, ValueError):
        return text == str(value)


def _metrics(values: Mapping[str, float], timestamp: int, step: int = 0) -> Iterator[Metric]:
    """Those that are finite: MLflow would store infinity as 1.8e308."""
    from mlflow.entities import Metric

    for key, value in values.items():
        if math.isfinite(value):
            yield Metric(_metric_name(key), float(value), timestamp, step)


def _metric_name(name: str) -> str:
    return re.sub(r"[^\w.\- :/]", "_", name)


def _trial_metrics(
    objectives: Sequence[str], record: TrialRecord, timestamp: int
) -> Iterator[Metric]:
    if record.seconds is not None:
        yield from _metrics({"seconds": record.seconds}, timestamp)
    if record.pruned is not None:  # under another name: not ranked with the complete trials
        estimate = {f"{objectives[0]}_estimate": record.pruned.estimate}
        yield from _metrics(estimate | {"images": record.pruned.images}, timestamp)
    if record.result is None:
        return
    yield from _metrics(_result_metrics(objectives, record.result), timestamp)
    for step, values in enumerate(_curve(record.result)):
        yield from _metrics(values, timestamp, step)


def _result_metrics(objectives: Sequence[str], result: TrialResult) -> dict[str, float]:
    return {
        **{name: float(np.mean(scores)) for name, scores in result.measures.items()},
        **{f"{name}_stderr": result.standard_error(name) for name in objectives},
        "hot_spot": result.hot_spot,
        **{f"balance/{part}": share for part, share in result.balance.items()},
        **{
            f"blocks/{block}/{part}": share
            for block, parts in result.blocks.items()
            for part, share in parts.items()
        },
        **{f"seconds/{part}": taken for part, taken in result.seconds.items()},
    }


def _curve(result: TrialResult) -> Iterable[dict[str, float]]:
    rows = zip(result.curve, result.curve_low, result.curve_high, result.flipped, strict=True)
    names = ("curve/mean", "curve/lower_quartile", "curve/upper_quartile", "curve/flipped")
    return (dict(zip(names, row, strict=True)) for row in rows)


def _study_status(results: StudyResults) -> str:
    """KILLED is what MLflow calls a run that was stopped before its end."""
    done = sum(record.state in PUBLISHED for record in results.trials)
    if done < results.planned:
        return "KILLED"
    return "FINISHED" if results.complete else "FAILED"


def _study_metrics(results: StudyResults) -> dict[str, float]:
    values: dict[str, float] = {
        "trials/complete": len(results.complete),
        "trials/stopped early": len(results.pruned),
        "trials/failed": sum(record.state == "failed" for record in results.trials),
        "trials/planned": results.planned,
    }
    for place, name in enumerate(results.objectives if results.complete else ()):
        best = results.ranked(place)[0]
        assert best.result is not None
        values[f"best/{name}"] = best.result.mean(name)
        if not results.several:
            values["best/trial"] = best.number
    if results.front is not None:
        values["front/members"] = len(results.front.members)
    if results.nomination is not None:
        values |= _nomination_metrics(results.nomination)
    if results.recommendation is not None:
        values |= _validation_metrics(results.objective, results.recommendation)
    return values


def _nomination_metrics(found: Nomination) -> dict[str, float]:
    values: dict[str, float] = {"nomination/candidates": found.candidates}
    values |= {f"range/{name}": value for name, value in found.ranges.items()}
    values |= {f"random order/{name}": value for name, value in found.random.items()}
    if found.stability is not None:
        values["stability/same"] = found.stability.same
        values["stability/region"] = found.stability.region
    return values


def _validation_metrics(objective: str, found: Recommendation) -> dict[str, float]:
    values = {f"validation/{objective}": found.mean}
    values |= {"validation/low": found.low, "validation/high": found.high}
    if found.bounds:
        values |= {"validation/look": found.look, "validation/level": found.level}
    for bound in found.bounds:
        values[f"bound/{bound.measure}: low"] = bound.low
        values[f"bound/{bound.measure}: percent"] = bound.low_percent
    for one in found.comparisons:
        values[f"difference/{one.baseline}"] = one.difference
        values[f"difference/{one.baseline}: low"] = one.low
        values[f"difference/{one.baseline}: high"] = one.high
    return values


def _study_tags(results: StudyResults) -> dict[str, str]:
    tags = {"lrpsweep.objective": ", ".join(results.objectives)}
    tags |= {f"lrpsweep.{_metric_name(k)}": str(v) for k, v in results.provenance.items()}
    found, nomination = results.recommendation, results.nomination
    if nomination is not None:
        tags["lrpsweep.nominee"] = nomination.nominee.label if nomination.nominee else "nothing"
    if results.front is not None:
        tags["lrpsweep.front"] = front_labels(results) or "nothing"
    if found is not None:
        tags["lrpsweep.verdict"] = found.verdict
        tags |= _recommended_tags(found.nominee)
    return tags


def _recommended_tags(one: Contender) -> dict[str, str]:
    tags = {f"recommended.{_metric_name(k)}": _written(v) for k, v in one.values.items()}
    if one.number is not None:
        tags["lrpsweep.recommended_trial"] = str(one.number)
    if one.published is not None:
        tags["lrpsweep.recommended_published"] = one.published
    return tags


def _note(results: StudyResults, link: str) -> str:
    """What the run's page says first, as Markdown; MLflow shows three lines and hides the rest."""
    found, nomination = results.recommendation, results.nomination
    ranked = results.ranked()
    if found is not None:
        lines = [f"**{found.verdict.capitalize()}.** {found.sentence}", link, *_details(found)]
    elif nomination is not None and nomination.nominee is not None:
        lines = [f"Nominated, not validated: {_named(nomination.nominee)}.", link]
    elif nomination is not None:
        lines = [f"**Nothing recommended.** {nomination.sentence}", link]
    elif results.front is not None:
        lines = [results.front.sentence, link, *_front_table(results)]
    elif ranked and ranked[0].result is not None:
        score = format_score(ranked[0].result.value)
        lines = [f"Best so far: trial {ranked[0].number}, {results.objective} {score}.", link]
    else:
        lines = ["No trial is complete.", link]
    if nomination is not None and nomination.nominee is not None:
        lines.append(nomination.sentence)
        lines += [stability_sentence(nomination.stability)] if nomination.stability else []
    lines.append("Figures, report, study file and composite are under *Artifacts*.")
    return "\n\n".join(lines)


def _front_table(results: StudyResults) -> Iterator[str]:
    """Nothing where the front has no member."""
    names, members = results.objectives, results.front.members if results.front else ()
    scored = [(one, results.result_of(one)) for one in members]
    rows = [
        " | ".join(["", one.label, *(format_score(found.mean(name)) for name in names), ""]).strip()
        for one, found in scored
        if found is not None
    ]
    head = [" | ".join(["", "front", *names, ""]).strip(), "| --- " * (len(names) + 1) + "|"]
    yield from ["\n".join([*head, *rows])] if rows else []


def _named(one: Contender) -> str:
    return f"{one.label}, {format_values(one.values)}" if one.values else one.label


def _details(found: Recommendation) -> Iterator[str]:
    if found.current:
        yield found.current
    yield from (f"**Warning.** {warning}" for warning in found.warnings)
    yield f"Recommended: {_named(found.nominee)}."
    if found.comparisons:
        yield _comparison_table(found)


def _comparison_table(found: Recommendation) -> str:
    head = f"| baseline | difference | {interval_name(found)} | p ({correction_name(found)}) |"
    rows = (
        f"| {one.baseline}{fewer_images(found, one.baseline)} | {format_score(one.difference)} | "
        f"{format_score(one.low)} to {format_score(one.high)} | {format_value(one.p_adjusted)} |"
        for one in found.comparisons
    )
    return "\n".join([head, "| --- | --- | --- | --- |", *rows])


def _write_artifacts(results: StudyResults, folder: Path) -> None:
    figures = draw_figures(results)
    (folder / "figures").mkdir()
    for name, png in figures.items():
        (folder / "figures" / f"{name}.png").write_bytes(png)
    (folder / "report.html").write_text(render_page(results, figures), encoding="utf-8")
    (folder / "study.yaml").write_text(results.spec_text, encoding="utf-8")
    if results.composite is not None:
        text = json.dumps(results.composite, indent=2, ensure_ascii=False)
        (folder / "composite.json").write_text(text + "\n", encoding="utf-8")
