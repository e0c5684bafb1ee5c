"""From the end of a search to what may be said, on a study without images."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratic import Build, both_ends, plan

from lrpsweep.results import RANDOM_ORDER, Candidate, StudyResults
from lrpsweep.sweep import study as sweep_study
from lrpsweep.sweep.execution import Outcome
from lrpsweep.sweep.search import Observer, Silent
from lrpsweep.sweep.study import SweepFailedError, run_study

IMAGES = 24
SPREAD = np.linspace(-0.01, 0.01, IMAGES)
PARTS = {"search": ("s 0",) * IMAGES, "validation": ("v 0",) * IMAGES}


class Fixed(Build):
    """Scores by who is scored: MoRF and LeRF of a trial by its x, of a preset by its name.

    random: both of a random order. on: scores on other parts of the images, by part.
    """

    def __init__(
        self,
        scores: dict[Any, tuple[float, float]],
        objective: str = "srg",
        random: float = 1.0,
        on: dict[str, dict[Any, tuple[float, float]]] | None = None,
        unstable: tuple[Any, ...] = (),
        broken: tuple[tuple[str, Any], ...] = (),
        validated: int = IMAGES,
    ) -> None:
        super().__init__(objective=objective)
        self.scores, self.random, self.on = scores, random, on or {}
        self.unstable, self.broken_ones = unstable, broken
        self.validated = validated
        self.asked: list[dict[str, Any]] = []

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(task)
        settings, split = task["candidate"]["settings"], task.get("split", "search")
        who = settings.get("preset") or settings["values"]["x"]
        if (split, who) in self.broken_ones and not task.get("control"):
            raise ValueError("no memory")
        morf, lerf = self.on.get(split, {}).get(who, self.scores[who])
        if task.get("control"):
            morf = lerf = self.random
        if task.get("perturbation"):
            morf, lerf = self.on.get(task["perturbation"], {}).get(who, (morf, lerf))
        where = "features.3: z near zero" if who in self.unstable else ""
        images = self.validated if split == "validation" else IMAGES
        spread = np.resize(SPREAD, images)[slice(*task.get("rows", (images,)))]
        return both_ends(
            list(morf + spread),
            list(lerf - spread),
            objective=self.objective,
            unstable=where,
            hot_spot=0.1,
        )


def conclude(
    tmp_path: Path, build: Fixed, observer: Observer | None = None, **changes: Any
) -> StudyResults:
    """A study of version 2 over x in 0, 0.5 and 1, against the published ones."""
    presets = tuple(name for name in build.scores if isinstance(name, str))
    asked: dict[str, Any] = {
        "sampler": "grid",
        "points": 3,
        "version": 2,
        "objective": build.objective,
        "parts": PARTS,
        "baselines": presets,
        "meaning": lambda values: values["x"],
    }
    study = plan(build=build, **asked | changes)
    return run_study(study, runs_dir=tmp_path, executor="local", observer=observer)


GOOD = {0.0: (0.5, 1.5), 0.5: (0.4, 1.8), 1.0: (0.9, 1.1), "one": (0.6, 1.4), "two": (0.5, 1.3)}


def test_a_nominee_ahead_of_all_is_better_and_its_scores_are_kept(tmp_path: Path) -> None:
    build = Fixed(GOOD)
    results = conclude(tmp_path, build)
    found = results.recommendation
    assert found is not None
    assert (found.verdict, found.values["x"], found.published) == ("better", 0.5, None)
    assert found.warnings == ()
    assert {bound.measure for bound in found.bounds} == {"srg", "auc_morf"}
    label = f"trial {found.number}"
    assert set(found.scores) == {label, "one", "two", RANDOM_ORDER}
    assert found.scores[label]["srg"] == pytest.approx(1.4 - 2 * SPREAD)
    assert found.scores[RANDOM_ORDER]["auc_lerf"] == pytest.approx(1.0 - SPREAD)
    assert set(results.literature) == {"one", "two"}
    assert results.random is not None
    # The random order is taken once for each part of the images.
    assert [t["split"] for t in build.asked if t.get("control")] == ["search", "validation"]


class Reversed:
    """An executor whose jobs come back last first."""

    workers = 1

    def run(self, source: Any, build: Any) -> bool:
        runner, handed = build(), []
        while not source.finished:
            task = source.next()
            if task is not None:
                handed.append(task)
            elif handed:
                done = handed.pop()
                source.done(done, Outcome(runner(done), seconds=0.1))
        return True


def test_which_worker_is_first_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards = conclude(tmp_path / "forwards", Fixed(GOOD)).recommendation
    monkeypatch.setattr(sweep_study, "local_executor", lambda: contextlib.nullcontext(Reversed()))
    backwards = conclude(tmp_path / "backwards", Fixed(GOOD)).recommendation
    assert forwards is not None
    assert json.dumps(asdict(forwards)) == json.dumps(asdict(backwards))


def test_a_published_nominee_is_the_recommendation(tmp_path: Path) -> None:
    results = conclude(tmp_path, Fixed(GOOD | {"one": (0.3, 2.0)}))
    found = results.recommendation
    assert found is not None
    assert (found.number, found.published, found.values) == (None, "one", {})
    assert found.sentence.startswith("Tuning found nothing better than one")
    assert [c.baseline for c in found.comparisons] == ["two"]
    assert results.nominee is not None
    assert results.result_of(results.nominee) is results.literature["one"]


def test_a_trial_that_is_published_counts_once_and_is_not_compared_with_itself(
    tmp_path: Path,
) -> None:
    build = Fixed(GOOD | {"one": GOOD[0.5]})
    results = conclude(tmp_path, build, literature={"one": {"x": 0.5, "y": 0.0}})
    assert results.nomination is not None
    assert results.nomination.candidates == 4  # three trials, one of them published, and `two`
    found = results.recommendation
    assert found is not None
    assert (found.number, found.published) == (0, "one")
    assert [c.baseline for c in found.comparisons] == ["two"]
    searched = [t["candidate"]["settings"] for t in build.asked if t.get("split") == "search"]
    assert {"preset": "one"} not in searched


def test_a_published_name_of_a_repeated_trial_is_that_of_the_one_it_repeats(
    tmp_path: Path,
) -> None:
    """(0.5, 0) runs first without being published; (0.5, 1), which is, repeats it."""
    results = conclude(
        tmp_path, Fixed(GOOD | {"one": GOOD[0.5]}), literature={"one": {"x": 0.5, "y": 1.0}}
    )
    assert results.nominee is not None
    assert results.nominee.published == "one"


@pytest.mark.parametrize(
    ("current", "said"),
    [
        ("one", "Better than what you use today (one): "),
        ("mine.json", "Better than what you use today (mine.json): "),
    ],
)
def test_what_is_used_today_gets_a_sentence_of_its_own(
    tmp_path: Path, current: str, said: str
) -> None:
    build = Fixed(GOOD | {"mine": (0.7, 1.2)})
    candidate = Candidate("lrp", {"preset": "one" if current == "one" else "mine"})
    found = conclude(
        tmp_path, build, current=(current, candidate), baselines=("one", "two")
    ).recommendation
    assert found is not None
    assert found.current.startswith(said)
    assert [c.baseline for c in found.comparisons] == ["one", "two"]
    scored = [t["candidate"] for t in build.asked if t.get("split") == "validation"]
    # Once, and, where it is the strongest of the literature, under another perturbation.
    assert scored.count({"method": "lrp", "settings": candidate.settings}) == 1 + (current == "one")


def test_what_is_used_today_may_be_the_nominee(tmp_path: Path) -> None:
    build = Fixed(GOOD | {"one": (0.3, 2.0)})
    current = ("one", Candidate("lrp", {"preset": "one"}))
    found = conclude(tmp_path, build, current=current).recommendation
    assert found is not None
    assert found.current == "It is what you use today (one)."


def test_nothing_that_keeps_the_floor_is_told_and_is_no_error(tmp_path: Path) -> None:
    results = conclude(tmp_path, Fixed(dict.fromkeys(GOOD, (1.2, 1.4))))
    assert results.recommendation is None
    assert results.nominee is None
    assert results.nomination is not None
    assert results.nomination.sentence.endswith("nothing is recommended.")


def test_without_a_floor_the_best_is_nominated_and_warned_of(tmp_path: Path) -> None:
    build = Fixed({who: (1.2, 1.4 + (who == 0.5)) for who in GOOD})
    found = conclude(tmp_path, build, floor=False).recommendation
    assert found is not None
    assert found.values["x"] == 0.5
    assert found.warnings == (
        "AUC (MoRF) is 1.2 on the validation images, no better than the 1 of a random order.",
    )


def test_the_selection_images_choose(tmp_path: Path) -> None:
    """x = 0 is within the guard of the best here, and better there."""
    searched = GOOD | {0.0: (0.401, 1.7)}
    there = {0.0: (0.4, 2.5), 0.5: (0.4, 1.5)}
    build = Fixed(searched, on={"selection": there})
    parts = PARTS | {"selection": ("c 0",) * IMAGES}
    results = conclude(tmp_path, build, parts=parts)
    assert results.nominee is not None
    assert results.nominee.values["x"] == 0.0
    assert results.nomination is not None
    assert results.nomination.selection_images == IMAGES
    assert [t["split"] for t in build.asked if t.get("control")] == [
        "search",
        "selection",
        "validation",
    ]


def test_an_unstable_nominee_is_none(tmp_path: Path) -> None:
    results = conclude(tmp_path, Fixed(GOOD, unstable=(0.5,)))
    assert results.nominee is not None
    assert results.nominee.values["x"] == 0.0
    assert results.nomination is not None
    assert ("unstable: features.3: z near zero",) in results.nomination.broken.values()


def test_a_baseline_that_fails_is_told_and_nothing_is_said_of_all(tmp_path: Path) -> None:
    found = conclude(tmp_path, Fixed(GOOD, broken=(("validation", "two"),))).recommendation
    assert found is not None
    assert [c.baseline for c in found.comparisons] == ["one"]
    assert found.verdict == "undecided"
    assert found.sentence.startswith("Undecided: two could not be scored. Of the others: better")
    assert found.warnings == (
        "two could not be scored (ValueError: no memory), so it was not compared.",
    )


def alike(candidate: Candidate) -> str:
    """`one` and `same` explain alike, and so does the trial at x = 0.5."""
    settings = candidate.settings
    who = settings.get("preset") or settings["values"]["x"]
    return "one" if who in ("one", "same", 0.5) else str(who)


def test_equal_composites_count_once_and_are_not_compared_with_each_other(tmp_path: Path) -> None:
    build = Fixed(GOOD | {"one": GOOD[0.5], "same": GOOD[0.5]})
    current = ("same", Candidate("lrp", {"preset": "same"}))
    results = conclude(tmp_path, build, alike=alike, current=current)
    assert results.nomination is not None
    assert results.nomination.candidates == 4  # three trials and `two`
    assert results.nominee is not None
    assert results.nominee.published == "one"
    found = results.recommendation
    assert found is not None
    assert [c.baseline for c in found.comparisons] == ["two"]
    assert found.current == "It is what you use today (same)."


def test_no_look_is_spent_where_nothing_can_be_tested(tmp_path: Path) -> None:
    few = PARTS | {"validation": ("v 0",) * 19}
    first = conclude(tmp_path, Fixed(GOOD, validated=19), parts=few).recommendation
    assert first is not None
    assert "at least 20 are needed" in first.sentence
    second = conclude(tmp_path, Fixed(GOOD)).recommendation
    assert second is not None
    assert (second.look, second.level) == (1, 0.04)


def test_every_change_is_a_look_that_is_paid_for_and_a_repeat_is_none(tmp_path: Path) -> None:
    some = {"parts": PARTS | {"validation": ("v 0",) * 20}}
    current = ("two", Candidate("lrp", {"preset": "two"}))
    seen = [
        conclude(tmp_path, Fixed(GOOD, validated=20), **some).recommendation,
        conclude(tmp_path, Fixed(GOOD, validated=20), **some).recommendation,
        conclude(tmp_path, Fixed(GOOD)).recommendation,
        conclude(tmp_path, Fixed(GOOD), current=current).recommendation,
    ]
    assert [found and found.look for found in seen] == [1, 1, 2, 3]
    assert [found and found.level for found in seen] == [0.04, 0.04, 0.005, 0.0025]


def test_a_finalist_without_a_selection_score_is_barred(tmp_path: Path) -> None:
    searched = GOOD | {0.0: (0.401, 1.7)}
    build = Fixed(searched, on={"selection": {0.0: (0.4, 2.5)}}, broken=(("selection", 0.0),))
    parts = PARTS | {"selection": ("c 0",) * IMAGES}
    results = conclude(tmp_path, build, parts=parts)
    assert results.nominee is not None
    assert results.nominee.values["x"] == 0.5
    assert results.nomination is not None
    assert (
        "no score on a selection image: ValueError: no memory",
    ) in results.nomination.broken.values()


def test_a_random_order_that_fails_stops_the_run_in_words(tmp_path: Path) -> None:
    class WithoutChance(Fixed):
        def run(self, task: dict[str, Any]) -> dict[str, Any]:
            if task.get("control"):
                raise ValueError("no memory")
            return super().run(task)

    with pytest.raises(SweepFailedError, match="a random order failed on the search images: Value"):
        conclude(tmp_path, WithoutChance(GOOD))


def test_what_the_images_can_show_is_said_for_the_look_that_comes(tmp_path: Path) -> None:
    told: list[str] = []
    observer = Silent()
    observer.started = told.append  # type: ignore[method-assign]
    conclude(tmp_path, Fixed(GOOD), observer=observer)
    (first,) = [text for text in told if text.startswith("Validation: ")]
    conclude(tmp_path, Fixed(GOOD), observer=observer, baselines=("one",))
    _, second = [text for text in told if text.startswith("Validation: ")]
    gain = [float(text.split(" a gain of ")[1].split()[0]) for text in (first, second)]
    # z(0.96) + z(0.8) and z(0.995) + z(0.8)
    assert gain[1] / gain[0] == pytest.approx(3.417 / 2.592, rel=0.01)


def test_a_nominee_that_fails_on_the_validation_images_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(SweepFailedError, match=r"trial \d failed on the validation images: Value"):
        conclude(tmp_path, Fixed(GOOD, broken=(("validation", 0.5),)))


def test_a_ranking_that_another_perturbation_turns_round_is_warned_of(tmp_path: Path) -> None:
    found = conclude(tmp_path, Fixed(GOOD, on={"mean": {"one": (0.1, 3.0)}})).recommendation
    assert found is not None
    assert found.warnings == (
        "Measured as srg with perturbation mean, one is ahead: the ranking flips.",
    )


RACING = {"economy": "{racing: true}"}
CLOSE = GOOD | {"close": (0.5, 1.6)}
TIES = {"validation": {"close": GOOD[0.5]}}
"""On the validation images, `close` is as good as the nominee; the others are far behind."""


def many(images: int) -> dict[str, Any]:
    """With racing, and so many validation images."""
    return RACING | {"parts": PARTS | {"validation": ("v 0",) * images}}


def halves(build: Fixed) -> list[tuple[str, Any]]:
    """The baselines' jobs on the validation images, by name and rows."""
    return [
        (task["candidate"]["settings"]["preset"], task.get("rows"))
        for task in build.asked
        if task.get("split") == "validation"
        and "preset" in task["candidate"]["settings"]
        and not (task["control"] or task["perturbation"])
    ]


