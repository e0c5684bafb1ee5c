from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr, stdtrit

from lrpsweep.results import Comparison
from lrpsweep.sweep.statistics import (
    bca,
    compare,
    holm,
    mean_interval,
    resample,
    sentence,
    sign_flip,
    verdict,
)

IMAGES = 32
SKEWED = np.random.default_rng(3).exponential(1.0, IMAGES) - 0.7


def scipy_interval(values, level):
    """scipy's plain BCa at the level that Hesterberg's expansion makes of `level`."""
    n = len(values)
    tail = ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, level))
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=1 - 2 * tail,
        n_resamples=40_000,
        method="BCa",
        rng=np.random.default_rng(1),
    )
    return found.confidence_interval


@pytest.mark.parametrize("values", [SKEWED, -SKEWED, SKEWED[:20] ** 3])
def test_the_interval_is_that_of_scipy_expanded_for_small_samples(values):
    found = bca(values, resample(len(values), seed=0, resamples=40_000))
    expected = scipy_interval(values, 0.025)
    tolerance = 0.03 * (expected.high - expected.low)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.low, abs=tolerance)
    assert found.high == pytest.approx(expected.high, abs=tolerance)


@pytest.mark.parametrize("shift", [-0.1, 0.05, 0.15])
def test_p_is_the_level_whose_lower_bound_is_zero(shift):
    values = SKEWED + shift
    found = bca(values, resample(IMAGES, seed=0, resamples=40_000))
    if found.p > 0.5:
        assert -scipy_interval(-values, 1 - found.p).low == pytest.approx(0, abs=0.02)
    else:
        assert scipy_interval(values, found.p).low == pytest.approx(0, abs=0.02)


def test_flipping_signs_counts_what_is_at_least_as_good():
    gains = np.array([0.5, -0.2, 0.9, 0.1, 0.3])
    flips = np.array(list(itertools.product([-1.0, 1.0], repeat=5)))
    as_good = sum(
        sum(s * g for s, g in zip(signs, gains, strict=True)) >= gains.sum() - 1e-12
        for signs in itertools.product([-1, 1], repeat=5)
    )
    assert sign_flip(gains, flips) == (as_good + 1) / (32 + 1)
    assert as_good == 3


def test_holm_as_in_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_better_means_lower_or_higher_as_the_metric_says(direction):
    rng = np.random.default_rng(0)
    baseline = rng.gamma(2, 2, IMAGES)
    sign = -1 if direction == "minimize" else 1
    (found,) = compare(
        baseline + sign * rng.exponential(1, IMAGES), {"b": baseline}, direction, seed=0
    )
    assert found.better
    assert found.low <= found.difference <= found.high
    assert sign * found.difference > 0
    assert found.mean == pytest.approx(baseline.mean())
    (reverse,) = compare(
        baseline - sign * rng.exponential(1, IMAGES), {"b": baseline}, direction, seed=0
    )
    assert not reverse.better
    assert reverse.p > 0.95


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize(
    ("shift", "better"), [(0.0, False), (1e-9, False), (1.0, False), (-1.0, True)]
)
def test_differences_that_are_all_the_same_need_no_luck(count, shift, better):
    scores = np.linspace(1, 2, count)
    (found,) = compare(scores + shift, {"b": scores}, "minimize", seed=0)
    assert found.difference == pytest.approx(shift, abs=1e-8)
    assert found.better == (better and count > 2)
    if count > 1:
        assert (found.low, found.high) == pytest.approx((shift, shift), abs=1e-8)
    else:
        assert np.isnan(found.low)


def test_the_same_seed_gives_the_same_numbers():
    scores = {"a": SKEWED, "b": SKEWED**2}
    first = compare(SKEWED - 0.1, scores, "minimize", seed=4)
    assert compare(SKEWED - 0.1, scores, "minimize", seed=4) == first
    assert compare(SKEWED - 0.1, scores, "minimize", seed=5) != first


@pytest.mark.parametrize("scores", [SKEWED[:-1], np.full(IMAGES, np.nan)])
def test_scores_of_other_images_are_refused(scores):
    with pytest.raises(ValueError, match="finite scores of the same images"):
        compare(SKEWED, {"b": scores}, "minimize", seed=0)


