"""What no single field can tell: do the parts of a study fit each other?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrpsweep.composites.presets import PRESETS
from lrpsweep.errors import guess
from lrpsweep.registry import find_registry
from lrpsweep.study.blocks import parse_composite, unused_names
from lrpsweep.study.fields import DataSpec, ModelSpec, StudyFile
from lrpsweep.study.names import listing
from lrpsweep.study.problems import Place, Problem, found, missing, shown
from lrpsweep.study.secrets import is_masked
from lrpsweep.study.space import free


def problems_between(study: StudyFile) -> Iterator[Problem]:
    """Every disagreement between parts of the study."""
    yield from _model(study.model)
    yield from _data(study.data)
    yield from _search(study)
    yield from parse_composite(study.composite, study.search)[1]
    yield from unused_names(study.composite, study.search)
    yield from _baselines(study.baselines or ())
    yield from _starts(study.start_from or ())
    yield from _objectives(study)
    yield from _rule(study)
    yield from _evaluation(study)
    yield from _sampling(study)
    yield from _economy(study)
    yield from _passwords(study)


def _one_of(place: Place, part: object, names: tuple[str, ...]) -> Iterator[Problem]:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        text = f"found {' and '.join(given) or 'none'}; expected exactly one of {', '.join(names)}."
        yield Problem(place, text)


def _model(model: ModelSpec) -> Iterator[Problem]:
    yield from _one_of(("model",), model, ("embedded", "torchvision", "factory", "python"))
    given = model.model_fields_set
    if model.torchvision and "weights" not in given:
        expected = "the name of the weights (IMAGENET1K_V1), a path to .safetensors or .pt, or null"
        yield missing(("model", "weights"), f"{expected} for random weights")
    if model.embedded:
        yield from _nothing("model", model, ("weights", "classes", "preprocess"), _OWN)
    if model.python and model.weights is not None:
        yield from _nothing("model", model, ("weights",), "the network is handed over with its own")
    if (model.factory or model.python) and model.preprocess == "auto":
        expected = "{resize, crop, mean, std} as in the network's training: a wrong normalisation"
        yield missing(("model", "preprocess"), f"{expected} still gives plausible heatmaps")
    size = model.preprocess
    if not isinstance(size, str) and size.resize and size.crop and size.crop > size.resize:
        expected = f"at most the {size.resize} pixels of resize"
        yield found(("model", "preprocess", "crop"), size.crop, expected)


_OWN = "the embedded model brings its own"


def _nothing(part: str, spec: Any, names: tuple[str, ...], reason: str) -> Iterator[Problem]:
    """Keys that stand in the file although they mean nothing there."""
    for name in names:
        if name in spec.model_fields_set:
            yield found((part, name), getattr(spec, name), f"nothing: {reason}")


_SOURCES = ("embedded", "folder", "csv", "dataset", "python")


def _data(data: DataSpec) -> Iterator[Problem]:
    yield from _one_of(("data",), data, _SOURCES)
    if data.embedded:
        yield from _nothing("data", data, ("labels", "classes"), "the embedded images know theirs")
    elif data.python:
        yield from _nothing("data", data, ("labels",), "labels handed over are the model's indices")
    elif data.labels is None and (data.target == "label" or data.misclassified == "leave_out"):
        reason = "target is 'label'" if data.target == "label" else "misclassified is 'leave_out'"
        expected = "'index', 'name', 'wnid' or a map from the names of the data's classes to those"
        yield missing(("data", "labels"), f"{expected} of the model, because {reason}")
    if not (data.csv or data.dataset):
        yield from _nothing("data", data, ("root",), "only csv and dataset have a root")
    if data.dataset and data.root is None:
        yield missing(("data", "root"), "the folder that holds the data set")
    if not data.dataset:
        yield from _nothing("data", data, ("options",), "only dataset takes options")


def _search(study: StudyFile) -> Iterator[Problem]:
    for name, dimension in study.search.items():
        for fault in dimension.faults():
            yield found(("search", name, fault.field), fault.found, fault.expected)
    if not free(study.search):
        yield Problem(("search",), "found fixed values only; expected something to search.")


def _baselines(names: tuple[str, ...]) -> Iterator[Problem]:
    for i, name in enumerate(names):
        yield from _one_baseline(("baselines", i), name)
        if name in names[:i]:
            yield Problem(("baselines", i), f"found '{name}' again; expected every name once.")


def _one_baseline(place: Place, name: str, besides: str = "") -> Iterator[Problem]:
    methods = [name for name, method in find_registry("method").items() if not method.exported]
    known = [*PRESETS, *methods]
    if name not in known:
        expected = f"one of {', '.join(known)}{besides and f', {besides}'}.{guess(name, known)}"
        yield Problem(place, f"found '{name}'; expected {expected}")


def _starts(paths: tuple[str, ...]) -> Iterator[Problem]:
    for i, path in enumerate(paths):
        if Path(path).suffix != ".json":
            yield found(("start_from", i), path, "the path of a composite.json")


def _objectives(study: StudyFile) -> Iterator[Problem]:
    """Several of them: what can be weighed against each other."""
    names, measures = study.objectives, find_registry("measure")
    if len(names) == 1:
        return
    if study.version == 1:
        yield found(("objective",), names, "one measure, or `version: 2`")
    for i, name in enumerate(names):
        if name in names[:i]:
            yield Problem(("objective", i), f"found '{name}' again; expected every name once.")
        if measures[name].control:
            expected = "measures that a heatmap changes, where there are several: it is a control"
            yield found(("objective", i), name, expected)
    if study.guards:
        expected = "nothing: with several objectives there is no nominee that could be guarded"
        yield found(("guards",), dict(study.guards), expected)
    sampler, samplers = study.sampler.name, find_registry("sampler")
    if not samplers[sampler].several:
        able = [name for name, other in samplers.items() if other.several]
        expected = f"{listing(able)}, which search for several objectives, or one objective"
        yield found(("sampler", "name"), sampler, expected)


_SINCE_2 = ("guards", "floor", "current")


def _rule(study: StudyFile) -> Iterator[Problem]:
    """How the nominee is chosen: guards that mean something, and what only version 2 knows."""
    measures = find_registry("measure")
    if study.version == 1:
        for name in _SINCE_2:
            if name in study.model_fields_set:
                yield found((name,), getattr(study, name), "nothing, or `version: 2`")
        if study.data.split.selection:
            place = ("data", "split", "selection")
            yield found(place, study.data.split.selection, "nothing, or `version: 2`")
        return
    for name in study.guards:
        if name == study.objective:
            yield found(("guards", name), name, "other measures: this one is the objective")
        elif measures[name].control:
            yield found(("guards", name), name, "measures that a heatmap changes: it is a control")
    if study.floor and measures[study.objectives[0]].control:
        yield found(("floor",), True, "false: the objective is a control, which no heatmap changes")
    if study.current is not None and Path(study.current).suffix != ".json":
        yield from _one_baseline(("current",), study.current, "or the path of a composite.json")


def _evaluation(study: StudyFile) -> Iterator[Problem]:
    evaluation = study.evaluation
    protocol = find_registry("protocol")[evaluation.protocol]
    measures = find_registry("measure")
    control = isinstance(study.objective, str) and measures[study.objective].control
    if control and not protocol.controls:
        others = [name for name, measure in measures.items() if not measure.control]
        allowed = [name for name, other in find_registry("protocol").items() if other.controls]
        yield Problem(
            ("objective",),
            f"found '{study.objective}', which no heatmap changes; expected "
            f"{', '.join(others[:-1])} or {others[-1]}: it is a control of protocol "
            f"{' and '.join(allowed)} only.",
        )
    if evaluation.schedule not in protocol.schedules:
        expected = f"nothing: protocol {protocol.name} is {' or '.join(protocol.schedules)}"
        yield found(("evaluation", "schedule"), evaluation.schedule, expected)
    elif evaluation.steps is not None and evaluation.schedule not in protocol.stepped:
        schedule = f"the {evaluation.schedule} schedule"
        expected = f"nothing: {schedule} follows from the number of patches"
        yield found(("evaluation", "steps"), evaluation.steps, expected)
    if evaluation.perturbation not in protocol.perturbations:
        expected = f"{' or '.join(protocol.perturbations)}, which are all that protocol"
        place = ("evaluation", "perturbation")
        yield found(place, evaluation.perturbation, f"{expected} {protocol.name} has")


def _economy(study: StudyFile) -> Iterator[Problem]:
    economy, protocol = study.economy, find_registry("protocol")[study.evaluation.protocol]
    for name, value in {"states": economy.thins, "racing": economy.racing}.items():
        if value and study.version == 1:
            yield found(("economy", name), getattr(economy, name), "nothing, or `version: 2`")
    if economy.thins and not protocol.independent:
        expected = f"all: in protocol {protocol.name} every state is made from the one before"
        yield found(("economy", "states"), economy.states, expected)
    measures = find_registry("measure")
    still = [n for n in (*study.objectives, *study.guards) if not measures[n].needs.orders]
    if economy.thins and still:
        expected = f"all: {' and '.join(still)} looks at no perturbed state"
        yield found(("economy", "states"), economy.states, expected)
    if len(study.objectives) < 2:
        return
    if economy.thins:
        expected = "all: a front has as many ranks as objectives, and no few finalists"
        yield found(("economy", "states"), economy.states, expected)
    if economy.racing:
        yield found(("economy", "racing"), True, "false: with several objectives nothing is ahead")


def _passwords(study: StudyFile) -> Iterator[Problem]:
    """A study as a run keeps it can be read again, but not run without its passwords."""
    for field in ("storage", "tracking_uri"):
        url = getattr(study.run, field)
        if url is not None and is_masked(url):
            yield Problem(
                ("run", field),
                f"found {shown(url)}, whose password is never kept; expected "
                f"`--set run.{field}=URL` with the password.",
            )


def _sampling(study: StudyFile) -> Iterator[Problem]:
    number = f"a number: the sampler is {study.sampler.name}"
    sampler = find_registry("sampler")[study.sampler.name]
    for name, dimension in free(study.search).items() if sampler.numeric else ():
        if dimension.listed:
            numbers = f"a range of numbers, or another sampler: {sampler.name} knows no choices"
            yield found(("search", name), dimension.text(), numbers)
    if not sampler.exhaustive:
        if study.trials is None:
            yield missing(("trials",), number)
        return
    if study.trials is not None:
        yield found(("trials",), study.trials, "nothing: a grid has as many trials as points")
    for name, dimension in study.search.items():
        if dimension.lacks_points():
            yield missing(("search", name, "points"), number)
