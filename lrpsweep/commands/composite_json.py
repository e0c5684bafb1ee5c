"""composite.json: what a sweep recommends, as a file that others can check and use.

Reading it imports no code and unpickles nothing: it is JSON, checked against the schema that
ships in the package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema

from lrpsweep.attribution import Block, Composite
from lrpsweep.attribution.lrp.composite import plain
from lrpsweep.composites.rules import HUGE, hyperparameters, options
from lrpsweep.errors import InputError
from lrpsweep.results import Comparison, Recommendation, StudyResults, TrialRecord, TrialResult
from lrpsweep.study import ModelSpec
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Context

LARGEST_FILE = 10 * 2**20
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
        "blocks": [plain(block) for block in composite.blocks],
        "evaluation": context.spec.evaluation.model_dump(mode="json"),
        "result": _result(results, record.result, recommended),
        "provenance": _provenance(context, results, record),
        **({"parity": dict(parity)} if parity is not None else {}),
    }
    _check(document, "composite")
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
        "p_holm": _finite(comparison.p_holm)[0],
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
        "versions": {package: metadata.version(package) for package in VERSIONS_OF},
    }


def write_composite(document: Mapping[str, Any], path: Path) -> None:
    """Writes the file in one step: a reader never sees half of it."""
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_composite(path: Path) -> dict[str, Any]:
    """Reads and checks the file. Raises InputError with path and field."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: larger than {LARGEST_FILE} bytes; expected a composite.json")
        document = json.loads(path.read_text(encoding="utf-8"))
        _check(document, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); expected a composite.json.") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply; expected a composite.json.") from error
    return dict(document)


def _check(document: Any, where: str) -> None:
    schema = json.loads(resources.files("lrpsweep").joinpath("composite.schema.json").read_text())
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is not None and version != 1:
        raise InputError(
            f"{where}: schema_version: found {version!r}; this lrpsweep reads version 1."
        )
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
    if errors:
        first = jsonschema.exceptions.best_match(errors)
        field = ".".join(str(part) for part in first.absolute_path) or "the file"
        raise InputError(f"{where}: {field}: {first.message[:300]}.")
    for field, value in _leaves(document):
        if isinstance(value, int | float) and not abs(value) < HUGE:
            raise InputError(
                f"{where}: {field}: found {str(value)[:20]}; expected a finite number."
            )
    _check_blocks(document["blocks"], where)


def _leaves(value: Any, field: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that holds nothing else, with its place: 'blocks.0.hyperparameters.gamma'."""
    if not isinstance(value, dict | list):
        yield field, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(inner, f"{field}.{key}" if field else str(key))


def _check_blocks(blocks: Sequence[Mapping[str, Any]], where: str) -> None:
    """Each rule has what it takes and nothing else; each layer is in one block."""
    owner: dict[str, str] = {}
    for i, block in enumerate(blocks):
        rule, given = block["rule"], set(block.get("options", {}))
        found, wanted = set(block["hyperparameters"]), set(hyperparameters(rule))
        if found != wanted:
            raise InputError(
                f"{where}: blocks.{i}.hyperparameters: found {_listing(found)}; the rule {rule} "
                f"takes {_listing(wanted)}."
            )
        if not given <= set(options(rule)):
            raise InputError(
                f"{where}: blocks.{i}.options: found {_listing(given)}; the rule {rule} takes "
                f"{_listing(options(rule))}."
            )
        _check_bounds(block, f"{where}: blocks.{i}.bounds")
        for layer in block["layers"]:
            if layer in owner:
                raise InputError(
                    f"{where}: blocks.{i}.layers: '{layer}' is in block '{owner[layer]}' already; "
                    "expected every layer once."
                )
            owner[layer] = block["block"]


def _check_bounds(block: Mapping[str, Any], field: str) -> None:
    bounds = block.get("bounds")
    if bounds is None:
        return
    low, high = bounds["low"], bounds["high"]
    if block["rule"] != "z_box":
        raise InputError(f"{field}: found bounds; the rule {block['rule']} takes none.")
    if len(low) != len(high) or not all(a < b for a, b in zip(low, high, strict=True)):
        raise InputError(
            f"{field}: found low {low} and high {high}; expected as many numbers, each low one "
            "below its high one."
        )


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def composite_of(document: Mapping[str, Any]) -> Composite:
    """The composite that a checked file holds."""
    return Composite(
        tuple(
            Block(
                b["block"],
                tuple(b["layers"]),
                b["rule"],
                {k: float(v) for k, v in b["hyperparameters"].items()},
                b.get("options", {}),
                _bounds(b.get("bounds")),
            )
            for b in document["blocks"]
        )
    )


def _bounds(found: Mapping[str, Any] | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if found is None:
        return None
    return tuple(map(float, found["low"])), tuple(map(float, found["high"]))