def test_baselines_clearly_behind_on_half_of_the_images_are_not_scored_on_the_rest(
    tmp_path: Path,
) -> None:
    build = Fixed(CLOSE, on=TIES, validated=48)
    found = conclude(tmp_path, build, **many(48)).recommendation
    assert found is not None
    first = [0, 24]
    assert halves(build) == [("one", first), ("two", first), ("close", first), ("close", [24, 48])]
    assert [c.images for c in found.comparisons] == [24, 24, 48]
    label = found.nominee.label
    assert list(found.scores) == [label, "one", "two", "close", RANDOM_ORDER]
    assert [len(by["srg"]) for by in found.scores.values()] == [48, 24, 24, 48, 48]
    assert found.verdict == "as good"
    assert "(tested at 4 %, look 1; 2 of 3 composites on the first 24, at 0.1 %)" in found.sentence
    # The strongest of them is looked at under another perturbation, on all images.
    other = [t["candidate"]["settings"] for t in build.asked if t.get("perturbation")]
    assert other[1] == {"preset": "close"}


@pytest.mark.parametrize(("images", "changes"), [(48, {"economy": "{}"}), (39, {})])
def test_without_racing_or_with_few_images_there_is_no_look_at_half(
    tmp_path: Path, images: int, changes: dict[str, Any]
) -> None:
    build = Fixed(CLOSE, on=TIES, validated=images)
    found = conclude(tmp_path, build, **many(images) | changes).recommendation
    assert found is not None
    assert halves(build) == [("one", None), ("two", None), ("close", None)]
    assert {c.images for c in found.comparisons} == {images}
    assert "composites on the first" not in found.sentence


