"""A study from its first trial to its recommendation: ask, run, tell, and begin where it ended."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lrpsweep.errors import InputError, WorkError
from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Directions, StudyResults, TrialRecord
from lrpsweep.study import StudySpec, axes, difference, parse_study, write_study
from lrpsweep.sweep.execution import (
    Build,
    Executor,
    Job,
    JobSource,
    Outcome,
    Resources,
    local_executor,
    ray_executor,
)
from lrpsweep.sweep.lease import LeaseLostError, hold
from lrpsweep.sweep.points import Meaning, Point, planned_trials
from lrpsweep.sweep.preparation import Preparation
from lrpsweep.sweep.search import (
    Estimate,
    Observer,
    Progress,
    Silent,
    Stage,
    TrialSource,
)
from lrpsweep.sweep.storage import (
    SCORED_STEPS,
    NoStudyError,
    Store,
    begun_on,
    create_store,
    exceeded,
    now,
    open_store,
    read_results,
    study_url,
)
from lrpsweep.sweep.validation import (
    TYPICAL_DEVIATION,
    Conclusion,
    Proof,
    paired_deviation,
    power,
    scorings_left,
)

ExecutorName = Literal["ray", "local"]
REASONS_SHOWN = 3
TRIALS_FOR_POWER = 10


class SweepFailedError(WorkError):
    """The work could not be done: says why."""


class SweepInterruptedError(WorkError):
    """A signal stopped the run; says how to go on."""


def as_they_are(values: Mapping[str, Any]) -> Hashable:
    """A composite for each point, where nothing more is known of them."""
    return tuple(values.items())


@dataclass(frozen=True)
class Plan:
    """What the driver knows of a study before its first trial.

    directions: of the objectives. identity, spec_hash: of `spec.identity`. literature: the
    published points in the space, as values by name. starts: points that are tried before these.
    proof: what the nominee is chosen from and tested against. build: makes a worker's runner; it
    travels to the workers. meaning: equal for the values of points at which every layer has the
    same rule: one of them is computed. device: as decided. provenance: anything worth keeping, as
    JSON values.
    """

    spec: StudySpec
    directions: Directions
    identity: Mapping[str, Any]
    spec_hash: str
    proof: Proof
    build: Build
    literature: Mapping[str, Point] = field(default_factory=dict)
    starts: Sequence[Point] = ()
    meaning: Meaning = as_they_are
    device: str = "cpu"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trials(self) -> int:
        """As `planned_trials`."""
        return planned_trials(self.spec, self.literature, self.starts)


def decide_device(requested: str, address: str | None = None) -> str:
    """'cpu' or 'cuda' for `run.device`; on a cluster, whether one of its nodes has a GPU.

    Raises InputError when 'cuda' is asked for and there is none.
    """
    if requested == "cpu":
        return "cpu"
    if address is None:
        import torch

        found = torch.cuda.is_available()
    else:
        from lrpsweep.sweep.execution import cluster_has_gpu

        found = cluster_has_gpu(address)
    if requested == "cuda" and not found:
        raise InputError(
            "run.device: 'cuda' was asked for, but "
            f"{'this machine' if address is None else 'the cluster'} has no usable GPU; expected "
            "'auto' or 'cpu'."
        )
    return "cuda" if found else "cpu"


def load_results(spec: StudySpec, runs_dir: Path) -> StudyResults:
    """What the database says about a study; no trial is run. Raises InputError as `open_store`."""
    store = open_store(_url(spec, runs_dir), spec.name)
    with contextlib.closing(store):
        if store.get("identity") is None:
            raise InputError(f"study '{spec.name}': has been created, but no trial of it was run.")
        return read_results(store)


def images_begun_on(spec: StudySpec, runs_dir: Path) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """As `StudyResults.begun_on`; nothing for a study that has no trial yet."""
    try:
        store = open_store(_url(spec, runs_dir), spec.name)
    except NoStudyError:
        return {}
    with contextlib.closing(store):
        return begun_on(store.facts) if store.history() else {}


def _url(spec: StudySpec, runs_dir: Path) -> str:
    return study_url(spec.run.storage, runs_dir, spec.name, spec.base)


def planned_results(plan: Plan) -> StudyResults:
    """What is known of a study before its trials."""
    spec = plan.spec
    return StudyResults(
        name=spec.name,
        objectives=spec.objectives,
        directions=plan.directions,
        trials=(),
        planned=plan.trials,
        axes=axes(spec.search),
        spec_text=spec.text,
        spec_hash=plan.spec_hash,
        provenance=plan.provenance,
    )


def run_study(
    plan: Plan,
    *,
    runs_dir: Path,
    address: str | None = None,
    takeover: bool = False,
    retry_failed: bool = False,
    executor: ExecutorName = "ray",
    observer: Observer | None = None,
) -> StudyResults:
    """Runs what is left of a study: trials up to the planned total, then the validation.

    retry_failed: the points of failed trials are run anew, as new trials beside the planned ones.

    Raises InputError when another driver holds the study, when it was changed since its first
    trial, or when database or cluster cannot be reached; LeaseLostError when another driver took it
    over; SweepInterruptedError after a signal; SweepFailedError when a worker cannot be set up or
    no trial has a result.
    """
    spec, planned = plan.spec, plan.trials
    store = create_store(_url(spec, runs_dir), spec.name, plan.directions)
    with contextlib.closing(store), hold(store, takeover=takeover):
        _check_identity(store, plan, runs_dir)
        if retry_failed:
            store.retry_failed()
        _write_facts(store, plan, planned, runs_dir)
        store.release()
        try:
            _run(store, plan, address, executor, observer or Silent())
        finally:
            with contextlib.suppress(LeaseLostError):
                store.release()
        return read_results(store)


def _check_identity(store: Store, plan: Plan, runs_dir: Path) -> None:
    """A study that has begun may not change; before its first trial, it may."""
    stored = store.get("identity")
    if stored is None:
        return
    if not store.history():
        if difference(stored, plan.identity):
            _forget_scores(store)
        return
    changed = difference(stored, plan.identity)
    if changed:
        raise InputError(
            f"{plan.spec.path}: study '{store.name}' was changed after its first trial, so its "
            "trials could not be compared: " + "; ".join(changed) + ". Expected the study as it "
            f"was, which is kept as {runs_dir / plan.spec.name / 'study.yaml'}; give the changed "
            "one another name."
        )


def _forget_scores(store: Store) -> None:
    """What was found out before the first trial says nothing of a study that was changed since."""
    for name in store.facts:
        if name == SCORED_STEPS or name.startswith("scores "):
            store.set(name, None)


def _write_facts(store: Store, plan: Plan, planned: int, runs_dir: Path) -> None:
    spec = plan.spec
    facts = {
        "identity": plan.identity,
        "spec_hash": plan.spec_hash,
        "spec_text": spec.text,
        "objective": _alone(spec.objectives),
        "direction": _alone(plan.directions),
        "axes": [asdict(axis) for axis in axes(spec.search)],
        "planned": planned + store.retries(),
        "provenance": {"started": now(), "device": plan.device, **plan.provenance},
    }
    for name, value in facts.items():
        if store.get(name) != value and not (name == "provenance" and store.get(name)):
            store.set(name, value)
    folder = runs_dir / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    url = _url(spec, runs_dir)
    if spec.run.storage not in (None, url):  # it has to be found from that folder, too
        spec = parse_study(spec.text, spec.path, [f"run.storage={json.dumps(url)}"])
    write_study(spec, folder / "study.yaml")


def _alone(values: Sequence[str]) -> Any:
    """The inverse of `sweep.storage.listed`."""
    return values[0] if len(values) == 1 else list(values)


def _run(
    store: Store, plan: Plan, address: str | None, executor: ExecutorName, observer: Observer
) -> None:
    run = _Run(store, plan, observer)
    if run.search.remaining == 0:
        run.check_some_succeeded()
    if not run.anything_left:
        return
    with _executor(plan, address, executor) as workers:
        run.workers = workers.workers
        observer.started(
            f"{run.search.remaining} trials to run on {run.workers} "
            f"{'worker' if run.workers == 1 else 'workers'} ({plan.device})"
        )
        lag = plan.spec.economy.lag
        if lag is not None and run.workers > max(1, lag) and run.search.remaining:
            observer.started(
                f"economy.lag is {lag}: a trial waits for all but the {lag} before it, so some of "
                f"the {run.workers} workers will stand still; expected at most {max(1, lag)}."
            )
        done = workers.run(_Stages(run.stages()), plan.build)
    if not done:
        raise SweepInterruptedError(
            f"study '{store.name}' was stopped; {run.complete} of "
            f"{run.planned} trials are done and kept. The same command goes on with the rest."
        )


@contextlib.contextmanager
def _executor(plan: Plan, address: str | None, name: ExecutorName) -> Iterator[Executor]:
    asked = plan.spec.run
    if name == "local":
        with local_executor() as local:
            yield local
        return
    gpus = asked.gpus or (1.0 if plan.device == "cuda" else 0.0)
    with ray_executor(Resources(asked.cpus, gpus, asked.workers), address) as workers:
        yield workers


class _Stages:
    """One source after another; the next begins when the one before has all its outcomes."""

    def __init__(self, stages: Iterator[JobSource]) -> None:
        self._stages = stages
        self._current = next(stages, None)

    @property
    def finished(self) -> bool:
        """As `JobSource.finished`."""
        return self._current is None

    def next(self) -> Job | None:
        """As `JobSource.next`."""
        while self._current is not None:
            task = self._current.next()
            if task is not None or not self._current.finished:
                return task
            self._current = next(self._stages, None)
        return None

    def done(self, task: Job, outcome: Outcome) -> None:
        """As `JobSource.done`. A worker that cannot be set up is no trial's fault: none is told."""
        if not outcome.built:
            raise SweepFailedError(
                f"worker {outcome.worker} could not be set up: {outcome.reason}. No trial was "
                "counted as failed; the same command goes on."
            )
        assert self._current is not None
        self._current.done(task, outcome)


