"""What a worker keeps between trials: model, images, targets, and the engine with its cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from lrpsweep.attribution import (
    Block,
    Composite,
    Explainer,
    Explanation,
    LayerInfo,
    assign_layers,
    assign_parts,
    list_layers,
)
from lrpsweep.data import Inputs, Split, load_inputs
from lrpsweep.errors import InputError, guess
from lrpsweep.evaluation import patch_grid, schedule
from lrpsweep.models import Model, load_model
from lrpsweep.spec import (
    Choice,
    ConcreteBlock,
    Part,
    PresetSpec,
    StudySpec,
    first_point,
    substitute,
)

SplitName = Literal["search", "validation"]


@dataclass(frozen=True)
class Task:
    """What one trial is to do.

    values: of the study's search names; or preset: a composite of the literature, as published.
    objective, perturbation: those of the study when None.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    split: SplitName = "search"
    objective: str | None = None
    perturbation: str | None = None


@dataclass
class Context:
    """What a worker keeps between trials. batch shrinks when memory runs out."""

    spec: StudySpec
    model: Model
    layers: tuple[LayerInfo, ...]
    explainer: Explainer
    split: Split
    targets: Mapping[SplitName, np.ndarray]
    fill: np.ndarray
    device: str
    batch: int

    @property
    def threads(self) -> int:
        """Threads that perturb images while others are scored."""
        return max(1, int(self.spec.run.cpus))

    def inputs(self, split: SplitName) -> Inputs:
        """The images of one split."""
        return self.split.search if split == "search" else self.split.validation

    def composite(self, task: Task) -> Composite:
        """The composite that the task explains with."""
        wanted = self.spec.composite if task.preset is None else PresetSpec(preset=task.preset)
        return build_composite(self.layers, substitute(wanted, task.values))

    @property
    def some_values(self) -> dict[str, Any]:
        """A point of the search space: its first on every axis."""
        return first_point(self.spec.search)

    def shrink(self) -> None:
        """Halves the batch and lets go of what is kept, after memory has run out."""
        self.batch //= 2
        self.explainer.forget()
        torch.cuda.empty_cache()

    def explain(self, composite: Composite, split: SplitName, first: int, last: int) -> Explanation:
        """Explains images first..last of a split; what no composite changes is kept."""
        images = self.model.normalize(self.inputs(split).images[first:last])
        targets = torch.as_tensor(self.targets[split][first:last], device=images.device)
        return self.explainer.attribute(images, targets, composite, key=(split, first, last))


def build_composite(layers: Sequence[LayerInfo], blocks: Sequence[ConcreteBlock]) -> Composite:
    """The blocks with their layers in this network. Raises InputError as `assign_layers` does."""
    parts = {b.block: b.layers.until for b in blocks if isinstance(b.layers, Part)}
    if parts:
        assigned = assign_parts(layers, parts)
    else:
        assigned = assign_layers(
            layers, {b.block: b.layers for b in blocks if not isinstance(b.layers, Part)}
        )
    return Composite(
        tuple(
            Block(b.block, assigned[b.block], b.rule, b.hyper, b.options)
            for b in blocks
            if b.block in assigned
        )
    )


def prepare(spec: StudySpec, device: str = "cpu") -> Context:
    """Loads model and images, and checks all that can be checked before the first trial.

    device: 'cpu' or 'cuda'. Raises InputError that names the field of the study.
    """
    _fix_precision()
    try:
        return _prepared(spec, device)
    except InputError as error:
        raise InputError(f"{spec.path}: {error}") from error


def _fix_precision() -> None:
    """No TF32: relevance and scores are plain float32 on every device."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def _prepared(spec: StudySpec, device: str) -> Context:
    model = load_model(spec.model, device, spec.base)
    split = load_inputs(spec.data, model.preprocess, model.classes, spec.base)
    layers = list_layers(model.net)
    explainer = Explainer(model.net, model.pixel_bounds, int(spec.run.cache_gb * 2**30))
    height, width = split.search.images.shape[1:3]
    rows, columns = patch_grid(height, width, spec.evaluation.patch)
    schedule(rows * columns, spec.evaluation.schedule, spec.evaluation.steps)
    targets: dict[SplitName, np.ndarray] = {
        "search": _targets(spec, model, split.search, spec.run.batch),
        "validation": _targets(spec, model, split.validation, spec.run.batch),
    }
    fill = split.search.images.mean((0, 1, 2))
    context = Context(spec, model, layers, explainer, split, targets, fill, device, spec.run.batch)
    for values in _with_every_choice(context):
        explainer.check(context.composite(Task(values=values)))
    return context


def _with_every_choice(context: Context) -> Iterator[dict[str, Any]]:
    """Points of the space in which every choice, of a rule above all, occurs once."""
    yield context.some_values
    for name, dimension in context.spec.search.items():
        if isinstance(dimension, Choice):
            for choice in dimension.choice[1:]:
                yield context.some_values | {name: choice}


def _targets(spec: StudySpec, model: Model, inputs: Inputs, batch: int) -> np.ndarray:
    """The class explained for each image, (N,)."""
    count = _class_count(model, inputs)
    target = spec.data.target
    if target == "prediction":
        return predictions(model, inputs.images, batch)
    if target == "label":
        wrong = np.flatnonzero((inputs.labels < 0) | (inputs.labels >= count))
        if len(wrong):
            raise InputError(
                f"data.labels: image '{inputs.ids[wrong[0]]}' has class "
                f"{inputs.labels[wrong[0]]}; expected 0 to {count - 1}, the model's classes"
            )
        return inputs.labels
    return np.full(len(inputs.labels), _class_index(target, model.classes, count))


def _class_index(target: int | str, classes: Sequence[str], count: int) -> int:
    if isinstance(target, int) and 0 <= target < count:
        return target
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    raise InputError(
        f"data.target: the model has no class {target!r}; expected 'label', 'prediction', an "
        f"index from 0 to {count - 1}, or a class name.{guess(str(target), classes)}"
    )


@torch.no_grad()
def _class_count(model: Model, inputs: Inputs) -> int:
    example = inputs.images[:1] if len(inputs.images) else np.zeros((1, *model.input_size, 3))
    output = model.net(model.normalize(example.astype(np.uint8)))
    if output.ndim != 2:
        raise InputError(
            f"model: the output of {model.name} has shape {tuple(output.shape)}; expected "
            "(images, classes)"
        )
    return int(output.shape[1])


@torch.no_grad()
def predictions(model: Model, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """The class with the highest logit, (N,)."""
    found = [
        model.net(model.normalize(images[i : i + batch])).argmax(1).cpu().numpy()
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