def test_what_is_used_today_is_scored_on_all_images(tmp_path: Path) -> None:
    build = Fixed(CLOSE, on=TIES, validated=48)
    current = ("one", Candidate("lrp", {"preset": "one"}))
    found = conclude(tmp_path, build, current=current, **many(48)).recommendation
    assert found is not None
    assert ("one", None) in halves(build)
    assert [c.images for c in found.comparisons] == [48, 24, 48]
    assert found.current.endswith("on 48 validation images (tested at 4 %, look 1).")


class Broken(Fixed):
    """Nothing can be scored on the second half of 48 validation images."""

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        if task.get("rows") == [24, 48]:
            self.asked.append(task)
            raise ValueError("no memory")
        return super().run(task)


def test_a_second_half_that_fails_is_told_and_scored_alone_by_the_next_run(tmp_path: Path) -> None:
    found = conclude(tmp_path, Broken(CLOSE, on=TIES, validated=48), **many(48)).recommendation
    assert found is not None
    assert [c.baseline for c in found.comparisons] == ["one", "two"]
    assert found.sentence.startswith("Undecided: close could not be scored. Of the others: better")
    mended = Fixed(CLOSE, on=TIES, validated=48)
    found = conclude(tmp_path, mended, **many(48)).recommendation
    assert found is not None
    assert halves(mended) == [("close", [24, 48])]
    assert (found.verdict, found.look) == ("as good", 1)


