"""Which perturbed states are enough: what a few trials say that were scored on all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

MOST_ERROR = 0.5
"""Of a paired standard error: by so much may the mean of some states miss that of all."""
FEWEST_PILOTS = 8


@dataclass(frozen=True)
class ChosenStates:
    """The subset that trials are scored on. name: 'all' where none is good enough.

    errors: by subset and measure, what `error` finds; of every one that was looked at.
    """

    name: str
    errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def choose(
    full: Mapping[str, np.ndarray], coarse: Mapping[str, Mapping[str, np.ndarray]]
) -> ChosenStates:
    """The first subset whose errors by all measures are small enough.

    full: scores (T, n) of T pilot trials on n images by measure. coarse: the same by subset, the
    cheapest first.
    """
    errors: dict[str, dict[str, float]] = {}
    if min(len(scores) for scores in full.values()) < FEWEST_PILOTS:
        return ChosenStates("all")
    for name, scores in coarse.items():
        errors[name] = {measure: error(full[measure], scores[measure]) for measure in full}
        if max(errors[name].values()) <= MOST_ERROR:
            return ChosenStates(name, errors)
    return ChosenStates("all", errors)


def error(full: np.ndarray, coarse: np.ndarray) -> float:
    """How far a trial's mean over some states is from telling its mean over all.

    The latter is predicted from the former by the line through the other trials; the standard
    deviation of what is missed, in units of the standard error of the mean difference between two
    trials, paired by image: the median over all pairs. Both (T, n), at least 3 trials. A line that
    falls is none: trials are ranked by the former.
    """
    missed = float(np.sqrt(np.mean(_left_out(coarse.mean(1), full.mean(1)) ** 2)))
    pairs = itertools.combinations(full, 2)
    spread = [np.std(one - other, ddof=1) for one, other in pairs] if full.shape[1] > 1 else [0.0]
    unit = float(np.median(spread)) / math.sqrt(full.shape[1])
    if unit == 0:
        return 0.0 if missed == 0 else math.inf
    return missed / unit


def _left_out(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By how much the line through all others misses each y, (T,); their mean, if it falls."""
    spread = x - x.mean()
    total, rise = float(spread @ spread), float(spread @ y)
    if total == 0 or rise <= 0:
        return np.asarray((y - y.mean()) * len(y) / (len(y) - 1))
    residual = y - y.mean() - spread * rise / total
    return np.asarray(residual / np.maximum(1 - 1 / len(x) - spread**2 / total, 1e-12))
