"""What no single field can tell: do the parts of a study fit each other?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lrpsweep.composites.depths import depth_names
from lrpsweep.composites.presets import PRESETS
from lrpsweep.composites.rules import (
    LOWEST,
    OPTIONS,
    RULES,
    allows,
    extras,
    hyperparameters,
    options,
    reference,
    requirement,
)
from lrpsweep.errors import guess
from lrpsweep.study.dimensions import (
    MOST_POINTS,
    Choice,
    Dimension,
    Fixed,
    Int,
    Linear,
    Log,
    extremes,
)
from lrpsweep.study.fields import (
    BlockSpec,
    DataSpec,
    EvaluationSpec,
    ModelSpec,
    PresetSpec,
    StudyFile,
)
from lrpsweep.study.problems import Place, Problem, shown
from lrpsweep.study.secrets import is_masked
from lrpsweep.study.space import searched_depths


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
    yield from _baselines(study.baselines or ())
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
        elif key == "n":
            yield from _depth(place, value, search)
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
        yield from _layers(i, block, search)
        yield from _block(i, block, search)


def _layers(i: int, block: BlockSpec, search: Mapping[str, Dimension]) -> Iterator[Problem]:
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
    for name in depth_names(block.layers):
        yield from _depth(("composite", i, "layers"), f"${name}", search)


def _depth(place: Place, value: float | str, search: Mapping[str, Dimension]) -> Iterator[Problem]:
    """A number of layers from the images on, or what may be searched as one."""
    name = reference(value)
    if name is not None and name not in search:
        yield Problem(place, _unknown_name(str(value), search))
        return
    dimension = None if name is None else search[name]
    if isinstance(dimension, Log | Linear):
        yield Problem(
            place,
            f"found '{value}', a range of all numbers; expected an int, or a choice of whole "
            "numbers of at least 0.",
        )
        return
    for depth in (value,) if dimension is None else extremes(dimension):
        whole = isinstance(depth, int | float) and not isinstance(depth, bool)
        if not (whole and math.isfinite(depth) and depth >= 0 and depth == int(depth)):
            may_be = "" if name is None else f"'{value}', which may be "
            yield Problem(
                place, f"found {may_be}{shown(depth)}; expected whole numbers of at least 0."
            )
            return


def _block(i: int, block: BlockSpec, search: Mapping[str, Dimension]) -> Iterator[Problem]:
    place = ("composite", i)
    rules = _words(block.rule, search)
    if not _all_of(rules, RULES):
        yield _no_word((*place, "rule"), block.rule, RULES, search)
        return
    needed = sorted({hyper for rule in rules for hyper in hyperparameters(rule)})
    taken = sorted({option for rule in rules for option in options(rule)})
    besides = sorted({extra for rule in rules for extra in extras(rule)})
    yield from _foreign(place, block, [*needed, *besides, *taken])
    if block.decay is not None and "decay" in besides:
        yield from _hyper((*place, "decay"), "decay", block.decay, search)
    if "low" in besides:
        yield from _bounds(place, block)
    for hyper in needed:
        yield from _needed((*place, hyper), hyper, block, search)
    for option in taken:
        word = getattr(block, option)
        if word is not None and not _all_of(_words(word, search), OPTIONS[option]):
            yield _no_word((*place, option), word, OPTIONS[option], search)


def _bounds(place: Place, block: BlockSpec) -> Iterator[Problem]:
    """Those of z_box: both or neither, and the lower one lower in every channel."""
    low, high = block.low, block.high
    if low is None and high is None:
        return
    if low is None or high is None:
        missing, given = ("low", "high") if low is None else ("high", "low")
        yield Problem((*place, missing), f"missing; expected one, since {given} is given.")
    elif len(low) != len(high):
        yield Problem((*place, "high"), f"found {len(high)} numbers; expected {len(low)}, as low.")
    elif not all(a < b for a, b in zip(low, high, strict=True)):
        yield Problem(
            (*place, "high"), f"found {shown(high)}; expected more than low, {shown(low)}."
        )


def _foreign(place: Place, block: BlockSpec, known: list[str]) -> Iterator[Problem]:
    """What the block's rule does not take."""
    given = [k for k in (*LOWEST, "low", "high", *OPTIONS) if k in block.model_fields_set]
    for key in given:
        value = getattr(block, key)
        if key not in known and value is not None:
            yield Problem(
                (*place, key),
                f"found {shown(value)}; expected nothing: rule {shown(block.rule)} takes "
                f"{', '.join(known)}.",
            )
    if block.stabilize == "none" and "stabilizer" in given:
        yield Problem(
            (*place, "stabilizer"),
            f"found {shown(block.stabilizer)}; expected nothing: stabilize is 'none'.",
        )


def _needed(
    place: Place, hyper: str, block: BlockSpec, search: Mapping[str, Dimension]
) -> Iterator[Problem]:
    value = getattr(block, hyper)
    if value is not None:
        yield from _hyper(place, hyper, value, search)
        return
    yield Problem(
        place,
        f"missing; expected {requirement(hyper)}, or '$name' of a searched one, because the rule "
        f"is {shown(block.rule)}.",
    )


def _words(word: str, search: Mapping[str, Dimension]) -> tuple[Any, ...]:
    """All that a word of a block, or the '$name' of a choice, may mean."""
    name = reference(word)
    if name is None:
        return (word,)
    match search.get(name):
        case Choice(choice=choice):
            return choice
        case Fixed(fixed=value):
            return (value,)
    return ()


def _all_of(words: tuple[Any, ...], known: Collection[str]) -> bool:
    return bool(words) and all(word in known for word in words)


def _no_word(
    place: Place, word: str, known: Collection[str], search: Mapping[str, Dimension]
) -> Problem:
    """A word, or a choice of them, that is not among the known ones."""
    allowed = f"one of {', '.join(known)}"
    name = reference(word)
    if name is None:
        return Problem(place, f"found '{word}'; expected {allowed}.{guess(word, known)}")
    if name not in search:
        return Problem(place, _unknown_name(word, search))
    unknown = [value for value in _words(word, search) if value not in known]
    if not unknown:
        return Problem(
            place, f"found '{word}', a range of numbers; expected a choice, each {allowed}."
        )
    near = guess(str(unknown[0]), known)
    return Problem(
        place, f"found '{word}', which may be {shown(unknown[0])}; expected {allowed}.{near}"
    )


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
        for extreme in extremes(search[name]):
            if not allows(hyper, extreme):
                yield Problem(
                    place,
                    f"found '{value}', which may be {shown(extreme)}; expected "
                    f"{requirement(hyper)}.",
                )
                return


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
        else [getattr(b, key) for b in composite for key in ("rule", *LOWEST, *OPTIONS)]
    )
    names = {name for value in values if (name := reference(value)) is not None}
    return names | set(searched_depths(composite))


def _baselines(names: tuple[str, ...]) -> Iterator[Problem]:
    for i, name in enumerate(names):
        if name not in PRESETS:
            yield Problem(
                ("baselines", i),
                f"found '{name}'; expected one of {', '.join(PRESETS)}.{guess(name, PRESETS)}",
            )
        elif name in names[:i]:
            yield Problem(("baselines", i), f"found '{name}' again; expected every name once.")


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
