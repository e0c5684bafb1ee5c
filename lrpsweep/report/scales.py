"""Where the values of a hyperparameter lie on a drawn axis, and how they are written."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axis import Axis as DrawnAxis
from matplotlib.axis import XAxis
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator

from lrpsweep.results import Axis

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING = "—"


def format_value(value: Any) -> str:
    """As tables and axes write a hyperparameter or a score: 0 is '0', NaN '—', else 4 digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    if math.isnan(value):
        return NOTHING
    return "0" if value == 0 else f"{value:.4g}"


def format_score(value: float) -> str:
    """Always four digits, to line up in a column: '5.410', '−0.1200'; '—' where not finite."""
    return f"{value:#.4g}".replace("-", "−") if math.isfinite(value) else NOTHING


def format_short(value: float) -> str:
    """Two digits, for errors and p-values."""
    return NOTHING if math.isnan(value) else f"{value:.2g}"


def format_percent(value: float) -> str:
    """A share in per cent, with its sign: '+2.1 %'."""
    return f"{value:+.1f} %".replace("-", "−") if math.isfinite(value) else NOTHING


def format_values(values: Any) -> str:
    """'early.gamma = 0.1, late.gamma = 0'."""
    return ", ".join(f"{name} = {format_value(value)}" for name, value in values.items())


@functools.cache
def _drawable() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def plain(text: str) -> str:
    """Text that a figure shows as it is: no mathematics between dollars, no missing glyphs."""
    known = "".join(c if ord(c) in _drawable() else "?" for c in " ".join(text.split()))
    return known.replace("$", r"\$")


def positions(axis: Axis, values: Sequence[Any]) -> np.ndarray:
    """(N,) places on the drawn axis: log10 on logarithmic ones, the index of a category."""
    if axis.categories:
        return np.array([axis.categories.index(str(value)) for value in values], dtype=float)
    if not axis.log:
        return np.array(values, dtype=float)
    return np.array([_log_position(axis, float(value)) for value in values])


def _log_position(axis: Axis, value: float) -> float:
    zero_at = axis.zero_at if axis.zero_at is not None else float("nan")
    return math.log10(zero_at if value == 0 else value)


def draw_scale(drawn: DrawnAxis, axis: Axis, places: np.ndarray) -> None:
    """Ticks and label for `axis`, whose trials lie at `places`."""
    drawn.set_label_text(plain(axis.name))
    if axis.categories:
        limit = drawn.axes.set_xlim if isinstance(drawn, XAxis) else drawn.axes.set_ylim
        limit(-0.5, len(axis.categories) - 0.5)
        names = [plain(name) for name in axis.categories]
        drawn.set_ticks(range(len(names)), names)
    elif axis.log:
        drawn.set_ticks(*_log_ticks(axis, places))
    elif np.all(places == np.round(places)):
        drawn.set_major_locator(MaxNLocator(integer=True))


def _log_ticks(axis: Axis, places: np.ndarray) -> tuple[list[float], list[str]]:
    zero = [] if axis.zero_at is None else [math.log10(axis.zero_at)]
    above = [p for p in places if not any(math.isclose(p, z) for z in zero)]
    ticks = _decades(min(above), max(above)) if above else []
    labels = [_log_label(tick) for tick in ticks]
    return zero + ticks, ["0"] * len(zero) + labels


def _decades(low: float, high: float) -> list[float]:
    whole = np.arange(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(whole) >= 2:
        step = math.ceil(len(whole) / 6)
        return [float(tick) for tick in whole[::-step][::-1]]
    between = [
        d + math.log10(m) for d in range(math.floor(low), math.ceil(high)) for m in (1, 2, 5)
    ]
    return [tick for tick in between if low - 1e-9 <= tick <= high + 1e-9] or [low]


def _log_label(place: float) -> str:
    exponent = round(place)
    if math.isclose(place, exponent, abs_tol=1e-9) and not 0 <= exponent <= 2:
        return "10" + str(exponent).translate(SUPERSCRIPTS)
    return format_value(10**place)
