"""The search as a source of tasks: trials are asked of the sampler and told to the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, Protocol

from lrpsweep.evaluation.racing import Race, read_race
from lrpsweep.results import Candidate, Pruned, TrialRecord, TrialResult
from lrpsweep.study import Space, StudySpec
from lrpsweep.sweep.execution import Job, Outcome
from lrpsweep.sweep.points import Meaning, Point, PointOrder, first_params, planned_trials
from lrpsweep.sweep.races import Races
from lrpsweep.sweep.samplers.mirror import distributions
from lrpsweep.sweep.samplers.sampler import Asked, known_of
from lrpsweep.sweep.storage import Store, exceeded

Stage = Literal["pilot", "search", "literature", "finalists", "selection", "validation"]


StageWatch = Callable[[Stage, int], Callable[[Outcome], None]]
"""From a stage and how many jobs it has to what is called after each."""


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


@dataclass(frozen=True)
class Terms:
    """How trials are scored: on which states, all when there are none, and in which races."""

    steps: tuple[int, ...] = ()
    races: Races | None = None


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
        was given its result. starts: the points that come before all others. Its `terms` may be set
        until the first trial is handed out.
        """
        self._store = store
        self._spec = spec
        self._space = Space(spec.search, spec.composite)
        self._distributions = distributions(spec.search)
        first = first_params(spec, literature, starts)
        self._points = PointOrder(spec, first, meaning, store.directions)
        self._planned = planned_trials(spec, literature, starts) + store.retries()
        self._method = method
        self._on_outcome = on_outcome
        self._waiting = sorted(store.waiting())
        self._held: int | None = None
        self._running: dict[int, tuple[Job, int]] = {}
        self._timed = False
        self.history = [
            replace(trial, params=self._space.needed(trial.params), known=self._known(number))
            for number, trial in enumerate(store.history())
        ]
        for trial in self.history:
            self._points.add(trial.params)
        self._owners = {
            self._points.composite(trial.params): number
            for number, trial in reversed(list(enumerate(self.history)))
            if trial.state in ("complete", "pruned")
        }
        self.terms = Terms()

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
                if self._lags(self._waiting[0] if self._waiting else len(self.history)):
                    return None
                self._held = self._restarted() if self._waiting else self._asked()
            number, params = self._held, self.history[self._held].params
            owner = self._owners.get(self._points.composite(params))
            if owner is not None and self.history[owner].state == "running":
                return None
            self._held = None
            if owner is None:
                self._owners[self._points.composite(params)] = number
                tuned = Candidate(self._method, {"values": self._space.values(params)})
                task: Job = {"candidate": asdict(tuned), **self._terms_of(number)}
                self._running[id(task)] = (task, number)
                return task
            self._repeat(number, owner)
        return None

    def _known(self, number: int) -> int | None:
        """How many trials the one of that number is proposed from; None: as many as have ended."""
        if number < self._points.blind:
            return 0
        lag = self._spec.economy.lag
        return None if lag is None else max(0, number - lag)

    def _terms_of(self, number: int) -> Job:
        """On which states a trial is scored, and what it races, as a worker is told."""
        terms = self.terms
        steps: Job = {"steps": list(terms.steps)} if terms.steps else {}
        if terms.races is None or self._points.is_first(self.history[number].params):
            return steps
        race = terms.races.race(self._ended(self._known(number)))
        return steps if race is None else {**steps, "race": race.to_json()}

    def _ended(self, known: int | None) -> list[int]:
        """The numbers of the trials that are complete, as far as they may be known."""
        trials = enumerate(self.history[:known])
        return [number for number, trial in trials if trial.state == "complete"]

    def _lags(self, number: int) -> bool:
        """Whether a trial that the one of that number is made from has not ended."""
        known = self._known(number) or 0
        return any(trial.state == "running" for trial in self.history[:known])

    def done(self, task: Job, outcome: Outcome) -> None:
        """As `JobSource.done`."""
        _, number = self._running.pop(id(task))
        self._timed = True
        params = self.history[number].params
        result = outcome.result and TrialResult.from_json(outcome.result)
        if result and all(map(math.isfinite, result.means(len(self._spec.objectives)))):
            race = task.get("race") and read_race(task["race"])
            record = self._ended_with(number, result, outcome.seconds, race)
        else:
            reason = self._not_finite(result) if result else outcome.reason
            reason = reason or "no reason was given"
            self._store.fail(number, reason)
            self.history[number] = replace(self.history[number], state="failed")
            del self._owners[self._points.composite(params)]
            record = TrialRecord(number, "failed", self._space.values(params), reason=reason)
        self._on_outcome(replace(record, literature=self._points.published(params)), outcome)

    def _ended_with(
        self, number: int, result: TrialResult, seconds: float, race: Race | None
    ) -> TrialRecord:
        """A trial that has scores: of all images, or of those before it was stopped."""
        seen = len(result.scores)
        if race is None or seen == race.images:
            return self._completed(number, result, seconds)
        pruned = Pruned(seen, race.estimate(result.objectives[0], result.scores))
        return self._pruned(number, pruned, seconds, result)

    def _not_finite(self, result: TrialResult) -> str:
        names = self._spec.objectives
        means = zip(names, result.means(len(names)), strict=True)
        return "; ".join(f"{name} is {mean}" for name, mean in means if not math.isfinite(mean))

    def _repeat(self, number: int, owner: int) -> None:
        """Gives a trial the result of the one with the same composite, whose blocks may differ."""
        if self.history[owner].state == "pruned":
            record = self._pruned(number, self._store.pruned(owner), 0.0, same_as=owner)
        else:
            result = replace(self._store.result(owner), blocks={})
            record = self._completed(number, result, 0.0, same_as=owner)
        published = self._points.published(self.history[number].params)
        self._on_outcome(replace(record, literature=published), None)

    def _pruned(
        self,
        number: int,
        pruned: Pruned,
        seconds: float,
        result: TrialResult | None = None,
        same_as: int | None = None,
    ) -> TrialRecord:
        """Samplers see the estimate: the mean of the images so far is that of other images.

        By how much a bound is exceeded they have to be told of every trial that has a value.
        """
        excess = {} if same_as is None else self.history[same_as].excess
        if result is not None:
            excess = result.excess(self._spec.constraints.bounds)
        self._store.prune(number, pruned, seconds, result, excess, same_as)
        trial = replace(
            self.history[number], state="pruned", values=(pruned.estimate,), excess=excess
        )
        self.history[number] = trial
        values = self._space.values(trial.params)
        return TrialRecord(
            number,
            "pruned",
            values,
            seconds=seconds,
            same_as=same_as,
            exceeded=exceeded(excess),
            pruned=pruned,
        )

    def _completed(
        self, number: int, result: TrialResult, seconds: float, same_as: int | None = None
    ) -> TrialRecord:
        params = self.history[number].params
        excess = result.excess(self._spec.constraints.bounds)
        self._store.complete(number, result, seconds, excess=excess, same_as=same_as)
        if self.terms.races is not None:
            self.terms.races.add(number, result)
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

    def _restarted(self) -> int:
        number = self._waiting.pop(0)
        self._store.restart(number)
        return number

    def _asked(self) -> int:
        known = self._known(len(self.history))
        name, params = self._points.next(known_of(self.history, known))
        space = {name: self._distributions[name] for name in params}
        self._store.start(params, space, self._space.values(params), literature=name)
        self.history.append(Asked(params, known=known))
        self._points.add(params)
        return len(self.history) - 1
