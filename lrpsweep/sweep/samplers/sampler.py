"""What a sampler is: who proposes the next point of a search space."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lrpsweep.results import Direction
from lrpsweep.study import Space

Params = dict[str, Any]

ATTEMPTS = 50


@dataclass(frozen=True)
class Asked:
    """A trial, as far as samplers care; one that waits will run, so it counts as running.

    excess: by how much it exceeds each constraint's bound.
    """

    params: Mapping[str, Any]
    state: Literal["complete", "failed", "running"] = "running"
    value: float | None = None
    excess: Mapping[str, float] = field(default_factory=dict)


Proposals = Callable[[Sequence[Asked]], Iterable[Params]]
"""Called with the trials so far, gives points for the next one, the preferred one first."""


@dataclass(frozen=True)
class Sampler:
    """Who proposes points, by the name in the study file.

    proposals: from the space, the study's seed and the objective's direction. A proposal depends on
    these and on the trials before it, and on nothing else: a study that was killed and resumed goes
    on as if nothing had happened. There has to be one for every trial. exhaustive: it proposes a
    known number of points in their order, and the study has as many trials.
    """

    name: str
    proposals: Callable[[Space, int, Direction], Proposals]
    exhaustive: bool = False


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
