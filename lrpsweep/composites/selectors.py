"""Which layers a block means: by name, index, type, range, depth, or as a part of the network.

A block of a study has selectors: 'features.0', '0', 'Conv2d', '1..16', 'depth 2..$n'. A block of a
published composite has a part: 'convolutions to 5/13' of their depth, 'convolutions to depth $n',
or 'dense', which is the head: parts take what those before them have left.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lrpsweep.composites.values import NAME, as_number, names_in, reference
from lrpsweep.errors import InputError, guess

if TYPE_CHECKING:
    from lrpsweep.attribution import LayerInfo

DEFAULT_BLOCK = "default"

_END = rf"\d+|\${NAME.pattern}?"
_DEPTH = re.compile(rf"depth (?:({_END})?\.\.({_END})?|({_END}))")
_PART = re.compile(rf"convolutions to (?:(\d+(?:/\d+)?)|depth ({_END}))|dense")
_LAYER = r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*"
_SELECTOR = re.compile(rf"{_LAYER}|(?:{_LAYER})?\.\.(?:{_LAYER})?")


def is_selector(text: str) -> bool:
    """Whether it is written as a selector; whether it means something, the network knows."""
    return bool(_SELECTOR.fullmatch(text)) or depth_ends(text) is not None


def is_part(text: str) -> bool:
    """Whether it is a part of a published composite."""
    return _PART.fullmatch(text) is not None


def depth_ends(selector: str) -> tuple[str, str] | None:
    """First and last depth as they are written, '' where open; None: it is no depth."""
    found = _DEPTH.fullmatch(selector)
    if found is None:
        return None
    first, last, only = found.groups()
    return (only, only) if only else (first or "", last or "")


def depth_names(selectors: Iterable[str]) -> tuple[str, ...]:
    """The searched names that stand for depths in selectors and parts."""
    ends = [end for selector in selectors for end in _ends(selector)]
    return tuple(dict.fromkeys(name for end in ends for name in names_in(end)))


def _ends(selector: str) -> tuple[str, ...]:
    part = _PART.fullmatch(selector)
    return (part[2] or "",) if part else depth_ends(selector) or ()


def bind_depths(selector: str, values: Mapping[str, Any]) -> str:
    """The selector or part with the values of its searched depths.

    values: whole numbers, or '$name' again. Raises InputError for others.
    """
    if not depth_names((selector,)):
        return selector
    names = [(end, reference(end)) for end in _ends(selector)]
    ends = [end if name is None else _depth(values[name], selector) for end, name in names]
    return f"convolutions to depth {ends[0]}" if is_part(selector) else f"depth {'..'.join(ends)}"


def _depth(value: Any, selector: str) -> str:
    if reference(value) is not None:
        return str(value)
    number = as_number(value)
    if number is None or number < 0 or not number.is_integer():
        raise InputError(
            f"layers '{selector}': found {value!r}; expected a whole number of at least 0"
        )
    return str(int(number))


def part_end(part: str) -> Fraction | int | None:
    """Where a part ends, as `assign_parts` takes it."""
    found = _PART.fullmatch(part)
    assert found is not None
    if found[2]:
        return int(found[2])
    return Fraction(found[1]) if found[1] else None


def select_layers(layers: Sequence[LayerInfo], selector: str | int) -> tuple[LayerInfo, ...]:
    """The layers that one selector means.

    A name ('features.0'; a prefix such as 'features' means all below it), a leaf index ('0'), a
    type ('Conv2d'), an inclusive range of names or indices ('1..16', 'features.18..end'), or one of
    depths ('depth 3', 'depth 2..5', 'depth ..5'), which holds none if it ends before it begins.
    Raises InputError when it means nothing in this network.
    """
    text = str(selector)
    ends = depth_ends(text)
    if ends is not None:
        return _at_depths(layers, text, ends)
    if ".." in text:
        first, last = _range_ends(layers, text)
        return tuple(layers[first : last + 1])
    chosen = tuple(layer for layer in layers if _named(layer, text) or layer.kind == text)
    if not chosen:
        raise InputError(_unknown(layers, text))
    return chosen


def _at_depths(
    layers: Sequence[LayerInfo], text: str, ends: tuple[str, str]
) -> tuple[LayerInfo, ...]:
    deepest = max(layer.depth for layer in layers)
    first, last = int(ends[0] or 1), int(ends[1] or deepest)
    if max(first, last) > deepest:
        raise InputError(
            f"found '{text}', but the network is {deepest} layers with weights deep; expected at "
            f"most depth {deepest}"
        )
    return tuple(layer for layer in layers if max(1, first) <= layer.depth <= last)


def _range_ends(layers: Sequence[LayerInfo], text: str) -> tuple[int, int]:
    start, _, stop = text.partition("..")
    first = _position(layers, start, last=False) if start else 0
    last = len(layers) - 1 if stop in ("", "end") else _position(layers, stop, last=True)
    if last < first:
        raise InputError(
            f"the range '{text}' ends before it begins ({layers[last].name} comes before "
            f"{layers[first].name}); expected FIRST..LAST in the network's order"
        )
    return first, last


def _position(layers: Sequence[LayerInfo], word: str, *, last: bool) -> int:
    places = [layer.index for layer in layers if _named(layer, word)]
    if not places:
        raise InputError(_unknown(layers, word))
    return places[-1] if last else places[0]


def _named(layer: LayerInfo, word: str) -> bool:
    if word.isdigit():
        return layer.index == int(word)
    return layer.name == word or layer.name.startswith(word + ".")


def _unknown(layers: Sequence[LayerInfo], word: str) -> str:
    names = [layer.name for layer in layers]
    kinds = sorted({layer.kind for layer in layers})
    return (
        f"the network has no layer '{word}'. Layers run from '{names[0]}' (0) to '{names[-1]}' "
        f"({len(names) - 1}); types are {', '.join(kinds)}.{guess(word, names + kinds)}"
    )


def assign_layers(
    layers: Sequence[LayerInfo],
    selectors: Mapping[str, Sequence[str | int]],
    moving: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """The layers with weights that each block's selectors mean, in the network's order.

    moving: blocks that take their layers before the others, in order, so that they may leave
    others, or later ones of themselves, with none. A block named 'default' without selectors gets
    what is left over. Raises InputError, which names the block, when one that does not move selects
    nothing, two of those overlap, or a layer is in none of them.
    """
    owner: dict[str, str] = {}
    for block, wanted in selectors.items():
        if block not in moving and (wanted or block != DEFAULT_BLOCK):
            for layer in layers_of(layers, block, wanted):
                if owner.setdefault(layer, block) != block:
                    raise InputError(
                        f"composite.{block}.layers: layer '{layer}' is in block '{owner[layer]}' "
                        "already; expected every layer in one block"
                    )
    left = [layer.name for layer in layers if layer.weighted and layer.name not in owner]
    if left and DEFAULT_BLOCK not in selectors:
        but = " without a searched depth" if moving else ""
        raise InputError(
            f"composite: no block{but} has {_listing(left)}; expected every layer with weights in "
            f"a block{but}, or a block named '{DEFAULT_BLOCK}' for the rest"
        )
    owner |= dict.fromkeys(left, DEFAULT_BLOCK)
    for block in reversed([name for name in selectors if name in moving]):
        chosen = _chosen(layers, block, selectors[block])
        owner |= {layer.name: block for layer in layers if layer.weighted and layer.name in chosen}
    return {
        block: tuple(layer.name for layer in layers if owner.get(layer.name) == block)
        for block in selectors
    }


def layers_of(
    layers: Sequence[LayerInfo], block: str, wanted: Sequence[str | int], kind: str | None = None
) -> tuple[str, ...]:
    """The layers with weights, or of a kind without, that a block's selectors mean; in order.

    Raises InputError, which names the block, when there is none.
    """
    known = [x.name for x in layers if (x.handling == kind if kind else x.weighted)]
    chosen = _chosen(layers, block, wanted)
    found = tuple(name for name in known if name in chosen)
    if not found:
        missing = f"layer of kind {kind}" if kind else "layer with weights"
        raise InputError(
            f"composite.{block}.layers: {list(wanted)} selects no {missing}; expected at least one "
            f"of {_listing(known) or 'none, which this network has'}"
        )
    return found


def _chosen(layers: Sequence[LayerInfo], block: str, wanted: Sequence[str | int]) -> set[str]:
    """The names of all layers that a block's selectors mean."""
    try:
        return {x.name for selector in wanted for x in select_layers(layers, selector)}
    except InputError as error:
        raise InputError(f"composite.{block}.layers: {error}") from error


