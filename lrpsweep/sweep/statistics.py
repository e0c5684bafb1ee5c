"""The numbers behind a recommendation: paired gains, their sign-flip test, levels and corrections.

Everything is paired by image: the nominee and each baseline explain the same validation images.
Numbers in, numbers out; `statement` makes sentences of them.

Flipping signs is exact when nominee and baseline are interchangeable, however skewed their scores.
What it does not see: of composites with the same true mean, one that is a little better on most
images and much worse on a few, rarely drawn ones. Of those more pass than the level says (simulated
in the tests).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from lrpsweep.results import Direction

FEWEST_IMAGES = 20
FLIPS = 9999
RESAMPLES = 9999
POWER = 0.8
"""How likely a gain is found, wherever the images it needs are named."""
ROUNDING = 1e-6
"""Scores that agree to this relative error are the same: they come from float32 networks."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % BCa interval."""

    mean: float
    low: float
    high: float


def bca(values: np.ndarray, draws: np.ndarray) -> Interval:
    """Mean of N values with its bias-corrected and accelerated 95 % bootstrap interval.

    draws: (R, N), how often each resample has each value. Values that are all the same have an
    interval without width; a single value has none (NaN). The bootstrap is too narrow for few
    values: √(N / (N − 1)) times Student's quantiles stand in for the normal ones.
    Source: Efron 1987, 'Better bootstrap confidence intervals'; Hesterberg 2015, 'What teachers
    should know about the bootstrap', for the expansion.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    spread = values - mean
    if np.all(np.abs(spread) <= ROUNDING * abs(mean)):
        return Interval(mean, mean, mean)
    means = draws @ values / len(values)
    least = 1 / (len(draws) + 1)
    below = float((np.mean(means < mean) + np.mean(means <= mean)) / 2)
    bias = ndtri(np.clip(below, least, 1 - least))
    acceleration = np.sum(spread**3) / (6 * np.sum(spread**2) ** 1.5)
    freedom = len(values) - 1
    expansion = np.sqrt(len(values) / freedom)
    tails = bias + expansion * stdtrit(freedom, np.array([0.025, 0.975]))
    low, high = np.quantile(means, ndtr(bias + tails / (1 - acceleration * tails)))
    return Interval(mean, float(low), float(high))


def resample(count: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each of N images is in each of R resamples, (R, N)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def mean_interval(scores: np.ndarray, seed: int) -> Interval:
    """Mean score over the N images with its interval."""
    return bca(np.asarray(scores, dtype=np.float64), resample(len(scores), seed))


def level_of(look: int) -> float:
    """The level that the k-th look at the same validation images is tested at.

    4 % for the first, 1 % · 2^(1 − k) for the k-th after it, whatever changed in between: 5 % in
    all, however many looks. Raises ValueError below 1.
    """
    if look < 1:
        raise ValueError(f"looks are counted from 1, found {look}")
    return 0.04 if look == 1 else 0.01 * 2.0 ** (1 - look)


def gains(nominee: np.ndarray, baseline: np.ndarray, direction: Direction) -> np.ndarray:
    """By how much the nominee is better on each of N images, (N,); rounding errors count as 0.

    nominee, baseline: scores (N,), finite. Raises ValueError otherwise.
    """
    a, b = np.asarray(nominee, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"expected finite scores of the same images, found {a.shape}, {b.shape}")
    gain = b - a if direction == "minimize" else a - b
    return np.where(np.isclose(a, b, rtol=ROUNDING, atol=0), 0.0, gain)


def draw_flips(count: int, seed: int) -> np.ndarray:
    """Which of N images each of the 9,999 flips turns round: (9999, N) of 0 and 1."""
    return np.random.default_rng([seed, 1]).integers(0, 2, size=(FLIPS, count)).astype(np.float64)


@dataclass(frozen=True)
class SignFlip:
    """A mean gain with its one-sided tests against 0, and the bounds that these tests give.

    p: for 'the nominee is no better'; p_behind: for 'it is no worse'. low, high: the one-sided
    bounds at the level, p ≤ level exactly when low > 0, and p_behind ≤ level exactly when high < 0;
    together an interval of 1 − 2 · level. Infinite where the flips are too few for the level.
    """

    mean: float
    p: float
    p_behind: float
    low: float
    high: float


def sign_flip(gains: np.ndarray, flips: np.ndarray, level: float) -> SignFlip:
    """The studentised sign-flip test of N paired gains, and its inverse.

    gains: (N,). flips: (R, N) of 0 and 1. Flipping signs about a supposed mean μ leaves the sum of
    squares as it is, so that the studentised statistic orders the flips as the sum does, and a
    flip of some images is at least as good as what was observed exactly when the mean of their
    gains is at most μ. So p(μ) = (1 + number of such flips) / (R + 1) rises with μ step by step,
    and the bound at the level, the smallest μ with p(μ) > level, is one of these means. A flip of
    no image is always at least as good.
    Source: Fisher 1935, the randomization test for pairs; Hartigan 1969, 'Using subsample values as
    typical values', for the means of subsets; Phipson & Smyth 2010, for the 1 in p.
    """
    means = _subset_means(gains, flips)
    empty = len(flips) - len(means)
    total = len(flips) + 1
    place = math.floor(level * total + ROUNDING) - empty  # of the bound, counted from outside
    low, high = -math.inf, math.inf
    if place > 0:
        low = float(np.partition(means, place - 1)[place - 1])
        high = float(np.partition(means, len(means) - place)[len(means) - place])
    return SignFlip(
        mean=float(np.mean(gains)),
        p=float((1 + empty + np.count_nonzero(means <= 0)) / total),
        p_behind=float((1 + empty + np.count_nonzero(means >= 0)) / total),
        low=low,
        high=high,
    )


def skewed_behind(gains: np.ndarray) -> float:
    """One-sided p for 'the mean of N gains is no less than 0', corrected for their skewness.

    t₁ = (m + μ₃ / (6 s² N) + μ₃ m² / (3 s⁴)) √N / s with mean m, standard deviation s and third
    central moment μ₃, against Student's t. Right-skewed gains of mean 0 have their means below 0
    more often than signs say. 0 where all gains are the same loss, 1 where none varies otherwise.
    Source: Johnson 1978, 'Modified t tests and confidence intervals for asymmetrical populations'.
    """
    count, mean, spread = len(gains), float(np.mean(gains)), float(np.std(gains, ddof=1))
    if spread <= ROUNDING * float(np.mean(np.abs(gains))):
        return 0.0 if mean < 0 else 1.0
    third = float(np.mean((gains - mean) ** 3))
    moved = mean + third / (6 * spread**2 * count) + third * mean**2 / (3 * spread**4)
    return float(stdtr(count - 1, moved * math.sqrt(count) / spread))


def _subset_means(gains: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Mean gain of the images that each flip turns round, without the flips that turn none.

    A mean that is 0 but for rounding is 0: it decides whether a flip counts.
    """
    sizes = np.sum(flips, axis=1)
    some = sizes > 0
    means = (flips @ gains)[some] / sizes[some]
    return np.where(np.abs(means) <= ROUNDING * np.mean(np.abs(gains)), 0.0, means)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values for 'at least one of these is wrong', in order."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.minimum(1.0, factors * np.asarray(p, float)[order]))
    corrected = np.empty(len(p))
    corrected[order] = stepped
    return [float(value) for value in corrected]


