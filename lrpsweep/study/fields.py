"""A study, as typed and frozen values: everything the YAML file may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    InstanceOf,
    PlainValidator,
    StringConstraints,
    Tag,
)

from lrpsweep.composites.block import Composite
from lrpsweep.registry import find_registry
from lrpsweep.study.dimensions import AnyDimension
from lrpsweep.study.frozen import Frozen, Word, expected
from lrpsweep.study.names import (
    MeasureName,
    PerturbationName,
    ProtocolName,
    SamplerName,
    ScheduleName,
    ScoreName,
    schedules,
    usual,
    usual_objective,
)

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
Deviation = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
FileName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
]
FACTORY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
SearchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=100)]


class Preprocess(Frozen):
    """How a picture becomes the model's input.

    Shorter side resized to `resize` pixels, the centre square of `crop` pixels cut out (None: left
    out), then (pixel / 255 − mean) / std for each channel.
    """

    resize: Positive | None = None
    crop: Positive | None = None
    mean: tuple[float, float, float]
    std: tuple[Deviation, Deviation, Deviation]


def _preprocessing(value: Any) -> str | None:
    if isinstance(value, dict | Preprocess):
        return "<values>"
    return "<auto>" if value == "auto" else None


def _factory(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and FACTORY.fullmatch(value)):
        raise expected("'package.module:function'")
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
    """How many images are searched on, how many the best of the search are compared on, and how
    many are kept for validation; disjoint."""

    search: Positive
    selection: NotNegative = 0
    validation: NotNegative
    seed: Seed = 0


def _names_class(value: object) -> bool:
    """Whether it is an index or a name; not true or false, which Python counts among the ints."""
    if isinstance(value, str):
        return value != ""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _class(value: Any) -> int | str:
    if not _names_class(value):
        raise expected("a class index or a class name")
    return value  # type: ignore[no-any-return]


def _labels(value: Any) -> Any:
    if value in ("index", "name", "wnid"):
        return value
    if not isinstance(value, dict) or not value:
        raise expected("'index', 'name', 'wnid' or a map from names to classes")
    return {folder: _class(target) for folder, target in value.items()}


def _folders(value: Any) -> tuple[str, ...]:
    """Folder names that YAML reads as numbers are names all the same."""
    if not isinstance(value, tuple) or not value or not all(map(_names_class, value)):
        raise expected("a list of folder names")
    return tuple(str(v) for v in value)


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


class EvaluationSpec(Frozen):
    """How a heatmap is judged: `default` is the protocol of the design, `thesis` that of the code
    of Bermudez Schettino's thesis, which fixes the schedule and knows telea and uniform only.

    steps: of the linear schedule; None: as many as the quadratic one has. seed: of random orders
    and fillings; the same in every trial, so that trials are paired.
    """

    protocol: ProtocolName = usual("protocol")
    patch: Positive = 8
    schedule: ScheduleName = Field(default_factory=lambda: schedules()[0])
    steps: Positive | None = None
    perturbation: PerturbationName = usual("perturbation")
    score: ScoreName = usual("score")
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
        raise expected(
            "bounds of unexplained and hot_spot alone: a bound of the bias share "
            "would favour rules that give biases little, whatever their heatmaps show",
        )
    return value


class SamplerSpec(Frozen):
    """Who proposes the next point."""

    name: SamplerName
    seed: Seed = 0


def _states(value: Any) -> Any:
    if value in (None, "all", "auto"):
        return value
    steps = value if isinstance(value, tuple) else ()
    if not steps or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in steps):
        raise expected("'all', 'auto' or a list of steps of the schedule, as [0, 4, 8, 12, 16]")
    if list(steps) != sorted(set(steps)):
        raise expected("steps in ascending order, each once")
    return steps


class EconomySpec(Frozen):
    """Where work is saved, and what for; what is not said is not done.

    states: the perturbed states that trials are scored on: all, a list of steps, or as few of them
    as the first trials show to be enough; finalists are scored on all. racing: whether a trial is
    stopped once it is clearly behind the best before it, and a baseline once the nominee is clearly
    better. lag: a trial is proposed from the results of all but the so many before it, and waits
    for those: up to so many workers find the same trials, whichever is faster. None: from what is
    there.
    """

    states: Annotated[Literal["all", "auto"] | tuple[int, ...] | None, PlainValidator(_states)] = (
        None
    )
    racing: bool | None = None
    lag: NotNegative | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that are listed, if some are."""
        return self.states if isinstance(self.states, tuple) else ()

    @property
    def thins(self) -> bool:
        """Whether trials may be scored on fewer states than there are."""
        return self.states not in (None, "all")

    @property
    def given(self) -> dict[str, Any]:
        """What is said, by name."""
        return self.model_dump(exclude_none=True)


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


