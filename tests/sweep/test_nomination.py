"""Who is nominated, by guards, floor, selection images, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Axis, Contender
from lrpsweep.sweep.nomination import Ballot, Criteria, nominate

IMAGES = 12
SPREAD = np.linspace(-0.05, 0.05, IMAGES)
SRG = Criteria(MEASURES["srg"], {"auc_morf": 2.5}, floor=True)


def ballot(*candidates: tuple[str, float, float], barred: dict[str, str] | None = None) -> Ballot:
    """Candidates (label, MoRF, LeRF), beside a random order of 1 by both; 'trial N' is a trial."""
    morf = np.stack([one[1] + SPREAD for one in candidates])
    lerf = np.stack([one[2] + SPREAD for one in candidates])
    random = 1.0 + SPREAD

    def contender(label: str) -> Contender:
        if label.startswith("trial"):
            number = int(label.split()[1])
            return Contender(label, number, {"x": float(number)})
        return Contender(label, published=label)

    return Ballot(
        tuple(contender(one[0]) for one in candidates),
        {"auc_morf": morf, "auc_lerf": lerf, "srg": lerf - morf},
        {"auc_morf": random, "auc_lerf": random, "srg": random - random},
        tuple(((barred or {}).get(one[0], ()) or ()) for one in candidates),  # type: ignore[misc]
    )


def nominee(found: Any) -> str | None:
    return found.nominee and found.nominee.label


def test_the_best_by_the_objective_among_those_within_the_guard() -> None:
    # Range of MoRF: 1.0 - 0.2 = 0.8, so that the guard reaches from 0.2 to 0.22.
    found = nominate(
        ballot(("trial 0", 0.2, 1.5), ("trial 1", 0.219, 1.6), ("trial 2", 0.23, 3.0)), SRG
    )
    assert nominee(found) == "trial 1"
    assert found.ranges == pytest.approx({"srg": 3.0 - 0.23, "auc_morf": 0.8, "auc_lerf": 2.0})
    assert [one.label for one in found.finalists] == ["trial 1", "trial 0"]
    without = Criteria(SRG.objective, {}, floor=True)
    assert nominee(nominate(ballot(("trial 0", 0.2, 1.5), ("trial 2", 0.23, 3.0)), without)) == (
        "trial 2"
    )


@pytest.mark.parametrize(
    ("morf", "lerf", "said"),
    [
        (0.1, 0.99, "AUC (LeRF) is 0.99, no better than the 1 of a random order"),
        (1.2, 9.0, "AUC (MoRF) is 1.2, no better than the 1 of a random order"),
    ],
)
def test_what_breaks_the_floor_is_shown_and_never_nominated(
    morf: float, lerf: float, said: str
) -> None:
    candidates = ballot(("trial 0", morf, lerf), ("trial 1", 0.9, 1.1))
    found = nominate(candidates, SRG)
    assert nominee(found) == "trial 1"
    assert found.broken == {"trial 0": (said,)}
    free = nominate(candidates, Criteria(SRG.objective, {}, floor=False))
    assert nominee(free) == ("trial 0" if lerf - morf > 0.2 else "trial 1")


def test_a_candidate_that_breaks_the_floor_sets_no_guard() -> None:
    """Its MoRF would be 0.1; within the guard of that is nobody else."""
    found = nominate(ballot(("trial 0", 0.1, 0.9), ("trial 1", 0.5, 1.5)), SRG)
    assert nominee(found) == "trial 1"


def test_an_unstable_candidate_is_barred() -> None:
    candidates = ballot(
        ("trial 0", 0.2, 2.0),
        ("trial 1", 0.2, 1.5),
        barred={"trial 0": ("unstable: features.3",)},  # type: ignore[dict-item]
    )
    found = nominate(candidates, SRG)
    assert nominee(found) == "trial 1"
    assert found.broken == {"trial 0": ("unstable: features.3",)}


def test_a_published_composite_may_be_nominated() -> None:
    found = nominate(ballot(("trial 0", 0.3, 1.5), ("epsilon_plus", 0.2, 1.6)), SRG)
    assert found.nominee == Contender("epsilon_plus", published="epsilon_plus")
    assert found.candidates == 2


def test_the_selection_images_choose_among_the_finalists_only() -> None:
    searched = [("trial 0", 0.2, 1.9), ("trial 1", 0.2, 1.8), ("trial 2", 0.2, 1.7)]
    searched += [(f"trial {n}", 0.2, 1.7 - 0.1 * n) for n in range(3, 7)]
    selected = ballot(
        *(
            (label, 0.3, lerf)
            for (label, _, _), lerf in zip(searched[:5], (1, 2, 3, 2, 2), strict=True)
        )
    )
    found = nominate(ballot(*searched), SRG, selected=selected)
    assert [one.label for one in found.finalists] == [f"trial {n}" for n in range(5)]
    assert nominee(found) == "trial 2"
    assert found.selection_images == IMAGES
    assert found.finalists[2].selection["srg"] == pytest.approx(2.7)
    # The ranges are those of the search images.
    assert found.ranges["srg"] == pytest.approx(1.7)
    assert found.finalists[0].broken == ("AUC (LeRF) is 1, no better than the 1 of a random order",)


def test_where_no_finalist_keeps_the_floor_the_best_published_one_that_does() -> None:
    trials = [(f"trial {n}", 0.2, 1.9) for n in range(5)]
    selected = ballot(*((label, 1.5, 0.5) for label, _, _ in trials))
    rest = [("one", 0.9, 1.2), ("two", 0.9, 1.3), ("three", 1.4, 2.9)]
    found = nominate(ballot(*trials, *rest), SRG, selected=selected)
    assert nominee(found) == "two"
    assert "None of the 5 best" in found.sentence
    alone = nominate(ballot(*trials), SRG, selected=selected)
    assert alone.nominee is None
    assert alone.sentence.endswith("nothing is recommended.")


def test_where_nothing_beats_a_random_order_that_is_the_statement() -> None:
    found = nominate(ballot(("trial 0", 1.2, 1.1), ("one", 1.3, 1.1)), SRG)
    assert found.nominee is None
    assert found.sentence == (
        "By SRG, nothing is better than a random order: nothing is recommended."
    )
    assert found.stability is None


def test_stability_counts_the_same_nominee_and_the_same_region() -> None:
    rng = np.random.default_rng(0)
    axes = (Axis("x"),)
    lerf = [1.5, 1.5, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    noise = rng.normal(0, 0.3, (len(lerf), 48))
    noise -= noise.mean(1, keepdims=True)
    morf = np.full((len(lerf), 48), 0.2)
    scores = {"auc_morf": morf, "auc_lerf": np.array(lerf)[:, None] + noise}
    scores["srg"] = scores["auc_lerf"] - morf
    chance = {"auc_morf": np.ones(48), "auc_lerf": np.full(48, 0.9), "srg": np.zeros(48)}
    contenders = tuple(Contender(f"trial {n}", n, {"x": float(n)}) for n in range(len(lerf)))
    found = nominate(Ballot(contenders, scores, chance, ((),) * len(lerf)), SRG, axes)
    assert found.nominee == contenders[0]
    assert found.stability is not None
    assert found.stability.draws == 200
    # Two candidates of the same mean, next to each other: a coin decides, the region is sure.
    assert 0.3 < found.stability.same < 0.7
    assert found.stability.region == 1.0
    again = nominate(Ballot(contenders, scores, chance, ((),) * len(lerf)), SRG, axes)
    assert again == found


def test_stability_is_that_of_the_selection_too() -> None:
    """The second finalist wins on the selection images, every time they are drawn again."""
    searched = ballot(("trial 0", 0.2, 1.9), ("trial 1", 0.2, 1.8))
    selected = ballot(("trial 0", 0.2, 1.5), ("trial 1", 0.2, 1.9))
    found = nominate(searched, SRG, selected=selected)
    assert nominee(found) == "trial 1"
    assert found.stability is not None
    assert found.stability.same == 1.0


def test_guards_that_no_candidate_keeps_at_once_leave_the_best_published_one() -> None:
    candidates = ballot(("trial 0", 0.2, 1.2), ("trial 1", 0.8, 1.9), ("one", 0.5, 1.5))
    rule = Criteria(MEASURES["hot_spot"], {"auc_morf": 1.0, "auc_lerf": 1.0}, floor=True)
    peaks = {"hot_spot": np.array([[0.1] * IMAGES, [0.2] * IMAGES, [0.3] * IMAGES])}
    both = Ballot(
        candidates.contenders, candidates.scores | peaks, candidates.random, candidates.barred
    )
    found = nominate(both, rule)
    assert nominee(found) == "one"
    assert found.sentence.startswith("No candidate is within all guards (AUC (MoRF), AUC (LeRF))")
    assert found.finalists == ()


def test_constraints_are_the_reason_where_they_bar_all() -> None:
    why: Any = {"trial 0": ("exceeds the constraint of hot_spot",)}
    found = nominate(ballot(("trial 0", 0.2, 1.9), barred=why), SRG)
    assert found.nominee is None
    assert "0 do no better than a random order" in found.sentence
    assert "1 exceed a constraint" in found.sentence


def test_guards_of_a_measure_that_knows_no_order_are_shares_of_its_spread() -> None:
    candidates = ballot(("trial 0", 0.2, 1.9), ("trial 1", 0.2, 1.8))
    peaks = np.array([[0.5] * IMAGES, [0.1] * IMAGES])
    with_peaks = Ballot(
        candidates.contenders,
        {**candidates.scores, "hot_spot": peaks},
        candidates.random,
        candidates.barred,
    )
    rule = Criteria(SRG.objective, {"hot_spot": 50.0}, floor=True)
    assert nominee(nominate(with_peaks, rule)) == "trial 1"
    loose = Criteria(SRG.objective, {"hot_spot": 100.0}, floor=True)
    assert nominee(nominate(with_peaks, loose)) == "trial 0"
