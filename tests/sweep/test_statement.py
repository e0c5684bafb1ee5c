"""What is said about a nominee, and that headline, rows, bounds and numbers of images agree."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from lrpsweep.results import DROPPING_LEVEL
from lrpsweep.sweep.statement import (
    MARGIN_GUARD,
    MARGIN_OBJECTIVE,
    Compared,
    Statement,
    dropped,
    power_sentence,
    state,
    state_current,
)
from lrpsweep.sweep.statistics import draw_flips, level_of, sign_flip

IMAGES = 64
VERDICTS = {"better", "better, but behind", "as good", "worse", "undecided"}


def gains_of(mean: float, sigma: float = 1.0, images: int = IMAGES) -> np.ndarray:
    """Skewed gains of just that mean and standard deviation."""
    drawn = np.random.default_rng(0).gamma(8, 1, images)
    spread = np.std(drawn, ddof=1) if images > 1 else 1.0
    return np.asarray(mean + sigma * (drawn - drawn.mean()) / spread)


def compared(
    gains: dict[str, np.ndarray], name: str = "srg", title: str = "SRG", range_: float = 5.0
) -> Compared:
    """A measure, the higher the better, by which the nominee is that much better."""
    images = len(next(iter(gains.values()), np.zeros(IMAGES)))
    nominee = np.linspace(5, 9, images)
    baselines = {label: nominee - gain for label, gain in gains.items()}
    return Compared(name, title, "maximize", range_, nominee, baselines)


def guard(*means: float, sigma: float = 1.0) -> Compared:
    labels = ["weak", "strong"][: len(means)]
    gains = {label: gains_of(mean, sigma) for label, mean in zip(labels, means, strict=True)}
    return compared(gains, "auc_morf", "AUC (MoRF)")


def objective(*means: float, sigma: float = 1.0) -> Compared:
    labels = ["weak", "strong"][: len(means)]
    return compared({x: gains_of(m, sigma) for x, m in zip(labels, means, strict=True)})


def said(
    first: Compared, *guards: Compared, look: int = 1, published: str | None = None
) -> Statement:
    return state(first, guards, look=look, seed=0, published=published)


KEPT = guard(1.0, 1.0)


def test_better_is_better_than_each_with_the_guards_kept() -> None:
    found = said(objective(1.0, 0.66), KEPT)
    assert found.verdict == "better"
    assert found.sentence == (
        "Better than every published composite (2) on 64 validation images (tested at 4 %, look 1)"
        ": by SRG at least 0.436 (8.7 % of the range) better than each; the closest is strong "
        "(+0.66)."
    )
    assert (found.images_for_better, found.images_for_as_good) == (64, 64)
    assert found.ahead == ()


def test_a_guard_may_be_behind_by_its_margin_and_no_more() -> None:
    # The bound is 0.224 below the mean, the margin 0.5.
    assert said(objective(1.0, 0.66), guard(1.0, -0.25)).verdict == "better"
    found = said(objective(1.0, 0.66), guard(1.0, -0.35))
    assert found.verdict == "better, but behind"
    assert found.sentence.startswith(
        "Better by SRG, but behind strong by AUC (MoRF), on 64 validation images"
    )
    assert "by AUC (MoRF) -0.35 against strong, perhaps 0.574" in found.sentence


def test_a_guard_that_is_only_not_known_to_keep_up_is_not_called_behind() -> None:
    found = said(objective(1.0, 0.66), guard(1.0, 0.1, sigma=5.0))
    assert found.verdict == "better, but behind"
    assert "but perhaps behind strong by AUC (MoRF)" in found.sentence


def test_as_good_is_behind_by_no_more_than_the_margin() -> None:
    found = said(objective(1.0, 0.1), KEPT)
    assert found.verdict == "as good"
    assert found.sentence.startswith("As good as the best published composite on 64 validation im")
    assert "by SRG at most 0.124 (2.5 % of the range) behind any" in found.sentence
    assert "the strongest is strong (+0.1)" in found.sentence
    assert found.images_for_better == math.ceil(11.679 / 0.1**2)
    assert f"about {found.images_for_better} images would show it better" in found.sentence
    assert found.images_for_as_good == 64


def test_as_good_names_a_baseline_significantly_ahead() -> None:
    found = said(objective(1.0, -0.1, sigma=0.2), KEPT)
    assert (found.verdict, found.ahead) == ("as good", ("strong",))
    assert "significantly ahead: strong" in found.sentence
    assert "more images will not show it better" in found.sentence
    assert found.images_for_better is None


def test_worse_is_behind_one_baseline_at_least() -> None:
    found = said(objective(-0.6, -0.8), KEPT)
    assert (found.verdict, found.ahead) == ("worse", ("strong", "weak"))
    assert found.sentence.startswith("Worse than strong and weak on 64 validation images")
    assert said(objective(1.0, -0.8), KEPT).ahead == ("strong",)


def test_worse_is_corrected_over_the_baselines() -> None:
    behind = gains_of(-0.3, 1.2)
    alone = said(compared({"one": behind}, range_=1.0))
    assert alone.verdict == "worse"
    others = {f"tie {k}": np.random.default_rng(k).normal(0, 1, IMAGES) for k in range(3)}
    assert said(compared({"one": behind} | others, range_=1.0)).verdict == "undecided"


def test_undecided_says_how_many_images_would_tell() -> None:
    found = said(objective(1.0, 0.1, sigma=3.0), KEPT)
    assert found.verdict == "undecided"
    assert found.images_for_better == math.ceil(11.679 * 9 / 0.1**2)
    assert found.images_for_as_good == math.ceil(11.679 * 9 / 0.35**2)
    assert (
        "about 10512 images would show it better, about 859 images would show it as good "
        "(tested again at 0.5 %, with 80 % for each alone)."
    ) in found.sentence


def test_undecided_says_where_more_images_will_not_tell() -> None:
    found = said(objective(1.0, -0.1, sigma=3.0), KEPT)
    assert (found.verdict, found.images_for_better) == ("undecided", None)
    assert found.images_for_as_good == math.ceil(11.679 * 9 / 0.15**2)
    assert found.sentence.endswith("more images will not show it better.")
    found = said(objective(1.0, -0.4, sigma=3.0), KEPT)
    assert found.images_for_as_good is None
    assert found.sentence.endswith("more images will not show it better or as good.")


def test_a_guard_counts_among_the_images_needed() -> None:
    needed = said(objective(1.0, 0.1), guard(1.0, 0.0, sigma=9.0)).images_for_better
    assert needed == math.ceil(11.679 * 81 / 0.5**2)
    assert said(objective(1.0, 0.1), guard(1.0, -0.6)).images_for_better is None


def test_bounds_tell_the_margins_of_objective_and_guards() -> None:
    first, second = said(objective(1.0, 0.66), guard(0.3, 1.0)).bounds
    assert (first.measure, first.against, first.guard) == ("srg", "strong", False)
    assert (second.measure, second.against, second.guard) == ("auc_morf", "weak", True)
    assert (first.margin, second.margin) == (MARGIN_OBJECTIVE, MARGIN_GUARD) == (5.0, 10.0)
    assert first.low_percent == pytest.approx(100 * first.low / 5)
    assert first.low < 0.66


def test_lower_is_better_where_the_measure_says_so() -> None:
    one = objective(1.0, 0.66)
    turned = Compared(
        one.name,
        one.title,
        "minimize",
        one.range,
        -one.nominee,
        {label: -scores for label, scores in one.baselines.items()},
    )
    found, expected = said(turned), said(one)
    assert (found.sentence, found.bounds) == (expected.sentence, expected.bounds)
    for row, same in zip(found.comparisons, expected.comparisons, strict=True):
        assert row.difference == pytest.approx(-same.difference)
        assert (row.low, row.high) == (-same.high, -same.low)
        assert (row.p, row.better) == (same.p, same.better)


def test_rows_have_an_interval_that_inverts_their_test() -> None:
    weak, strong = said(objective(1.0, 0.1)).comparisons
    assert (weak.baseline, weak.better) == ("weak", True)
    assert (strong.baseline, strong.better) == ("strong", False)
    assert weak.low < weak.difference < weak.high
    assert weak.difference == pytest.approx(1.0)
    assert weak.mean == pytest.approx(7 - 1)
    assert strong.low <= 0 < strong.high
    assert strong.p > 0.04


@pytest.mark.parametrize("images", [1, 2, 19])
def test_few_images_decide_nothing(images: int) -> None:
    found = said(compared({"one": gains_of(9.0, 0.1, images)}))
    assert (found.verdict, found.images_for_better, found.ahead) == ("undecided", None, ())
    assert found.sentence == (f"Undecided: {images} validation images, and at least 20 are needed.")
    assert [row.better for row in found.comparisons] == [False]
    assert said(compared({"one": gains_of(9.0, 0.1, 20)})).verdict == "better"


def test_without_baselines_nothing_is_decided() -> None:
    found = said(compared({}), compared({}, "auc_morf"))
    assert (found.verdict, found.bounds, found.comparisons) == ("undecided", (), ())
    assert found.sentence == "Undecided: there is no other composite to compare it with."


def test_a_nominee_equal_to_a_baseline_is_as_good_and_no_better() -> None:
    gains = {"itself": np.zeros(IMAGES), "weak": gains_of(1.0)}
    found = said(compared(gains), compared(gains, "auc_morf"))
    assert (found.verdict, found.bounds[0].low) == ("as good", 0.0)
    assert found.comparisons[0].p_adjusted == 1.0
    assert "at most 0 (0.0 % of the range) behind any" in found.sentence


def test_without_a_range_there_is_no_margin_and_no_per_cent() -> None:
    found = said(compared({"one": gains_of(-0.001, 0.001)}, range_=-1.0))
    assert found.verdict == "worse"
    assert math.isnan(found.bounds[0].low_percent)
    assert "%" not in found.sentence.split("):")[1]


def test_guards_of_other_baselines_or_images_are_refused() -> None:
    with pytest.raises(ValueError, match="auc_morf: expected the images and baselines of srg"):
        said(objective(1.0, 0.66), guard(1.0))
    fewer = {label: gains_of(1.0, images=32) for label in ("weak", "strong")}
    with pytest.raises(ValueError, match="auc_morf: expected the images and baselines of srg"):
        said(objective(1.0, 0.66), compared(fewer, "auc_morf"))


def test_a_published_nominee_is_compared_with_the_others() -> None:
    found = said(objective(1.0, 0.66), KEPT, published="LRP-X")
    assert found.sentence.startswith(
        "Tuning found nothing better than LRP-X; beside the others it is better than every other "
        "published composite (2) on 64 validation images"
    )
    found = said(objective(1.0, 0.1), KEPT, published="LRP-X")
    assert "it is as good as the best other published composite on" in found.sentence
    found = said(objective(1.0, -0.8), KEPT, published="LRP-X")
    assert "LRP-X; beside the others it is worse than strong on" in found.sentence
    assert said(compared({}), published="LRP-X").sentence == (
        "Tuning found nothing better than LRP-X; beside the others it is undecided: there is no "
        "other composite to compare it with."
    )


def studies(count: int) -> list[tuple[Compared, Compared]]:
    """Objectives and guards with 1 to 4 baselines, about as good as the nominee."""
    rng = np.random.default_rng(2)

    def drawn(baselines: int, mean: float) -> dict[str, np.ndarray]:
        shifts = rng.normal(mean, 0.3, baselines)
        return {f"b{k}": rng.gamma(4, 0.5, IMAGES) - 2 + shift for k, shift in enumerate(shifts)}

    found = []
    for _ in range(count):
        baselines = int(rng.integers(1, 5))
        first, second = drawn(baselines, 0.3), drawn(baselines, 0.0)
        found.append((compared(first), compared(second, "auc_morf")))
    return found


def test_the_bound_is_above_zero_exactly_when_every_row_is_marked() -> None:
    found = [said(*study) for study in studies(60)]
    agreed = [
        ((one.bounds[0].low > 0) == all(row.better for row in one.comparisons)) for one in found
    ]
    assert all(agreed)
    assert {one.bounds[0].low > 0 for one in found} == {True, False}
    assert {one.verdict for one in found} == VERDICTS


def test_rows_are_marked_where_all_are_cleared_together() -> None:
    """Holm's step-down would mark none of these, under a headline that says 'better'."""
    found = said(compared({label: gains_of(0.25) for label in ("one", "two", "three")}))
    assert all(0.04 / 3 < row.p <= 0.04 for row in found.comparisons)
    assert all(row.better for row in found.comparisons)
    assert found.verdict == "better"


