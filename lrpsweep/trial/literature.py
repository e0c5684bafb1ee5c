"""Published and stored composites, seen from one study: which fit the model, which it searches."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrpsweep.attribution import RULES, canonical, default_rule
from lrpsweep.composites import PRESETS, Composite
from lrpsweep.composites.file import read_composite
from lrpsweep.composites.values import rounded_values, same_values
from lrpsweep.errors import InputError
from lrpsweep.results import Candidate
from lrpsweep.study import Space, resolve_path
from lrpsweep.trial.candidates import from_file, named, published, tuned, tuned_method
from lrpsweep.trial.context import Context

MOST_DEPTHS_TRIED = 1_000


def fitting_presets(context: Context, names: Iterable[str] = PRESETS) -> dict[str, Composite]:
    """The published composites that the model can be explained with, by name.

    Of those that give every layer of this model the same, the first.
    """
    found: dict[str, Composite] = {}
    meanings = []
    for name in names:
        composite = context.composite(published(name))
        meaning = _rounded(context, composite)
        if meaning not in meanings and _misfit(context, composite) is None:
            found[name] = composite
            meanings.append(meaning)
    return found


def baselines(context: Context) -> tuple[str, ...]:
    """What to compare with: the composites and methods the study names, else all presets that fit.

    Raises InputError when a named composite does not fit the model.
    """
    named = context.spec.baselines
    if named is None:
        return tuple(fitting_presets(context))
    presets = [name for name in named if name in PRESETS]
    for name in presets:
        misfit = _misfit(context, context.composite(published(name)))
        if misfit is not None:
            raise InputError(f"baselines: '{name}' does not fit {context.model.name}: {misfit}")
    fitting = fitting_presets(context, presets)
    return tuple(name for name in named if name in fitting or name not in presets)


def current(context: Context) -> tuple[str, Candidate] | None:
    """What the study says is used today, by its name, as a candidate.

    Raises InputError when it does not fit the model.
    """
    name = context.spec.current
    if name is None:
        return None
    if Path(name).suffix == ".json":
        return name, _read(context, name, "current")
    candidate = named(name)
    if candidate.method == tuned_method():
        _check_fits(context, candidate, f"current: '{name}'")
    return name, candidate


def _read(context: Context, name: str, field: str) -> Candidate:
    """The composite of a composite.json. Raises InputError, with the field, if it does not fit."""
    try:
        candidate = from_file(resolve_path(name, context.spec.base), context.model)
    except InputError as error:
        raise InputError(f"{field}: {error}") from error
    _check_fits(context, candidate, f"{field}: '{name}'")
    return candidate


def _check_fits(context: Context, candidate: Candidate, what: str) -> None:
    misfit = _misfit(context, context.composite(candidate))
    if misfit is not None:
        raise InputError(f"{what} does not fit {context.model.name}: {misfit}")


@dataclass(frozen=True)
class Starts:
    """Where the search begins, as values of its names. warnings: what is left out, and why."""

    points: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


def starts(context: Context) -> Starts:
    """The points of the composites that the study starts from.

    Raises InputError when one of them does not fit the model.
    """
    points, warnings = [], []
    for name in context.spec.start_from or ():
        candidate = _read(context, name, "start_from")
        document = read_composite(resolve_path(name, context.spec.base))
        told = document["provenance"]["values"].values()
        point = _point_of(context, context.composite(candidate), filter(_is_number, told))
        if point is None:
            warnings.append(f"start_from: '{name}' is no point of the search space, and left out.")
        else:
            points.append(point)
    return Starts(tuple(points), tuple(warnings))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _misfit(context: Context, composite: Composite) -> InputError | None:
    """Why the model cannot be explained with the composite."""
    try:
        context.engine.check(composite.rules(context.layers))
    except InputError as error:
        return error
    return None


def literature_points(context: Context) -> dict[str, dict[str, Any]]:
    """The published composites that the search space contains, as values of its names."""
    points = {}
    for name, composite in fitting_presets(context).items():
        values = _point_of(context, composite, PRESETS[name].hyper.values())
        if values is not None:
            points[name] = values
    return points


def _point_of(
    context: Context, target: Composite, numbers: Iterable[float]
) -> dict[str, Any] | None:
    """The point at which the study's composite is the given one, layer by layer, or None.

    numbers: what its names may be, beside the numbers that stand in it.
    """
    wanted, composite = _meaning(context, target), context.spec.composite
    candidates = _candidates(context, target, numbers)
    places = itertools.product(*(candidates[depth] for depth in composite.depths))
    for place in itertools.islice(places, MOST_DEPTHS_TRIED):
        begun = dict(zip(composite.depths, place, strict=True))
        found = next(_agreeing(context, wanted, candidates, composite.independent(), begun), None)
        if found is not None:
            return found
    return None


def _agreeing(
    context: Context,
    wanted: Mapping[str, Hashable],
    candidates: Mapping[str, Sequence[Any]],
    parts: Sequence[Composite],
    begun: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """The points at which these parts give their layers what is wanted, one part after another.

    begun: the values of the names that are decided.
    """
    if not parts:
        yield dict(begun)
        return
    names = {block.name for block in parts[0].blocks}
    for values in Space(context.spec.search, parts[0]).points(candidates, begun):
        composite = context.composite(tuned({**context.some_values, **values}))
        groups = {n: rule.group for n, rule in composite.rules(context.layers).items()}
        if all(
            same_values(wanted.get(layer), meaning)
            for layer, meaning in _meaning(context, composite).items()
            if groups[layer].partition(".")[0] in names
        ):
            yield from _agreeing(context, wanted, candidates, parts[1:], values)


def _candidates(
    context: Context, target: Composite, numbers: Iterable[float]
) -> dict[str, list[Any]]:
    """The values each name may take: these numbers, those of the composite, 0, 1, any depth."""
    used = {v for block in target.blocks for v in block.numbers.values()}
    tried = sorted({0.0, 1.0, *used, *numbers})
    depths = context.spec.composite.depths
    return {
        name: dimension.among(tried, name in depths)
        for name, dimension in context.spec.search.items()
    }


def composite_key(context: Context, values: Mapping[str, Any]) -> Hashable:
    """Equal for points of the space at which every layer gets the same, but for last digits."""
    return _rounded(context, context.composite(tuned(values)))


def meaning_of(context: Context, candidate: Candidate) -> Hashable:
    """Equal for candidates that explain the network alike, but for last digits."""
    if candidate.method != tuned_method():
        return candidate.method, tuple(sorted(candidate.settings.items()))
    return _rounded(context, context.composite(candidate))


def _rounded(context: Context, composite: Composite) -> Hashable:
    """What each layer gets, as one value; numbers rounded."""
    return frozenset(rounded_values(tuple(_meaning(context, composite).items())))


def _meaning(context: Context, composite: Composite) -> dict[str, Hashable]:
    """What each layer gets, with one name for rules that are the same; what is usual is left out.

    Layers with weights have no usual rule, max pools have one.
    """
    rules = composite.rules(context.layers)
    found = {name: canonical(rule) for name, rule in rules.items()}
    usual = {name: default_rule(RULES[rule.rule].on) for name, rule in rules.items()}
    return {
        name: meaning
        for name, meaning in found.items()
        if (rule := usual[name]) is None or meaning != canonical(rule)
    }
