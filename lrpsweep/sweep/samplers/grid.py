"""Every point of the grid, in order."""

from __future__ import annotations

from lrpsweep.results import Directions
from lrpsweep.study import Space
from lrpsweep.sweep.samplers.sampler import Proposals, Sampler


def _proposals(space: Space, seed: int, directions: Directions) -> Proposals:
    points = space.grid()
    return lambda trials: points


GRID = Sampler("grid", _proposals, exhaustive=True, several=True)
