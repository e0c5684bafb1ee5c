"""Runs tasks, in this process or by Ray Tune on many; the only file that knows Ray.

A source hands out tasks and takes their outcomes; a worker builds its runner once and keeps it
(model, images, caches) from task to task. Where tasks run decides nothing about their outcomes.

Ray Tune as it is used here. A Tune trial is one task: a `Searcher` hands it out, a class
`Trainable` runs it in one step, `reuse_actors` keeps the worker process. Every worker has a slot,
a resource request of its own, and a task is bound to a slot: otherwise Tune gives a task that waits
for a starting worker to the first worker that is free and throws the starting one away, and with
short tasks only one worker ever comes up. A slot has one task running and one that waits, so that
Tune, which keeps idle workers only for waiting tasks, keeps them all. Where the source has nothing
to hand out, a Tune trial goes on without work until a task waits for its slot.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

from lrpsweep.errors import InputError

Job = dict[str, Any]
"""A task as JSON values, on its way to a worker."""
Runner = Callable[[Job], dict[str, Any]]
Build = Callable[[], Runner]

RETRIES = 2
TASKS_PER_SLOT = 2
IDLE, MOST_IDLE = 0.05, 1.0
"""How long a worker without a task sleeps: as a part of the last task, and in seconds at most."""
KNOCK_SECONDS = 10
WORKER_DIED = (
    f"the worker process died {RETRIES + 1} times in a row: killed, out of memory, crashed, or "
    "lrpsweep is not installed where it started"
)
ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its result, or the reason why there is none.

    seconds: wall time of the task alone. worker: 'host:pid'. built: False when the reason is that
    the worker could not be set up, which says nothing about the task.
    """

    result: dict[str, Any] | None = None
    reason: str | None = None
    seconds: float = 0.0
    worker: str = ""
    built: bool = True


class JobSource(Protocol):
    """Hands out tasks and takes outcomes, always from one thread."""

    def next(self) -> Job | None:
        """A task, or None when there is none to hand out now."""

    def done(self, task: Job, outcome: Outcome) -> None:
        """Takes the outcome of a task that was handed out."""

    @property
    def finished(self) -> bool:
        """Whether no task will ever be handed out again."""


@dataclass(frozen=True)
class Resources:
    """What one worker gets, and how many workers there may be (None: as many as fit)."""

    cpus: float = 1.0
    gpus: float = 0.0
    workers: int | None = None


class Executor(Protocol):
    """A place where tasks run. workers: how many at once."""

    workers: int

    def run(self, source: JobSource, build: Build) -> bool:
        """Runs the source's tasks until it is finished; False when a signal stopped it before."""


class Work:
    """A worker's side: builds the runner at the first task, then runs one task after another."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._runner: Runner | None = None

    def __call__(self, task: Job) -> Outcome:
        """The task's outcome; an exception becomes the reason of a failure."""
        worker = f"{socket.gethostname()}:{os.getpid()}"
        try:
            if self._runner is None:
                self._runner = self._build()
            started = time.perf_counter()
            result = self._runner(task)
            return Outcome(result, seconds=time.perf_counter() - started, worker=worker)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            return Outcome(reason=reason, worker=worker, built=self._runner is not None)


class LocalExecutor:
    """Runs tasks one after another in this process; a stop waits for the task that runs."""

    workers = 1

    def run(self, source: JobSource, build: Build) -> bool:
        """As `Executor.run`."""
        work = Work(build)
        with stop_on_signals() as stop:
            while not source.finished and not stop.is_set():
                task = source.next()
                if task is not None:
                    source.done(task, work(task))
        return source.finished


@contextlib.contextmanager
def local_executor() -> Iterator[LocalExecutor]:
    """Everything in this process: for debugging, and for tests."""
    yield LocalExecutor()


