"""The composite of a study file: a list of blocks, or a preset with its hyperparameters.

A block has one key for every parameter and option of the rules there are, so that a new rule needs
no line here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import PlainValidator, StringConstraints, ValidationError, create_model
from pydantic_core import PydanticCustomError

from lrpsweep.composites.block import POOLING, WEIGHTED, Block, Composite, pooling_rules
from lrpsweep.composites.presets import PRESETS, preset
from lrpsweep.composites.selectors import DEFAULT_BLOCK, depth_names, is_selector
from lrpsweep.composites.values import HUGE, NAME, as_number, names_in, reference
from lrpsweep.errors import guess
from lrpsweep.registry import find_registry
from lrpsweep.study.dimensions import Dimension
from lrpsweep.study.frozen import Frozen
from lrpsweep.study.problems import Place, Problem, problems_of, shown

if TYPE_CHECKING:
    from lrpsweep.attribution.lrp.rules import Parameter, Rule


class Range(Protocol):
    """Which numbers are allowed; a rule's Parameter is one."""

    @property
    def requirement(self) -> str:
        """What `allows` asks for, in words."""

    def allows(self, value: float) -> bool:
        """Whether the number is one of them."""


class _Share:
    requirement = "a number from 0 to 1"

    def allows(self, value: float) -> bool:
        return 0 <= value <= 1


DECAY = _Share()
"""What a decaying parameter is multiplied by, from depth to depth: it may not grow."""

Search = Mapping[str, Dimension]
Word = Annotated[str, StringConstraints(min_length=1)]
PLACE = ("composite",)


def _selectors(value: Any) -> tuple[str, ...]:
    """A selector or a list of them, as strings; leaf indices too."""
    given = value if isinstance(value, tuple) else (value,)
    texts = tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in given)
    if not texts or not all(isinstance(t, str) and is_selector(t) for t in texts):
        raise PydanticCustomError(
            "layers",
            "Input should be a layer name, a leaf index, a type such as Conv2d, a range "
            "'first..last' or 'first..end', a depth such as 'depth 3' or 'depth 1..$n', or a list "
            "of those",
        )
    return texts


def _bound(value: Any) -> tuple[float, ...]:
    """A finite number, or one for each channel."""
    given = value if isinstance(value, tuple) else (value,)
    numbers = tuple(float(v) for v in given if isinstance(v, int | float) and abs(v) < HUGE)
    if not given or len(numbers) < len(given) or any(isinstance(v, bool) for v in given):
        raise PydanticCustomError("bound", "Input should be a number, or a list of one per channel")
    return numbers


def _hyper(value: Any) -> float | str:
    if value in ("inf", math.inf):
        return math.inf
    name = reference(value)
    if name is not None and NAME.fullmatch(name):
        return str(value)
    number = as_number(value)
    if number is None or not abs(number) < HUGE:
        raise PydanticCustomError("hyper", "Input should be a number, 'inf' or '$name'")
    return number + 0.0  # -0.0 becomes 0.0


Bound = Annotated[tuple[float, ...], PlainValidator(_bound)]
Hyper = Annotated[float | str, PlainValidator(_hyper)]
"""A hyperparameter in a study: a float (γ may be inf) or '$name' of a searched one."""


class BlockText(Frozen):
    """A block as it is written, without the keys that come from the rules.

    block: its name. The one named 'default' has no layers: it takes what the others leave. decay: a
    decaying parameter is multiplied by it from one depth of the block to the next. low, high:
    bounds of what a bounded rule reads, one number or one per channel.
    """

    block: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    layers: Annotated[tuple[str, ...], PlainValidator(_selectors)] = ()
    rule: Word
    decay: Hyper | None = None
    low: Bound | None = None
    high: Bound | None = None
    pooling: Word | None = None


def _rules() -> Mapping[str, Rule]:
    return find_registry("rule")


def _parameters(rules: Iterable[Rule]) -> dict[str, Parameter]:
    return {p.name: p for rule in rules for p in rule.parameters}


def _options(rules: Iterable[Rule]) -> dict[str, tuple[str, ...]]:
    """Option to its variants, the usual one first."""
    return {o.name: o.values for rule in rules for o in rule.options}


def block_text() -> type[BlockText]:
    """A block as it is written, with a key for each parameter and option of all rules."""
    fields: dict[str, Any] = {
        **dict.fromkeys(_parameters(_rules().values()), (Hyper | None, None)),
        **dict.fromkeys(_options(_rules().values()), (Word | None, None)),
    }
    return create_model("WrittenBlock", __base__=BlockText, **fields)


def parse_composite(raw: Any, search: Search) -> tuple[Composite | None, list[Problem]]:
    """The composite that is written, or what is wrong with it.

    raw: a list of blocks as mappings, or {preset: name} with its hyperparameters.
    """
    if isinstance(raw, tuple):
        return _parse_blocks(raw, search)
    if isinstance(raw, dict) and "preset" in raw:
        return _parse_preset(raw, search)
    expected = "expected a list of blocks, or {preset: name}."
    return None, [Problem(PLACE, f"found {shown(raw)}; {expected}")]