def test_more_images_are_another_look_with_other_halves(tmp_path: Path) -> None:
    conclude(tmp_path, Fixed(CLOSE, on=TIES, validated=48), **many(48))
    build = Fixed(CLOSE, on=TIES, validated=96)
    found = conclude(tmp_path, build, **many(96)).recommendation
    assert found is not None
    first = [0, 48]
    assert halves(build) == [("one", first), ("two", first), ("close", first), ("close", [48, 96])]
    assert [c.images for c in found.comparisons] == [48, 48, 96]
    assert (
        "(tested at 0.5 %, look 2; 2 of 3 composites on the first 48, at 0.1 %)" in found.sentence
    )


def test_a_dropped_baseline_ahead_by_another_measure_is_warned_of(tmp_path: Path) -> None:
    """By MoRF it is clearly behind; by SRG it is ahead, which no statement about MoRF looks at."""
    scores = GOOD | {0.5: (0.2, 1.4), "one": (0.4, 1.9)}
    build = Fixed(scores, "auc_morf", validated=48)
    found = conclude(tmp_path, build, **many(48)).recommendation
    assert found is not None
    assert [c.images for c in found.comparisons] == [24, 24]
    assert found.warnings == (
        "SRG (LeRF − MoRF) is 1.2, below the 1.5 of one on the first 24 images.",
    )


