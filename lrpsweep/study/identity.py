"""What makes a study this study: everything that decides its results, and a hash of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lrpsweep.composites.block import POOLING, Block
from lrpsweep.registry import Plugin, find_registry
from lrpsweep.study.fields import StudySpec
from lrpsweep.study.problems import shown
from lrpsweep.study.space import Search, meanings

MOST_LINES = 5


def identity(
    spec: StudySpec,
    *,
    fingerprint: str,
    image_ids: Sequence[str],
    image_hashes: Sequence[str],
    targets: Sequence[int],
    operations: Sequence[str] = (),
    starts: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, dict[str, Any]]:
    """SHA-256 of what decides the study's results, and that as plain JSON values.

    Inside: the model's fingerprint, the images with their contents and targets, space, composite,
    evaluation, objective or objectives, guards and floor, constraints, sampler, what is said of
    economy, the values of the points that are tried first (starts), and the names of plugins that
    have brought any of these. Outside: name, paths, `trials`, `run`; but `run.batch` counts where
    images are explained by their batch. Of version 1, validation images and the baselines that it
    names are inside too; later ones prove their nominee anew when these change.
    """
    plugins = plugins_used(spec, operations, baselines=spec.version == 1)
    canonical: dict[str, Any] = _plain(
        {
            "version": spec.version,
            "model": fingerprint,
            "search": {name: dimension.text() for name, dimension in spec.search.items()},
            "composite": {
                block.name: _block(block, spec.search) for block in spec.composite.blocks
            },
            "evaluation": spec.evaluation.model_dump(),
            "objective": spec.objective,
            **({"plugins": [p.name for p in plugins]} if plugins else {}),
            **({"constraints": bounds} if (bounds := spec.constraints.bounds) else {}),
            **_since(spec),
            "sampler": spec.sampler.model_dump(),
            **({"economy": given} if (given := spec.economy.given) else {}),
            **({"start_from": list(starts)} if starts else {}),
            **({"batch": spec.run.batch} if _mixes_images(spec) else {}),
            "images": [
                {"id": name, "content": content, "target": int(target)}
                for name, content, target in zip(image_ids, image_hashes, targets, strict=True)
            ],
        }
    )
    text = json.dumps(canonical, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest(), canonical


def _since(spec: StudySpec) -> dict[str, Any]:
    """What version 1 and later ones say each in their way."""
    if spec.version == 1:
        return {"baselines": spec.baselines} if spec.baselines else {}
    split = spec.data.split
    return {
        "guards": dict(spec.guards),
        "floor": spec.floor,
        "split": {"search": split.search, "selection": split.selection},
    }


def plugins_used(
    spec: StudySpec, operations: Sequence[str] = (), *, baselines: bool = True
) -> tuple[Plugin, ...]:
    """The packages that have added something which the study names or needs, by name.

    operations: what the network consists of, names of OPERATIONS. baselines: whether those count.
    """
    evaluation, measures = spec.evaluation, find_registry("measure")
    decisive = (*spec.objectives, *spec.guards)
    named = [
        *(("operation", name) for name in operations),
        *(("measure", name) for name in decisive),
        *(("order", order) for name in decisive for order in measures[name].needs.orders),
        ("protocol", evaluation.protocol),
        ("perturbation", evaluation.perturbation),
        ("score", evaluation.score),
        ("sampler", spec.sampler.name),
        *(("method", name) for name in (spec.baselines or ()) if baselines),
        *(
            ("rule", word)
            for block in spec.composite.blocks
            for word in (*meanings(block.rule, spec.search), block.options.get(POOLING, ""))
        ),
    ]
    found = {find_registry(kind).plugin_of(name) for kind, name in named}
    return tuple(sorted((p for p in found if p is not None), key=lambda plugin: plugin.name))


def _mixes_images(spec: StudySpec) -> bool:
    """Whether a block may have a variant of a rule that knows of the other images of a batch."""
    return any(
        word in option.mixes_images
        for block in spec.composite.blocks
        for rule in _rules(block, spec.search)
        for option in rule.options
        if option.name in block.options
        for word in meanings(block.options[option.name], spec.search)
    )


def _rules(block: Block, search: Search) -> list[Any]:
    """The rules that the block may have."""
    return [find_registry("rule")[word] for word in meanings(block.rule, search)]


STORED_ORDER = (
    *("gamma", "epsilon", "alpha", "stabilizer", "decay"),
    *("low", "high", "bias", "form", "stabilize", "pooling"),
)
"""The order in which stored hashes have a block's settings; further ones follow in their own."""


def _block(block: Block, search: Search) -> dict[str, Any]:
    """Layers, rule, and settings: those that are given, and defaults of parameters.

    The part of a network that a published composite's block is for stands as a word.
    """
    low, high = block.bounds or (None, None)
    settings = {
        "stabilizer": 1e-6,  # of every block, whatever its rule, in the hashes that are stored
        **{p.name: p.default for rule in _rules(block, search) for p in rule.parameters},
        **block.values,
        **block.options,
        "decay": block.decay,
        "low": low,
        "high": high,
    }
    order = [name for name in STORED_ORDER if name in settings]
    order += [name for name in settings if name not in order]
    if block.published:  # whose hashes have the stabilizer behind what is given
        order.sort(key=lambda name: (name in block.options, name == "stabilizer"))
    return {
        "layers": block.layers[0] if block.published else block.layers,
        "rule": block.rule,
        **{name: settings[name] for name in order if settings[name] is not None},
    }


def _plain(value: Any) -> Any:
    """JSON values only: numbers that JSON does not know become words."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two canonical identities: a line for each field, old value first."""
    fields = {key: value for key, value in old.items() if key != "images"}
    others = {key: value for key, value in new.items() if key != "images"}
    return [*_changes("", fields, others), *_image_changes(old["images"], new["images"])]


def _changes(place: str, old: Any, new: Any) -> Iterator[str]:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        if old != new or type(old) is not type(new):
            yield f"{place}: was {shown(old)}, is {shown(new)}"
        return
    for key in [*old, *(key for key in new if key not in old)]:
        inner = f"{place}.{key}".lstrip(".")
        if key not in new:
            yield f"{inner}: was {shown(old[key])}, is gone"
        elif key not in old:
            yield f"{inner}: is new, {shown(new[key])}"
        else:
            yield from _changes(inner, old[key], new[key])
    if set(old) == set(new) and list(old) != list(new):
        yield f"{place}: the order was {', '.join(old)}, is {', '.join(new)}"


def _image_changes(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    if len(old) != len(new):
        yield f"images: were {len(old)}, are {len(new)}"
        return
    pairs = [(i, a, b) for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    for i, was, now in pairs[:MOST_LINES]:
        changed = [f"{k} was {shown(was[k])}, is {shown(now[k])}" for k in was if was[k] != now[k]]
        yield f"images.{i} ({was['id']}): {'; '.join(changed)}"
    if len(pairs) > MOST_LINES:
        yield f"images: {len(pairs) - MOST_LINES} more differ"
