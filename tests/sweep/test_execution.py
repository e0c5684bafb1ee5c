"""Where tasks run decides nothing about their outcomes: one suite for every executor."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from quadratic import Build, job

from lrpsweep.errors import InputError
from lrpsweep.sweep.execution import (
    Executor,
    Job,
    Outcome,
    Resources,
    local_executor,
    ray_executor,
)

EXECUTORS = {"local": local_executor, "ray": lambda: ray_executor(Resources(workers=2))}


class Points:
    """A source of values of x; remembers outcomes by x."""

    def __init__(self, *xs: float, hook: Callable[[Points], None] = lambda _: None) -> None:
        self.waiting: list[Job] = [job(x=x, y=0.0) for x in xs]
        self.running = 0
        self.outcomes: dict[float, Outcome] = {}
        self.hook = hook

    @property
    def finished(self) -> bool:
        return not self.waiting and not self.running

    def next(self) -> Job | None:
        if not self.waiting:
            return None
        self.running += 1
        return self.waiting.pop(0)

    def done(self, task: Job, outcome: Outcome) -> None:
        self.running -= 1
        self.outcomes[task["candidate"]["settings"]["values"]["x"]] = outcome
        self.hook(self)


@pytest.fixture
def workers(executor: str) -> Iterator[Executor]:
    with EXECUTORS[executor]() as found:
        yield found


def expected(x: float) -> list[float]:
    return [(x - 0.3) ** 2 + 0.01 + 0.01 * i for i in range(4)]


def test_every_task_is_done_once_with_its_own_outcome(workers: Executor) -> None:
    source = Points(0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    faults = {"x0_2": "raise", "x0_3": "memory", "x0_4": "nan", "x0_5": "inf"}
    assert workers.run(source, Build(**faults))
    assert sorted(source.outcomes) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert all(outcome.built for outcome in source.outcomes.values())
    assert source.outcomes[0.2].reason == "ValueError: a bad point"
    assert source.outcomes[0.3].reason == "MemoryError: no room"
    results = {x: outcome.result for x, outcome in source.outcomes.items() if outcome.result}
    assert results[0.0]["measures"]["auc_morf"] == pytest.approx(expected(0.0), abs=1e-15)
    assert results[0.1]["measures"]["auc_morf"] == pytest.approx(expected(0.1), abs=1e-15)
    assert math.isnan(results[0.4]["measures"]["auc_morf"][0])
    assert results[0.5]["measures"]["auc_morf"][0] == math.inf


def test_what_cannot_be_built_is_the_reason_of_every_task(workers: Executor) -> None:
    source = Points(0.1, 0.2)
    assert workers.run(source, Broken())
    assert {outcome.reason for outcome in source.outcomes.values()} == {"OSError: no weights"}
    assert not any(outcome.built for outcome in source.outcomes.values())


class Broken:
    def __call__(self) -> Any:
        raise OSError("no weights")


def test_an_error_of_the_source_stops_the_run_and_is_raised(workers: Executor) -> None:
    def fail(source: Points) -> None:
        raise LookupError("the database is gone")

    source = Points(*(i / 100 for i in range(50)), hook=fail)
    with pytest.raises(LookupError, match="the database is gone"):
        workers.run(source, Build())
    assert len(source.outcomes) == 1


class Counting:
    """A runner that counts its calls: built anew, it would begin again."""

    def __call__(self) -> Any:
        calls = iter(range(100))

        def run(task: Job) -> dict[str, Any]:
            time.sleep(0.3)
            return {"call": next(calls)}

        return run


def test_all_workers_work_from_first_to_last_and_are_built_once(two_workers: None) -> None:
    """Caught: with short tasks, Tune kept only the first of its workers."""
    source = Points(*(i / 100 for i in range(24)))
    with ray_executor(Resources(workers=2)) as workers:
        assert workers.workers == 2
        assert workers.run(source, Counting())
    calls: dict[str, list[int]] = {}
    for outcome in source.outcomes.values():
        assert outcome.result is not None
        calls.setdefault(outcome.worker, []).append(outcome.result["call"])
    assert len(calls) == 2
    for numbers in calls.values():
        assert len(numbers) >= 4
        assert sorted(numbers) == list(range(len(numbers)))


class Rounds(Points):
    """A source that hands out two tasks, and nothing more before both are done."""

    def next(self) -> Job | None:
        return super().next() if len(self.waiting) % 2 or not self.running else None


def test_workers_for_which_no_task_waits_are_kept(two_workers: None) -> None:
    """Caught: Tune stops a worker with nothing to do, and a new one starts for the next task."""
    source = Rounds(*(x / 20 for x in range(20)))
    with ray_executor(Resources(workers=2)) as workers:
        assert workers.run(source, Build(0.2))
    assert len(source.outcomes) == 20
    assert len({outcome.worker for outcome in source.outcomes.values()}) == 2


def test_a_worker_that_dies_is_replaced_and_its_task_fails_after_retries(two_workers: None) -> None:
    source = Points(*(i / 10 for i in range(10)))
    with ray_executor(Resources(workers=2)) as workers:
        assert workers.run(source, Build(0.1, x0_2="exit"))
    assert "the worker process died 3 times in a row" in str(source.outcomes[0.2].reason)
    assert sum(outcome.result is not None for outcome in source.outcomes.values()) == 9


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        (Resources(cpus=64), "run.cpus: a worker asks for 64; expected at most 2"),
        (Resources(cpus=1.5), "run.cpus: a worker asks for 1.5"),
        (Resources(gpus=64), "run.gpus: a worker asks for 64"),
    ],
)
def test_more_than_the_cluster_has_is_refused(
    two_workers: None, resources: Resources, text: str
) -> None:
    with pytest.raises(InputError, match=text), ray_executor(resources):
        pass


def test_nothing_is_left_behind(two_workers: None, tmp_path: Any) -> None:
    before = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
    with ray_executor(Resources(workers=2)) as workers:
        workers.run(Points(0.1), Build())
    after = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
    assert after == before
    with contextlib.suppress(FileNotFoundError):
        assert "ray_results" not in os.listdir(os.path.expanduser("~"))
