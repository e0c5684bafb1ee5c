"""A study, as typed and frozen values: everything the YAML file may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    StringConstraints,
    Tag,
)
from pydantic_core import PydanticCustomError

from lrpsweep.composites.depths import depth_ends
from lrpsweep.composites.rules import HUGE, OPTIONS, STABILIZER, Hyper
from lrpsweep.study.dimensions import Dimension
from lrpsweep.study.frozen import Frozen

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Word = Annotated[str, StringConstraints(min_length=1)]
FileName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
]
FACTORY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
SearchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=100)]
_LAYER = r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*"
_SELECTOR = re.compile(rf"{_LAYER}|(?:{_LAYER})?\.\.(?:{_LAYER})?")


class Preprocess(Frozen):
    """How a picture becomes the model's input.

    Shorter side resized to `resize` pixels, the centre square of `crop` pixels cut out (None: left
    out), then (pixel / 255 − mean) / std for each channel.
    """

    resize: Positive | None = None
    crop: Positive | None = None
    mean: tuple[float, float, float]
    std: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ]


def _preprocessing(value: Any) -> str | None:
    if isinstance(value, dict | Preprocess):
        return "<values>"
    return "<auto>" if value == "auto" else None


def _factory(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and FACTORY.fullmatch(value)):
        raise PydanticCustomError("factory", "Input should be 'package.module:function'")
    return value


class ModelSpec(Frozen):
    """Exactly one of `embedded`, `torchvision`, `factory` and `python`.

    factory: 'package.module:function' that returns a network; the one place where a study imports
    code, and only with --allow-code. python: a name for a network that is handed over in Python.
    weights: for torchvision, an enum name, a path to .safetensors, .pt or .pth, or null for random
    ones, which has to be written down: nobody tunes a random network by accident. For a factory, a
    path; without it, the network stays as the factory made it. classes: a name for each output,
    in order; for torchvision, of weights from a file that have other classes than ImageNet's.
    """

    embedded: Literal["scenes"] | None = None
    torchvision: Word | None = None
    factory: Annotated[str | None, PlainValidator(_factory)] = None
    python: Word | None = None
    weights: Word | None = None
    classes: Annotated[tuple[Word, ...], Field(min_length=1)] | None = None
    preprocess: Annotated[
        Annotated[Literal["auto"], Tag("<auto>")] | Annotated[Preprocess, Tag("<values>")],
        Discriminator(
            _preprocessing,
            custom_error_type="preprocess",
            custom_error_message="Input should be 'auto', or a mapping with mean and std",
        ),
    ] = "auto"


class SplitSpec(Frozen):
    """How many images are searched on and how many are kept for validation; disjoint."""

    search: Positive
    validation: NotNegative
    seed: Seed = 0


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _class(value: Any) -> int | str:
    if not _whole(value) and not (isinstance(value, str) and value):
        raise PydanticCustomError("class", "Input should be a class index or a class name")
    return value  # type: ignore[no-any-return]


def _labels(value: Any) -> Any:
    if value in ("index", "name", "wnid"):
        return value
    if not isinstance(value, dict) or not value:
        raise PydanticCustomError(
            "labels", "Input should be 'index', 'name', 'wnid' or a map from names to classes"
        )
    return {folder: _class(target) for folder, target in value.items()}


def _folder(value: Any) -> bool:
    return _whole(value) or (isinstance(value, str) and value != "")


def _folders(value: Any) -> tuple[str, ...]:
    """Folder names that YAML reads as numbers are names all the same."""
    if not isinstance(value, tuple) or not value or not all(map(_folder, value)):
        raise PydanticCustomError("folders", "Input should be a list of folder names")
    return tuple(str(v) for v in value)


def _selectors(value: Any) -> tuple[str, ...]:
    """A selector or a list of them, as strings; leaf indices too."""
    given = value if isinstance(value, tuple) else (value,)
    texts = tuple(str(v) if _whole(v) else v for v in given)
    if not texts or not all(isinstance(t, str) and _is_selector(t) for t in texts):
        raise PydanticCustomError(
            "layers",
            "Input should be a layer name, a leaf index, a type such as Conv2d, a range "
            "'first..last' or 'first..end', a depth such as 'depth 3' or 'depth 1..$n', or a list "
            "of those",
        )
    return texts


def _is_selector(text: str) -> bool:
    return bool(_SELECTOR.fullmatch(text)) or depth_ends(text) is not None


def _bound(value: Any) -> tuple[float, ...]:
    """A finite number, or one for each channel."""
    given = value if isinstance(value, tuple) else (value,)
    numbers = tuple(float(v) for v in given if isinstance(v, int | float) and abs(v) < HUGE)
    if not given or len(numbers) < len(given) or any(isinstance(v, bool) for v in given):
        raise PydanticCustomError("bound", "Input should be a number, or a list of one per channel")
    return numbers


Bound = Annotated[tuple[float, ...], PlainValidator(_bound)]


class DataSpec(Frozen):
    """Exactly one of `embedded`, `folder`, `csv`, `dataset` and `python`.

    folder: one folder of images for each class. csv: a table with the columns `path` and `class`,
    whose paths start from `root`, or from the table's folder. dataset: a class of
    torchvision.datasets, read from `root` with `options` as its further arguments. python: a name
    for images that are handed over in Python. folder, csv and root may hold ${VAR}, kept
    unexpanded: see `resolve_path`.

    labels: how the classes of the data (folder names, entries of the table, classes of the data
    set) become classes of the model: 'index', 'name', 'wnid' (ImageNet's WordNet ids), or a map to
    class index or name. classes: those of the data to use, all when None. target: which class is
    explained: 'label', 'prediction', or one class (index or name) for all images. misclassified:
    whether images whose prediction is not their label are kept or left out.
    """

    embedded: Literal["scenes"] | None = None
    folder: Word | None = None
    csv: Word | None = None
    dataset: Word | None = None
    python: Word | None = None
    root: Word | None = None
    options: Mapping[str, str | int | float | bool] | None = None
    labels: Annotated[
        Literal["index", "name", "wnid"] | Mapping[str, int | str] | None, PlainValidator(_labels)
    ] = None
    classes: Annotated[tuple[str, ...] | None, PlainValidator(_folders)] = None
    target: Annotated[int | str, PlainValidator(_class)] = "label"
    misclassified: Literal["keep", "leave_out"] = "keep"
    split: SplitSpec


class BlockSpec(Frozen):
    """A named group of layers with its rule; the hyperparameters are those the rule takes.

    layers: selectors, always as strings: a layer name 'features.0', a leaf index '0', a type
    'Conv2d', an inclusive range 'first..last' where last may be 'end', or a depth: 'depth 3',
    'depth 2..5', 'depth ..5', 'depth 2..', where '$name' of a searched whole number may stand for
    each number. Only the syntax is checked here; the model knows its layers. A block with a
    searched depth takes its layers before the others. The block named 'default' has none: it takes
    what the others leave. rule: a name of RULES, or '$name' of a choice between such names. bias,
    form, stabilize, pooling: one of OPTIONS, or '$name' of a choice between those; None: the usual
    one. With a searched rule, hyperparameters and options reach those of its rules that take them.
    decay: γ is that of the block's first depth, and `decay` times as large at each further one.
    low, high: bounds of what z_box reads, one number or one per channel, in units of the layer's
    input; both or neither: then those of a normalised pixel.
    """

    block: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    layers: Annotated[tuple[str, ...], PlainValidator(_selectors)] = ()
    rule: Word
    gamma: Hyper | None = None
    epsilon: Hyper | None = None
    alpha: Hyper | None = None
    stabilizer: Hyper = STABILIZER
    decay: Hyper | None = None
    low: Bound | None = None
    high: Bound | None = None
    bias: Word | None = None
    form: Word | None = None
    stabilize: Word | None = None
    pooling: Word | None = None

    @property
    def options(self) -> Mapping[str, str]:
        """What the block asks for that is not usual anyway."""
        given = {name: getattr(self, name) for name in OPTIONS}
        return {o: v for o, v in given.items() if v not in (None, OPTIONS[o][0])}


class PresetSpec(Frozen):
    """A composite of the literature; its own hyperparameters stand beside its name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Hyper] = Field(init=False)

    preset: Word

    @property
    def hyper(self) -> Mapping[str, float | str]:
        """What the study sets; the rest has the values of the literature (see PRESETS)."""
        return self.__pydantic_extra__


