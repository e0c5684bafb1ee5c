"""From what a sampler proposes to what a composite gets, and back: decoded here and only here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpsweep.composites.depths import depth_ends, depth_names
from lrpsweep.composites.presets import Part, Span, preset_parts
from lrpsweep.composites.rules import OPTIONS, hyperparameters, options, reference
from lrpsweep.errors import InputError
from lrpsweep.results import Axis
from lrpsweep.study.dimensions import Choice, Dimension, Fixed, Int, Linear, Log
from lrpsweep.study.fields import BlockSpec, Bound, PresetSpec

Search = Mapping[str, Dimension]


@dataclass(frozen=True)
class ConcreteBlock:
    """A block whose rule and hyperparameters are numbers: what a trial really runs.

    layers: selectors as in BlockSpec, or of a preset which span of the network.
    hyper: what the rule takes; γ may be inf. options: named variants of the rule, where they are
    not the usual ones. decay: what γ is multiplied by from one depth of the block to the next.
    bounds: of z_box, as in BlockSpec. moving: whether a depth of `layers` was searched: such a
    block takes its layers before others do, and may be left with none.
    """

    block: str
    layers: tuple[str, ...] | Span
    rule: str
    hyper: Mapping[str, float]
    options: Mapping[str, str]
    decay: float = 1.0
    bounds: tuple[Bound, Bound] | None = None
    moving: bool = False


def bounds(dimension: Dimension) -> tuple[float, float]:
    """Lowest and highest value that a sampler may propose; both included.

    A logarithmic range with zero reaches a tenth of its decades lower: what lies there means 0.
    """
    match dimension:
        case Log(log=(low, high), zero=zero):
            return (low * (low / high) ** 0.1 if zero else low), high
        case Linear(linear=(low, high)):
            return low, high
        case Int(int=(first, last)):
            return first, last
    raise ValueError(f"{dimension} has no bounds")


def free(search: Search) -> dict[str, Dimension]:
    """The hyperparameters that a sampler has a say in: all but the fixed ones."""
    return {name: d for name, d in search.items() if not isinstance(d, Fixed)}


def decode(search: Search, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the composite gets for a sampler's proposal; fixed values need not be proposed.

    Names that were not proposed have no value: see `active`.
    """
    return {
        name: _decoded(d, params.get(name))
        for name, d in search.items()
        if name in params or isinstance(d, Fixed)
    }


def _decoded(dimension: Dimension, param: Any) -> Any:
    match dimension:
        case Fixed(fixed=value):
            return value
        case Choice():
            return param
        case Int():
            return int(param)
        case Log(log=(low, _), zero=True) if param < low:
            return 0.0
    return float(param)


