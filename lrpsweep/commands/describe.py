"""What a study would do, in words and numbers, and a first study for a model and its images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torchvision

from lrpsweep.attribution import Engine, LayerInfo, list_layers
from lrpsweep.commands.blocks import find_blocks, propose
from lrpsweep.composites import PRESETS, Block, Composite, find_rule, preset
from lrpsweep.composites.file import composite_of, read_composite
from lrpsweep.data import Split
from lrpsweep.data.folders import list_classes, list_files
from lrpsweep.errors import InputError, guess
from lrpsweep.evaluation import MEASURES
from lrpsweep.models import Model, load_model
from lrpsweep.models.torchvision import IMAGENET
from lrpsweep.study import ModelSpec, StudySpec, init_text, parse_study
from lrpsweep.sweep.points import planned_trials
from lrpsweep.sweep.statement import MARGIN_GUARD
from lrpsweep.sweep.validation import TYPICAL_DEVIATION, power
from lrpsweep.trial.candidates import check_layers, title_of, tuned
from lrpsweep.trial.classes import predictions
from lrpsweep.trial.context import Context
from lrpsweep.trial.literature import baselines, current, literature_points, starts

PATCHES_A_SIDE = 28
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


ROWS = 5
DOUBTFUL = 0.5


def describe_study(context: Context) -> dict[str, Any]:
    """Facts about a prepared study, by name; with them the first `images` and `warnings`."""
    spec, model = context.spec, context.model
    search = context.split.search
    literature, first = literature_points(context), starts(context)
    looked = predicted(context)
    composite = context.composite(tuned(context.some_values))
    return {
        "model": f"{model.name}, weights {model.fingerprint[:12]}",
        "input": f"{search.images.shape[1]} × {search.images.shape[2]} pixels",
        "images": _counted(context.split),
        "blocks": ", ".join(_described(composite)),
        "trials": planned_trials(spec, literature, first.points),
        "composites of the literature in the space": _titles(literature),
        "baselines on the validation images": _titles(baselines(context)),
        **_nominated(context),
        **looked,
        "warnings": [*looked["warnings"], *first.warnings],
    }


def _nominated(context: Context) -> dict[str, str]:
    """How the nominee will be chosen, and what its validation can show; of several objectives, from
    what people choose."""
    spec, images = context.spec, len(context.split.validation.ids)
    current(context)
    guards = [f"within {p:g} % of the best {MEASURES[n].title}" for n, p in spec.guards.items()]
    floor = ["better than a random order from both ends, stable"] if spec.floor else []
    titles = [MEASURES[name].title for name in spec.objectives]
    if len(titles) > 1:
        front = f"the Pareto front of {', '.join(titles)} on the search images"
        return {"yours to choose from": "; ".join([front, *floor])}
    chosen = [f"the best {titles[0]}", *guards, *floor]
    found = {"the nominee": "; ".join(chosen)}
    if images:
        found["validation"] = power(TYPICAL_DEVIATION, images)
    return found


def _counted(split: Split) -> str:
    selected = f"{len(split.selection.ids)} to select on, " if split.selection.ids else ""
    return (
        f"{len(split.search.ids)} to search on, {selected}{len(split.validation.ids)} to validate"
    )


def _described(composite: Composite) -> Iterator[str]:
    """Each block of the study: one whose γ decays is a block for each depth, NAME.1, NAME.2, …."""
    for name, parts in groupby(composite.blocks, lambda block: block.name.partition(".")[0]):
        blocks = list(parts)
        layers = tuple(layer for block in blocks for layer in block.layers)
        decays = f", decaying over {len(blocks)} depths" if len(blocks) > 1 else ""
        yield f"{name} ({blocks[0].rule}{decays}, {_span(layers)})"


def predicted(context: Context) -> dict[str, Any]:
    """What the model makes of the search images: here a wrong label or normalisation shows.

    `first images`, `warnings`, and top-1 where the labels are known.
    """
    search = context.split.search
    found = predictions(context.model, search.images, context.batch)
    rows = [
        {
            "image": name,
            "label": _class_name(context.model, label),
            "prediction": _class_name(context.model, prediction),
        }
        for name, label, prediction in zip(search.ids, search.labels, found, strict=True)
    ][:ROWS]
    if (search.labels < 0).any():
        return {"first images": rows, "warnings": _wide_guards(context.spec)}
    labels, right = context.looked or (search.labels, found == search.labels)
    correct = float(np.mean(right))
    warnings = _wide_guards(context.spec) + ([_doubt(correct)] if correct < DOUBTFUL else [])
    facts = {"top-1 on the search images": f"{correct:.0%}"}
    if context.looked is not None:
        facts = {
            "top-1 on the images looked at": f"{correct:.0%}",
            "misclassified and left out": f"{np.sum(~right)} of {len(right)} images",
        }
        parts = (search, context.split.selection, context.split.validation)
        left = {label for part in parts for label in part.labels.tolist()}
        gone = [_class_name(context.model, k) for k in sorted({*labels.tolist()} - left)]
        if gone:
            more = f" and {len(gone) - ROWS} more" if len(gone) > ROWS else ""
            warnings.append(
                f"no image of class {', '.join(gone[:ROWS])}{more} is left: all that were looked "
                "at are misclassified"
            )
    return {**facts, "first images": rows, "warnings": warnings}


def _wide_guards(spec: StudySpec) -> list[str]:
    """Guards that let nominees through which the statement's margin does not."""
    return [
        f"guards.{name}: a nominee {percent:g} % behind may not be called better or as good, as "
        f"statements allow {MARGIN_GUARD:g} %"
        for name, percent in spec.guards.items()
        if percent >= MARGIN_GUARD
    ]