@contextlib.contextmanager
def ray_executor(resources: Resources, address: str | None = None) -> Iterator[RayExecutor]:
    """Ray workers: on this machine, or on the cluster at `address` ('auto', host:port).

    A Ray that this process has started before is used as it is. On a cluster, lrpsweep must be
    installed on its nodes. Raises InputError when the cluster cannot be reached, or when a worker
    is asked for more than it has.
    """
    with _environment(ENVIRONMENT), _scratch() as folder, _connected(resources, address, folder):
        yield RayExecutor(resources, folder, grows=address is not None)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """A short path, as Ray keeps sockets in it, that is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="lrps-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _connected(resources: Resources, address: str | None, folder: str) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": "CRITICAL", "log_to_driver": False}
    if address is not None:
        try:
            _knock(address)
            ray.init(address, **quiet)
        except Exception as error:
            raise InputError(
                f"--address {address}: no Ray cluster answers there ({_first_line(error)}); "
                "expected 'auto' or HOST:PORT of a running cluster."
            ) from error
    else:
        wanted = resources.workers and math.ceil(resources.workers * resources.cpus)
        _own_token()
        ray.init("local", num_cpus=wanted, include_dashboard=False, _temp_dir=folder, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError or ValueError at once where Ray would try for minutes."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


def _own_token() -> None:
    """A token for this process's own cluster: without one, Ray would write one into the home.

    It stays in the environment, as Ray reads it once in a process.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


class RayExecutor:
    """Runs tasks on Ray, as many at once as there are workers."""

    def __init__(self, resources: Resources, folder: str, *, grows: bool) -> None:
        self._resources = resources
        self._folder = folder
        self.workers = _worker_count(resources, grows)

    def run(self, source: JobSource, build: Build) -> bool:
        """As `Executor.run`. An exception of the source stops the run and is raised here."""
        with stop_on_signals() as stop, _quiet():
            searcher = _searcher(source, self.workers, stop)
            with _environment({"TUNE_MAX_PENDING_TRIALS_PG": str(TASKS_PER_SLOT * self.workers)}):
                _tuner(self._resources, self._folder, searcher, build, stop).fit()
        searcher.tell()
        if searcher.failure is not None:
            raise searcher.failure
        return source.finished


def _worker_count(resources: Resources, grows: bool) -> int:
    """How many workers to use; `grows`: more than fit now may be asked for."""
    import ray

    have = ray.cluster_resources()
    for name, kind, wanted in (
        ("run.cpus", "CPU", resources.cpus),
        ("run.gpus", "GPU", resources.gpus),
    ):
        if wanted > have.get(kind, 0) or (wanted > 1 and wanted != int(wanted)):
            raise InputError(
                f"{name}: a worker asks for {wanted:g}; expected at most {have.get(kind, 0):g}, "
                "what this cluster has, and a whole number if above 1."
            )
    fit = have["CPU"] / resources.cpus
    if resources.gpus:
        fit = min(fit, have["GPU"] / resources.gpus)
    asked = resources.workers or int(fit)
    return asked if grows else min(asked, int(fit))