def encode(search: Search, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler would have proposed for these values; the inverse of `decode`.

    Raises InputError when a value lies outside the space. Fixed names are left out, but must agree.
    """
    for name, value in values.items():
        if name in search and not contains(search[name], value):
            raise InputError(f"search.{name}: {value!r} lies outside {_shown(search[name])}.")
    return {name: _encoded(d, values[name]) for name, d in free(search).items() if name in values}


def contains(dimension: Dimension, value: Any) -> bool:
    """Whether `decode` can give this value."""
    match dimension:
        case Fixed(fixed=fixed):
            return bool(value == fixed)
        case Choice(choice=choice):
            return value in choice
    if isinstance(value, bool | str):
        return False
    match dimension:
        case Log(log=(low, high), zero=zero):
            return bool((zero and value == 0) or low <= value <= high)
        case Int(int=(first, last)):
            return bool(first <= value <= last and value == int(value))
    low, high = bounds(dimension)
    return bool(low <= value <= high)


def _encoded(dimension: Dimension, value: Any) -> Any:
    match dimension:
        case Choice():
            return value
        case Int():
            return int(value)
        case Log() if value == 0:
            return bounds(dimension)[0]
    return float(value)


def _shown(dimension: Dimension) -> str:
    return str(dimension.model_dump(exclude_none=True, exclude_defaults=True))


def grid(search: Search) -> dict[str, list[Any]]:
    """The points on each free axis, as a sampler proposes them; the first name is the outer loop.

    Both ends are on the grid. Zero takes the lower end of its axis, so `points` counts it.
    """
    return {name: _points(dimension) for name, dimension in free(search).items()}


def _points(dimension: Dimension) -> list[Any]:
    match dimension:
        case Choice(choice=choice):
            return list(choice)
        case Int(int=(first, last), points=points):
            count = last - first + 1 if points is None else points
            return [round(x) for x in np.linspace(first, last, count).tolist()]
        case Linear(linear=(low, high), points=int(points)):
            return list(np.linspace(low, high, points).tolist())
        case Log(log=(low, high), zero=zero, points=int(points)):
            zeros = [bounds(dimension)[0]] if zero else []
            return zeros + list(np.geomspace(low, high, points - len(zeros)).tolist())
    raise ValueError(f"{dimension} has no points")


def first_point(search: Search) -> dict[str, Any]:
    """The values at the lower end, or first choice, of every axis."""
    lowest = {
        name: d.choice[0] if isinstance(d, Choice) else bounds(d)[0]
        for name, d in free(search).items()
    }
    return decode(search, lowest)


def axes(search: Search) -> tuple[Axis, ...]:
    """How each free hyperparameter is drawn."""
    return tuple(_axis(name, dimension) for name, dimension in free(search).items())


def _axis(name: str, dimension: Dimension) -> Axis:
    match dimension:
        case Log(zero=zero):
            return Axis(name, log=True, zero_at=bounds(dimension)[0] if zero else None)
        case Choice(choice=choice):
            return Axis(name, categories=tuple(str(c) for c in choice))
    return Axis(name)


class _Recorded(Mapping[str, Any]):
    """Values that know which of them were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def active(
    composite: PresetSpec | Sequence[BlockSpec], search: Search, values: Mapping[str, Any]
) -> tuple[str, ...]:
    """The names that the composite depends on at this point, in the space's order.

    A block's γ is none of them where its searched rule takes no γ. Raises KeyError with the first
    of them that has no value.
    """
    recorded = _Recorded(values)
    substitute(composite, recorded)
    return tuple(name for name in search if name in recorded.asked)


@dataclass(frozen=True)
class Space:
    """Where a study searches: a point has the names that its composite depends on, and no others.

    Which these are may hang on the values of some, as γ does on the rule. A point is what a sampler
    proposes, by name.
    """

    search: Search
    composite: PresetSpec | Sequence[BlockSpec]

    def lacking(self, point: Mapping[str, Any]) -> str | None:
        """The name that is to be proposed next; None when the point is whole."""
        try:
            active(self.composite, self.search, decode(self.search, point))
        except KeyError as missing:
            return str(missing.args[0])
        return None

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What the composite gets at a point, fixed values included."""
        values = decode(self.search, point)
        return {name: values[name] for name in active(self.composite, self.search, values)}

    def needed(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The point without what its composite does not depend on."""
        return {name: point[name] for name in self.values(point) if name in point}

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


def substitute(
    composite: PresetSpec | Sequence[BlockSpec], values: Mapping[str, Any]
) -> tuple[ConcreteBlock, ...]:
    """The composite with every '$name' replaced by its value. Unknown names raise KeyError."""
    if isinstance(composite, PresetSpec):
        parts = preset_parts(composite.preset, composite.hyper)
        return tuple(_concrete_part(part, values) for part in parts)
    return tuple(_concrete(block, values) for block in composite)


def searched_depths(composite: PresetSpec | Sequence[BlockSpec]) -> tuple[str, ...]:
    """The names that stand for a depth of the network: of a selector, or a preset's n."""
    if isinstance(composite, PresetSpec):
        name = reference(composite.hyper.get("n"))
        return () if name is None else (name,)
    return depth_names(tuple(selector for block in composite for selector in block.layers))


def _concrete_part(part: Part, values: Mapping[str, Any]) -> ConcreteBlock:
    hyper = _numbers(part.hyper, values)
    decay = hyper.pop("decay", 1.0)
    until = part.until
    span = Span(int(_value(until, values)) if isinstance(until, str) else until)
    return ConcreteBlock(part.block, span, part.rule, hyper, part.options, decay)


def _concrete(block: BlockSpec, values: Mapping[str, Any]) -> ConcreteBlock:
    rule = _value(block.rule, values)
    wanted = {o: _value(v, values) for o, v in block.options.items() if o in options(rule)}
    chosen = {o: v for o, v in wanted.items() if v != OPTIONS[o][0]}
    given = {h: getattr(block, h) for h in hyperparameters(rule)}
    if chosen.get("stabilize") == "none":
        del chosen["stabilize"]
        given["stabilizer"] = 0.0
    hyper = _numbers(given, values)
    decay = _number(block.decay, values) if block.decay is not None and rule == "gamma" else 1.0
    box = (block.low, block.high) if block.low and block.high and rule == "z_box" else None
    layers = tuple(_selector(selector, values) for selector in block.layers)
    moving = bool(depth_names(block.layers))
    return ConcreteBlock(block.block, layers, rule, hyper, chosen, decay, box, moving)


def _selector(selector: str, values: Mapping[str, Any]) -> str:
    """A selector whose searched depths have their values."""
    if not depth_names((selector,)):
        return selector
    first, last = (int(_value(end, values)) if end else "" for end in depth_ends(selector) or ())
    return f"depth {first}..{last}"


def _value(given: Any, values: Mapping[str, Any]) -> Any:
    """What was given, or the value of the searched name that it stands for."""
    name = reference(given)
    return given if name is None else values[name]


def _numbers(hyper: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, float]:
    return {h: _number(v, values) for h, v in hyper.items()}


def _number(given: Any, values: Mapping[str, Any]) -> float:
    if isinstance(given, tuple):
        return math.prod(_number(factor, values) for factor in given)
    value = _value(given, values)
    return math.inf if value == "inf" else float(value)
