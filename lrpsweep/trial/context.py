"""What a worker keeps between trials: model, images, targets, and the engine with its cache.

The driver prepares a study once: it reads model and images and checks what can be checked. What
comes of that is packed, sent to the workers once, and unpacked there: a worker reads no file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrpsweep.attribution import (
    Engine,
    Explanation,
    Instability,
    LayerInfo,
    find_instability,
)
from lrpsweep.attribution.methods import METHODS, Method
from lrpsweep.composites import Composite, preset
from lrpsweep.composites.file import composite_of
from lrpsweep.data import Inputs, Pinned, Split, load_inputs
from lrpsweep.data.pinned import Marks, PartName
from lrpsweep.errors import InputError
from lrpsweep.evaluation import (
    MEASURES,
    PROTOCOLS,
    Measure,
    Protocol,
    Race,
    ScoreCache,
    Setting,
    subsets,
)
from lrpsweep.models import Model, load_model
from lrpsweep.registry import register_again, registered_by_hand
from lrpsweep.results import Candidate
from lrpsweep.study import Space, StudySpec, first_point, free, resolve_path
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.classes import count_classes, explained_classes, predictions

SCORED_AT_ONCE = 16


@dataclass(frozen=True)
class Task:
    """What one trial is to do.

    objectives: names of the measures to take, those that the study records when there are none.
    perturbation: the study's when None. control: whether patches go in a random order, whatever
    the measures ask for. steps: of the schedule that are looked at, all when there are none; the
    first and the last one always are. rows: first and last image (exclusive) of the split, all when
    None. coarse: whether to find out what each named subset of the states would have given. race:
    what it has to keep up with, if anything.
    """

    candidate: Candidate
    split: PartName = "search"
    objectives: tuple[str, ...] = ()
    perturbation: str | None = None
    control: bool = False
    steps: tuple[int, ...] = ()
    rows: tuple[int, int] | None = None
    coarse: bool = False
    race: Race | None = None


@dataclass(frozen=True)
class Chunk:
    """Images of a split that are explained together: from `first` on, up to `last` exclusive."""

    split: PartName
    first: int
    last: int

    @property
    def rows(self) -> slice:
        """Where they are among those of the split."""
        return slice(self.first, self.last)


@dataclass(frozen=True)
class BoundCandidate:
    """A candidate as one network is explained with it. composite: of LRP, None for others."""

    method: Method
    settings: Mapping[str, Any]
    composite: Composite | None = None


@dataclass(frozen=True)
class Given:
    """What a study file cannot hold, and only its caller can give.

    model: the network of `model.python`. images: those of `data.python`: (images, labels), or a
    map-style Dataset or sequence of pairs (see `lrpsweep.data.load_inputs`). allow_code: whether
    `model.factory` may be imported.
    """

    model: nn.Module | None = None
    images: Any = None
    allow_code: bool = False


@dataclass(frozen=True)
class Packed:
    """A prepared study on its way to the workers; its network lies on the CPU.

    registered: what scripts have registered, by kind, which a new process does not know.
    """

    spec: StudySpec
    model: Model
    split: Split
    targets: Mapping[PartName, np.ndarray]
    registered: Mapping[str, Sequence[Any]] = field(default_factory=registered_by_hand)

    def unpack(self, device: str) -> Context:
        """The study as a worker keeps it, on 'cpu' or 'cuda'."""
        _fix_precision()
        register_again(self.registered)
        model = _moved(self.model, device)
        bounds, kept = model.pixel_bounds, int(self.spec.run.cache_gb * 2**30)
        example = torch.zeros(1, 3, *model.input_size, device=device)
        engine = Engine(model.net, bounds, kept, example)
        return Context(
            self.spec,
            model,
            engine.layers,
            engine,
            self.split,
            self.targets,
            self.split.search.images.mean((0, 1, 2)),
            device,
            self.spec.run.batch,
            ScoreCache() if self._keeps_scores else None,
        )

    @property
    def _keeps_scores(self) -> bool:
        """Not for studies of version 1, whose last digits are those of batches as they come."""
        protocol = PROTOCOLS[self.spec.evaluation.protocol]
        return self.spec.version > 1 and protocol.independent


@dataclass
class Context:
    """What a worker keeps between trials. batch shrinks when memory runs out.

    score_cache: scores of perturbed states, where they are kept. kept_curves: perturbation curves
    that no heatmap changes. looked: where misclassified images are left out, the labels of all
    images looked at, and which of them were right.
    """

    spec: StudySpec
    model: Model
    layers: tuple[LayerInfo, ...]
    engine: Engine
    split: Split
    targets: Mapping[PartName, np.ndarray]
    fill: np.ndarray
    device: str
    batch: int
    score_cache: ScoreCache | None = None
    kept_curves: dict[Any, Any] = field(default_factory=dict)
    looked: tuple[np.ndarray, np.ndarray] | None = None

    def pack(self) -> Packed:
        """What the workers need of this."""
        spec = self.spec.model_copy(update={"path": self.spec.path.resolve()})
        return Packed(spec, _moved(self.model, "cpu"), self.split, self.targets)

    @property
    def scored_at_once(self) -> int:
        """Images in a scoring batch: where known scores leave gaps, a CPU fares well with few."""
        return self.batch if self.device == "cuda" else min(self.batch, SCORED_AT_ONCE)

    @property
    def threads(self) -> int:
        """Threads that perturb images while others are scored."""
        return max(1, int(self.spec.run.cpus))

    def inputs(self, split: PartName) -> Inputs:
        """The images of one split."""
        return self.split.parts[split]

    def composite(self, candidate: Candidate) -> Composite:
        """The composite that a candidate of LRP explains with."""
        name, values = candidate.settings.get("preset"), candidate.settings.get("values", {})
        if "blocks" in candidate.settings:
            return composite_of(candidate.settings)
        wanted = self.spec.composite if name is None else preset(name)
        return wanted.bind(values).place(self.layers)

    def bind(self, candidate: Candidate) -> BoundCandidate:
        """The candidate for this network. Raises InputError for a method that there is not."""
        method = METHODS.find(candidate.method)
        if not method.exported:
            return BoundCandidate(method, method.resolve(candidate.settings))
        composite = self.composite(candidate)
        return BoundCandidate(method, composite.rules(self.layers), composite)

    def objectives(self, task: Task) -> tuple[Measure, ...]:
        """The measures that the task takes."""
        return tuple(MEASURES.find(name) for name in task.objectives or self.spec.recorded)

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the kinds of layers and functions that the network consists of."""
        return tuple(sorted({step.operation.name for step in self.engine.steps}))

    @property
    def protocol(self) -> Protocol:
        """The protocol by which the study judges heatmaps."""
        return PROTOCOLS[self.spec.evaluation.protocol]

    def setting(self, split: PartName, perturbation: str | None = None) -> Setting:
        """What the protocol is told of a split; perturbation: another one than the study's."""
        evaluation, preprocess = self.spec.evaluation, self.model.preprocess
        if perturbation is not None:
            evaluation = evaluation.model_copy(update={"perturbation": perturbation})
        images, mean = self.inputs(split).images, np.array(preprocess.mean)
        return Setting(evaluation, images, self.fill, mean, np.array(preprocess.std))

    def states_made_of(self, setting: Setting, chunk: Chunk) -> list[str]:
        """For each image, all that its states and their scores are made of but the patches.

        The setting's images are those of the split; noise knows an image by its position there.
        The size of batches decides the last digits.
        """
        common = (
            *(self.model.fingerprint, self.device, self.scored_at_once),
            *(setting.evaluation.model_dump(mode="json"), setting.fill.tolist(), chunk.split),
        )
        hashes, targets = self.inputs(chunk.split).hashes, self.targets[chunk.split]
        return [
            json.dumps([*common, hashes[n], int(targets[n]), n])
            for n in range(chunk.first, chunk.last)
        ]

    @property
    def some_values(self) -> dict[str, Any]:
        """A point of the search space: its first on every axis."""
        return first_point(self.spec.search)

    def shrink(self) -> None:
        """Halves the batch and lets go of what is kept, after memory has run out."""
        self.batch //= 2
        self.engine.forget()
        torch.cuda.empty_cache()

    def explain(self, candidate: BoundCandidate, chunk: Chunk) -> Explanation:
        """Explains the images; what no candidate changes is kept."""
        explain = candidate.method.explain
        return explain(self.engine, *self._batch(chunk), candidate.settings, chunk)

    def explain_others(
        self, candidate: BoundCandidate, chunk: Chunk, pixels: np.ndarray
    ) -> np.ndarray:
        """Heatmaps (n, H, W) of other pixels (n, H, W, 3), for the chunk's targets."""
        images = self.model.normalize(pixels)
        targets = self._targets(chunk)
        found = candidate.method.explain(self.engine, images, targets, candidate.settings, None)
        heatmaps: np.ndarray = found.heatmaps.cpu().numpy()
        return heatmaps

    def instability(self, composite: Composite, chunk: Chunk) -> Instability | None:
        """Where the images' relevance grows out of proportion."""
        rules = composite.rules(self.layers)
        return find_instability(self.engine, *self._batch(chunk), rules, key=chunk)

    def _batch(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        images = self.model.normalize(self.inputs(chunk.split).images[chunk.rows])
        return images, self._targets(chunk)

    def _targets(self, chunk: Chunk) -> Tensor:
        targets = self.targets[chunk.split][chunk.rows]
        return torch.as_tensor(targets, device=self.device)


def _moved(model: Model, device: str) -> Model:
    if next(model.net.parameters()).device.type == device:
        return model
    return replace(model, net=copy.deepcopy(model.net).to(device))


def prepare(
    spec: StudySpec,
    device: str = "cpu",
    given: Given | None = None,
    begun_on: Mapping[str, Marks] | None = None,
) -> Context:
    """Loads model and images, and checks all that can be checked before the first trial.

    device: 'cpu' or 'cuda'. begun_on: by part, the images that a study has begun on, if it has.
    Raises InputError that names the field of the study.
    """
    _fix_precision()
    try:
        return _prepared(spec, device, given or Given(), begun_on or {})
    except InputError as error:
        raise InputError(f"{spec.path}: {error}") from error


def _fix_precision() -> None:
    """No TF32: relevance and scores are plain float32 on every device."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def _prepared(spec: StudySpec, device: str, given: Given, begun_on: Mapping[str, Marks]) -> Context:
    for path in (spec.data.folder, spec.data.csv, spec.data.root):
        if path is not None:
            resolve_path(path, spec.base)  # a variable that is not set, before weights are fetched
    model = load_model(spec.model, device, spec.base, net=given.model, allow_code=given.allow_code)
    count = count_classes(model)
    split, looked = _split(spec, model, given.images, count, begun_on)
    evaluation = spec.evaluation
    height, width = split.search.images.shape[1:3]
    counts = PROTOCOLS[evaluation.protocol].counts(evaluation, height, width)
    _check_steps(spec, len(counts) - 1)
    _check_needs(spec, split)
    targets: dict[PartName, np.ndarray] = {
        name: explained_classes(spec, model, part, count) for name, part in split.parts.items()
    }
    context = Packed(spec, model, split, targets).unpack(device)
    context.looked = looked
    _check_depths(context)
    for values in _with_every_choice(spec):
        composite = context.composite(tuned(values))
        context.engine.check(composite.rules(context.layers))
    return context


def _check_steps(spec: StudySpec, last: int) -> None:
    """Raises InputError when a state is asked for that the schedule does not have."""
    steps = spec.economy.steps
    if spec.economy.states == "auto" and not subsets(last):
        raise InputError(
            f"economy.states: 'auto' has nothing to choose from: the schedule has {last + 1} "
            "states here; expected 'all' or a list of steps"
        )
    if steps and max(steps) > last:
        raise InputError(
            f"economy.states: found {max(steps)}, but the schedule has the states 0 to {last} "
            "here; expected some of these, 'auto' or 'all'"
        )


def _check_needs(spec: StudySpec, split: Split) -> None:
    """Raises InputError when the objective or a guard needs what there is not."""
    for name in (*spec.objectives, *spec.guards):
        field = "guards" if name in spec.guards else "objective"
        needs = MEASURES.find(name, field).needs
        for order in needs.orders:
            try:
                PROTOCOLS[spec.evaluation.protocol].order(order)
            except InputError as error:
                raise InputError(f"{field}: '{name}' needs an {error}") from error
        parts = split.parts.values()
        if needs.masks and any(part.masks is None for part in parts if len(part.images)):
            raise InputError(
                f"{field}: '{name}' needs the object's pixels in every image, which this data does "
                "not know; expected `data: {embedded: scenes}`, or another measure"
            )


def _split(
    spec: StudySpec, model: Model, images: Any, count: int, begun_on: Mapping[str, Marks]
) -> tuple[Split, tuple[np.ndarray, np.ndarray] | None]:
    """The images of the study, and what was looked at where misclassified ones are left out."""
    looked: list[tuple[np.ndarray, np.ndarray]] = []

    def correct(candidates: np.ndarray, labels: np.ndarray) -> np.ndarray:
        right: np.ndarray = predictions(model, candidates, spec.run.batch) == labels
        looked.append((labels, right))
        return right

    # Without names, the number of classes still bounds the labels.
    classes = model.classes or tuple(f"class {index}" for index in range(count))
    keep = correct if spec.data.misclassified == "leave_out" else None
    split = load_inputs(
        spec.data,
        model.preprocess,
        classes,
        spec.base,
        images=images,
        keep=keep,
        by_content=spec.version > 1,
        pinned=Pinned(**begun_on) if begun_on else None,
    )
    if not looked:
        return split, None
    labels, right = (np.concatenate(parts) for parts in zip(*looked, strict=True))
    return split, (labels, right)


def _check_depths(context: Context) -> None:
    """Raises InputError when a depth is searched that the network does not have."""
    spec, deepest = context.spec, max(layer.depth for layer in context.layers)
    for name in spec.composite.depths:
        furthest = max(spec.search[name].extremes)
        if furthest > deepest:
            raise InputError(
                f"search.{name}: found {furthest}, but {context.model.name} is {deepest} layers "
                f"with weights deep; expected at most {deepest}"
            )


def _with_every_choice(spec: StudySpec) -> Iterator[dict[str, Any]]:
    """Points in which each block meets its choices, of a rule above all, with its depths."""
    depths, first = spec.composite.depths, first_point(spec.search)
    axes = {name: d.tried(name in depths) for name, d in free(spec.search).items()}
    for part in spec.composite.independent():
        space = Space(spec.search, part)
        for point in space.points(axes):
            yield first | space.values(point)
