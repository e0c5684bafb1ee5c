"""The search as a source of tasks: trials are asked of the sampler and told to the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, Protocol

from lrpsweep.results import TrialRecord, TrialResult
from lrpsweep.spec import StudySpec, decode, encode
from lrpsweep.sweep.execution import Outcome, Task
from lrpsweep.sweep.samplers import (
    SAMPLERS,
    Asked,
    count_points,
    distributions,
    every_point,
    first_new,
    grid_points,
    key,
)
from lrpsweep.sweep.storage import Store


@dataclass(frozen=True)
class Progress:
    """How far a run is. best: value of the best trial; seconds_left: None while unknown."""

    stage: Literal["search", "validation"]
    done: int
    planned: int
    failed: int = 0
    best: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What the first trial, timed alone, says of the rest.

    seconds: of that trial; seconds_left, forwards_left: of what is still to do, validation
    included; memory_bytes: of one worker.
    """

    seconds: float
    seconds_left: float
    forwards_left: int | None
    memory_bytes: int | None
    workers: int
    device: str


class Observer(Protocol):
    """Who wants to know how a run goes on."""

    def started(self, text: str) -> None:
        """What is about to be done, in a sentence."""

    def estimated(self, estimate: Estimate) -> None:
        """After the first trial of this run."""

    def told(self, record: TrialRecord) -> None:
        """After every trial, once the database has it."""

    def progressed(self, progress: Progress) -> None:
        """After every task."""


class Silent:
    """Nobody wants to know."""

    def started(self, text: str) -> None:
        """Nothing."""

    def estimated(self, estimate: Estimate) -> None:
        """Nothing."""

    def told(self, record: TrialRecord) -> None:
        """Nothing."""

    def progressed(self, progress: Progress) -> None:
        """Nothing."""


def literature_params(
    spec: StudySpec, literature: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """The published points as parameters; of two names for one point the first is kept."""
    points: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {}
    for name, values in literature.items():
        params = encode(spec.search, values)
        points.setdefault(key(spec.search, params), (name, params))
    return list(points.values())


def planned_trials(spec: StudySpec, literature: Mapping[str, Mapping[str, Any]]) -> int:
    """How many trials the study has in all: `trials`, or the grid and the literature beside it.

    Never more than there are points: a trial gives the same result the second time.
    """
    if spec.sampler.name != "grid":
        assert spec.trials is not None
        return int(min(spec.trials, count_points(spec.search)))
    published = [params for _, params in literature_params(spec, literature)]
    return len({key(spec.search, params) for params in (*published, *grid_points(spec.search))})


class Search:
    """Asks and tells until there are as many trials as planned; waiting ones come first.

    The first task of a run goes out alone, so that it can be timed. This driver is the only
    writer (it holds the lease), so what is in the database is known without reading it again.
    """

    def __init__(
        self,
        store: Store,
        spec: StudySpec,
        literature: Mapping[str, Mapping[str, Any]],
        on_outcome: Callable[[TrialRecord, Outcome], None],
    ) -> None:
        self._store = store
        self._spec = spec
        self._distributions = distributions(spec.search)
        self._literature = literature_params(spec, literature)
        self._planned = planned_trials(spec, literature) + store.retries()
        self._on_outcome = on_outcome
        self._waiting = store.waiting()
        self._running: dict[int, tuple[Task, int]] = {}
        self._timed = False
        self.history = store.history()
        self._seen = {key(spec.search, trial.params) for trial in self.history}
        self._proposals = SAMPLERS[spec.sampler.name](
            spec.search, spec.sampler.seed, store.direction
        )

    @property
    def finished(self) -> bool:
        """As `Source.finished`."""
        return not self._running and self.remaining == 0

    @property
    def remaining(self) -> int:
        """How many trials are still to be handed out."""
        return max(0, self._planned - len(self.history)) + len(self._waiting)

    def next(self) -> Task | None:
        """As `Source.next`: the values of a trial that is stored as running from now on."""
        if self.remaining == 0 or (self._running and not self._timed):
            return None
        number, values = self._restarted() if self._waiting else self._asked()
        task: Task = {"values": values}
        self._running[id(task)] = (task, number)
        return task

    def done(self, task: Task, outcome: Outcome) -> None:
        """As `Source.done`."""
        _, number = self._running.pop(id(task))
        values = task["values"]
        self._timed = True
        params = self.history[number].params
        result = outcome.result and TrialResult.from_json(outcome.result)
        if result and math.isfinite(result.value):
            self._store.complete(number, result, outcome.seconds)
            self.history[number] = Asked(params, "complete", result.value)
            record = TrialRecord(number, "complete", values, result, seconds=outcome.seconds)
        else:
            reason = f"the objective is {result.value}" if result else outcome.reason
            reason = reason or "no reason was given"
            self._store.fail(number, reason)
            self.history[number] = Asked(params, "failed")
            record = TrialRecord(number, "failed", values, reason=reason)
        self._on_outcome(replace(record, literature=self._published(params)), outcome)

    def _published(self, params: Mapping[str, Any]) -> str | None:
        """The name of the published composite that this point is, if it is one."""
        place = key(self._spec.search, params)
        return next((n for n, p in self._literature if key(self._spec.search, p) == place), None)

    def _restarted(self) -> tuple[int, dict[str, Any]]:
        number = min(self._waiting)
        self._store.restart(number)
        return number, self._waiting.pop(number)

    def _asked(self) -> tuple[int, dict[str, Any]]:
        name, params = self._proposal()
        values = decode(self._spec.search, params)
        self._store.start(params, self._distributions, values, literature=name)
        self.history.append(Asked(params))
        self._seen.add(key(self._spec.search, params))
        return len(self.history) - 1, values

    def _proposal(self) -> tuple[str | None, dict[str, Any]]:
        """The next published point that no trial has, then the sampler's."""
        for name, params in self._literature:
            if key(self._spec.search, params) not in self._seen:
                return name, params
        # Where few points are left, guessing may miss them.
        proposals = chain(self._proposals(self.history), every_point(self._spec.search))
        return None, first_new(self._spec.search, proposals, self._seen)