def _one_objective(value: Any) -> Any:
    """A list of one measure is that measure."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _usual_guards(given: Mapping[str, Any]) -> Mapping[str, float]:
    """Of several objectives, none guards the others."""
    objective = given.get("objective")
    if given.get("version") == 1 or not isinstance(objective, str):
        return {}
    return dict(find_registry("measure")[objective].guards)


def _usual_floor(given: Mapping[str, Any]) -> bool:
    """No heatmap changes a control: there is no floor for it."""
    if given.get("version") == 1 or "objective" not in given:
        return False
    measures, objective = find_registry("measure"), given["objective"]
    return not (isinstance(objective, str) and measures[objective].control)


class StudyFile(Frozen):
    """What stands in the YAML file.

    version: from 2 on, trials record both orders, published composites are candidates too, and the
    nominee keeps guards and floor; images are drawn by their content. Version 1 is as it was.
    composite: as it is written, see `study.blocks`. objective: a measure, or several: then there is
    no nominee, but a Pareto front. guards: other measures, by which the nominee may be behind the
    best by so many per cent of the range. floor: whether it has to beat a random order from both
    ends and to be stable. baselines: the published composites (see PRESETS) to compare with; None:
    all that fit the model. current: what is used today: a published composite, or the path of a
    composite.json. start_from: paths of such files, whose points of the space are tried first.
    """

    version: Literal[1, 2]
    name: FileName
    model: ModelSpec
    data: DataSpec
    search: Annotated[Mapping[SearchName, AnyDimension], Field(min_length=1)]
    composite: Any
    evaluation: EvaluationSpec = Field(default_factory=EvaluationSpec)
    objective: Annotated[
        Annotated[MeasureName, Tag("<one>")]
        | Annotated[tuple[MeasureName, ...], Field(min_length=1), Tag("<several>")],
        Discriminator(lambda value: "<several>" if isinstance(value, tuple) else "<one>"),
        BeforeValidator(_one_objective),
    ] = Field(default_factory=lambda given: usual_objective(given.get("version", 1)))
    guards: Mapping[MeasureName, Percent] = Field(default_factory=_usual_guards)
    floor: bool = Field(default_factory=_usual_floor)
    constraints: Annotated[ConstraintsSpec, BeforeValidator(_no_bias)] = ConstraintsSpec()
    sampler: SamplerSpec
    economy: EconomySpec = EconomySpec()
    trials: Positive | None = None
    baselines: Annotated[tuple[Word, ...], Field(min_length=1)] | None = None
    current: Word | None = None
    start_from: Annotated[tuple[Word, ...], Field(min_length=1)] | None = None
    run: RunSpec = RunSpec()

    @property
    def objectives(self) -> tuple[str, ...]:
        """The measures that decide which composites are best, one or several."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    @property
    def recorded(self) -> tuple[str, ...]:
        """The measures that every trial takes, the objectives first."""
        if self.version == 1:
            return self.objectives
        sides = (name for name, measure in find_registry("measure").items() if measure.side)
        return tuple(dict.fromkeys((*self.objectives, *self.guards, *sides)))


class StudySpec(StudyFile):
    """A study file that has been read and checked.

    path: where it was read; relative paths in it start from `base`. text: the YAML, overrides
    applied and passwords in URLs masked.
    """

    composite: InstanceOf[Composite]
    path: Path
    text: str

    @property
    def base(self) -> Path:
        """The folder that relative paths of the study start from."""
        return self.path.parent
