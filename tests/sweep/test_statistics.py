from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr, stdtrit

from lrpsweep.sweep.statistics import (
    FLIPS,
    bca,
    detectable_gain,
    draw_flips,
    gains,
    hochberg,
    holm,
    images_needed,
    level_of,
    mean_interval,
    resample,
    sign_flip,
    skewed_behind,
)

IMAGES = 32
SKEWED = np.random.default_rng(3).exponential(1.0, IMAGES) - 0.7
LEVEL = level_of(1)


def scipy_interval(values):
    """scipy's plain BCa at the level that Hesterberg's expansion makes of 2.5 %."""
    n = len(values)
    tail = ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.025))
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
    expected = scipy_interval(values)
    tolerance = 0.03 * (expected.high - expected.low)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.low, abs=tolerance)
    assert found.high == pytest.approx(expected.high, abs=tolerance)


def test_the_mean_of_the_nominee_has_an_interval():
    found = mean_interval(SKEWED, seed=0)
    assert found.low < SKEWED.mean() < found.high
    assert mean_interval(SKEWED, seed=0) == found
    assert mean_interval(SKEWED, seed=1) != found


def test_scores_that_are_all_the_same_have_an_interval_without_width():
    found = mean_interval(np.full(IMAGES, 0.3), seed=0)
    assert (found.low, found.high) == (found.mean, found.mean)
    assert np.isnan(mean_interval(np.array([0.3]), seed=0).low)


def test_looks_are_paid_for():
    assert level_of(1) == 0.04
    assert level_of(2) == 0.005
    assert level_of(3) == 0.0025
    assert 0.0499 < sum(level_of(look) for look in range(1, 60)) <= 0.05
    with pytest.raises(ValueError, match="counted from 1, found 0"):
        level_of(0)


def test_a_gain_is_less_or_more_as_the_measure_says():
    nominee, baseline = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0 + 1e-6, 1.0])
    assert gains(nominee, baseline, "minimize").tolist() == [1.0, 0.0, -2.0]
    assert gains(nominee, baseline, "maximize").tolist() == [-1.0, 0.0, 2.0]


@pytest.mark.parametrize("scores", [SKEWED[:-1], np.full(IMAGES, np.nan)])
def test_scores_of_other_images_are_refused(scores):
    with pytest.raises(ValueError, match="finite scores of the same images"):
        gains(SKEWED, scores, "minimize")