def _parse_preset(raw: dict[str, Any], search: Search) -> tuple[Composite | None, list[Problem]]:
    name, given, problems = raw["preset"], {}, []
    if not isinstance(name, str) or name not in PRESETS:
        text = f"found {shown(name)}; expected one of {', '.join(PRESETS)}."
        return None, [Problem((*PLACE, "preset"), text + guess(str(name), PRESETS))]
    known = PRESETS[name].hyper
    for key, value in raw.items():
        place = (*PLACE, key)
        if key == "preset":
            continue
        if key not in known:
            problems.append(
                Problem(
                    place,
                    f"unknown key; expected one of {', '.join(known)}, the hyperparameters of "
                    f"{name}.{guess(key, known)}",
                )
            )
            continue
        try:
            given[key] = _hyper(value)
        except PydanticCustomError as error:
            expected = error.message().removeprefix("Input should be ")
            problems.append(Problem(place, f"found {shown(value)}; expected {expected}."))
            continue
        problems += _preset_value(place, PRESETS[name].blocks, key, given[key], search)
    return (None if problems else preset(name, given)), problems


def _preset_value(
    place: Place, blocks: tuple[Block, ...], key: str, value: float | str, search: Search
) -> Iterator[Problem]:
    """A hyperparameter of a preset has the range of the parameter that it stands for."""
    if any(key in block.depths for block in blocks):
        yield from _depth(place, value, search)
        return
    parameters = _parameters(_rules().values())
    factors = [
        parameters[name] if factor == 0 else DECAY
        for block in blocks
        for name, given in block.values.items()
        for factor, named in enumerate(given if isinstance(given, tuple) else (given,))
        if named == f"${key}"
    ]
    yield from _number(place, factors[0] if factors else DECAY, value, search)


def _parse_blocks(raw: tuple[Any, ...], search: Search) -> tuple[Composite | None, list[Problem]]:
    if not raw:
        return None, [Problem(PLACE, "found []; expected at least one block.")]
    model, texts, problems = block_text(), [], []
    for i, block in enumerate(raw):
        try:
            texts.append(model.model_validate(block))
        except ValidationError as error:
            problems += problems_of(error, (*PLACE, i), model)
    if problems:
        return None, problems
    names = Counter(text.block for text in texts)
    for i, text in enumerate(texts):
        place = (*PLACE, i)
        if names[text.block] > 1:
            found = f"found '{text.block}' {names[text.block]} times; expected a name of its own."
            problems.append(Problem((*place, "block"), found))
        problems += _layers(place, text, search)
        problems += _rule(place, text, search)
    return (None if problems else Composite(tuple(map(_block, texts)))), problems


def _block(text: BlockText) -> Block:
    """The block, without what is usual anyway."""
    rules = _rules().values()
    options = _options(rules) | {POOLING: tuple(pooling_rules())}
    numbers = {name: getattr(text, name) for name in _parameters(rules)}
    words = {name: getattr(text, name) for name in options}
    return Block(
        text.block,
        text.layers,
        text.rule,
        {name: value for name, value in numbers.items() if value is not None},
        {o: v for o, v in words.items() if v not in (None, options[o][0])},
        (text.low, text.high) if text.low and text.high else None,
        text.decay,
    )


def _layers(place: Place, text: BlockText, search: Search) -> Iterator[Problem]:
    if text.block == DEFAULT_BLOCK and text.layers:
        yield Problem(
            (*place, "layers"),
            f"found {shown(text.layers)}; expected nothing: the block named default takes what "
            f"the others leave.",
        )
    if text.block != DEFAULT_BLOCK and not text.layers:
        yield Problem((*place, "layers"), "missing; expected the layers that the block holds.")
    for name in depth_names(text.layers):
        yield from _depth((*place, "layers"), f"${name}", search)


def _depth(place: Place, value: float | str, search: Search) -> Iterator[Problem]:
    """A number of layers from the images on, or what may be searched as one."""
    name = reference(value)
    if name is not None and name not in search:
        yield Problem(place, _unknown_name(str(value), search))
        return
    dimension = None if name is None else search[name]
    if dimension is not None and dimension.continuous:
        yield Problem(
            place,
            f"found '{value}', a range of all numbers; expected an int, or a choice of whole "
            "numbers of at least 0.",
        )
        return
    for depth in (value,) if dimension is None else dimension.extremes:
        number = as_number(depth)
        if number is None or not math.isfinite(number) or number < 0 or number != int(number):
            may_be = "" if name is None else f"'{value}', which may be "
            yield Problem(
                place, f"found {may_be}{shown(depth)}; expected whole numbers of at least 0."
            )
            return


