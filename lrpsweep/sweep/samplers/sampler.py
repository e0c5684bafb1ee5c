"""What a sampler is: who proposes the next point of a search space."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lrpsweep.results import Directions
from lrpsweep.study import Space

Params = dict[str, Any]

ATTEMPTS = 50


@dataclass(frozen=True)
class Asked:
    """A trial, as far as samplers care; one that waits will run, so it counts as running.

    values: of a complete one, its mean by each objective; of a pruned one, `Pruned.estimate`.
    excess: by how much it exceeds each constraint's bound. known: how many trials had to have ended
    for it to be proposed, the first ones, from whose results alone it was; None: from all that had.
    """

    params: Mapping[str, Any]
    state: Literal["complete", "pruned", "failed", "running"] = "running"
    values: tuple[float, ...] | None = None
    excess: Mapping[str, float] = field(default_factory=dict)
    known: int | None = None

    @property
    def hidden(self) -> Asked:
        """As it is to those that may not know how it ended."""
        return Asked(self.params, known=self.known)


def known_of(trials: Sequence[Asked], known: int | None) -> Sequence[Asked]:
    """The trials with the results of the first so many alone; None: of all."""
    return trials if known is None else [*trials[:known], *(t.hidden for t in trials[known:])]


def seen_by(trials: Sequence[Asked], number: int) -> Sequence[Asked]:
    """What the trial of that number was proposed from; for the next one, all these trials."""
    return trials if number == len(trials) else known_of(trials[:number], trials[number].known)


Proposals = Callable[[Sequence[Asked]], Iterable[Params]]
"""Called with the trials so far, gives points for the next one, the preferred one first."""


@dataclass(frozen=True)
class Sampler:
    """Who proposes points, by the name in the study file.

    proposals: from the space, the study's seed and the direction of each objective. A proposal
    depends on these and on the trials before it, and on nothing else: a study that was killed and
    resumed goes on as if nothing had happened. There has to be one for every trial. exhaustive: it
    proposes a known number of points in their order, and the study has as many trials. numeric: it
    searches ranges of numbers, and no choices. several: it can search for several objectives at
    once.
    """

    name: str
    proposals: Callable[[Space, int, Directions], Proposals]
    exhaustive: bool = False
    numeric: bool = False
    several: bool = False


def draw_seed(seed: int, number: int, attempt: int) -> int:
    """The seed of one attempt at one trial, from the study's."""
    return int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])


def count_points(space: Space, most: int) -> int:
    """How many points differ, as far as `most`: more are not counted."""
    return sum(1 for _ in itertools.islice(space.every(), most)) if space.finite else most


def first_new(
    space: Space,
    proposals: Iterable[Params],
    seen: Container[tuple[Any, ...]],
    known: Callable[[Params], bool] = lambda params: False,
) -> Params:
    """The first proposal that is a new point with a new composite.

    Points are the same whose values are: all that lies below a logarithmic axis is 0. known:
    whether a trial has the proposal's composite with other values. If all are known, the first new
    point; if all were seen, the last proposal; nothing without any.
    """
    params: Params = {}
    spare: Params | None = None
    for params in proposals:
        if space.key(params) in seen:
            continue
        if not known(params):
            return params
        spare = spare or params
    return spare or params