def _listing(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def assign_parts(
    layers: Sequence[LayerInfo], ends: Mapping[str, Fraction | int | None]
) -> dict[str, tuple[str, ...]]:
    """The layers of a published composite's parts, for a network that is not VGG-16.

    ends: by part, where it ends: a fraction is a share of the body's depth, and at least the first
    layer; an int is a depth; None means the head: the dense layers behind the last map, and the
    last layer with weights whatever it is, since it gives the class scores. Depth counts
    convolutions from the images on, parallel ones together. On VGG-16 the thirteenths of the
    literature's composites give the layer indices that the literature names. Parts for which the
    network has no layer are left out.
    """
    weighted = sorted((x for x in layers if x.weighted), key=lambda layer: layer.depth)
    head = [x.name for x in weighted if (x.dense and not x.on_map) or x is weighted[-1]]
    body = [layer for layer in weighted if layer.name not in head]
    deepest = max((layer.depth for layer in body), default=0)
    parts: dict[str, tuple[str, ...]] = {}
    first = 0
    for part, end in ends.items():
        if end is None:
            chosen = tuple(head)
        else:
            last = end if isinstance(end, int) else max(1, round(end * deepest))
            chosen = tuple(layer.name for layer in body if first < layer.depth <= last)
            first = max(first, last)
        if chosen:
            parts[part] = chosen
    return parts