def _rule(place: Place, text: BlockText, search: Search) -> Iterator[Problem]:
    words = _words(text.rule, search)
    if not _all_of(words, _rules()):
        yield _no_word((*place, "rule"), text.rule, _rules(), search)
        return
    rules = [_rules()[word] for word in words]
    if len({rule.on for rule in rules}) > 1:
        kinds = ", ".join(f"{rule.name} is for {rule.on}" for rule in rules)
        yield Problem((*place, "rule"), f"found rules for layers of different kinds: {kinds}.")
        return
    yield from _settings(place, text, rules, search)


def _settings(
    place: Place, text: BlockText, rules: list[Rule], search: Search
) -> Iterator[Problem]:
    """Everything of the block but its layers and rule."""
    parameters, options = _parameters(rules), _options(rules)
    if any(rule.on == WEIGHTED for rule in rules):
        options |= {POOLING: tuple(pooling_rules())}
    decays = any(p.decays for p in parameters.values())
    bounded = any(rule.bounded for rule in rules)
    besides = [*(["decay"] if decays else []), *(["low", "high"] if bounded else [])]
    yield from _foreign(place, text, [*sorted(parameters), *besides, *sorted(options)])
    if text.decay is not None and decays:
        yield from _number((*place, "decay"), DECAY, text.decay, search)
    if bounded:
        yield from _bounds(place, text)
    for name in sorted(parameters):
        yield from _needed((*place, name), parameters[name], text, search)
    for option in sorted(options):
        word = getattr(text, option)
        if word is not None and not _all_of(_words(word, search), options[option]):
            yield _no_word((*place, option), word, options[option], search)


def _bounds(place: Place, text: BlockText) -> Iterator[Problem]:
    """Both or neither, and the lower one lower in every channel."""
    low, high = text.low, text.high
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


def _foreign(place: Place, text: BlockText, known: Collection[str]) -> Iterator[Problem]:
    """What the block's rule does not take."""
    given = {key: getattr(text, key) for key in type(text).model_fields}
    for key, value in given.items():
        if key not in ("block", "layers", "rule", *known) and value is not None:
            yield Problem(
                (*place, key),
                f"found {shown(value)}; expected nothing: rule {shown(text.rule)} takes "
                f"{', '.join(known)}.",
            )
    if given.get("stabilize") == "none" and given["stabilizer"] is not None:
        yield Problem(
            (*place, "stabilizer"),
            f"found {shown(given['stabilizer'])}; expected nothing: stabilize is 'none'.",
        )


def _needed(
    place: Place, parameter: Parameter, text: BlockText, search: Search
) -> Iterator[Problem]:
    value = getattr(text, parameter.name)
    if value is not None:
        yield from _number(place, parameter, value, search)
    elif parameter.default is None:
        yield Problem(
            place,
            f"missing; expected {parameter.requirement}, or '$name' of a searched one, because the "
            f"rule is {shown(text.rule)}.",
        )


def _number(place: Place, allowed: Range, value: float | str, search: Search) -> Iterator[Problem]:
    """A parameter's value, or the '$name' of what may be searched as one."""
    name = reference(value)
    if name is None:
        if not _allows(allowed, value):
            yield Problem(place, f"found {shown(value)}; expected {allowed.requirement}.")
    elif name not in search:
        yield Problem(place, _unknown_name(str(value), search))
    else:
        for extreme in search[name].extremes:
            if not _allows(allowed, extreme):
                yield Problem(
                    place,
                    f"found '{value}', which may be {shown(extreme)}; expected "
                    f"{allowed.requirement}.",
                )
                return


def _allows(allowed: Range, value: object) -> bool:
    number = as_number(value)
    return number is not None and allowed.allows(number)


def _words(word: str, search: Search) -> tuple[Any, ...]:
    """All that a word of a block, or the '$name' of a choice, may mean."""
    name = reference(word)
    if name is None:
        return (word,)
    return search[name].listed if name in search else ()


def _all_of(words: tuple[Any, ...], known: Collection[str]) -> bool:
    return bool(words) and all(word in known for word in words)


def _no_word(place: Place, word: str, known: Collection[str], search: Search) -> Problem:
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


def _unknown_name(value: str, search: Search) -> str:
    near = guess(value[1:], search)
    return f"found '{value}'; expected a name under search: {', '.join(search)}.{near}"


def unused_names(raw: Any, search: Search) -> Iterator[Problem]:
    """Searched names that nothing in the composite refers to, as it is written."""
    used = set(_written_names(raw))
    for name in search:
        if name not in used:
            yield Problem(
                ("search", name),
                f"used by no block; expected '${name}' somewhere in composite, or no such name."
                f"{guess(name, used - set(search))}",
            )


def _written_names(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict | tuple):
        for inner in raw.values() if isinstance(raw, dict) else raw:
            yield from _written_names(inner)
    elif isinstance(raw, str):
        yield from (*names_in(raw), *depth_names((raw,)))
