"""Which scores differ, on scores made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from fabricated import fabricate_study, trial_result

from lrpsweep.report.differences import as_good_as_shown, paired_difference
from lrpsweep.results import (
    Contender,
    Nomination,
    Pruned,
    StudyResults,
    TrialRecord,
    TrialResult,
)


def scored(*scores: float) -> TrialResult:
    return dataclasses.replace(trial_result(3, 0), measures={"auc_morf": np.array(scores)})


def of(results: Sequence[TrialResult], **changes: object) -> StudyResults:
    trials = tuple(TrialRecord(n, "complete", {"a": n}, result) for n, result in enumerate(results))
    settings = {"recommendation": None, "illustrations": None} | changes
    return fabricate_study(trials=trials, **settings)


HARD = (1.0, 5.0, 9.0, 13.0)
BEST = scored(*HARD)


def shifted(*by: float) -> TrialResult:
    return scored(*(hard + more for hard, more in zip(HARD, by, strict=True)))


def test_a_difference_is_paired_by_image() -> None:
    mean, error = paired_difference(shifted(0.0, 1.0, 0.0, 3.0), BEST)
    assert mean == 1
    assert error == pytest.approx(np.sqrt(6 / 3 / 4))
    assert np.isnan(paired_difference(scored(1.0), scored(2.0))[1])


def test_trials_within_one_standard_error_are_alike() -> None:
    """What all images agree on is a difference, however little beside the spread over images."""
    within, beyond = shifted(-1.0, 1.0, -1.0, 3.0), shifted(1.0, 1.0, 1.0, 3.0)
    surely = shifted(0.1, 0.1, 0.1, 0.11)
    same = shifted(0.0, 0.0, 0.0, 0.0)
    study = of([BEST, within, beyond, surely, same])
    assert study.ranked()[0].number == 0
    assert as_good_as_shown(study) == {1, 4}


def test_only_scores_of_the_same_images_and_states_are_paired() -> None:
    fewer_states = dataclasses.replace(BEST, flipped=BEST.flipped[::2])
    fewer_images = scored(*HARD[:3], 13.0, 7.1)
    assert as_good_as_shown(of([BEST, fewer_states, fewer_images])) == frozenset()


def test_one_image_tells_nothing() -> None:
    assert as_good_as_shown(of([scored(1.0), scored(1.0)])) == frozenset()


def test_stopped_trials_are_not_paired() -> None:
    study = of([BEST])
    stopped = TrialRecord(1, "pruned", {"a": 1}, pruned=Pruned(8, BEST.value))
    study = dataclasses.replace(study, trials=(*study.trials, stopped))
    assert as_good_as_shown(study) == frozenset()
    assert as_good_as_shown(dataclasses.replace(study, trials=(stopped,))) == frozenset()


def test_the_nominee_is_what_others_are_compared_with() -> None:
    """Also a published one, which has no trial."""
    published = Nomination(Contender("p", published="p"), "", {}, {}, (), 3)
    results = [BEST, shifted(1.0, 1.0, 1.0, 1.1), shifted(1.2, 0.9, 1.0, 1.0)]
    study = of(results, nomination=published, literature={"p": results[1]})
    assert as_good_as_shown(study) == {1, 2}
