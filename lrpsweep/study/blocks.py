"""The composite of a study file: a list of blocks, or a preset with its hyperparameters.

A block has one key for every parameter and option of the rules there are, so that a new rule needs
no line here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, StringConstraints, ValidationError, create_model

from lrpsweep.composites.block import NO_STABILIZER, Block, Composite
from lrpsweep.composites.presets import PRESETS, preset
from lrpsweep.composites.selectors import DEFAULT_BLOCK, depth_names, is_selector
from lrpsweep.composites.values import HUGE, NAME, as_number, names_in, reference
from lrpsweep.errors import guess
from lrpsweep.registry import Registry, find_registry
from lrpsweep.study.frozen import Frozen, Word, expected
from lrpsweep.study.problems import Place, Problem, found, missing, problems_of, shown
from lrpsweep.study.space import Search, meanings

if TYPE_CHECKING:
    from lrpsweep.attribution.lrp.rules import Option, Parameter, Rule


@dataclass(frozen=True)
class Allowed:
    """Which values there may be, where no setting of a rule says so."""

    requirement: str
    allows: Callable[[Any], bool]


def _is_share(value: Any) -> bool:
    number = as_number(value)
    return number is not None and 0 <= number <= 1


def _is_count(value: Any) -> bool:
    number = as_number(value)
    return number is not None and number >= 0 and number.is_integer()


DECAY = Allowed("a number from 0 to 1", _is_share)
"""What a decaying parameter is multiplied by, from depth to depth: it may not grow."""

DEPTH = Allowed("whole numbers of at least 0", _is_count)
"""A number of layers from the images on."""

PLACE = ("composite",)


def _selectors(value: Any) -> tuple[str, ...]:
    """A selector or a list of them, as strings; leaf indices too."""
    given = value if isinstance(value, tuple) else (value,)
    texts = tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in given)
    if not texts or not all(isinstance(t, str) and is_selector(t) for t in texts):
        raise expected(
            "a layer name, a leaf index, a type such as Conv2d, a range "
            "'first..last' or 'first..end', a depth such as 'depth 3' or 'depth 1..$n', or a list "
            "of those"
        )
    return texts


def _bound(value: Any) -> tuple[float, ...]:
    """A finite number, or one for each channel."""
    given = value if isinstance(value, tuple) else (value,)
    numbers = tuple(float(v) for v in given if isinstance(v, int | float) and abs(v) < HUGE)
    if not given or len(numbers) < len(given) or any(isinstance(v, bool) for v in given):
        raise expected("a number, or a list of one per channel")
    return numbers


def _hyper(value: Any) -> float | str:
    if value in ("inf", math.inf):
        return math.inf
    name = reference(value)
    if name is not None and NAME.fullmatch(name):
        return str(value)
    number = as_number(value)
    if number is None or not abs(number) < HUGE:
        raise expected("a number, 'inf' or '$name'")
    return number + 0.0  # -0.0 becomes 0.0


Edge = Annotated[tuple[float, ...], PlainValidator(_bound)]
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
    low: Edge | None = None
    high: Edge | None = None


def _rules() -> Registry[Rule]:
    return find_registry("rule")


def _parameters(rules: Iterable[Rule]) -> dict[str, Parameter]:
    return {p.name: p for rule in rules for p in rule.parameters}


def _options(rules: Iterable[Rule]) -> dict[str, Option]:
    return {option.name: option for rule in rules for option in rule.choices}


def block_text() -> type[BlockText]:
    """A block as it is written, with a key for each parameter and option of all rules."""
    rules = _rules().values()
    fields: dict[str, Any] = {
        **dict.fromkeys(_parameters(rules), (Hyper | None, None)),
        **dict.fromkeys(_options(rules), (Word | None, None)),
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
    return None, [found(PLACE, raw, "a list of blocks, or {preset: name}")]


def _parse_preset(raw: dict[str, Any], search: Search) -> tuple[Composite | None, list[Problem]]:
    raw = dict(raw)
    name = raw.pop("preset")
    if not isinstance(name, str) or name not in PRESETS:
        text = f"found {shown(name)}; expected one of {', '.join(PRESETS)}."
        return None, [Problem((*PLACE, "preset"), text + guess(str(name), PRESETS))]
    fields: dict[str, Any] = dict.fromkeys(PRESETS[name].hyper, (Hyper, None))
    model = create_model("WrittenPreset", __base__=Frozen, **fields)
    try:
        given = model.model_validate(raw).model_dump(exclude_unset=True)
    except ValidationError as error:
        return None, problems_of(error, PLACE, model)
    problems = [
        problem
        for key, value in given.items()
        for problem in _preset_value((*PLACE, key), PRESETS[name].blocks, key, value, search)
    ]
    return (None if problems else preset(name, given)), problems


def _preset_value(
    place: Place, blocks: tuple[Block, ...], key: str, value: float | str, search: Search
) -> Iterator[Problem]:
    """A hyperparameter of a preset has the range of the parameter that it stands for."""
    if any(key in block.depths for block in blocks):
        yield from _depth(place, value, search)
        return
    parameters = _parameters(_rules().values())
    ranges = (
        parameters[name] if factor == 0 else DECAY
        for block in blocks
        for name, given in block.values.items()
        for factor, named in enumerate(given if isinstance(given, tuple) else (given,))
        if named == f"${key}"
    )
    yield from _value(place, next(ranges, DECAY), value, search)


def _parse_blocks(raw: tuple[Any, ...], search: Search) -> tuple[Composite | None, list[Problem]]:
    if not raw:
        return None, [found(PLACE, raw, "at least one block")]
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
            said = f"found '{text.block}' {names[text.block]} times; expected a name of its own."
            problems.append(Problem((*place, "block"), said))
        problems += _layers(place, text, search)
        problems += _rule(place, text, search)
    return (None if problems else Composite(tuple(map(_block, texts)))), problems


def _block(text: BlockText) -> Block:
    """The block, without what is usual anyway."""
    given, rules = text.model_dump(exclude_none=True), _rules().values()
    parameters, options = _parameters(rules), _options(rules)
    return Block(
        text.block,
        text.layers,
        text.rule,
        {key: value for key, value in given.items() if key in parameters},
        {k: word for k, word in given.items() if k in options and word != options[k].usual},
        (text.low, text.high) if text.low and text.high else None,
        text.decay,
    )


def _layers(place: Place, text: BlockText, search: Search) -> Iterator[Problem]:
    if text.block == DEFAULT_BLOCK and text.layers:
        reason = "the block named default takes what the others leave"
        yield found((*place, "layers"), text.layers, f"nothing: {reason}")
    if text.block != DEFAULT_BLOCK and not text.layers:
        yield missing((*place, "layers"), "the layers that the block holds")
    for name in depth_names(text.layers):
        yield from _depth((*place, "layers"), f"${name}", search)


def _depth(place: Place, value: float | str, search: Search) -> Iterator[Problem]:
    """A number of layers from the images on, or what may be searched as one."""
    dimension = search.get(reference(value) or "")
    if dimension is not None and dimension.continuous:
        ints = f"an int, or a choice of {DEPTH.requirement}"
        yield Problem(place, f"found '{value}', a range of all numbers; expected {ints}.")
    else:
        yield from _value(place, DEPTH, value, search)


def _rule(place: Place, text: BlockText, search: Search) -> Iterator[Problem]:
    """Everything of the block but its layers."""
    unknown = list(_word((*place, "rule"), text.rule, _rules(), search))
    if unknown:
        yield from unknown
        return
    rules = [_rules()[word] for word in meanings(text.rule, search)]
    if len({rule.on for rule in rules}) > 1:
        kinds = ", ".join(f"{rule.name} is for {rule.on}" for rule in rules)
        yield Problem((*place, "rule"), f"found rules for layers of different kinds: {kinds}.")
        return
    parameters, options = _parameters(rules), _options(rules)
    decays = any(p.decays for p in parameters.values())
    bounded = any(rule.bounded for rule in rules)
    besides = [*(["decay"] if decays else []), *(["low", "high"] if bounded else [])]
    yield from _foreign(place, text, [*sorted(parameters), *besides, *sorted(options)])
    if text.decay is not None and decays:
        yield from _value((*place, "decay"), DECAY, text.decay, search)
    if bounded:
        yield from _bounds(place, text)
    for name, parameter in sorted(parameters.items()):
        value = getattr(text, name)
        if value is not None:
            yield from _value((*place, name), parameter, value, search)
        elif parameter.default is None:
            reason = f"'$name' of a searched one, because the rule is {shown(text.rule)}"
            yield missing((*place, name), f"{parameter.requirement}, or {reason}")
    for name, option in sorted(options.items()):
        word = getattr(text, name)
        if word is not None:
            yield from _word((*place, name), word, option.values, search)


def _bounds(place: Place, text: BlockText) -> Iterator[Problem]:
    """Both or neither, and the lower one lower in every channel."""
    low, high = text.low, text.high
    if low is None and high is None:
        return
    if low is None or high is None:
        lacking, given = ("low", "high") if low is None else ("high", "low")
        yield missing((*place, lacking), f"one, since {given} is given")
    elif len(low) != len(high):
        yield Problem((*place, "high"), f"found {len(high)} numbers; expected {len(low)}, as low.")
    elif not all(a < b for a, b in zip(low, high, strict=True)):
        yield found((*place, "high"), high, f"more than low, {shown(low)}")


def _foreign(place: Place, text: BlockText, known: Collection[str]) -> Iterator[Problem]:
    """What the block's rule does not take."""
    given = text.model_dump(exclude_none=True)
    for key, value in given.items():
        if key not in ("block", "layers", "rule", *known):
            taken = f"rule {shown(text.rule)} takes {', '.join(known)}"
            yield found((*place, key), value, f"nothing: {taken}")
    if given.get("stabilize") == NO_STABILIZER and "stabilizer" in given:
        reason = f"stabilize is '{NO_STABILIZER}'"
        yield found((*place, "stabilizer"), given["stabilizer"], f"nothing: {reason}")


def _word(place: Place, word: str, known: Collection[str], search: Search) -> Iterator[Problem]:
    """One of the known words, or the '$name' of a choice of them."""
    name, allowed = reference(word), Allowed(f"one of {', '.join(known)}", known.__contains__)
    if name is not None and name in search and not search[name].listed:
        each = f"a choice, each {allowed.requirement}"
        yield Problem(place, f"found '{word}', a range of numbers; expected {each}.")
    else:
        yield from _value(place, allowed, word, search, known)


def _value(
    place: Place,
    allowed: Allowed | Parameter,
    value: float | str,
    search: Search,
    known: Collection[str] = (),
) -> Iterator[Problem]:
    """A value, or the '$name' of what may be searched as one. known: words to guess from."""
    name = reference(value)
    if name is not None and name not in search:
        yield Problem(place, _unknown_name(str(value), search))
        return
    meant = (value,) if name is None else search[name].extremes
    wrong = [extreme for extreme in meant if not allowed.allows(extreme)]
    if wrong:
        may_be = "" if name is None else f"'{value}', which may be "
        said = f"found {may_be}{shown(wrong[0])}; expected {allowed.requirement}."
        yield Problem(place, said + guess(str(wrong[0]), known))


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