def marked(found: Statement) -> set[str]:
    return {row.baseline for row in found.comparisons if row.better}


def test_later_looks_say_no_more_than_earlier_ones() -> None:
    fell = 0
    for study in studies(20):
        looks = [said(*study, look=look) for look in (1, 2, 3, 5)]
        for earlier, later in itertools.pairwise(looks):
            for before, after in zip(earlier.bounds, later.bounds, strict=True):
                assert after.low <= before.low
            assert set(later.ahead) <= set(earlier.ahead)
            assert (later.images_for_better or math.inf) >= (earlier.images_for_better or math.inf)
            assert marked(later) <= marked(earlier)
            if "better" in later.verdict:
                assert "better" in earlier.verdict
        fell += looks[0].verdict != looks[-1].verdict
    assert fell > 3


def test_too_many_looks_decide_nothing() -> None:
    assert said(objective(9.0), look=7).verdict == "better"
    found = said(objective(9.0), look=8)
    assert found.verdict == "undecided"
    assert "looked at 8 times, too often" in found.sentence
    assert "tested at 0.5 %, look 2" in said(objective(9.0), look=2).sentence


def shortened(measure: Compared, names: frozenset[str]) -> Compared:
    """These baselines on the first half of the images alone."""
    baselines = {
        name: scores[: len(scores) // 2] if name in names else scores
        for name, scores in measure.baselines.items()
    }
    return dataclasses.replace(measure, baselines=baselines)


def behind(first: Compared, *guards: Compared, look: int = 1) -> frozenset[str]:
    """Those that half of the images are enough for."""
    names = frozenset(first.baselines)
    halves = [shortened(one, names) for one in (first, *guards)]
    return dropped(halves[0], halves[1:], look=look, seed=0)


def test_half_is_enough_for_baselines_clearly_behind_by_every_measure() -> None:
    assert behind(objective(1.0, 0.1), KEPT) == {"weak"}
    assert behind(objective(1.0, 1.0), KEPT) == {"weak", "strong"}
    assert behind(objective(1.0, 1.0), guard(1.0, -0.4)) == {"weak"}
    assert behind(objective(1.0, 1.0)) == {"weak", "strong"}


def test_half_decides_at_its_level_or_that_of_a_later_look() -> None:
    """p at half is 0.0009: below 0.001, above the 0.0003125 of the sixth look."""
    gains = gains_of(0.62, images=IMAGES // 2)
    one = compared({"one": np.concatenate([gains, gains])})
    p = sign_flip(gains, draw_flips(len(gains), 0), 0.04).p
    assert level_of(6) < p <= DROPPING_LEVEL
    assert (behind(one), behind(one, look=6)) == ({"one"}, frozenset())
    assert behind(objective(9.0, 9.0), look=8) == frozenset()


def test_a_dropped_baseline_keeps_the_bound_that_dropped_it() -> None:
    names = frozenset({"weak"})
    whole, few = objective(1.0, 0.66), shortened(objective(1.0, 0.66), names)
    found = state(few, [shortened(KEPT, names)], look=1, seed=0)
    gains = (whole.nominee - whole.baselines["weak"])[: IMAGES // 2]
    weak, strong = found.comparisons
    assert weak.low == sign_flip(gains, draw_flips(len(gains), 0), DROPPING_LEVEL).low
    assert (weak.images, strong.images) == (IMAGES // 2, IMAGES)
    assert strong.low == said(whole, KEPT).comparisons[1].low
    assert found.verdict == "better"
    assert (
        "on 64 validation images (tested at 4 %, look 1; 1 of 2 composites on the first 32, at "
        "0.1 %): by SRG"
    ) in found.sentence


def test_dropping_takes_no_statement_back() -> None:
    """Bounds may be lower, as half of the images give them; none falls below what decides."""
    count = 0
    for first, second in studies(60):
        gone = behind(first, second)
        full = said(first, second)
        found = said(shortened(first, gone), shortened(second, gone))
        count += bool(gone)
        assert (full.bounds[0].low > 0) <= (found.bounds[0].low > 0)
        assert (found.bounds[0].low > 0) == all(row.better for row in found.comparisons)
        assert found.ahead == full.ahead
        if found.verdict == full.verdict:
            assert found.images_for_better == full.images_for_better
    assert count > 10


def current(mean: float) -> str:
    return state_current("mine.json", compared({"any": gains_of(mean)}), look=1, seed=0)


def test_what_one_uses_today_has_a_sentence_of_its_own() -> None:
    better, behind, same = current(0.66), current(-0.66), current(0.05)
    assert better.startswith("Better than what you use today (mine.json): by SRG 0.66 (13.2 % of")
    assert behind.startswith("Behind what you use today (mine.json): by SRG 0.66 (13.2 % of the")
    assert same.startswith("No different from what you use today (mine.json): by SRG a gain betw")
    assert "on 64 validation images (tested at 4 %, look 1)." in better


def test_what_one_uses_today_is_one_baseline() -> None:
    with pytest.raises(ValueError, match="expected one baseline, found 2"):
        state_current("mine", objective(1.0, 1.0), look=1, seed=0)
    few = compared({"any": gains_of(1.0, 0.1, 12)})
    assert state_current("mine", few, look=1, seed=0) == (
        "Undecided against what you use today (mine): 12 validation images, and at least 20 are "
        "needed."
    )


def test_how_much_the_images_can_show() -> None:
    assert (
        power_sentence(20.0, 64, 0.04) == "64 images find a gain of 6.48 % of the range with 80 %."
    )
