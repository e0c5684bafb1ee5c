"""Which states are enough, by leave-one-out on a few trials."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lrpsweep.sweep.pilot import FEWEST_PILOTS, MOST_ERROR, choose, error

TRIALS, IMAGES = 16, 8
RNG = np.random.default_rng(0)
QUALITY = RNG.normal(size=(TRIALS, 1))
FULL = QUALITY + RNG.normal(size=(TRIALS, IMAGES))


def by_hand(full: np.ndarray, coarse: np.ndarray) -> float:
    """Leaving one out, again and again."""
    x, y, missed = coarse.mean(1), full.mean(1), []
    for left in range(len(x)):
        others = np.arange(len(x)) != left
        missed.append(y[left] - np.polyval(np.polyfit(x[others], y[others], 1), x[left]))
    pairs = itertools.combinations(range(len(x)), 2)
    spread = [np.std(full[a] - full[b], ddof=1) for a, b in pairs]
    return float(np.sqrt(np.mean(np.square(missed))) / (np.median(spread) / np.sqrt(full.shape[1])))


def noisy(size: float, trials: int = TRIALS) -> np.ndarray:
    """Scores on some states whose means miss those on all by about so much."""
    return FULL[:trials] + size * np.random.default_rng(1).normal(size=(trials, 1))


@pytest.mark.parametrize(
    ("trials", "size"), [(3, 0.01), (4, 0.3), (9, 0.3), (TRIALS, 0.01), (TRIALS, 3.0)]
)
def test_the_error_is_that_of_leaving_each_trial_out(trials: int, size: float) -> None:
    coarse = noisy(size, trials)
    assert error(FULL[:trials], coarse) == pytest.approx(by_hand(FULL[:trials], coarse), rel=1e-9)


def test_an_outlier_is_predicted_by_the_others_alone() -> None:
    """A line through all trials would pass through it, and say that nothing is wrong."""
    full, coarse = FULL.copy(), FULL.copy()
    coarse[3] += 100
    assert error(full, coarse) == pytest.approx(by_hand(full, coarse), rel=1e-9)
    assert error(full, coarse) > 10


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 5.0), (0.2, 0.0), (3.0, -1.0)])
def test_what_a_straight_line_tells_is_no_error(scale: float, offset: float) -> None:
    assert error(FULL, scale * FULL + offset) == pytest.approx(0.0, abs=1e-9)


def test_states_that_rank_the_other_way_round_are_not_enough() -> None:
    """Caught: a line that falls told the mean on all states exactly; trials are ranked by theirs,
    so that the sampler would have looked for the worst.
    """
    assert error(FULL, -FULL) > MOST_ERROR
    assert choose({"srg": FULL}, {"reversed": {"srg": -FULL}}).name == "all"


def test_the_unit_is_what_a_comparison_of_two_trials_can_tell() -> None:
    """Between images alone, whatever the trials have in common there."""
    coarse = noisy(0.3)
    common = 100 * np.linspace(0, 1, IMAGES)
    assert error(FULL + common, coarse + common) == pytest.approx(error(FULL, coarse))
    assert error(7 * FULL, 7 * coarse) == pytest.approx(error(FULL, coarse))
    assert error(np.tile(FULL, 4), np.tile(coarse, 4)) > 1.9 * error(FULL, coarse)


def test_trials_that_all_score_the_same_tell_nothing_wrong() -> None:
    same = np.ones((TRIALS, IMAGES))
    assert error(same, same) == 0.0
    assert choose({"srg": same}, {"some": {"srg": same}}).name == "some"


def test_where_some_states_see_no_difference_the_mean_is_the_guess() -> None:
    same = np.ones((TRIALS, IMAGES))
    found = error(FULL, same)
    assert found == pytest.approx(without_slope(FULL))
    assert found > MOST_ERROR


def without_slope(full: np.ndarray) -> float:
    means = full.mean(1)
    missed = [mean - np.delete(means, place).mean() for place, mean in enumerate(means)]
    pairs = itertools.combinations(full, 2)
    unit = np.median([np.std(a - b, ddof=1) for a, b in pairs]) / np.sqrt(full.shape[1])
    return float(np.sqrt(np.mean(np.square(missed))) / unit)


def test_where_two_trials_always_differ_by_the_same_any_error_is_too_much() -> None:
    flat = np.repeat(QUALITY, IMAGES, axis=1)
    assert error(flat, flat + noisy(0.1) - FULL) == np.inf
    assert error(FULL[:, :1], noisy(0.1)[:, :1]) == np.inf  # of one image nothing is known


def test_the_first_subset_that_is_good_enough_is_taken_and_no_further_one_looked_at() -> None:
    coarse = {"bad": noisy(3.0), "good": noisy(0.01), "better": noisy(0.0)}
    found = choose({"srg": FULL}, {name: {"srg": scores} for name, scores in coarse.items()})
    assert found.name == "good"
    assert list(found.errors) == ["bad", "good"]
    assert found.errors["bad"]["srg"] == error(FULL, coarse["bad"])


def test_a_subset_has_to_be_good_enough_for_objective_and_guards() -> None:
    full = {"srg": FULL, "auc_morf": FULL}
    found = choose(
        full,
        {
            "one": {"srg": noisy(0.0), "auc_morf": noisy(3.0)},
            "two": {"srg": noisy(3.0), "auc_morf": noisy(0.0)},
        },
    )
    assert found.name == "all"
    assert list(found.errors) == ["one", "two"]


def test_where_nothing_is_good_enough_all_states_are_looked_at() -> None:
    assert choose({"srg": FULL}, {"bad": {"srg": noisy(3.0)}}).name == "all"
    assert choose({"srg": FULL}, {}).name == "all"


def test_too_few_pilots_decide_nothing() -> None:
    for trials, name in ((FEWEST_PILOTS - 1, "all"), (FEWEST_PILOTS, "same")):
        found = choose({"srg": FULL[:trials]}, {"same": {"srg": FULL[:trials]}})
        assert (found.name, bool(found.errors)) == (name, name == "same")
