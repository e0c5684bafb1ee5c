"""The published composites, seen from one study: which fit the model, which the space contains."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lrpsweep.attribution import Block, Composite
from lrpsweep.errors import InputError
from lrpsweep.study import (
    PRESETS,
    BlockSpec,
    Choice,
    Int,
    PresetSpec,
    Space,
    contains,
    free,
    searched_depths,
)
from lrpsweep.trial.candidates import published, tuned
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
        meaning = _meaning(composite)
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


def _misfit(context: Context, composite: Composite) -> InputError | None:
    """Why the model cannot be explained with the composite."""
    try:
        context.explainer.check(composite)
    except InputError as error:
        return error
    return None


def literature_points(context: Context) -> dict[str, dict[str, Any]]:
    """The published composites that the search space contains, as values of its names."""
    points = {}
    for name, composite in fitting_presets(context).items():
        values = _point_of(context, name, composite)
        if values is not None:
            points[name] = values
    return points


def _point_of(context: Context, name: str, preset: Composite) -> dict[str, Any] | None:
    """The point at which the study's composite is the published one, layer by layer, or None."""
    wanted, spec = _meaning(preset), context.spec
    candidates, depths = _candidates(context, name, preset), searched_depths(spec.composite)
    parts = [spec.composite]
    if not isinstance(spec.composite, PresetSpec):
        parts = [(block,) for block in spec.composite]
    places = itertools.product(*(candidates[depth] for depth in depths))
    for place in itertools.islice(places, MOST_DEPTHS_TRIED):
        begun = dict(zip(depths, place, strict=True))
        found = next(_agreeing(context, wanted, candidates, parts, begun), None)
        if found is not None:
            return found
    return None


def _agreeing(
    context: Context,
    wanted: Mapping[str, object],
    candidates: Mapping[str, Sequence[Any]],
    parts: Sequence[PresetSpec | tuple[BlockSpec, ...]],
    begun: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """The points at which these parts give their layers what is wanted, one part after another.

    begun: the values of the names that are decided.
    """
    if not parts:
        yield dict(begun)
        return
    names = None if isinstance(parts[0], PresetSpec) else parts[0][0].block
    for values in Space(context.spec.search, parts[0]).points(candidates, begun):
        composite = context.composite(tuned({**context.some_values, **values}))
        if all(
            wanted[layer] == canonical(block)
            for layer, block in composite.by_layer().items()
            if names in (None, block.name.partition(".")[0])
        ):
            yield from _agreeing(context, wanted, candidates, parts[1:], values)


def _candidates(context: Context, preset: str, composite: Composite) -> dict[str, list[Any]]:
    """The values each name may take: numbers of the published composite, 0, 1, any depth."""
    search, depths = context.spec.search, searched_depths(context.spec.composite)
    used = {v for block in composite.blocks for v in block.hyper.values()}
    numbers = sorted({0.0, 1.0, *used, *PRESETS[preset].hyper.values()})
    found: dict[str, list[Any]] = {}
    for name, dimension in search.items():
        if name not in free(search):
            found[name] = [context.some_values[name]]
        elif isinstance(dimension, Choice):
            found[name] = list(dimension.choice)
        elif isinstance(dimension, Int) and name in depths:
            found[name] = list(range(dimension.int[0], dimension.int[1] + 1))
        else:
            found[name] = [v for v in numbers if contains(dimension, v)]
    return found


def composite_key(context: Context, values: Mapping[str, Any]) -> Hashable:
    """Equal for points of the space at which every layer gets the same."""
    return frozenset(_meaning(context.composite(tuned(values))).items())


def _meaning(composite: Composite) -> dict[str, tuple[object, ...]]:
    """What each layer gets, with one name for rules that are the same."""
    return {layer: canonical(block) for layer, block in composite.by_layer().items()}


def canonical(block: Block) -> tuple[object, ...]:
    """Rule and settings, equal for blocks that do the same to their layers."""
    hyper, options = block.hyper, block.options
    match block.rule:
        case "gamma" if hyper["gamma"] == 0 and options.get("bias") != "dropped":
            return _as("zero", block, "gamma", "bias")
        case "epsilon" if hyper["epsilon"] <= _smallest(block):
            return _as("zero", block, "epsilon", "form")
        case "alpha_beta" if hyper["alpha"] == 1:
            return _as("z_plus", block, "alpha")
    return _as(block.rule, block)


def _smallest(block: Block) -> float:
    """The largest ε that changes nothing: the stabilizer counts anyway; −1: there is none."""
    others = {"unsigned": 0.0, "rms": 0.0, "rms_batch": -1.0}
    return others.get(block.options.get("form", "signed"), block.hyper["stabilizer"])


def _as(rule: str, block: Block, *left_out: str) -> tuple[object, ...]:
    settings: dict[str, object] = {**block.hyper, **block.options, "bounds": block.bounds}
    return rule, *sorted((k, v) for k, v in settings.items() if k not in left_out)
