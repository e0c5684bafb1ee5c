"""What no single field can tell: do the parts of a study fit each other?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lrpsweep.errors import guess
from lrpsweep.spec.dimensions import MOST_POINTS, Choice, Dimension, Fixed, Int, Linear, Log
from lrpsweep.spec.presets import PRESETS
from lrpsweep.spec.problems import Place, Problem, shown
from lrpsweep.spec.rules import LOWEST, RULES, allows, reference, requirement
from lrpsweep.spec.secrets import is_masked
from lrpsweep.spec.study import (
    BlockSpec,
    DataSpec,
    EvaluationSpec,
    ModelSpec,
    PresetSpec,
    StudyFile,
)


def problems_between(study: StudyFile) -> Iterator[Problem]:
    """Every disagreement between parts of the study."""
    yield from _model(study.model)
    yield from _data(study.data)
    yield from _search(study)
    if isinstance(study.composite, PresetSpec):
        yield from _preset(study.composite, study.search)
    else:
        yield from _blocks(study.composite, study.search)
    yield from _unused(study)
    yield from _evaluation(study)
    yield from _sampling(study)
    yield from _passwords(study)


def _one_of(place: Place, part: object, names: tuple[str, ...]) -> Iterator[Problem]:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        yield Problem(place, f"{found}; expected exactly one of {', '.join(names)}.")


def _model(model: ModelSpec) -> Iterator[Problem]:
    yield from _one_of(("model",), model, ("embedded", "torchvision", "factory", "python"))
    given = model.model_fields_set
    if model.torchvision and "weights" not in given:
        yield Problem(
            ("model", "weights"),
            "missing; expected the name of the weights (IMAGENET1K_V1), a path to .safetensors "
            "or .pt, or null for random weights.",
        )
    if model.embedded:
        yield from _nothing("model", model, ("weights", "classes", "preprocess"), _OWN)
    if model.python and model.weights is not None:
        yield from _nothing("model", model, ("weights",), "the network is handed over with its own")
    if (model.factory or model.python) and model.preprocess == "auto":
        yield Problem(
            ("model", "preprocess"),
            "missing; expected {resize, crop, mean, std} as in the network's training: a wrong "
            "normalisation still gives plausible heatmaps.",
        )
    size = model.preprocess
    if not isinstance(size, str) and size.resize and size.crop and size.crop > size.resize:
        yield Problem(
            ("model", "preprocess", "crop"),
            f"found {size.crop}; expected at most the {size.resize} pixels of resize.",
        )


_OWN = "the embedded model brings its own"


def _nothing(part: str, spec: Any, names: tuple[str, ...], reason: str) -> Iterator[Problem]:
    """Keys that stand in the file although they mean nothing there."""
    for name in names:
        if name in spec.model_fields_set:
            yield Problem(
                (part, name),
                f"found {shown(getattr(spec, name))}; expected nothing: {reason}.",
            )


_SOURCES = ("embedded", "folder", "csv", "dataset", "python")


def _data(data: DataSpec) -> Iterator[Problem]:
    yield from _one_of(("data",), data, _SOURCES)
    if data.embedded:
        yield from _nothing("data", data, ("labels", "classes"), "the embedded images know theirs")
    elif data.python:
        yield from _nothing("data", data, ("labels",), "labels handed over are the model's indices")
    elif data.labels is None and (data.target == "label" or data.misclassified == "leave_out"):
        reason = "target is 'label'" if data.target == "label" else "misclassified is 'leave_out'"
        yield Problem(
            ("data", "labels"),
            "missing; expected 'index', 'name', 'wnid' or a map from the names of the data's "
            f"classes to those of the model, because {reason}.",
        )
    if not (data.csv or data.dataset):
        yield from _nothing("data", data, ("root",), "only csv and dataset have a root")
    if data.dataset and data.root is None:
        yield Problem(("data", "root"), "missing; expected the folder that holds the data set.")
    if not data.dataset:
        yield from _nothing("data", data, ("options",), "only dataset takes options")


def _search(study: StudyFile) -> Iterator[Problem]:
    for name, dimension in study.search.items():
        match dimension:
            case Log(log=(low, high) as ends) if not 0 < low < high:
                yield _ill(name, "log", ends, "0 < low < high (zero: true adds 0)")
            case Linear(linear=(low, high) as ends) if not low < high:
                yield _ill(name, "linear", ends, "low < high")
            case Int(int=(first, last) as whole) if not first < last:
                yield _ill(name, "int", whole, "low < high")
            case Int(int=(first, last), points=int(points)) if points > last - first + 1:
                most = f"at most {last - first + 1}, the whole numbers in the range"
                yield _ill(name, "points", points, most)
            case Log(zero=True, points=2):
                yield _ill(name, "points", 2, "at least 3: zero and both ends")
            case Choice(choice=choice) if len(choice) < 2:
                yield _ill(name, "choice", choice, "at least 2 values")
            case Choice(choice=choice) if len(set(map(str, choice))) < len(choice):
                yield _ill(name, "choice", choice, "every value once")
    if all(isinstance(d, Fixed) for d in study.search.values()):
        yield Problem(("search",), "found fixed values only; expected something to search.")


def _ill(name: str, key: str, value: object, expected: str) -> Problem:
    return Problem(("search", name, key), f"found {shown(value)}; expected {expected}.")


def _preset(composite: PresetSpec, search: Mapping[str, Dimension]) -> Iterator[Problem]:
    preset = PRESETS.get(composite.preset)
    if preset is None:
        yield Problem(
            ("composite", "preset"),
            f"found '{composite.preset}'; expected one of {', '.join(PRESETS)}."
            f"{guess(composite.preset, PRESETS)}",
        )
        return
    for key, value in composite.hyper.items():
        place = ("composite", key)
        if key not in preset.hyper:
            yield Problem(
                place,
                f"unknown key; expected one of {', '.join(preset.hyper)}, the hyperparameters "
                f"of {composite.preset}.{guess(key, preset.hyper)}",
            )
        else:
            yield from _hyper(place, key.rstrip("0123456789"), value, search)


def _blocks(composite: tuple[BlockSpec, ...], search: Mapping[str, Dimension]) -> Iterator[Problem]:
    if not composite:
        yield Problem(("composite",), "found []; expected at least one block.")
    names = Counter(block.block for block in composite)
    for i, block in enumerate(composite):
        if names[block.block] > 1:
            yield Problem(
                ("composite", i, "block"),
                f"found '{block.block}' {names[block.block]} times; expected a name of its own.",
            )
        yield from _layers(i, block)
        yield from _block(i, block, search)


def _layers(i: int, block: BlockSpec) -> Iterator[Problem]:
    if block.block == "default" and block.layers:
        yield Problem(
            ("composite", i, "layers"),
            f"found {shown(block.layers)}; expected nothing: the block named default takes what "
            f"the others leave.",
        )
    if block.block != "default" and not block.layers:
        yield Problem(
            ("composite", i, "layers"), "missing; expected the layers that the block holds."
        )


def _block(i: int, block: BlockSpec, search: Mapping[str, Dimension]) -> Iterator[Problem]:
    rules = _rules(block.rule, search)
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown or not rules:
        yield Problem(("composite", i, "rule"), _unknown_rule(block.rule, unknown, search))
        return
    needed = {hyper for rule in rules for hyper in RULES[str(rule)]}
    if "sign" in block.model_fields_set and "epsilon" not in needed:
        yield Problem(
            ("composite", i, "sign"),
            f"found '{block.sign}'; expected nothing: rule {shown(block.rule)} has no ε.",
        )
    for hyper in LOWEST:
        value = getattr(block, hyper)
        if hyper in needed and value is None:
            yield Problem(
                ("composite", i, hyper),
                f"missing; expected {requirement(hyper)}, or '$name' of a searched one, because "
                f"the rule is {shown(block.rule)}.",
            )
        elif hyper not in (*needed, "stabilizer") and value is not None:
            taken = ", ".join([*sorted(needed), "stabilizer"])
            yield Problem(
                ("composite", i, hyper),
                f"found {shown(value)}; expected nothing: rule {shown(block.rule)} takes {taken}.",
            )
        elif value is not None:
            yield from _hyper(("composite", i, hyper), hyper, value, search)


def _rules(rule: str, search: Mapping[str, Dimension]) -> tuple[Any, ...]:
    name = reference(rule)
    if name is None:
        return (rule,)
    match search.get(name):
        case Choice(choice=choice):
            return choice
        case Fixed(fixed=value):
            return (value,)
    return ()


def _unknown_rule(rule: str, unknown: list[Any], search: Mapping[str, Dimension]) -> str:
    allowed = f"one of {', '.join(RULES)}"
    name = reference(rule)
    if name is None:
        return f"found '{rule}'; expected {allowed}.{guess(rule, RULES)}"
    if name not in search:
        return _unknown_name(rule, search)
    if not unknown:
        return f"found '{rule}', a range of numbers; expected a choice of rules, each {allowed}."
    near = guess(str(unknown[0]), RULES)
    return f"found '{rule}', which may be {shown(unknown[0])}; expected {allowed}.{near}"


def _unknown_name(value: str, search: Mapping[str, Dimension]) -> str:
    near = guess(value[1:], search)
    return f"found '{value}'; expected a name under search: {', '.join(search)}.{near}"


def _hyper(
    place: Place, hyper: str, value: float | str, search: Mapping[str, Dimension]
) -> Iterator[Problem]:
    name = reference(value)
    if name is None:
        if not allows(hyper, value):
            yield Problem(place, f"found {shown(value)}; expected {requirement(hyper)}.")
    elif name not in search:
        yield Problem(place, _unknown_name(str(value), search))
    else:
        for extreme in _extremes(search[name]):
            if not allows(hyper, extreme):
                yield Problem(
                    place,
                    f"found '{value}', which may be {shown(extreme)}; expected "
                    f"{requirement(hyper)}.",
                )
                return


def _extremes(dimension: Dimension) -> tuple[Any, ...]:
    """The values of a range that can be out of bounds: if these are allowed, all are."""
    match dimension:
        case Fixed(fixed=value):
            return (value,)
        case Choice(choice=choice):
            return choice
        case Log(log=ends, zero=zero):
            return (0.0, *ends) if zero else ends
        case Linear(linear=ends):
            return ends
        case Int(int=whole):
            return whole


def _unused(study: StudyFile) -> Iterator[Problem]:
    used = _used(study)
    for name in study.search:
        if name not in used:
            yield Problem(
                ("search", name),
                f"used by no block; expected '${name}' somewhere in composite, or no such name."
                f"{guess(name, used - set(study.search))}",
            )


def _used(study: StudyFile) -> set[str]:
    composite = study.composite
    values: list[object] = (
        list(composite.hyper.values())
        if isinstance(composite, PresetSpec)
        else [v for b in composite for v in (b.rule, b.gamma, b.epsilon, b.alpha, b.stabilizer)]
    )
    return {name for value in values if (name := reference(value)) is not None}


def _evaluation(study: StudyFile) -> Iterator[Problem]:
    evaluation = study.evaluation
    if evaluation.protocol == "thesis":
        yield from _thesis(evaluation)
    elif study.objective == "auc_random":
        yield Problem(
            ("objective",),
            "found 'auc_random', which no heatmap changes; expected auc_morf, auc_lerf or srg: it "
            "is a control of protocol thesis only.",
        )
    if evaluation.schedule != "linear" and evaluation.steps is not None:
        yield Problem(
            ("evaluation", "steps"),
            f"found {evaluation.steps}; expected nothing: the quadratic schedule follows from "
            f"the number of patches.",
        )


def _thesis(evaluation: EvaluationSpec) -> Iterator[Problem]:
    if evaluation.schedule != "quadratic":
        yield Problem(
            ("evaluation", "schedule"),
            f"found '{evaluation.schedule}'; expected nothing: protocol thesis is quadratic.",
        )
    if evaluation.perturbation not in ("telea", "uniform"):
        yield Problem(
            ("evaluation", "perturbation"),
            f"found '{evaluation.perturbation}'; expected telea or uniform, which are all that "
            "protocol thesis has.",
        )


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
    if study.sampler.name != "grid":
        if study.trials is None:
            yield Problem(
                ("trials",), f"missing; expected a number: the sampler is {study.sampler.name}."
            )
        return
    if study.trials is not None:
        yield Problem(
            ("trials",),
            f"found {study.trials}; expected nothing: a grid has as many trials as points.",
        )
    for name, dimension in study.search.items():
        match dimension:
            case Log(points=None) | Linear(points=None):
                yield _no_points(name)
            case Int(int=(first, last), points=None) if last - first >= MOST_POINTS:
                yield _no_points(name)


def _no_points(name: str) -> Problem:
    return Problem(("search", name, "points"), "missing; expected a number: the sampler is grid.")