def _tuner(
    resources: Resources, folder: str, searcher: Any, build: Build, stop: threading.Event
) -> Any:
    from ray import tune

    def request(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """One byte more of memory for each slot: requests that differ share no worker."""
        bundle = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": config["slot"] + 1}
        return tune.PlacementGroupFactory([{k: v for k, v in bundle.items() if v}])

    return tune.Tuner(
        tune.with_resources(_trainable(build, resources.cpus), request),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=folder,
            verbose=0,
            stop=_stopper(searcher, stop),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def _stopper(searcher: Any, stop: threading.Event) -> Any:
    from ray import tune

    class Stopper(tune.Stopper):  # type: ignore[misc]
        def __init__(self, searcher: Any, stop: threading.Event) -> None:
            self._searcher = searcher
            self._stop = stop

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return bool(self._searcher.has_more(trial_id))

        def stop_all(self) -> bool:
            return self._stop.is_set()

        def __getstate__(self) -> dict[str, Any]:
            """Tune writes its set-up to disk and never reads it here."""
            return {}

    return Stopper(searcher, stop)


def _searcher(source: JobSource, workers: int, stop: threading.Event) -> Any:
    from ray.tune.search import Searcher

    class SourceSearcher(Searcher):  # type: ignore[misc]
        """Hands the source's tasks to Tune, each bound to the slot that has least to do."""

        def __init__(self, source: JobSource, workers: int, stop: threading.Event) -> None:
            super().__init__()
            self.failure: Exception | None = None
            self._source = source
            self._stop = stop
            self._load = dict.fromkeys(range(workers), 0)
            self._slots: dict[str, int] = {}
            self._tasks: dict[str, Job] = {}
            self._outcomes: list[tuple[Job, Outcome]] = []
            self._waited = False

        def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
            # Tune asks before it gives the free worker its next task: that comes first, then
            # the database and the sampler, while the worker works.
            if self._outcomes and any(self._load.values()) and not self._waited:
                self._waited = True
                return None
            self.tell()
            slot = min(self._load, key=self._load.__getitem__)
            if self._load[slot] >= TASKS_PER_SLOT and not self._stop.is_set():
                return None
            task = None if self._stop.is_set() else self._guarded(self._source.next)
            if self._stop.is_set() or self._source.finished:
                return Searcher.FINISHED  # type: ignore[no-any-return]
            if task is None:
                return None
            self._load[slot] += 1
            self._slots[trial_id], self._tasks[trial_id] = slot, task
            return {"slot": slot, "task": json.dumps(task)}

        def has_more(self, trial_id: str) -> bool:
            """Whether a task waits for the slot of this one, or none will ever come."""
            waiting = self._load[self._slots[trial_id]] - (trial_id in self._tasks)
            return waiting > 0 or self._source.finished

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            """The outcome, of a trial that goes on without work."""
            self.on_trial_complete(trial_id, result)

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            task = self._tasks.pop(trial_id, None)
            if task is None:  # it has had its outcome, and was without work since
                return
            self._load[self._slots[trial_id]] -= 1
            if result and "outcome" in result:
                outcome = Outcome(**json.loads(result["outcome"]))
            elif error:
                outcome = Outcome(reason=WORKER_DIED)
            else:  # stopped while it ran: it has no outcome
                return
            self._outcomes.append((task, outcome))

        def tell(self) -> None:
            """Gives the outcomes that came in to the source."""
            self._waited = False
            while self._outcomes and self.failure is None:
                task, outcome = self._outcomes.pop(0)
                self._guarded(partial(self._source.done, task, outcome))

        def _guarded(self, call: Callable[[], Any]) -> Any:
            """Tune swallows what a searcher raises: keep it, and stop."""
            try:
                return call()
            except Exception as failure:
                self.failure = failure
                self._stop.set()
                return None

        def __getstate__(self) -> dict[str, Any]:
            """Tune writes its set-up to disk and never reads it here."""
            return {}

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the source is the truth, and Tune is never resumed."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing, as `save`."""

    return SourceSearcher(source, workers, stop)


def _trainable(build: Build, cpus: float) -> Any:
    import ray
    from ray import cloudpickle, tune

    # Sent once, however large: a node's workers share it. Unpacked at the first task, so that what
    # cannot be imported there has a reason.
    packed = ray.put(cloudpickle.dumps(build))
    # Ray tells its workers of the script's folder alone, not where a study's own modules lie.
    paths = [path for path in sys.path if path]

    def unpacked() -> Runner:
        sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
        build: Build = cloudpickle.loads(ray.get(packed))
        return build()

    class Worker(tune.Trainable):  # type: ignore[misc]
        """One process that runs task after task."""

        def setup(self, config: dict[str, Any]) -> None:
            os.environ["OMP_NUM_THREADS"] = str(max(1, int(cpus)))
            self._work = Work(unpacked)
            self._seconds = 0.0
            self._task: Job | None = json.loads(config["task"])

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._task = json.loads(new_config["task"])
            return True

        def step(self) -> dict[str, Any]:
            if self._task is None:
                time.sleep(min(IDLE * self._seconds, MOST_IDLE))
                return {}
            outcome = self._work(self._task)
            self._task, self._seconds = None, outcome.seconds
            # As text: Tune flattens nested results and reads meaning into them.
            return {"outcome": json.dumps(asdict(outcome))}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            return None

    return Worker


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What goes wrong with a task is in its outcome: Tune need not print it too."""
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.air", "ray.train")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def cluster_has_gpu(address: str) -> bool:
    """Whether the cluster at that address has a GPU. Raises InputError as `ray_executor`."""
    import ray

    with _environment(ENVIRONMENT), _scratch() as folder, _connected(Resources(), address, folder):
        return bool(ray.cluster_resources().get("GPU", 0) > 0)
