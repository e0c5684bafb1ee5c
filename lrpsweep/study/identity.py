"""What makes a study this study: everything that decides its results, and a hash of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from lrpsweep.composites.presets import preset_parts
from lrpsweep.composites.rules import LOWEST, reference
from lrpsweep.study.dimensions import extremes
from lrpsweep.study.fields import BlockSpec, PresetSpec, StudySpec
from lrpsweep.study.problems import shown

MOST_LINES = 5


def identity(
    spec: StudySpec,
    *,
    fingerprint: str,
    image_ids: Sequence[str],
    image_hashes: Sequence[str],
    targets: Sequence[int],
) -> tuple[str, dict[str, Any]]:
    """SHA-256 of what decides the study's results, and that as plain JSON values.

    Inside: the model's fingerprint, the images with their contents and targets, space, composite,
    evaluation, objective, constraints, the baselines that it names, and sampler. Outside: name,
    paths, `trials`, `run`; but `run.batch` counts where images are explained by their batch.
    """
    canonical: dict[str, Any] = _plain(
        {
            "version": spec.version,
            "model": fingerprint,
            "search": {
                name: dimension.model_dump(exclude_none=True)
                for name, dimension in spec.search.items()
            },
            "composite": _composite(spec.composite),
            "evaluation": spec.evaluation.model_dump(),
            "objective": spec.objective,
            **({"constraints": bounds} if (bounds := spec.constraints.bounds) else {}),
            **({"baselines": spec.baselines} if spec.baselines else {}),
            "sampler": spec.sampler.model_dump(),
            **({"batch": spec.run.batch} if _mixes_images(spec) else {}),
            "images": [
                {"id": name, "content": content, "target": int(target)}
                for name, content, target in zip(image_ids, image_hashes, targets, strict=True)
            ],
        }
    )
    text = json.dumps(canonical, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest(), canonical


def _mixes_images(spec: StudySpec) -> bool:
    """Whether a block may have form rms_batch, the one that knows of other images."""
    if isinstance(spec.composite, PresetSpec):
        return False
    forms = {block.form for block in spec.composite}
    named = [spec.search[name] for form in forms if (name := reference(form)) is not None]
    return "rms_batch" in forms or any("rms_batch" in extremes(d) for d in named)


def _composite(composite: PresetSpec | tuple[BlockSpec, ...]) -> dict[str, Any]:
    """Block to what it holds, in order; a preset with its published values written out."""
    if isinstance(composite, PresetSpec):
        return {
            part.block: {
                "layers": _span(part.until),
                "rule": part.rule,
                **part.hyper,
                **part.options,
            }
            for part in preset_parts(composite.preset, composite.hyper)
        }
    return {
        block.block: {
            "layers": block.layers,
            "rule": block.rule,
            **{h: v for h in (*LOWEST, "low", "high") if (v := getattr(block, h)) is not None},
            **block.options,
        }
        for block in composite
    }


def _span(until: Fraction | int | str | None) -> str:
    if until is None:
        return "dense"
    return f"convolutions to {until if isinstance(until, Fraction) else f'depth {until}'}"


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
