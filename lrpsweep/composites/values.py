"""Values of a composite: numbers, words, and '$name' of a searched hyperparameter."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

HUGE = 1e100
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
DIGITS = 12
SAME = 1e-11
"""Numbers that differ by less, relative to the larger one, are the same: twice what rounding to
DIGITS digits changes, and far more than two processors differ by."""

Number = float | str | tuple[float | str, ...]
"""A number, '$name' of a searched one, or a tuple: the product of those."""

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""Lowest and highest input of a layer, each one number for all channels or one for each."""


def reference(value: object) -> str | None:
    """The searched name that '$name' stands for; None for anything else."""
    return value[1:] if isinstance(value, str) and value.startswith("$") else None


def names_in(given: object) -> Iterator[str]:
    """The searched names that a value, or a product of values, depends on."""
    for value in given if isinstance(given, tuple) else (given,):
        name = reference(value)
        if name is not None:
            yield name


def as_number(value: object) -> float | None:
    """A number or 'inf' as a float; None for words, true and false."""
    if value == "inf":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) >= HUGE:
        return math.inf if value > 0 else -math.inf
    return float(value)


def rounded(number: float, size: float | None = None) -> float:
    """The number with DIGITS digits, or those that are left of a larger number's DIGITS.

    What processors compute differently in the last digit is equal then.
    """
    if size is None:
        return float(f"{number:.{DIGITS}g}")
    exponent = int(f"{size:e}".partition("e")[2])
    return round(number, DIGITS - 1 - exponent) + 0.0  # -0.0 becomes 0.0


def same_value(one: object, other: object, size: float = 0.0) -> bool:
    """Whether two values mean the same: numbers may differ in the digits behind DIGITS.

    size: of the range that the values are from, if numbers near zero are to be measured by it.
    """
    if one == other:
        return True
    first, second = as_number(one), as_number(other)
    if first is None or second is None:
        return False
    return math.isclose(first, second, rel_tol=SAME, abs_tol=SAME * size)


def same_values(one: object, other: object) -> bool:
    """As `same_value`, also for tuples of tuples of values."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same_values, one, other))
    return same_value(one, other)


def rounded_values(value: Any) -> Any:
    """A value, or a tuple of tuples of values, with numbers rounded: to be compared as a whole."""
    if isinstance(value, tuple):
        return tuple(map(rounded_values, value))
    return rounded(value) if isinstance(value, float) else value
