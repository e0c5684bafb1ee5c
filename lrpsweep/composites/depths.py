"""Selectors by depth: 'depth 3', 'depth 2..5', 'depth ..$n', where 'n' is a searched number."""

from __future__ import annotations

import re

from lrpsweep.composites.rules import NAME, reference

_END = rf"\d+|\${NAME.pattern}?"
_DEPTH = re.compile(rf"depth (?:({_END})?\.\.({_END})?|({_END}))")


def depth_ends(selector: str) -> tuple[str, str] | None:
    """First and last depth as they are written, '' where open; None: it is no depth."""
    found = _DEPTH.fullmatch(selector)
    if found is None:
        return None
    first, last, only = found.groups()
    return (only, only) if only else (first or "", last or "")


def depth_names(selectors: tuple[str, ...]) -> tuple[str, ...]:
    """The searched names that the selectors' depths depend on."""
    ends = [end for selector in selectors for end in depth_ends(selector) or ()]
    return tuple(dict.fromkeys(name for end in ends if (name := reference(end)) is not None))