def _doubt(correct: float) -> str:
    return (
        f"only {correct:.0%} of the images are classified as they are labelled: are "
        "preprocessing (mean, std, size), labels and weights those of this network?"
    )


def _class_name(model: Model, index: int) -> str:
    if index < 0:
        return "unknown"
    return f"{index} ({model.classes[index]})" if model.classes else str(index)


def described_lines(described: Mapping[str, Any]) -> list[str]:
    """The facts for the console."""
    tables = ("first images", "warnings")
    lines = [f"  {name}: {value}" for name, value in described.items() if name not in tables]
    rows = [tuple(row.values()) for row in described["first images"]]
    rows.insert(0, ("image", "label", "prediction"))
    lines += [f"    {line}" for line in _columns(rows)]
    return lines + [f"Warning: {warning}" for warning in described["warnings"]]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, cells one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def describe_composite(wanted: str, model: Model) -> dict[str, Any]:
    """A composite for a network: a preset of the literature by name, or that of a composite.json.

    Its `title`, its `blocks` as in a composite.json, and the `table` of its layers as lines. Raises
    InputError when there is no such composite, or it is not for this network.
    """
    layers, path = list_layers(model.net), Path(wanted)
    if wanted in PRESETS:
        title = f"{PRESETS[wanted].title} ({PRESETS[wanted].source})"
        composite = preset(wanted).bind({}).place(layers)
    elif path.suffix == ".json":
        title, composite = str(path), composite_of(read_composite(path))
        check_layers(path, model, composite)
    else:
        raise InputError(
            f"--composite: there is no '{wanted}'; expected the path of a composite.json, or one "
            f"of {', '.join(PRESETS)}.{guess(wanted, PRESETS)}"
        )
    Engine(model.net, model.pixel_bounds).check(composite.rules(layers))
    return {
        "title": f"{title}, on {model.name}",
        "blocks": [block.to_json() for block in composite.blocks],
        "table": layer_table(composite, layers),
    }