def test_the_mean_of_the_nominee_has_an_interval():
    found = mean_interval(SKEWED, seed=0)
    assert found.low < SKEWED.mean() < found.high


WEAK = Comparison("EpsilonPlus", 4.0, -1.0, -1.5, -0.5, 0.001, 0.002, True)
STRONG = Comparison("LRP-Tutorial", 3.0, -0.02, -0.3, 0.2, 0.4, 0.4, False)
EQUAL = Comparison("Uniform LRP-ε", 3.1, -0.03, -0.3, 0.2, 0.2, 0.4, False)


def test_better_than_the_literature_is_better_than_every_one():
    beaten = dataclasses.replace(STRONG, better=True)
    assert verdict([WEAK, beaten], 32) == "better"
    assert verdict([WEAK, STRONG], 32) == "not better"
    assert verdict([WEAK, beaten], 19) == "not decided"
    assert verdict([], 32) == "not decided"


def test_the_sentence_names_the_strongest():
    assert sentence([WEAK, EQUAL, STRONG], 32, "minimize") == (
        "No better than LRP-Tutorial and Uniform LRP-ε on 32 validation images; LRP-Tutorial: "
        "difference -0.02, 95 % interval -0.3 to 0.2, p = 0.4 after Holm."
    )
    assert sentence([EQUAL, STRONG], 32, "maximize").startswith(
        "No better than Uniform LRP-ε and LRP-Tutorial on"
    )
    beaten = dataclasses.replace(STRONG, better=True)
    assert sentence([WEAK, beaten], 32, "minimize").startswith(
        "Better than every published composite (2) on 32 validation images; the strongest, "
        "LRP-Tutorial: difference -0.02"
    )
    assert sentence([WEAK], 5, "minimize").startswith("Not decided: 5 validation images")
    assert sentence([], 32, "minimize").startswith("Not decided: no published")


def interchangeable(rng, composites):
    """Scores (N, K) of composites that no image tells apart: skewed, paired by image."""
    image = rng.gamma(2, 2, (IMAGES, 1))
    return image * np.exp(0.3 * rng.normal(size=(IMAGES, composites)))


def one_strong_baseline(rng, composites):
    """As `interchangeable`, but all baselines except the first are much worse: higher."""
    scores = interchangeable(rng, composites)
    scores[:, 2:] += 10
    return scores


def simulated(scores_of, studies=400, baselines=5):
    """Comparisons (studies, baselines) and verdicts of simulated studies; column 0 is nominated."""
    rng = np.random.default_rng(7)
    found = []
    for study in range(studies):
        scores = scores_of(rng, baselines + 1)
        rivals = {str(k): scores[:, k] for k in range(1, baselines + 1)}
        found.append(compare(scores[:, 0], rivals, "minimize", seed=study, resamples=599))
    return found, [verdict(comparisons, IMAGES) for comparisons in found]


def test_interchangeable_composites_are_rarely_called_better():
    comparisons, verdicts = simulated(interchangeable)
    single = np.mean([c.p <= 0.05 for study in comparisons for c in study])
    at_least_one = np.mean([any(c.better for c in study) for study in comparisons])
    assert verdicts.count("better") / len(verdicts) <= 0.01
    assert 0.03 <= single <= 0.06
    assert at_least_one <= 0.06


def test_one_equal_baseline_among_poor_ones_is_enough_to_be_careful():
    comparisons, verdicts = simulated(one_strong_baseline)
    assert all(c.better for study in comparisons for c in study[1:])
    assert 0.02 <= verdicts.count("better") / len(verdicts) <= 0.055


def test_the_bootstrap_alone_would_be_too_generous():
    rng = np.random.default_rng(7)
    draws = resample(IMAGES, seed=0, resamples=599)
    pairs = [interchangeable(rng, 2) for _ in range(2000)]
    share = np.mean([bca(pair[:, 1] - pair[:, 0], draws).p <= 0.05 for pair in pairs])
    assert 0.055 <= share <= 0.085


def test_a_nominee_that_is_better_by_one_standard_deviation_is_seen():
    def scores(rng, composites):
        found = interchangeable(rng, composites)
        spread = np.std(found[:, 0] - found[:, 1])
        found[:, 0] -= spread
        return found

    _, verdicts = simulated(scores, studies=100)
    assert verdicts.count("better") / len(verdicts) >= 0.9
