"""composite.json of a study's results; how it is read and checked, see `composites.file`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from lrpsweep.composites.file import check_composite
from lrpsweep.files import write_atomically
from lrpsweep.results import (
    Comparison,
    Contender,
    MeasureBound,
    Nomination,
    Recommendation,
    StudyResults,
    TrialResult,
)
from lrpsweep.study import ModelSpec, plugins_used
from lrpsweep.trial.candidates import candidate_of
from lrpsweep.trial.context import Context

VERSIONS_OF = ("lrpsweep", "torch", "torchvision", "opencv-python-headless", "numpy", "optuna")


def composite_document(
    context: Context,
    results: StudyResults,
    one: Contender,
    parity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The file's content for a candidate of a study; validated if it is what was recommended.

    parity: how equal another implementation's relevance is, if that was measured.
    """
    search = results.result_of(one)
    assert search is not None
    recommended = results.recommendation
    if recommended is not None and recommended.nominee.label != one.label:
        recommended = None
    composite = context.composite(candidate_of(one))
    document = {
        "schema_version": 1,
        "model": _model(context),
        "blocks": [block.to_json() for block in composite.blocks],
        "evaluation": context.spec.evaluation.model_dump(mode="json"),
        "result": _result(results, search, one, recommended),
        "provenance": _provenance(context, results, one, search),
        **({"parity": dict(parity)} if parity is not None else {}),
    }
    check_composite(document, "composite")
    return document


def _model(context: Context) -> dict[str, Any]:
    model = context.model
    low, high = model.pixel_bounds
    return {
        "source": _source(context.spec.model),
        "architecture": model.name,
        "fingerprint": model.fingerprint,
        "classes": list(model.classes),
        "input_size": list(model.input_size),
        "preprocess": model.preprocess.model_dump(mode="json"),
        "pixel_low": low.tolist(),
        "pixel_high": high.tolist(),
    }


def _source(spec: ModelSpec) -> dict[str, Any]:
    """How to find the model again; a weights file by its name alone, never by its path."""
    families = ("embedded", "torchvision", "factory", "python")
    source: dict[str, Any] = {f: getattr(spec, f) for f in families if getattr(spec, f) is not None}
    if spec.torchvision is not None or spec.factory is not None:
        source["weights"] = None if spec.weights is None else Path(spec.weights).name
    return source


def _result(
    results: StudyResults, search: TrialResult, one: Contender, recommended: Recommendation | None
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "validated": recommended is not None,
        "objective": results.objective,
        "direction": results.direction,
        "search": {
            "mean": search.value,
            "stderr": _finite(search.stderr)[0],
            "images": len(search.scores),
            **({"states": list(search.states)} if search.states else {}),
        },
    }
    if results.several:
        result["objectives"] = [
            {
                "name": name,
                "direction": direction,
                "mean": search.mean(name),
                "stderr": _finite(search.standard_error(name))[0],
            }
            for name, direction in zip(results.objectives, results.directions, strict=True)
        ]
    nomination = results.nomination
    if nomination and nomination.nominee and nomination.nominee.label == one.label:
        result["nomination"] = _nomination(nomination)
    if recommended is not None:
        result["validation"] = _validation(recommended)
    return result


def _nomination(found: Nomination) -> dict[str, Any]:
    return {
        "sentence": found.sentence,
        "candidates": found.candidates,
        "selection_images": found.selection_images,
        "ranges": dict(found.ranges),
        "random_order": dict(found.random),
        **({"stability": asdict(found.stability)} if found.stability else {}),
    }


def _validation(found: Recommendation) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "interval": _finite(found.low, found.high),
        "images": found.validation_images,
        "verdict": found.verdict,
        "sentence": found.sentence,
        "warnings": list(found.warnings),
        "baselines": [_comparison(c) for c in found.comparisons],
        "look": found.look,
        "level": found.level,
        "bounds": [_bound(bound) for bound in found.bounds],
        "images_for_better": found.images_for_better,
        "images_for_as_good": found.images_for_as_good,
        **({"current": found.current} if found.current else {}),
        "image_hashes": list(found.images),
        "scores": {
            label: {name: list(scores) for name, scores in by_measure.items()}
            for label, by_measure in found.scores.items()
        },
    }


def _bound(bound: MeasureBound) -> dict[str, Any]:
    numbers = {"low": bound.low, "low_percent": bound.low_percent}
    return asdict(bound) | {name: _finite(number)[0] for name, number in numbers.items()}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "baseline": comparison.baseline,
        "mean": comparison.mean,
        "difference": comparison.difference,
        "interval": _finite(comparison.low, comparison.high),
        "p": _finite(comparison.p)[0],
        "p_hochberg": _finite(comparison.p_adjusted)[0],
        "better": comparison.better,
        **({} if comparison.images is None else {"images": comparison.images}),
    }


def _finite(*numbers: float) -> list[float | None]:
    """JSON knows no NaN: a single image has no interval."""
    return [number if math.isfinite(number) else None for number in numbers]


def _provenance(
    context: Context, results: StudyResults, one: Contender, search: TrialResult
) -> dict[str, Any]:
    return {
        "study": results.name,
        "trial": one.number,
        **({"published": one.published} if one.published else {}),
        "values": {k: "inf" if v == math.inf else v for k, v in one.values.items()},
        "spec_hash": results.spec_hash,
        "seed": context.spec.sampler.seed,
        "device": search.device,
        "versions": {package: metadata.version(package) for package in VERSIONS_OF}
        | {p.name: p.version for p in plugins_used(context.spec, context.operations)},
    }


def write_composite(document: Mapping[str, Any], path: Path) -> None:
    """Writes the file in one step: a reader never sees half of it."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, text)