def layer_table(composite: Composite, layers: Sequence[LayerInfo]) -> list[str]:
    """A composite as a table: each layer with weights, its block and rule, in the network's order.

    Parameters are shown where they are not at their defaults. A layer without a block has '-'.
    """
    blocks = composite.by_layer()
    rows = [("layer", "type", "depth", "block", "rule", "")]
    for layer in layers:
        if layer.weighted:
            block = blocks.get(layer.name)
            rest = ("-", "-", "") if block is None else (block.name, block.rule, _settings(block))
            rows.append((layer.name, layer.kind, str(layer.depth), *rest))
    return _columns(rows)


def _settings(block: Block) -> str:
    """'gamma 0.25, bias kept'."""
    usual = {p.name: p.default for p in find_rule(block.rule, "rule").parameters}
    found = [f"{k} {v:g}" for k, v in block.values.items() if v != usual[k]]
    found += [f"{option} {value}" for option, value in block.options.items()]
    if block.bounds is not None:
        for name, numbers in zip(("low", "high"), block.bounds, strict=True):
            found.append(f"{name} {' '.join(f'{number:g}' for number in numbers)}")
    return ", ".join(found)


def _titles(names: Iterable[str]) -> str:
    return ", ".join(title_of(name) for name in names) or "none"


def _span(layers: tuple[str, ...]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"


def propose_study(model: str, weights: str | None, images: Path | None, target: Path) -> str:
    """The text of a study that tunes a γ for each resolution of the model's layers.

    Raises InputError when the model is not known, or the folder's names are not its classes.
    """
    if images is None:
        raise InputError("--images: missing; expected a folder with one folder of images per class")
    spec = _model_spec(model, weights)
    loaded = load_model(ModelSpec(**_without_download(spec)), "cpu", Path.cwd())
    labels = _labels(images, loaded)
    layers, stages, first = find_blocks(loaded, loaded.input_size)
    text = init_text(
        name=_NO_NAME.sub("-", target.stem).lstrip("_.-") or "study",
        model=spec,
        folder=str(images.resolve()),
        labels=labels,
        images=_count(images),
        patch=max(1, loaded.input_size[0] // PATCHES_A_SIDE),
        blocks=propose(stages.stages, layers, first),
    )
    parse_study(text, target)
    return text


def _count(images: Path) -> int:
    """How many images the folders of a study have."""
    folders = list_classes(images, None, None, ())
    count = sum(len(list_files(images, folder)) for folder in folders)
    if count < 2:
        raise InputError(
            f"--images: '{images}' has {count} images in its {len(folders)} sub-folders; expected "
            "at least 2: one to search on and one to validate on"
        )
    return count


def _model_spec(model: str, weights: str | None) -> ModelSpec:
    if model == "scenes":
        return ModelSpec(embedded="scenes")
    spec = ModelSpec(torchvision=model, weights=weights or _best_weights(model))
    if weights is not None and Path(weights).suffix:
        return spec.model_copy(
            update={"weights": str(Path(weights).resolve()), "preprocess": IMAGENET}
        )
    return spec


def _best_weights(model: str) -> str:
    try:
        return str(torchvision.models.get_model_weights(model).DEFAULT.name)
    except ValueError as error:
        names = torchvision.models.list_models(module=torchvision.models)
        raise InputError(
            f"--model: there is no model '{model}'; expected 'scenes' or a torchvision "
            f"classifier.{guess(model, names)}"
        ) from error


def _without_download(spec: ModelSpec) -> dict[str, Any]:
    """The model's architecture is enough here."""
    return {"embedded": spec.embedded, "torchvision": spec.torchvision}


def _labels(images: Path, model: Model) -> str:
    for labels in ("index", "name", "wnid"):
        try:
            list_classes(images, labels, None, model.classes)
        except InputError as error:
            problem = error
        else:
            return labels
    raise InputError(
        f"--images: {problem}. For other folder names, write `labels: {{FOLDER: CLASS, …}}` "
        "into a study by hand (see the README)."
    )