def _form(value: Any) -> str | None:
    if isinstance(value, tuple):
        return "<blocks>"
    return "<preset>" if isinstance(value, dict | PresetSpec) else None


Composite = Annotated[
    Annotated[PresetSpec, Tag("<preset>")] | Annotated[tuple[BlockSpec, ...], Tag("<blocks>")],
    Discriminator(
        _form,
        custom_error_type="composite",
        custom_error_message="Input should be a list of blocks, or {preset: name}",
    ),
]


class EvaluationSpec(Frozen):
    """How a heatmap is judged: `default` is the protocol of the design, `thesis` that of the code
    of Bermudez Schettino's thesis, which fixes the schedule and knows telea and uniform only.

    steps: of the linear schedule; None: as many as the quadratic one has. seed: of random orders
    and fillings; the same in every trial, so that trials are paired.
    """

    protocol: Literal["default", "thesis"] = "default"
    patch: Positive = 8
    schedule: Literal["quadratic", "linear"] = "quadratic"
    steps: Positive | None = None
    perturbation: Literal["telea", "navier_stokes", "constant", "mean", "uniform"] = "telea"
    score: Literal["logit", "probability"] = "logit"
    seed: Seed = 0


class ConstraintsSpec(Frozen):
    """What a trial may measure at most to be nominated; None: no bound.

    unexplained, hot_spot: as in `lrpsweep.results.TrialResult`.
    """

    unexplained: Annotated[float, Field(gt=0)] | None = None
    hot_spot: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are given, by name."""
        return self.model_dump(exclude_none=True)


def _no_bias(value: Any) -> Any:
    if isinstance(value, dict) and "bias" in value:
        raise PydanticCustomError(
            "constraints",
            "Input should be bounds of unexplained and hot_spot alone: a bound of the bias share "
            "would favour rules that give biases little, whatever their heatmaps show",
        )
    return value


class SamplerSpec(Frozen):
    """Who proposes the next point."""

    name: Literal["grid", "tpe", "random"]
    seed: Seed = 0


class RunSpec(Frozen):
    """Resources and places: nothing here changes a result.

    cpus, gpus: per trial. workers: at most so many trials at once; None: as many as fit. cache_gb:
    memory per worker for cached activations. batch: images in a forward pass. storage: a database
    URL; None: SQLite in the runs folder.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    workers: Positive | None = None
    cache_gb: Annotated[float, Field(ge=0)] = 2.0
    batch: Positive = 64
    storage: Word | None = None
    tracking_uri: Word | None = None


class StudyFile(Frozen):
    """What stands in the YAML file.

    baselines: the published composites (see PRESETS) to compare with; None: all that fit the model.
    """

    version: Literal[1]
    name: FileName
    model: ModelSpec
    data: DataSpec
    search: Annotated[Mapping[SearchName, Dimension], Field(min_length=1)]
    composite: Composite
    evaluation: EvaluationSpec = EvaluationSpec()
    objective: Literal["auc_morf", "auc_lerf", "auc_random", "srg"] = "auc_morf"
    constraints: Annotated[ConstraintsSpec, BeforeValidator(_no_bias)] = ConstraintsSpec()
    sampler: SamplerSpec
    trials: Positive | None = None
    baselines: Annotated[tuple[Word, ...], Field(min_length=1)] | None = None
    run: RunSpec = RunSpec()


class StudySpec(StudyFile):
    """A study file that has been read and checked.

    path: where it was read; relative paths in it start from `base`. text: the YAML, overrides
    applied and passwords in URLs masked.
    """

    path: Path
    text: str

    @property
    def base(self) -> Path:
        """The folder that relative paths of the study start from."""
        return self.path.parent
