"""The search space: what a sampler proposes, and what a composite gets for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lrpsweep.composites.block import Composite
from lrpsweep.composites.values import reference, rounded
from lrpsweep.errors import InputError
from lrpsweep.results import Axis
from lrpsweep.study.dimensions import Dimension

Search = Mapping[str, Dimension]


def free(search: Search) -> dict[str, Dimension]:
    """The hyperparameters that a sampler has a say in: all but the fixed ones."""
    return {name: dimension for name, dimension in search.items() if dimension.free}


def meanings(word: str, search: Search) -> tuple[Any, ...]:
    """All that a word, or the '$name' of a choice of words, may mean; () for a range of numbers."""
    name = reference(word)
    return (word,) if name is None else search[name].listed


def decode(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the composite gets for a sampler's proposal; fixed values need not be proposed.

    Names that were not proposed have no value: see `Space.needed`.
    """
    return {
        name: dimension.decode(params.get(name))
        for name, dimension in search.items()
        if name in params or not dimension.free
    }


def encode(search: Search, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler would have proposed for these values; the inverse of `decode`.

    Raises InputError when a value lies outside the space. Fixed names are left out, but must agree.
    """
    for name, value in values.items():
        if name in search and not search[name].contains(value):
            shown = search[name].model_dump(exclude_none=True, exclude_defaults=True)
            raise InputError(f"search.{name}: {value!r} lies outside {shown}.")
    return {name: d.encode(values[name]) for name, d in free(search).items() if name in values}


def grid(search: Search) -> dict[str, list[Any]]:
    """The points on each free axis, as a sampler proposes them; the first name is the outer loop.

    Both ends are on the grid. Zero takes the lower end of its axis, so `points` counts it.
    """
    return {name: dimension.grid() for name, dimension in free(search).items()}


def first_point(search: Search) -> dict[str, Any]:
    """The values at the lower end, or first choice, of every axis."""
    return decode(search, {name: d.lowest for name, d in free(search).items()})


def axes(search: Search) -> tuple[Axis, ...]:
    """How each free hyperparameter is drawn."""
    return tuple(dimension.axis(name) for name, dimension in free(search).items())


@dataclass(frozen=True)
class Space:
    """Where a study searches: a point has the names that its composite depends on, and no others.

    Which these are may hang on the values of some, as γ does on the rule. A point is what a sampler
    proposes, by name.
    """

    search: Search
    composite: Composite

    def lacking(self, point: Mapping[str, Any]) -> str | None:
        """The name that is to be proposed next; None when the point is whole."""
        values = decode(self.search, point)
        return next((n for n in self.composite.names(values) if n not in values), None)

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What the composite gets at a point, fixed values included, in the order of the search."""
        values = decode(self.search, point)
        needed = set(self.composite.names(values))
        return {name: values[name] for name in self.search if name in needed}

    def needed(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The point without what its composite does not depend on.

        A number of a stored point that is one of the space's own but for its last digits, which
        another processor computes otherwise, is replaced by that.
        """
        return {
            name: self.search[name].place(point[name])
            for name in self.values(point)
            if name in point
        }

    def key(self, point: Mapping[str, Any]) -> tuple[Any, ...]:
        """Equal for points that are the same: that have the same values but for the last digits."""
        return tuple(
            (name, rounded(value) if isinstance(value, float) else value)
            for name, value in decode(self.search, point).items()
        )

    def points(
        self, axes: Mapping[str, Iterable[Any]], begun: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All points with the places on these axes; begun: what all of them have in common."""
        point = dict(begun or {})
        name = self.lacking(point)
        if name is None:
            yield point
            return
        for place in axes[name]:
            yield from self.points(axes, point | {name: place})

    def grid(self) -> list[dict[str, Any]]:
        """All points of the grid; the first name is the outer loop."""
        axes = grid(self.search)

        def place(point: Mapping[str, Any]) -> list[int]:
            return [axis.index(point[name]) if name in point else -1 for name, axis in axes.items()]

        return sorted(self.points(axes), key=place)

    def every(self) -> Iterator[dict[str, Any]]:
        """All points, where there are finitely many; else none."""
        if self.finite:
            axes = {name: dimension.every() or () for name, dimension in free(self.search).items()}
            yield from self.points(axes)

    @property
    def finite(self) -> bool:
        """Whether there are finitely many points."""
        return all(dimension.every() is not None for dimension in free(self.search).values())
