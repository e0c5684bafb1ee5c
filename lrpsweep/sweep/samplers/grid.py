"""Every point of the grid, in order."""

from __future__ import annotations

from lrpsweep.results import Direction
from lrpsweep.study import Space, grid
from lrpsweep.sweep.samplers.sampler import Params, Proposals, Sampler


def grid_points(space: Space) -> list[Params]:
    """All points of the grid; the first name is the outer loop."""
    axes = grid(space.search)

    def place(point: Params) -> list[int]:
        return [axis.index(point[name]) if name in point else -1 for name, axis in axes.items()]

    return sorted(space.points(axes), key=place)


def _proposals(space: Space, seed: int, direction: Direction) -> Proposals:
    points = grid_points(space)
    return lambda trials: points


GRID = Sampler("grid", _proposals, exhaustive=True)
