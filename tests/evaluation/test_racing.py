"""When a trial is stopped, and when it is not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lrpsweep.evaluation import Race, looks
from lrpsweep.evaluation.racing import misleading, read_race

IMAGES = 32
WAVE = np.resize([1.0, -1.0, 2.0, -2.0], IMAGES)
"""What the images differ by; in any four of them, 0 on average."""
NOISE = np.resize([1.0, -1.0], IMAGES)


def race(allowed: float = 0.0, lead: float = 0.0) -> Race:
    """High SRG and low MoRF are better. lead: of the best by MoRF on the incumbent."""
    incumbent = {"srg": 10 + WAVE, "auc_morf": 5 + WAVE}
    leaders = {"auc_morf": incumbent["auc_morf"] - lead}
    return Race(incumbent, {"srg": 0.0, "auc_morf": allowed}, leaders)


def scores(srg: float, morf: float, count: int = 8, noise: float = 0.1) -> dict[str, np.ndarray]:
    """A trial that is by so much better (SRG) and worse (MoRF) than the incumbent."""
    wobble = noise * NOISE[:count]
    return {"srg": (10 + WAVE)[:count] + srg + wobble, "auc_morf": (5 + WAVE)[:count] + morf}


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (1, ()),
        (8, ()),
        (9, (8,)),
        (16, (8,)),
        (17, (8, 16)),
        (64, (8, 16, 32)),
        (100, (8, 16, 32, 64)),
    ],
)
def test_it_is_looked_at_while_there_are_images_left(images: int, found: tuple[int, ...]) -> None:
    assert looks(images) == found


def test_who_is_clearly_behind_by_the_objective_has_lost() -> None:
    assert race(allowed=9.0).lost(scores(-1.0, 0.5))
    assert not race(allowed=9.0).lost(scores(+1.0, 0.5))


def test_being_behind_counts_in_standard_errors_of_the_mean_over_all_images() -> None:
    """√(1/n) times the share of the images that are left: the more are known, the less is open."""
    for count in (8, 16):
        spread = np.std(NOISE[:count], ddof=1)
        error = spread * np.sqrt(1 / count - 1 / IMAGES)
        assert race(allowed=9.0).lost(scores(-2.01 * error, 1.0, count, noise=1.0))
        assert not race(allowed=9.0).lost(scores(-1.99 * error, 1.0, count, noise=1.0))


def test_who_is_ahead_by_the_objective_may_have_lost_by_a_guard() -> None:
    assert race(allowed=0.5).lost(scores(+1.0, 0.6))
    assert not race(allowed=0.5).lost(scores(+1.0, 0.4))


@pytest.mark.parametrize("behind", [-1.0, -100.0])
def test_who_may_lead_by_a_guard_is_never_stopped(behind: float) -> None:
    """It would be what others are measured from."""
    assert not race().lost(scores(behind, -0.01))
    assert not race().lost(scores(behind, 0.0))
    assert race().lost(scores(behind, 0.01))
    assert not race(lead=1.0).lost(scores(behind, -1.01))
    assert race(lead=1.0).lost(scores(behind, -0.99))


def test_without_guards_the_objective_alone_decides() -> None:
    alone = Race({"srg": 10 + WAVE}, {"srg": 0.0}, {})
    assert alone.lost({"srg": scores(-1.0, 0.0)["srg"]})
    assert not alone.lost({"srg": scores(0.0, 0.0)["srg"]})


def test_a_tie_goes_on() -> None:
    for noise in (0.0, 0.1):
        assert not race().lost(scores(0.0, 0.0, noise=noise))
        assert not Race({"srg": WAVE}, {"srg": 0.0}, {}).lost({"srg": WAVE[:8] + noise * NOISE[:8]})


def test_of_one_image_nothing_is_known() -> None:
    assert not race().lost(scores(-1e6, 1e6, count=1))


def test_the_estimate_is_the_incumbent_s_mean_and_the_difference_so_far() -> None:
    """The first three images are above average: that says nothing of the trial."""
    theirs = np.array([9.0, 9.0, 9.0, 1.0, 1.0])
    found = Race({"srg": theirs}, {"srg": 0.0}, {})
    assert found.estimate("srg", np.array([8.0, 7.0, 9.0])) == pytest.approx(5.8 - 1.0)
    assert found.estimate("srg", theirs) == theirs.mean()


def test_a_race_travels_as_json_and_loses_no_digit() -> None:
    rng = np.random.default_rng(0)
    sent = Race({"srg": rng.normal(size=9)}, {"srg": 0.1 + 0.2}, {"auc_morf": rng.normal(size=9)})
    found = read_race(json.loads(json.dumps(sent.to_json())))
    assert (found.images, found.allowed) == (9, sent.allowed)
    np.testing.assert_array_equal(found.incumbent["srg"], sent.incumbent["srg"])
    np.testing.assert_array_equal(found.leaders["auc_morf"], sent.leaders["auc_morf"])


def test_first_images_mislead_where_complete_trials_miss_what_they_promised() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(12, 64)) + rng.normal(size=(12, 1))
    assert not misleading(honest)
    shifted = honest.copy()
    shifted[:, :8] += 3.0
    assert misleading(shifted)
    assert not misleading(shifted[:2])  # too few to say
    assert not misleading(shifted[:, :8])  # there is no look before the last image
    assert not misleading(np.zeros((12, 64)))
