"""A network's layers, and the blocks that a study can make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision

from lrpsweep.attribution import Engine, LayerInfo
from lrpsweep.attribution.lrp.graph import pixelwise
from lrpsweep.attribution.lrp.operations import OPERATIONS
from lrpsweep.composites import Block
from lrpsweep.composites.presets import FIRST_RULES
from lrpsweep.composites.stages import Stages, as_selectors, find_stages
from lrpsweep.errors import InputError, guess
from lrpsweep.models import Model, load_model
from lrpsweep.models.torchvision import IMAGENET
from lrpsweep.study import FACTORY, ModelSpec, blocks_text, find_study, load_study, propose_block

NO_RELEVANCE = {
    "gate": "only for a gate, which gets no relevance",
    "": "without effect on the class scores",
}
"""Why relevance comes to no such layer, by `LayerInfo.handling`."""

MERGED = "merged into "
FIRST_NAMES = 2


def find_network(given: str, runs_dir: Path, *, allow_code: bool = False) -> Model:
    """The network that a command names, of which only the architecture counts.

    given: 'scenes', a torchvision classifier, a factory 'module:function', or a study. Nothing is
    downloaded for it: torchvision's weights change no layer. Raises InputError.
    """
    if given == "scenes":
        return load_model(ModelSpec(embedded="scenes"), "cpu", Path())
    if FACTORY.fullmatch(given):
        spec = ModelSpec(factory=given, preprocess=IMAGENET)
        return load_model(spec, "cpu", Path(), allow_code=allow_code)
    names = torchvision.models.list_models(module=torchvision.models)
    if given in names:
        return load_model(ModelSpec(torchvision=given), "cpu", Path())
    try:
        path = find_study(given, runs_dir)
    except InputError as error:
        raise InputError(
            f"{given}: there is no such network or study; expected 'scenes', a torchvision "
            "classifier, a factory as package.module:function, or a study as a YAML path, a "
            f"bundled name or a name in the runs folder.{guess(given, names)}"
        ) from error
    study = load_study(path)
    return load_model(_without_download(study.model), "cpu", study.base, allow_code=allow_code)


def _without_download(spec: ModelSpec) -> ModelSpec:
    """The same layers: weights from torchvision are left out, a file may have other classes."""
    has_file = spec.weights is not None and Path(spec.weights).suffix
    return spec if has_file else spec.model_copy(update={"weights": None})


def describe_blocks(model: Model, size: int | None = None) -> dict[str, Any]:
    """A network's layers with weights, what happens at the others, and the blocks found in it.

    size: height and width of the images; those of the model's preprocessing when None. Raises
    InputError when the network does not take such images.
    """
    height, width = model.input_size if size is None else (size, size)
    layers, stages, first = find_blocks(model, (height, width))
    return {
        "model": model.name,
        "input": [3, height, width],
        "layers": list(_rows(layers, stages)),
        "others": list(_others(layers)),
        **{
            way: {block: as_selectors(names, layers) for block, names in blocks.items()}
            for way, blocks in (("stages", stages.stages), ("thirds", stages.thirds))
        },
        "yaml": {
            way: blocks_text(propose(blocks, layers, first))
            for way, blocks in (("stages", stages.stages), ("thirds", stages.thirds))
        },
    }


def find_blocks(
    model: Model, size: tuple[int, int]
) -> tuple[tuple[LayerInfo, ...], Stages, frozenset[str]]:
    """A network's layers, the blocks found for images of a size, and the layers that read pixels.

    Raises InputError when the network does not take such images.
    """
    image = torch.zeros(1, 3, *size, device=next(model.net.parameters()).device)
    engine = Engine(model.net, example=image)
    layers, steps = engine.layers, engine.steps
    try:
        stages = find_stages(steps, layers, image)
    except RuntimeError as error:
        raise InputError(
            f"{model.name}: fails on an image of {size[0]} × {size[1]} pixels "
            f"({str(error)[:300]}); expected another size: --size"
        ) from error
    pixels = pixelwise(steps)
    first = frozenset(s.name for s in steps if s.kind == "weighted" and s.sources[0] in pixels)
    return layers, stages, first


def _rows(layers: Sequence[LayerInfo], stages: Stages) -> Iterator[dict[str, Any]]:
    """The layers with weights that relevance comes to."""
    stage, third = (
        {name: block for block, names in blocks.items() for name in names}
        for blocks in (stages.stages, stages.thirds)
    )
    for layer in layers:
        if layer.weighted:
            yield {
                "index": layer.index,
                "layer": layer.name,
                "kind": layer.kind,
                "output": list(stages.shapes[layer.name]),
                "depth": layer.depth,
                "stage": stage[layer.name],
                "third": third[layer.name],
                "merged": [x.name for x in layers if x.handling == MERGED + layer.name],
            }


def _handled(handling: str) -> str:
    """What becomes of relevance at a layer without a rule of its own."""
    return NO_RELEVANCE.get(handling) or OPERATIONS[handling].title


def _others(layers: Sequence[LayerInfo]) -> Iterator[dict[str, Any]]:
    """All other layers, those of a kind together."""
    found: dict[tuple[str, str], list[str]] = {}
    for layer in layers:
        if not layer.weighted:
            merged = layer.handling.startswith(MERGED)
            said = "merged into a layer of the table" if merged else _handled(layer.handling)
            found.setdefault((layer.kind, said), []).append(layer.name)
    for (kind, said), names in found.items():
        yield {"kind": kind, "handling": said, "layers": names}


def propose(
    blocks: Mapping[str, Sequence[str]], layers: Sequence[LayerInfo], first: frozenset[str]
) -> list[Block]:
    """A rule for each of the blocks: z^B for layers that read pixels, γ, and LRP-0 in the end.

    Without anything between pixels and classifier, every block gets γ.
    """
    body = {
        block: [name for name in names if name not in first]
        for block, names in blocks.items()
        if block != "classifier"
    }

    def proposed(block: str, names: Sequence[str], rule: str) -> Block:
        found = as_selectors(names, layers)
        return propose_block(block, (found,) if isinstance(found, str) else tuple(found), rule)

    if not any(body.values()):
        return [proposed(block, names, FIRST_RULES.body) for block, names in blocks.items()]
    found = [proposed("pixel", sorted(first), FIRST_RULES.pixels)] if first else []
    found += [proposed(block, names, FIRST_RULES.body) for block, names in body.items() if names]
    if "classifier" in blocks:
        found.append(proposed("classifier", blocks["classifier"], FIRST_RULES.classifier))
    return found


def blocks_lines(described: Mapping[str, Any]) -> list[str]:
    """What `describe_blocks` has found, for the console."""
    _, height, width = described["input"]
    lines = [f"{described['model']}, for images of {height} × {width} pixels", ""]
    lines += _table(
        ("index", "layer", "kind", "output", "depth", "stage", "third", "merged"),
        [
            {
                **row,
                "output": " × ".join(map(str, row["output"])),
                "merged": ", ".join(_beside(name, row["layer"]) for name in row["merged"]),
            }
            for row in described["layers"]
        ],
    )
    if described["others"]:
        lines += ["", "Layers without a rule of their own"]
        for other in described["others"]:
            lines.append(f"  {len(other['layers']):3d} {other['kind']}: {_said(other)}")
    ways = {"stages": "that share a resolution", "thirds": "in thirds of the depth"}
    for way, said in ways.items():
        lines += ["", f"# Blocks of layers {said}, for a study", described["yaml"][way]]
    return lines


def _beside(name: str, layer: str) -> str:
    """'.bn1' for what lies in the same module as the layer."""
    parent = layer.rpartition(".")[0]
    return name[len(parent) :] if parent and name.startswith(f"{parent}.") else name


def _said(other: Mapping[str, Any]) -> str:
    names = other["layers"]
    more = f" and {len(names) - FIRST_NAMES} more" if len(names) > FIRST_NAMES else ""
    return f"{other['handling']} ({', '.join(names[:FIRST_NAMES])}{more})"


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns as wide as what is in them; numbers to the right; none that is empty."""
    shown = [c for c in columns if any(row[c] != "" for row in rows)]
    width = {c: max(len(c), *(len(str(row[c])) for row in rows)) for c in shown}
    lines = [tuple(shown), *(tuple(row[c] for c in shown) for row in rows)]
    right = {c for c in shown if isinstance(rows[0][c], int)}
    return [
        "  ".join(
            f"{cell:>{width[c]}}" if c in right else f"{cell:<{width[c]}}"
            for c, cell in zip(shown, line, strict=True)
        ).rstrip()
        for line in lines
    ]
