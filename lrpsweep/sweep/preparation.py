"""What is found out before the first trial: which states are enough, and what a race needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lrpsweep.errors import WorkError
from lrpsweep.evaluation import subsets
from lrpsweep.results import RANDOM_ORDER, Candidate, TrialResult
from lrpsweep.sweep.nomination import rule_of
from lrpsweep.sweep.pilot import MOST_ERROR, ChosenStates, choose
from lrpsweep.sweep.points import PointOrder, first_params
from lrpsweep.sweep.races import Races
from lrpsweep.sweep.scoring import Scoring, ScoringList, Steps, control_of
from lrpsweep.sweep.search import StageWatch, Terms
from lrpsweep.sweep.storage import SCORED_STEPS, Store

if TYPE_CHECKING:
    from lrpsweep.sweep.study import Plan

PILOT_IMAGES = 8
"""A quarter of the images, but no fewer than these."""
SOME = 8
"""Composites that are tried, one after the other, before a random order counts as failed."""


def steps_of(store: Store) -> tuple[int, ...]:
    """The steps that a study's trials are scored on; none where they are scored on all."""
    return tuple((store.get(SCORED_STEPS) or {}).get("steps", ()))


class Preparation:
    """The terms of a study's trials: as the database has them, or as its pilot finds them."""

    def __init__(
        self, store: Store, plan: Plan, watch: StageWatch, say: Callable[[str], None]
    ) -> None:
        self._store = store
        self._plan = plan
        self._watch = watch
        self._say = say

    def terms(self) -> Steps[Terms]:
        """The jobs that it takes to know them. Raises WorkError when a random order fails."""
        economy = self._plan.spec.economy
        if economy.thins and self._store.get(SCORED_STEPS) is None:
            if economy.steps:
                self._store.set(SCORED_STEPS, {"subset": "listed", "steps": list(economy.steps)})
            else:
                yield from self._pilot()
        steps = steps_of(self._store)
        races = (yield from self._races(steps)) if economy.racing else None
        return Terms(steps, races)

    def _pilot(self) -> Steps[None]:
        spec, images = self._plan.spec, self._plan.proof.images("search")
        last = min(len(images), max(PILOT_IMAGES, -(-len(images) // 4)))
        measures = (*spec.objectives, *spec.guards)
        jobs = [
            Scoring(
                label=f"pilot {number}",
                candidate=Candidate(self._plan.proof.method, {"values": values}),
                split="search",
                images=images[:last],
                measures=measures,
                rows=(0, last),
                coarse=True,
            )
            for number, values in enumerate(self._points.pilots())
        ]
        done = yield from self._scored(jobs)
        choice, steps = _chosen(list(done.results.values()), measures)
        self._store.set(
            SCORED_STEPS, {"subset": choice.name, "steps": list(steps), "errors": choice.errors}
        )
        self._say(_sentence(choice, steps, len(done.results)))

    def _races(self, steps: tuple[int, ...]) -> Steps[Races]:
        spec, proof = self._plan.spec, self._plan.proof
        criteria = rule_of(spec)
        images = proof.images("search")
        for anyone in self._some():
            control = control_of(Scoring("", anyone, "search", images, spec.recorded, steps=steps))
            done = yield from self._scored(control)
            if not done.failed:
                break
        else:
            raise WorkError(f"a random order failed: {done.failed[RANDOM_ORDER]}")
        random = done.results[RANDOM_ORDER].measures if control else {}
        races = Races(criteria, spec.constraints.bounds, random)
        for number, trial in enumerate(self._store.history()):
            if trial.state == "complete":
                races.add(number, self._store.result(number))
        return races

    def _some(self) -> Iterator[Candidate]:
        """Some candidates: for a random order any will do that can be explained."""
        for values in self._points.some(SOME):
            yield Candidate(self._plan.proof.method, {"values": values})

    @property
    def _points(self) -> PointOrder:
        spec = self._plan.spec
        first = first_params(spec, self._plan.literature, self._plan.starts)
        return PointOrder(spec, first, self._plan.meaning, self._store.directions)

    def _scored(self, jobs: Sequence[Scoring]) -> Steps[ScoringList]:
        source = ScoringList(self._store, jobs)
        source.on_outcome = self._watch("pilot", source.waiting)
        if not source.finished:
            yield source
        return source


def _chosen(
    results: Sequence[TrialResult], measures: Sequence[str]
) -> tuple[ChosenStates, tuple[int, ...]]:
    """The subset that the pilot's results allow, and its steps."""
    if not results:
        return ChosenStates("all"), ()
    named = subsets(len(results[0].flipped) - 1)
    full = {name: np.stack([one.measures[name] for one in results]) for name in measures}
    coarse = {
        subset: {name: np.stack([one.coarse[subset][name] for one in results]) for name in measures}
        for subset in named
    }
    choice = choose(full, coarse)
    return choice, named.get(choice.name, ())


def _sentence(choice: ChosenStates, steps: tuple[int, ...], trials: int) -> str:
    if not choice.errors:
        return f"Pilot: {trials} composites were scored, too few to save states; all are looked at."
    worst = {name: max(found.values()) for name, found in choice.errors.items()}
    if choice.name == "all":
        tried = ", ".join(f"{name} {found:.2f}" for name, found in worst.items())
        return (
            f"Pilot of {trials} composites: no subset of the states says the same as all of them "
            f"(error {tried} standard errors, {MOST_ERROR} allowed); all are looked at."
        )
    return (
        f"Pilot of {trials} composites: {len(steps)} states ({choice.name}) say what all say, with "
        f"an error of {worst[choice.name]:.2f} standard errors ({MOST_ERROR} allowed)."
    )
