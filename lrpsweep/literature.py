"""The published composites, seen from one study: which fit the model, which the space contains."""

from __future__ import annotations

import itertools
from typing import Any

from lrpsweep.attribution import Block, Composite
from lrpsweep.context import Context, Task
from lrpsweep.errors import InputError
from lrpsweep.spec import PRESETS, Choice, contains, free

MOST_POINTS_TRIED = 20_000


def fitting_presets(context: Context) -> dict[str, Composite]:
    """Every published composite that the model can be explained with, by name."""
    fitting = {}
    for name in PRESETS:
        composite = context.composite(Task(preset=name))
        try:
            context.explainer.check(composite)
        except InputError:
            continue
        fitting[name] = composite
    return fitting


def literature_points(context: Context) -> dict[str, dict[str, Any]]:
    """The published composites that the search space contains, as values of its names."""
    points = {}
    for name, published in fitting_presets(context).items():
        values = _point_of(context, published)
        if values is not None:
            points[name] = values
    return points


def _point_of(context: Context, published: Composite) -> dict[str, Any] | None:
    """The point at which the study's composite is the published one, layer by layer, or None."""
    wanted = _meaning(published)
    candidates = _candidates(context, published)
    names = list(candidates)
    points = itertools.product(*candidates.values())
    for point in itertools.islice(points, MOST_POINTS_TRIED):
        values = dict(zip(names, point, strict=True))
        if _meaning(context.composite(Task(values=values))) == wanted:
            return values
    return None


def _candidates(context: Context, published: Composite) -> dict[str, list[Any]]:
    """The values each name would have to take: only numbers the published composite has."""
    search = context.spec.search
    numbers = sorted({0.0, *(v for b in published.blocks for v in b.hyper.values())})
    found: dict[str, list[Any]] = {}
    for name, dimension in search.items():
        if name not in free(search):
            found[name] = [context.some_values[name]]
        elif isinstance(dimension, Choice):
            found[name] = list(dimension.choice)
        else:
            found[name] = [v for v in numbers if contains(dimension, v)]
    return found


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
    settings = {**block.hyper, **block.options}
    return rule, *sorted((k, v) for k, v in settings.items() if k not in left_out)
