"""Which points are tried, in which order: those to start from, the published, the sampler's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from lrpsweep.errors import InputError
from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Directions
from lrpsweep.study import Space, StudySpec, encode
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.samplers.sampler import Asked, count_points, first_new

MOST_POINTS_LOOKED_AT = 20_000
PILOTS = 16
"""How many points of the sampler show which states are enough."""

Point = Mapping[str, Any]
Meaning = Callable[[Mapping[str, Any]], Hashable]
"""What two trials have in common that have the same composite, from one's values."""


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

    Never more than there are points: a trial gives the same result the second time. Raises
    InputError when there are too few for a pilot.
    """
    space, sampler = Space(spec.search, spec.composite), SAMPLERS[spec.sampler.name]
    first = [params for _, params in first_params(spec, literature, starts)]
    if sampler.exhaustive:
        directions = tuple(MEASURES[name].direction for name in spec.objectives)
        points = sampler.proposals(space, spec.sampler.seed, directions)(())
        planned = len({space.key(params) for params in (*first, *points)})
    else:
        assert spec.trials is not None
        planned = count_points(space, spec.trials)
    if spec.economy.states == "auto" and planned <= len(first) + PILOTS:
        raise InputError(
            f"economy.states: 'auto' looks at {PILOTS} of the sampler's points before it saves "
            f"anything; found {planned} trials, {len(first)} of them published or given to start "
            f"from; expected at least {len(first) + PILOTS + 1} trials, 'all', or a list of steps"
        )
    return planned


class PointOrder:
    """The points of a search, one after the other. first: as `first_params`."""

    def __init__(
        self,
        spec: StudySpec,
        first: Sequence[tuple[str | None, dict[str, Any]]],
        meaning: Meaning,
        directions: Directions,
    ) -> None:
        self._spec = spec
        self._space = Space(spec.search, spec.composite)
        self._first = first
        self._names = {self._space.key(params): name for name, params in first}
        self._meaning = meaning
        self._meanings: dict[tuple[Any, ...], Hashable] = {}
        self._sampler = SAMPLERS[spec.sampler.name]
        self._proposals = self._sampler.proposals(self._space, spec.sampler.seed, directions)
        self._seen: set[tuple[Any, ...]] = set()
        self._composites: set[Hashable] = set()

    @property
    def blind(self) -> int:
        """How many trials are proposed before any result is looked at: those of the pilot."""
        learning = self._spec.economy.states == "auto" and not self._sampler.exhaustive
        return len(self._first) + PILOTS if learning else 0

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The point as the composite gets it."""
        return self._space.values(params)

    def add(self, params: Mapping[str, Any]) -> None:
        """Takes note of a point that is tried."""
        self._seen.add(self._space.key(params))
        self._composites.add(self.composite(params))

    def composite(self, params: Mapping[str, Any]) -> Hashable:
        """What the point shares with those that have its composite."""
        place = self._space.key(params)
        if place not in self._meanings:
            self._meanings[place] = self._meaning(self._space.values(params))
        return self._meanings[place]

    def is_first(self, params: Mapping[str, Any]) -> bool:
        """Whether it is one of those to start from, or published."""
        return self._space.key(params) in self._names

    def published(self, params: Mapping[str, Any]) -> str | None:
        """The name of the published composite that this point is, if it is one."""
        return self._names.get(self._space.key(params))

    def next(self, trials: Sequence[Asked]) -> tuple[str | None, dict[str, Any]]:
        """The next of the first points that no trial has, then the sampler's.

        trials: all so far. An exhaustive sampler's points come in their order; others look for a
        new composite first. Raises InputError when the sampler has no proposal.
        """
        proposals = self._proposals(trials)
        for name, params in self._first:
            if self._space.key(params) not in self._seen:
                return name, params
        if self._sampler.exhaustive:
            found = first_new(self._space, proposals, self._seen)
        else:
            # Where few points are left, guessing may miss them.
            some = islice(self._space.every(), MOST_POINTS_LOOKED_AT)
            found = first_new(self._space, chain(proposals, some), self._seen, self._is_known)
        if not found:
            raise InputError(
                f"sampler.name: '{self._spec.sampler.name}' proposes no point for trial "
                f"{len(trials)}; expected at least one"
            )
        return None, found

    def _is_known(self, params: Mapping[str, Any]) -> bool:
        return self.composite(params) in self._composites

    def some(self, count: int) -> list[dict[str, Any]]:
        """So many points at most, as values, in the order in which they are tried."""
        trials: list[Asked] = []
        while len(trials) < count:
            _, params = self.next(trials)
            if trials and params == trials[-1].params:
                break
            self.add(params)
            trials.append(Asked(params, known=0))
        return [self._space.values(trial.params) for trial in trials]

    def pilots(self) -> list[dict[str, Any]]:
        """The sampler's first points, as values; of a grid, some that lie anywhere in it."""
        if self._sampler.exhaustive:
            points = list(self._proposals(()))
            rng = np.random.default_rng([self._spec.sampler.seed, 16])
            chosen = rng.permutation(len(points))[:PILOTS]
            return [self._space.values(points[place]) for place in sorted(chosen)]
        return self.some(self.blind)[len(self._first) :]