def test_what_was_scored_is_not_scored_again_after_an_interruption(tmp_path: Path) -> None:
    broken = Fixed(GOOD, broken=(("validation", 0.5),))
    with pytest.raises(SweepFailedError):
        conclude(tmp_path, broken)
    mended = Fixed(GOOD)
    found = conclude(tmp_path, mended).recommendation
    assert found is not None
    assert found.look == 1
    settings = [(t["split"], t["candidate"]["settings"], t["perturbation"]) for t in mended.asked]
    # Nothing but the nominee is missing, and what comes after it.
    assert [one[0] for one in settings] == ["validation"] * 3
    assert settings[0][1]["values"]["x"] == 0.5
    assert [one[2] for one in settings] == [None, "mean", "mean"]


def test_a_study_without_validation_images_has_a_nominee(tmp_path: Path) -> None:
    results = conclude(tmp_path, Fixed(GOOD), parts={"search": PARTS["search"]})
    assert results.recommendation is None
    assert results.nominee is not None
    assert results.nominee.values["x"] == 0.5


def test_version_1_nominates_its_best_trial_by_the_objective_alone(tmp_path: Path) -> None:
    """Which breaks the floor, and is behind a published composite."""
    scores: Any = {0.0: (0.1, 0.2), 0.5: (0.2, 1.8), 1.0: (0.9, 1.1), "one": (0.05, 1.4)}
    build = Fixed(scores, "auc_morf")
    results = conclude(tmp_path, build, version=1)
    found = results.recommendation
    assert found is not None
    assert (found.values["x"], found.published) == (0.0, None)
    assert found.verdict == "worse"
    assert [bound.measure for bound in found.bounds] == ["auc_morf"]
    assert results.literature == {}
    assert found.warnings == (
        "AUC (LeRF) is 0.2 on the validation images, no better than the 1 of a random order.",
        "SRG (LeRF − MoRF) is 0.1, below the 1.35 of one.",
    )


def test_jobs_name_what_is_to_be_measured(tmp_path: Path) -> None:
    build = Fixed(GOOD)
    conclude(tmp_path, build)
    job = next(t for t in build.asked if t.get("split") == "validation")
    assert job["objectives"] == ["srg", "auc_morf", "auc_lerf"]
    assert not job["control"]
