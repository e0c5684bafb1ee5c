"""The search as a source of tasks: trials are asked of the sampler and told to the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import Any, Literal, Protocol

from lrpsweep.errors import InputError
from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Candidate, TrialRecord, TrialResult
from lrpsweep.study import Space, StudySpec, encode
from lrpsweep.sweep.execution import Job, Outcome
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.samplers.mirror import distributions
from lrpsweep.sweep.samplers.sampler import Asked, count_points, first_new, known_of
from lrpsweep.sweep.storage import Store, exceeded

MOST_POINTS_LOOKED_AT = 20_000
Meaning = Callable[[Mapping[str, Any]], Hashable]
"""What two trials have in common that have the same composite, from one's values."""


Stage = Literal["search", "literature", "selection", "validation"]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    best: value of the best trial; None with several objectives. seconds_left: None while unknown.
    """

    stage: Stage
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


Point = Mapping[str, Any]


def first_params(
    spec: StudySpec, literature: Mapping[str, Point], starts: Sequence[Point] = ()
) -> list[tuple[str | None, dict[str, Any]]]:
    """The points to start from, then the published ones, as parameters, each once.

    With the name that a point was published by; of two names the first is kept.
    """
    space = Space(spec.search, spec.composite)
    points: dict[tuple[Any, ...], tuple[str | None, dict[str, Any]]] = {}
    for name, values in (*((None, start) for start in starts), *literature.items()):
        params = space.needed(encode(spec.search, values))
        known, _ = points.get(space.key(params), (None, params))
        points[space.key(params)] = (known or name, params)
    return list(points.values())


def planned_trials(
    spec: StudySpec, literature: Mapping[str, Point], starts: Sequence[Point] = ()
) -> int:
    """How many trials the study has in all: `trials`, or the grid and what comes before it.

    Never more than there are points: a trial gives the same result the second time.
    """
    space, sampler = Space(spec.search, spec.composite), SAMPLERS[spec.sampler.name]
    if not sampler.exhaustive:
        assert spec.trials is not None
        return count_points(space, spec.trials)
    first = [params for _, params in first_params(spec, literature, starts)]
    directions = tuple(MEASURES[name].direction for name in spec.objectives)
    points = sampler.proposals(space, spec.sampler.seed, directions)(())
    return len({space.key(params) for params in (*first, *points)})


class TrialSource:
    """Asks and tells until there are as many trials as planned; waiting ones come first.

    The first task of a run goes out alone, so that it can be timed. With a lag, a trial waits for
    those that it is proposed from. A trial whose composite another
    one has is given that one's result, once it is there. This driver is the only writer (it holds
    the lease), so what is in the database is known without reading it again.
    """

    def __init__(
        self,
        store: Store,
        spec: StudySpec,
        literature: Mapping[str, Point],
        method: str,
        meaning: Meaning,
        on_outcome: Callable[[TrialRecord, Outcome | None], None],
        starts: Sequence[Point] = (),
    ) -> None:
        """Begins with what is in the database.

        method: that which is tuned. on_outcome: called after every trial; with None for one that
        was given its result. starts: the points that come before all others.
        """
        self._store = store
        self._spec = spec
        self._space = Space(spec.search, spec.composite)
        self._distributions = distributions(spec.search)
        self._first = first_params(spec, literature, starts)
        self._planned = planned_trials(spec, literature, starts) + store.retries()
        self._method = method
        self._meaning = meaning
        self._meanings: dict[tuple[Any, ...], Hashable] = {}
        self._on_outcome = on_outcome
        self._waiting = sorted(store.waiting())
        self._held: int | None = None
        self._running: dict[int, tuple[Job, int]] = {}
        self._timed = False
        self.history = [
            replace(trial, params=self._space.needed(trial.params), known=self._known(number))
            for number, trial in enumerate(store.history())
        ]
        self._seen = {self._space.key(trial.params) for trial in self.history}
        self._composites = {self._composite(trial.params) for trial in self.history}
        self._owners = {
            self._composite(trial.params): number
            for number, trial in reversed(list(enumerate(self.history)))
            if trial.state == "complete"
        }
        self._sampler = SAMPLERS[spec.sampler.name]
        self._proposals = self._sampler.proposals(self._space, spec.sampler.seed, store.directions)

    @property
    def finished(self) -> bool:
        """As `JobSource.finished`."""
        return not self._running and self.remaining == 0

    @property
    def remaining(self) -> int:
        """How many trials are still to be handed out."""
        held = self._held is not None
        return max(0, self._planned - len(self.history)) + len(self._waiting) + held

    def next(self) -> Job | None:
        """As `JobSource.next`: the values of a trial that is stored as running from now on."""
        while self.remaining and (self._timed or not self._running):
            if self._held is None:
                if not self._waiting and self._lags:
                    return None
                self._held = self._restarted() if self._waiting else self._asked()
            number, params = self._held, self.history[self._held].params
            owner = self._owners.get(self._composite(params))
            if owner is not None and self.history[owner].state == "running":
                return None
            self._held = None
            if owner is None:
                self._owners[self._composite(params)] = number
                tuned = Candidate(self._method, {"values": self._space.values(params)})
                task: Job = {"candidate": asdict(tuned)}
                self._running[id(task)] = (task, number)
                return task
            self._repeat(number, owner)
        return None

    def _known(self, number: int) -> int | None:
        """How many trials the one of that number is proposed from; None: as many as have ended."""
        lag = self._spec.economy.lag
        return None if lag is None else max(0, number - lag)

    @property
    def _lags(self) -> bool:
        """Whether a trial that the next one is proposed from has not ended."""
        known = self._known(len(self.history)) or 0
        return any(trial.state == "running" for trial in self.history[:known])

    def done(self, task: Job, outcome: Outcome) -> None:
        """As `JobSource.done`."""
        _, number = self._running.pop(id(task))
        self._timed = True
        params = self.history[number].params
        result = outcome.result and TrialResult.from_json(outcome.result)
        if result and all(map(math.isfinite, result.means(len(self._spec.objectives)))):
            record = self._completed(number, result, outcome.seconds)
        else:
            reason = self._not_finite(result) if result else outcome.reason
            reason = reason or "no reason was given"
            self._store.fail(number, reason)
            self.history[number] = replace(self.history[number], state="failed")
            del self._owners[self._composite(params)]
            record = TrialRecord(number, "failed", self._space.values(params), reason=reason)
        self._on_outcome(replace(record, literature=self._published(params)), outcome)

    def _not_finite(self, result: TrialResult) -> str:
        names = self._spec.objectives
        means = zip(names, result.means(len(names)), strict=True)
        return "; ".join(f"{name} is {mean}" for name, mean in means if not math.isfinite(mean))

    def _repeat(self, number: int, owner: int) -> None:
        """Gives a trial the result of the one with the same composite, whose blocks may differ."""
        result = replace(self._store.result(owner), blocks={})
        record = self._completed(number, result, 0.0, same_as=owner)
        published = self._published(self.history[number].params)
        self._on_outcome(replace(record, literature=published), None)

    def _completed(
        self, number: int, result: TrialResult, seconds: float, same_as: int | None = None
    ) -> TrialRecord:
        params = self.history[number].params
        excess = result.excess(self._spec.constraints.bounds)
        self._store.complete(number, result, seconds, excess=excess, same_as=same_as)
        values = result.means(len(self._spec.objectives))
        self.history[number] = replace(
            self.history[number], state="complete", values=values, excess=excess
        )
        return TrialRecord(
            number,
            "complete",
            self._space.values(params),
            result,
            seconds=seconds,
            same_as=same_as,
            exceeded=exceeded(excess),
        )

    def _composite(self, params: Mapping[str, Any]) -> Hashable:
        """What the point shares with those that have its composite."""
        place = self._space.key(params)
        if place not in self._meanings:
            self._meanings[place] = self._meaning(self._space.values(params))
        return self._meanings[place]

    def _published(self, params: Mapping[str, Any]) -> str | None:
        """The name of the published composite that this point is, if it is one."""
        place = self._space.key(params)
        return next((n for n, p in self._first if self._space.key(p) == place), None)

    def _restarted(self) -> int:
        number = self._waiting.pop(0)
        self._store.restart(number)
        return number

    def _asked(self) -> int:
        name, params = self._proposal()
        if not params:
            raise InputError(
                f"sampler.name: '{self._spec.sampler.name}' proposes no point for trial "
                f"{len(self.history)}; expected at least one"
            )
        space = {name: self._distributions[name] for name in params}
        self._store.start(params, space, self._space.values(params), literature=name)
        self.history.append(Asked(params, known=self._known(len(self.history))))
        self._seen.add(self._space.key(params))
        self._composites.add(self._composite(params))
        return len(self.history) - 1

    def _proposal(self) -> tuple[str | None, dict[str, Any]]:
        """The next of the first points that no trial has, then the sampler's.

        An exhaustive sampler's points come in their order; others look for a new composite first.
        """
        proposals = self._proposals(known_of(self.history, self._known(len(self.history))))
        for name, params in self._first:
            if self._space.key(params) not in self._seen:
                return name, params
        if self._sampler.exhaustive:
            return None, first_new(self._space, proposals, self._seen)
        # Where few points are left, guessing may miss them.
        some = islice(self._space.every(), MOST_POINTS_LOOKED_AT)
        return None, first_new(
            self._space,
            chain(proposals, some),
            self._seen,
            lambda params: self._composite(params) in self._composites,
        )