class _Run:
    """One run of a study: its two stages, and what is said about them on the way."""

    def __init__(self, store: Store, plan: Plan, observer: Observer) -> None:
        self._store = store
        self._plan = plan
        self._observer = observer
        self._spent: list[float] = []
        self._scored: list[np.ndarray] = []
        self._timed_at = 0.0
        self.workers = 1
        self.search = TrialSource(
            store,
            plan.spec,
            plan.literature,
            plan.proof.method,
            plan.meaning,
            self._searched,
            plan.starts,
        )
        self.planned = plan.trials + store.retries()

    @property
    def anything_left(self) -> bool:
        """Trials to run, or a conclusion that is missing or older than what it is drawn from."""
        return self.search.remaining > 0 or self._unconcluded

    @property
    def _unconcluded(self) -> bool:
        proof, version = self._plan.proof, self._plan.spec.version
        if version == 1 and not (proof.baselines and proof.images("validation")):
            return False
        before = self._store.get("validated_trials") if version == 1 else None
        return self._concluded not in (self._store.get("concluded"), before)

    @property
    def _concluded(self) -> Any:
        """What the conclusion is drawn from."""
        if self._plan.spec.version == 1:
            return self.complete
        return self._plan.proof.digest(self.complete)

    @property
    def complete(self) -> int:
        """How many trials have a result."""
        return sum(trial.state == "complete" for trial in self.search.history)

    def check_some_succeeded(self) -> None:
        """A search without a single result has failed; its reasons, the most frequent first."""
        if self.complete:
            return
        reasons = self._store.failures()
        ranked = sorted(set(reasons), key=lambda text: (-reasons.count(text), text))
        shown = "; ".join(f"{text} ({reasons.count(text)})" for text in ranked[:REASONS_SHOWN])
        raise SweepFailedError(
            f"all {len(reasons)} trials failed: {shown}. Once the cause is gone, --retry-failed "
            "runs them anew."
        )

    def stages(self) -> Iterator[JobSource]:
        """The search, then what is concluded from it."""
        if self.search.remaining:
            ahead = Preparation(self._store, self._plan, self._watched, self._observer.started)
            try:
                self.search.terms = yield from ahead.terms()
            except WorkError as error:
                raise SweepFailedError(f"study '{self._store.name}': {error}") from error
        yield self.search
        self.check_some_succeeded()
        if not self._unconcluded:
            return
        plan = self._plan
        conclusion = Conclusion(self._store, plan.spec, plan.proof, self._watched)
        try:
            yield from conclusion.stages(read_results(self._store), self._observer.started)
        except WorkError as error:
            raise SweepFailedError(f"study '{self._store.name}': {error}") from error
        if not conclusion.failed:
            self._store.set("concluded", self._concluded)

    def _searched(self, record: TrialRecord, outcome: Outcome | None) -> None:
        self._observer.told(record)
        self._say_power(record)
        if outcome is not None:
            if not self._spent:
                self._timed_at = time.monotonic()
                self._observer.estimated(self._estimate(outcome))
            self._spent.append(outcome.seconds)
        failed = sum(trial.state == "failed" for trial in self.search.history)
        done = sum(trial.state != "running" for trial in self.search.history)
        self._observer.progressed(
            Progress(
                stage="search",
                done=done,
                planned=self.planned,
                failed=failed,
                best=self._best,
                seconds_left=self._seconds_left(self.planned - done),
            )
        )

    @property
    def _best(self) -> float | None:
        """By the objective; of several, none is."""
        direction, *more = self._plan.directions
        if more:
            return None
        feasible = [
            trial.values[0]
            for trial in self.search.history
            if trial.state == "complete" and trial.values and not exceeded(trial.excess)
        ]
        return (min if direction == "minimize" else max)(feasible, default=None)

    def _say_power(self, record: TrialRecord) -> None:
        """What the validation images can show, once there are some trials in this run.

        Trials may be near-copies of each other: no less spread than on other networks is supposed.
        """
        objective, *more = self._plan.spec.objectives
        if more or record.result is None or record.same_as is not None:
            return
        self._scored.append(record.result.scores)
        proof, measure = self._plan.proof, MEASURES[objective]
        if len(self._scored) != TRIALS_FOR_POWER or measure.chance is None:
            return
        scores = measure.sign * np.stack(self._scored)
        best, *others = scores[np.argsort(scores.mean(1), kind="stable")]
        scale = measure.sign * measure.chance - best.mean()
        images = len(proof.images("validation"))
        if images and scale > 0 and len(best) > 1:
            sigma = 100 * paired_deviation(best, np.stack(others)) / scale
            self._observer.started("Validation: " + power(max(sigma, TYPICAL_DEVIATION), images))

    def _watched(self, stage: Stage, planned: int) -> Callable[[Outcome], None]:
        finished: list[Outcome] = []
        began = time.monotonic()

        def count(outcome: Outcome) -> None:
            finished.append(outcome)
            each = (time.monotonic() - began) / len(finished)
            failed = sum(found.result is None for found in finished)
            left = planned - len(finished)
            self._observer.progressed(
                Progress(stage, len(finished), planned, failed, None, each * left)
            )

        return count

    def _seconds_left(self, trials: int) -> float | None:
        """By the pace since the first trial, which ran alone."""
        if not self._spent:
            return None
        if len(self._spent) < 2:
            return self._spent[0] * trials / self.workers
        return (time.monotonic() - self._timed_at) / (len(self._spent) - 1) * trials

    def _estimate(self, first: Outcome) -> Estimate:
        told = first.result or {}
        plan = self._plan
        steps, every = self.search.terms.steps, len(told.get("flipped", ()))
        whole = every / len(steps) if steps else 1.0
        tasks = self.search.remaining + scorings_left(plan.spec, plan.proof, self.planned, whole)
        forwards = told.get("forwards")
        return Estimate(
            seconds=first.seconds,
            seconds_left=first.seconds * tasks / self.workers,
            forwards_left=None if forwards is None else round(forwards * tasks),
            memory_bytes=told.get("memory_bytes"),
            workers=self.workers,
            device=self._plan.device,
        )
