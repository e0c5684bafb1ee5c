"""Trials on some of the states, on some of the images, and in races."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fabricated import SMALL_STUDY

from lrpsweep.evaluation import MEASURES, Evidence, Race, ScoreCache, subsets, thinned, with_ends
from lrpsweep.results import TrialResult
from lrpsweep.study import parse_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Chunk, Context, Task, prepare
from lrpsweep.trial.trial import curves_of, run_trial

ONE = tuned({"gamma1": 0.1, "gamma2": 0.25})
IMAGES, STEPS, LAST = 20, (0, 3, 5, 8), 8
ENDS = ("auc_morf", "auc_lerf", "srg")


@cache
def prepared(*changes: str) -> Context:
    """Images of 64 patches, whose states are those of 0, 1, 4, 9, … of them."""
    given = ("version=2", "objective=srg", "evaluation={patch: 8, perturbation: mean}")
    given += (f"data.split.search={IMAGES}", "data.split.validation=0", *changes)
    return prepare(parse_study(SMALL_STUDY, Path("small.yaml"), list(given)))


def context(*changes: str) -> Context:
    """A worker that knows nothing yet."""
    return replace(prepared(*changes), score_cache=ScoreCache(), kept_curves={})


def scores(result: TrialResult) -> np.ndarray:
    return np.stack([result.measures[name] for name in ENDS])


@cache
def whole() -> TrialResult:
    """All states of all images; the economy has no part in it."""
    return run_trial(context(), Task(ONE))


def test_scores_on_some_states_are_those_of_the_curves_between_them() -> None:
    """Bit for bit, and of the states between nothing is scored."""
    worker = context()
    bound, chunk = worker.bind(ONE), Chunk("search", 0, 16)
    both, _, _ = curves_of(worker, bound, chunk, ("morf", "lerf"))
    seen = Evidence(
        curves={o: thinned(c, STEPS) for o, c in both.items()}, area=worker.protocol.area
    )
    fresh = context()
    found = run_trial(fresh, Task(ONE, steps=STEPS, rows=(0, 16)))
    for name in ENDS:
        np.testing.assert_array_equal(found.measures[name], MEASURES[name].score(seen))
    np.testing.assert_array_equal(found.curve, thinned(both["morf"], STEPS).mean(0))
    assert found.states == STEPS
    assert found.counts["states"] == 2 * 16 * len(STEPS)
    assert fresh.score_cache is not None
    assert len(fresh.score_cache) <= 16 * (2 * (len(STEPS) - 2) + 2)


def test_the_ends_are_scored_whatever_is_listed() -> None:
    np.testing.assert_array_equal(
        scores(run_trial(context(), Task(ONE, steps=(3, 5), rows=(0, 8)))),
        scores(run_trial(context(), Task(ONE, steps=STEPS, rows=(0, 8)))),
    )


def test_every_step_listed_is_all_of_them() -> None:
    listed = run_trial(context(), Task(ONE, steps=tuple(range(LAST + 1))))
    np.testing.assert_array_equal(scores(listed), scores(whole()))


@pytest.mark.parametrize("batch", [1, 64])
def test_the_size_of_batches_changes_no_coarse_score(batch: int) -> None:
    task = Task(ONE, steps=STEPS, rows=(0, 8))
    other = run_trial(context(f"run.batch={batch}"), task)
    unaware = run_trial(replace(context(f"run.batch={batch}"), score_cache=None), task)
    middle = run_trial(context("run.batch=5"), task)
    np.testing.assert_allclose(scores(other), scores(middle), rtol=1e-5)
    np.testing.assert_allclose(scores(unaware), scores(middle), rtol=1e-5)


def test_what_was_scored_in_full_is_known_when_some_states_are_asked_for() -> None:
    worker = context()
    run_trial(worker, Task(ONE))
    coarse = run_trial(worker, Task(ONE, steps=STEPS))
    assert coarse.counts["forwards"] == 0
    alone = run_trial(context(), Task(ONE, steps=STEPS))
    np.testing.assert_array_equal(scores(coarse), scores(alone))
    again = run_trial(worker, Task(ONE))
    np.testing.assert_array_equal(scores(again), scores(whole()))


@pytest.mark.parametrize("count", [1, 8, 16])
def test_the_first_images_score_as_among_all(count: int) -> None:
    some = run_trial(context(), Task(ONE, rows=(0, count)))
    expected = scores(whole())[:, :count]
    if count % 16:  # they are explained together, and how many decides the last digits
        np.testing.assert_allclose(scores(some), expected, rtol=1e-5)
    else:
        np.testing.assert_array_equal(scores(some), expected)


def test_images_of_the_middle_are_those_of_their_places() -> None:
    """With noise that knows the place of an image."""
    changes = ("evaluation={patch: 8, perturbation: uniform}",)
    every = run_trial(context(*changes), Task(ONE, rows=(0, 8)))
    some = run_trial(context(*changes), Task(ONE, rows=(3, 7)))
    np.testing.assert_allclose(scores(some), scores(every)[:, 3:7], rtol=1e-5)


def test_what_the_pilot_learns_of_a_subset_is_what_trials_score_on_it() -> None:
    pilot = run_trial(context(), Task(ONE, rows=(0, 16), coarse=True))
    assert list(pilot.coarse) == list(subsets(LAST)) == ["quarters", "sixths"]
    np.testing.assert_array_equal(scores(pilot), scores(whole())[:, :16])
    for name, steps in subsets(LAST).items():
        assert steps == with_ends(steps, LAST)
        trial = run_trial(context(), Task(ONE, steps=steps, rows=(0, 16)))
        for measure, found in pilot.coarse[name].items():
            np.testing.assert_array_equal(found, trial.measures[measure])
        assert {"srg", "auc_morf"} <= pilot.coarse[name].keys()
    assert TrialResult.from_json(pilot.to_json()).to_json() == pilot.to_json()


def test_a_random_order_on_some_states_is_kept_apart_from_that_on_all() -> None:
    worker = context()
    control = Task(ONE, objectives=("auc_morf",), control=True, rows=(0, 8))
    full = run_trial(worker, control)
    coarse = run_trial(worker, replace(control, steps=STEPS))
    assert (full.scores != coarse.scores).any()
    for task, known in ((control, full), (replace(control, steps=STEPS), coarse)):
        np.testing.assert_array_equal(run_trial(context(), task).scores, known.scores)
        np.testing.assert_array_equal(run_trial(worker, task).scores, known.scores)


RACING = "economy={racing: true}"


def race(by: float) -> Race:
    """Against one that is by so much better than the trial on every image."""
    measures = raced(None).measures
    incumbent = {"srg": measures["srg"] + by, "auc_morf": measures["auc_morf"] - by}
    return Race(incumbent, {"srg": 0.0, "auc_morf": 0.0}, {"auc_morf": incumbent["auc_morf"]})


@cache
def raced(by: float | None, *changes: str, **task: Any) -> TrialResult:
    against = None if by is None else race(by)
    return run_trial(context(RACING, *changes), Task(ONE, race=against, **task))


def test_a_race_that_is_run_to_the_end_changes_nothing() -> None:
    for by in (-1.0, 0.0):
        found = raced(by)
        assert found.to_json() | {"seconds": {}} == raced(None).to_json() | {"seconds": {}}
        assert len(found.scores) == IMAGES


@pytest.mark.parametrize("steps", [(), STEPS])
def test_a_trial_that_loses_has_the_scores_of_the_first_images(steps: tuple[int, ...]) -> None:
    whole, found = raced(None, steps=steps), raced(1.0, steps=steps)
    np.testing.assert_array_equal(scores(found), scores(whole)[:, :8])
    assert found.counts["states"] == 8 * 2 * (len(steps) or LAST + 1)
    for part in ("curve", "curve_low", "curve_high"):
        assert getattr(found, part).shape == (LAST + 1,)


def test_a_trial_that_falls_behind_later_is_stopped_at_that_look() -> None:
    """Even on the first eight images; clearly behind on the next eight."""
    whole = raced(None)
    theirs = {name: found.copy() for name, found in whole.measures.items()}
    theirs["srg"][8:16] += 1.0
    against = Race({"srg": theirs["srg"]}, {"srg": 0.0}, {})
    found = run_trial(context(RACING), Task(ONE, race=against))
    np.testing.assert_array_equal(scores(found), scores(whole)[:, :16])


def test_behind_on_the_last_images_alone_is_seen_by_the_nomination_and_by_no_race() -> None:
    theirs = raced(None).measures["srg"].copy()
    theirs[16:] += 100.0
    against = Race({"srg": theirs}, {"srg": 0.0}, {})
    assert len(run_trial(context(RACING), Task(ONE, race=against)).scores) == IMAGES


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_races_are_looked_at_after_as_many_images_whatever_the_batch(batch: int) -> None:
    found = raced(1.0, f"run.batch={batch}")
    assert len(found.scores) == 8
    np.testing.assert_allclose(scores(found), scores(raced(None))[:, :8], rtol=1e-5)


class LittleMemory(torch.nn.Module):
    """Runs out of memory above so many images."""

    def __init__(self, net: torch.nn.Module, most: int) -> None:
        super().__init__()
        self.net, self.most = net, most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(x)


def test_when_memory_runs_out_a_race_begins_anew_and_ends_at_the_same_image() -> None:
    worker = context(RACING)
    worker.model = replace(worker.model, net=LittleMemory(worker.model.net, 3))
    found = run_trial(worker, Task(ONE, race=race(1.0)))
    assert worker.batch == 2
    assert len(found.scores) == 8
    np.testing.assert_allclose(scores(found), scores(raced(None))[:, :8], rtol=1e-4)
