"""Which scores differ: image by image, as all candidates see the same ones."""

from __future__ import annotations

import numpy as np

from lrpsweep.report.words import shown
from lrpsweep.results import StudyResults, TrialResult


def paired_difference(one: TrialResult, other: TrialResult) -> tuple[float, float]:
    """Mean of the scores (one − other), and its standard error: NaN for a single image.

    Both have the scores of the same images in the same order, in units of the objective.
    """
    gaps = one.scores - other.scores
    error = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else float("nan")
    return float(np.mean(gaps)), error


def as_good_as_shown(results: StudyResults) -> frozenset[int]:
    """Numbers of the other trials that lie within one standard error of what is `shown`.

    By the difference image by image, so only those with as many scores of as many states.
    """
    one = shown(results)
    best = results.searched_result(one) if one else None
    if one is None or best is None:
        return frozenset()
    return frozenset(
        trial.number
        for trial in results.complete
        if trial.number != one.number
        and trial.result is not None
        and _is_paired(trial.result, best)
        and _is_alike(trial.result, best)
    )


def _is_paired(one: TrialResult, other: TrialResult) -> bool:
    return (
        one.scores.shape == other.scores.shape
        and one.states == other.states
        and np.array_equal(one.flipped, other.flipped)
    )


def _is_alike(one: TrialResult, other: TrialResult) -> bool:
    mean, error = paired_difference(one, other)
    return abs(mean) <= error
