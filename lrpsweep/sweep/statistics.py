"""What may be said about a nominee: paired bootstrap intervals, Holm's correction, a verdict.

Everything is paired by image: the nominee and each published composite explain the same
validation images, and images are what is drawn again. Numbers in, numbers and a sentence out.

A comparison has to convince two tests, and the larger p counts. BCa allows for skewed
differences, but on 32 images it alone calls 6 to 7 % of interchangeable composites better at a
level of 5 % (simulated in the tests); flipping signs is exact for those. What neither sees: of
composites with the same true mean, one that is a little better on most images and much worse on a
few, rarely drawn ones; of those 7 to 11 % still pass a single comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from lrpsweep.results import Comparison, Direction, Verdict

LEVEL = 0.05
FEWEST_IMAGES = 20
RESAMPLES = 9999
ROUNDING = 1e-6
"""Scores that agree to this relative error are the same: they come from float32 networks."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % BCa interval; p: one-sided, for 'the mean is not above zero'."""

    mean: float
    low: float
    high: float
    p: float


def bca(values: np.ndarray, draws: np.ndarray) -> Interval:
    """Mean of N values, with bias-corrected and accelerated bootstrap interval and p-value.

    draws: (R, N), how often each resample has each value. The p-value is the level whose lower
    one-sided bound is zero, at least 1 / (R + 1). Values that are all the same have an interval
    without width; a single value has none (NaN, p = 1). The bootstrap is too narrow for few
    values: √(N / (N − 1)) times Student's quantiles stand in for the normal ones.
    Source: Efron 1987, 'Better bootstrap confidence intervals'; Hesterberg 2015, 'What teachers
    should know about the bootstrap', for the expansion.
    """
    mean = float(np.mean(values))
    least = 1 / (len(draws) + 1)
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"), 1.0)
    spread = values - mean
    if np.all(np.abs(spread) <= ROUNDING * abs(mean)):
        return Interval(mean, mean, mean, least if mean > 0 else 1.0)
    means = draws @ values / len(values)
    bias = ndtri(np.clip(_share_below(means, mean), least, 1 - least))
    acceleration = np.sum(spread**3) / (6 * np.sum(spread**2) ** 1.5)
    freedom = len(values) - 1
    expansion = np.sqrt(len(values) / freedom)
    tails = bias + expansion * stdtrit(freedom, np.array([LEVEL / 2, 1 - LEVEL / 2]))
    low, high = np.quantile(means, ndtr(bias + tails / (1 - acceleration * tails)))
    below = _share_below(means, 0.0)
    if not 0 < below < 1:  # zero lies outside the bound of every level
        return Interval(mean, float(low), float(high), least if below == 0 else 1.0)
    shift = ndtri(below) - bias
    p = stdtr(freedom, (shift / (1 + acceleration * shift) - bias) / expansion)
    return Interval(mean, float(low), float(high), max(float(p), least))


def _share_below(means: np.ndarray, value: float) -> float:
    """Share of the resampled means below a value, ties halved."""
    return float((np.mean(means < value) + np.mean(means <= value)) / 2)


def resample(count: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each of N images is in each of R resamples, (R, N)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def sign_flip(gains: np.ndarray, flips: np.ndarray) -> float:
    """One-sided p-value of the mean gain when each image's gain might as well have been a loss.

    flips: (R, N) of ±1. Exact when nominee and baseline are interchangeable, however skewed their
    scores. Source: Fisher 1935, the randomization test for pairs.
    """
    observed = np.sum(gains)
    as_good = flips @ gains >= observed - ROUNDING * np.sum(np.abs(gains))
    return float((1 + np.count_nonzero(as_good)) / (1 + len(flips)))


def _flips(count: int, seed: int, resamples: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    return rng.choice(np.array([-1.0, 1.0]), size=(resamples, count))


def mean_interval(scores: np.ndarray, seed: int) -> Interval:
    """Mean score over the N images with its interval. Its p means nothing here."""
    return bca(np.asarray(scores, dtype=np.float64), resample(len(scores), seed))


def compare(
    nominee: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    direction: Direction,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[Comparison, ...]:
    """The nominee against each baseline on the same N images, Holm-corrected, in given order.

    nominee, each baseline: (N,), finite. Raises ValueError otherwise.
    """
    draws = resample(len(nominee), seed, resamples)
    flips = _flips(len(nominee), seed, resamples)
    gains = [_gains(nominee, scores, direction) for scores in baselines.values()]
    found = [bca(gain, draws) for gain in gains]
    p = [max(e.p, sign_flip(gain, flips)) for e, gain in zip(found, gains, strict=True)]
    sign = -1 if direction == "minimize" else 1
    return tuple(
        Comparison(
            baseline=name,
            mean=float(np.mean(scores)),
            difference=sign * gain.mean + 0.0,
            low=min(sign * gain.low, sign * gain.high),
            high=max(sign * gain.low, sign * gain.high),
            p=p_one,
            p_adjusted=p_all,
            better=p_all <= LEVEL,
        )
        for (name, scores), gain, p_one, p_all in zip(
            baselines.items(), found, p, holm(p), strict=True
        )
    )


def _gains(nominee: np.ndarray, baseline: np.ndarray, direction: Direction) -> np.ndarray:
    """By how much the nominee is better, per image; rounding errors count as nothing."""
    a, b = np.asarray(nominee, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"expected finite scores of the same images, found {a.shape}, {b.shape}")
    gain = b - a if direction == "minimize" else a - b
    return np.where(np.isclose(a, b, rtol=ROUNDING, atol=0), 0.0, gain)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values for 'at least one of these is wrong', in order."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.minimum(1.0, factors * np.asarray(p, float)[order]))
    corrected = np.empty(len(p))
    corrected[order] = stepped
    return [float(value) for value in corrected]


def verdict(comparisons: Sequence[Comparison], images: int) -> Verdict:
    """'better' than the literature is better than every one of it, on at least 20 images."""
    if images < FEWEST_IMAGES or not comparisons:
        return "not decided"
    return "better" if all(c.better for c in comparisons) else "not better"


def sentence(comparisons: Sequence[Comparison], images: int, direction: Direction) -> str:
    """The verdict for a person, with the strongest published composite by name."""
    if not comparisons:
        return "Not decided: no published composite was compared."
    if images < FEWEST_IMAGES:
        return (
            f"Not decided: {images} validation images; expected at least {FEWEST_IMAGES} for a "
            f"verdict."
        )
    ranked = _strongest_first(comparisons, direction)
    unbeaten = [c for c in ranked if not c.better]
    on = f"on {images} validation images"
    if not unbeaten:
        return (
            f"Better than every published composite ({len(ranked)}) {on}; the strongest, "
            f"{ranked[0].baseline}: {_difference(ranked[0])}."
        )
    return (
        f"No better than {_listing([c.baseline for c in unbeaten])} {on}; {unbeaten[0].baseline}: "
        f"{_difference(unbeaten[0])}."
    )


def _strongest_first(comparisons: Sequence[Comparison], direction: Direction) -> list[Comparison]:
    sign = 1 if direction == "minimize" else -1
    return sorted(comparisons, key=lambda c: sign * c.mean)


def _difference(comparison: Comparison) -> str:
    return (
        f"difference {comparison.difference:.3g}, 95 % interval {comparison.low:.3g} to "
        f"{comparison.high:.3g}, p = {comparison.p_adjusted:.2g} after Holm"
    )


def _listing(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
