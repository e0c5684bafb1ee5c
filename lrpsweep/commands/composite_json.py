"""composite.json of a study's results; how it is read and checked, see `composites.file`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from lrpsweep.composites.file import check_composite
from lrpsweep.files import write_atomically
from lrpsweep.results import Comparison, Recommendation, StudyResults, TrialRecord, TrialResult
from lrpsweep.study import ModelSpec, plugins_used
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Context

VERSIONS_OF = ("lrpsweep", "torch", "torchvision", "opencv-python-headless", "numpy", "optuna")


def composite_document(
    context: Context,
    results: StudyResults,
    record: TrialRecord,
    parity: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The file's content for one trial of a study; validated if that trial was recommended.

    parity: how equal another implementation's relevance is, if that was measured.
    """
    assert record.result is not None
    recommended = results.recommendation
    if recommended is not None and recommended.number != record.number:
        recommended = None
    composite = context.composite(tuned(record.values))
    document = {
        "schema_version": 1,
        "model": _model(context),
        "blocks": [block.to_json() for block in composite.blocks],
        "evaluation": context.spec.evaluation.model_dump(mode="json"),
        "result": _result(results, record.result, recommended),
        "provenance": _provenance(context, results, record),
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
    results: StudyResults, search: TrialResult, recommended: Recommendation | None
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "validated": recommended is not None,
        "objective": results.objective,
        "direction": results.direction,
        "search": {
            "mean": search.value,
            "stderr": _finite(search.stderr)[0],
            "images": len(search.scores),
        },
    }
    if recommended is not None:
        result["validation"] = {
            "mean": recommended.mean,
            "interval": _finite(recommended.low, recommended.high),
            "images": recommended.validation_images,
            "verdict": recommended.verdict,
            "sentence": recommended.sentence,
            "warnings": list(recommended.warnings),
            "baselines": [_comparison(c) for c in recommended.comparisons],
        }
    return result


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "baseline": comparison.baseline,
        "mean": comparison.mean,
        "difference": comparison.difference,
        "interval": _finite(comparison.low, comparison.high),
        "p": _finite(comparison.p)[0],
        "p_holm": _finite(comparison.p_adjusted)[0],
        "better": comparison.better,
    }


def _finite(*numbers: float) -> list[float | None]:
    """JSON knows no NaN: a single image has no interval."""
    return [number if math.isfinite(number) else None for number in numbers]


def _provenance(context: Context, results: StudyResults, record: TrialRecord) -> dict[str, Any]:
    assert record.result is not None
    return {
        "study": results.name,
        "trial": record.number,
        "values": {k: "inf" if v == math.inf else v for k, v in record.values.items()},
        "spec_hash": results.spec_hash,
        "seed": context.spec.sampler.seed,
        "device": record.result.device,
        "versions": {package: metadata.version(package) for package in VERSIONS_OF}
        | {p.name: p.version for p in plugins_used(context.spec, context.operations)},
    }


def write_composite(document: Mapping[str, Any], path: Path) -> None:
    """Writes the file in one step: a reader never sees half of it."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, text)