def hochberg(p: Sequence[float]) -> list[float]:
    """Hochberg's step-up correction, in order: where the largest p is at most a level, all are.

    Source: Hochberg 1988, 'A sharper Bonferroni procedure for multiple tests of significance'.
    """
    order = np.argsort(p, kind="stable")[::-1]
    factors = 1 + np.arange(len(p))
    stepped = np.minimum.accumulate(np.minimum(1.0, factors * np.asarray(p, float)[order]))
    corrected = np.empty(len(p))
    corrected[order] = stepped
    return [float(value) for value in corrected]


def images_needed(gains: np.ndarray, margin: float, level: float) -> int | None:
    """How many images would show, with 80 %, that the mean gain is above −margin.

    n = (z(1 − level) + z(0.8))² σ² / (δ + margin)², which is 6.18 σ² / (δ + margin)² at 5 %, with
    mean δ and standard deviation σ of at least two gains as found. None where δ + margin is not
    above 0 (or only by rounding): more images will not show it.
    """
    distance = float(np.mean(gains)) + margin
    if distance <= ROUNDING * float(np.mean(np.abs(gains))):
        return None
    return math.ceil((_reach(level) * float(np.std(gains, ddof=1)) / distance) ** 2)


def detectable_gain(sigma: float, n: int, level: float) -> float:
    """The smallest mean gain that n images find with 80 %, in the units of sigma.

    sigma: standard deviation of the gains.
    """
    return _reach(level) * sigma / math.sqrt(n)


def _reach(level: float) -> float:
    """How many standard errors a gain has to have to be found with 80 %."""
    return float(ndtri(1 - level) + ndtri(POWER))