def every_flip(count):
    """Of N images, the 2^N − 1 flips that turn at least one."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=count)))[1:]


def studentised(values):
    return np.sqrt(len(values)) * np.mean(values) / np.std(values, ddof=1)


@pytest.mark.parametrize("supposed", [-0.4, 0.0, 0.11, 0.5, 2.0])
def test_p_counts_the_flips_whose_studentised_mean_is_as_large(supposed):
    found = SKEWED[:9]
    rest = found - supposed
    flipped = [studentised(rest * np.array(s)) for s in itertools.product([-1, 1], repeat=9)]
    as_good = np.mean(np.array(flipped) >= studentised(rest) - 1e-12)
    as_bad = np.mean(np.array(flipped) <= studentised(rest) + 1e-12)
    tested = sign_flip(rest, every_flip(9), LEVEL)
    assert (tested.p, tested.p_behind) == (as_good, as_bad)


@pytest.mark.parametrize("level", [level_of(1), level_of(2), 0.05])
@pytest.mark.parametrize("flips", [every_flip(12), draw_flips(12, seed=0)])
def test_p_crosses_the_level_at_the_bound(flips, level):
    values = SKEWED[:12]
    found = sign_flip(values, flips, level)
    for supposed, below in ((found.low - 1e-5, True), (found.low + 1e-5, False)):
        assert (sign_flip(values - supposed, flips, level).p <= level) == below
    for supposed, above in ((found.high + 1e-5, True), (found.high - 1e-5, False)):
        assert (sign_flip(values - supposed, flips, level).p_behind <= level) == above
    assert found.low < found.mean < found.high


def test_p_is_at_most_the_level_exactly_when_the_bound_is_above_zero():
    flips = draw_flips(IMAGES, seed=0)
    low = sign_flip(SKEWED, flips, LEVEL).low
    found = [sign_flip(SKEWED - low + s, flips, LEVEL) for s in np.linspace(-0.02, 0.02, 41)]
    assert [one.p <= LEVEL for one in found] == [one.low > 0 for one in found]
    assert {one.low > 0 for one in found} == {True, False}


def test_the_bound_is_close_to_students_where_gains_are_normal():
    values = np.random.default_rng(0).normal(1, 1, 200)
    found = sign_flip(values, draw_flips(200, seed=0), LEVEL)
    error = np.std(values, ddof=1) / np.sqrt(200)
    assert (found.low - found.mean) / error == pytest.approx(-stats.t.ppf(0.96, 199), abs=0.05)
    assert (found.high - found.mean) / error == pytest.approx(stats.t.ppf(0.96, 199), abs=0.05)


def test_gains_that_are_all_zero_show_nothing():
    found = sign_flip(np.zeros(IMAGES), draw_flips(IMAGES, seed=0), LEVEL)
    assert (found.mean, found.p, found.p_behind, found.low, found.high) == (0, 1, 1, 0, 0)


def test_gains_that_are_all_the_same_are_their_own_bound():
    found = sign_flip(np.full(IMAGES, 0.3), draw_flips(IMAGES, seed=0), LEVEL)
    assert (found.low, found.high) == pytest.approx((0.3, 0.3))
    assert (found.p, found.p_behind) == (1 / (FLIPS + 1), 1.0)


def test_gains_that_cancel_but_for_rounding_count_as_a_tie():
    """In floats 0.1 + 0.2 − 0.3 is 5.6e-17; flipping all three is as good as flipping none."""
    values = np.array([0.1, 0.2, -0.3])
    assert sign_flip(values, every_flip(3), LEVEL).p == 5 / 8


@pytest.mark.parametrize(("images", "level"), [(3, LEVEL), (IMAGES, 0.5 / (FLIPS + 1))])
def test_too_few_images_or_flips_for_a_level_give_no_bound(images, level):
    found = sign_flip(np.full(images, 0.3), draw_flips(images, seed=0), level)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.p > level


def test_the_same_seed_draws_the_same_flips():
    assert np.array_equal(draw_flips(5, seed=4), draw_flips(5, seed=4))
    assert not np.array_equal(draw_flips(5, seed=4), draw_flips(5, seed=5))


def test_holm_as_in_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_hochberg_steps_up_from_the_largest():
    assert hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert hochberg([0.9, 0.01]) == pytest.approx([0.9, 0.02])
    assert hochberg([0.04, 0.04, 0.04]) == [0.04, 0.04, 0.04]
    assert hochberg([]) == []


def test_hochberg_rejects_what_holm_does_and_keeps_the_largest_as_it_is():
    for p in np.random.default_rng(0).uniform(0, 0.1, (50, 6)):
        assert all(up <= down for up, down in zip(hochberg(p), holm(p), strict=True))
        assert max(hochberg(p)) == max(p)


def gains_of(mean, sigma, count=64):
    """Gains of just that mean and standard deviation."""
    drawn = np.random.default_rng(0).normal(size=count)
    return mean + sigma * (drawn - drawn.mean()) / np.std(drawn, ddof=1)


def test_images_needed_are_those_of_the_formula():
    assert images_needed(gains_of(0.1, 1), 0.0, 0.05) == math.ceil(6.1826 / 0.1**2)
    assert images_needed(gains_of(0.1, 1), 0.1, 0.05) == math.ceil(6.1826 / 0.2**2)
    assert images_needed(gains_of(-0.1, 1), 0.3, 0.04) == math.ceil(6.7201 / 0.2**2)
    assert images_needed(gains_of(-0.3, 1), 0.3, 0.04) is None
    assert images_needed(gains_of(-0.4, 1), 0.3, 0.04) is None
    assert images_needed(np.zeros(IMAGES), 0.0, 0.04) is None


@pytest.mark.parametrize("look", [1, 2])
def test_the_images_needed_find_the_gain_with_eighty_per_cent(look):
    level = level_of(look)
    count = images_needed(gains_of(0.35, 1), 0.0, level)
    rng = np.random.default_rng(5)
    flips = draw_flips(count, seed=0)[:1999]
    found = [sign_flip(rng.normal(0.35, 1, count), flips, level).low > 0 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_the_detectable_gain_is_the_one_these_images_are_needed_for():
    gain = detectable_gain(2.0, 64, LEVEL)
    assert gain == pytest.approx(2.5923 * 2 / 8, abs=1e-3)
    assert images_needed(gains_of(gain * 1.0001, 2.0), 0.0, LEVEL) == 64


def interchangeable(rng, ties):
    """Gains (ties, 64) over baselines that no image tells apart from the nominee: skewed scores."""
    image = rng.gamma(2, 2, (64, 1))
    scores = image * np.exp(0.3 * rng.normal(size=(64, ties + 1)))
    return (scores[:, :1] - scores[:, 1:]).T


def skewed_right(rng, ties):
    """Gains of mean 0 and skewness 2: mostly a little worse, rarely much better."""
    return rng.gamma(1, 1, (ties, 64)) - 1


def slightly_skewed_left(rng, ties):
    """Gains of mean 0 and skewness −½."""
    return 16 - rng.gamma(16, 1, (ties, 64))


def skewed_left(rng, ties):
    return -skewed_right(rng, ties)


def called_better(draw, ties, studies):
    """Share of simulated studies with every lower bound above 0."""
    rng = np.random.default_rng(7)
    flips = draw_flips(64, seed=0)[:999]
    lows = [[sign_flip(g, flips, LEVEL).low for g in draw(rng, ties)] for _ in range(studies)]
    return np.mean(np.min(lows, axis=1) > 0)


@pytest.mark.parametrize("ties", [1, 2, 3])
@pytest.mark.parametrize("draw", [interchangeable, skewed_right, slightly_skewed_left])
def test_a_nominee_no_better_than_the_best_is_rarely_called_better(draw, ties):
    rate = called_better(draw, ties, studies=1000)
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1000)


def test_a_nominee_that_is_rarely_much_worse_passes_more_often():
    """The limit of the test: one tied baseline, gains of skewness −2."""
    assert 0.055 <= called_better(skewed_left, 1, studies=2000) <= 0.095


def test_the_smallest_bound_is_below_the_smallest_mean_gain_as_often_as_it_says():
    rng = np.random.default_rng(11)
    flips = draw_flips(64, seed=0)[:999]
    means = np.array([[0.1], [0.12], [0.5]])
    above = [
        min(sign_flip(g, flips, LEVEL).low for g in interchangeable(rng, 3) / 5 + means) > 0.1
        for _ in range(1000)
    ]
    assert np.mean(above) <= LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / 1000)
    alone = [
        sign_flip(interchangeable(rng, 1)[0] / 5 + 0.1, flips, LEVEL).low > 0.1 for _ in range(1000)
    ]
    assert np.mean(alone) == pytest.approx(LEVEL, abs=3 * np.sqrt(LEVEL * (1 - LEVEL) / 1000))


def test_the_skewness_correction_is_that_of_johnson() -> None:
    gains = np.array([0.2, -0.5, 1.9, 0.1, -0.8, 0.4, -0.3])
    mean, variance, third = gains.mean(), gains.var(ddof=1), np.mean((gains - gains.mean()) ** 3)
    t = (mean + third / (6 * variance * 7) + third * mean**2 / (3 * variance**2)) * np.sqrt(
        7 / variance
    )
    assert skewed_behind(gains) == pytest.approx(stats.t.cdf(t, 6))
    assert skewed_behind(np.full(7, -0.1)) == 0.0
    assert skewed_behind(np.full(7, 0.1)) == skewed_behind(np.zeros(7)) == 1.0


@pytest.mark.parametrize(("shape", "most"), [(4, 0.05), (1, 0.07)])
def test_right_skewed_gains_of_mean_zero_are_less_often_called_a_loss(
    shape: int, most: float
) -> None:
    """Skewness 1 and 2; at 2, some of the error stays."""
    drawn = np.random.default_rng(0).gamma(shape, 1.0, (4000, 32)) - shape
    corrected = np.mean([skewed_behind(gains) <= 0.05 for gains in drawn])
    plain = np.mean(stats.ttest_1samp(drawn, 0.0, axis=1, alternative="less").pvalue <= 0.05)
    error = np.sqrt(most * (1 - most) / 4000)
    assert corrected <= most + 2 * error
    assert plain > 0.05 + 3 * error
