"""Baselines that half of the validation images show to be behind: the others need not be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lrpsweep.evaluation import Measure
from lrpsweep.results import TrialResult
from lrpsweep.sweep.nomination import Criteria
from lrpsweep.sweep.statement import Compared, dropped
from lrpsweep.sweep.statistics import FEWEST_IMAGES


@dataclass(frozen=True)
class Scored:
    """What came of scorings. results: by label; failed: by label, why."""

    results: Mapping[str, TrialResult]
    failed: Mapping[str, str]

    def then(self, further: Scored) -> Scored:
        """With the scores of further images, of those that have some; the others keep theirs."""
        joined = {
            label: _joined(result, further.results[label]) if label in further.results else result
            for label, result in self.results.items()
            if label not in further.failed
        }
        return Scored(joined, {**self.failed, **further.failed})


def _joined(first: TrialResult, second: TrialResult) -> TrialResult:
    """Scores of some images and of further ones; what else there is stays that of the first."""
    measures = {
        name: np.concatenate([scores, second.measures[name]])
        for name, scores in first.measures.items()
    }
    return replace(first, measures=measures)


def half_of(images: int) -> int:
    """After how many of the validation images baselines are looked at; 0 where it is too early."""
    half = images // 2
    return half if half >= FEWEST_IMAGES else 0


def clearly_behind(
    rule: Criteria,
    ranges: Mapping[str, float],
    nominee: TrialResult,
    baselines: Mapping[str, TrialResult],
    *,
    look: int,
    seed: int,
) -> frozenset[str]:
    """The baselines that need no further image. nominee: on more images than they, the same first.

    ranges: R by measure.
    """
    guards = [measure for measure in rule.measures if measure.name in rule.guards]
    objective, *others = (
        compare(measure, ranges, nominee, baselines) for measure in (rule.objective, *guards)
    )
    return dropped(objective, others, look=look, seed=seed)


def compare(
    measure: Measure,
    ranges: Mapping[str, float],
    nominee: TrialResult,
    others: Mapping[str, TrialResult],
) -> Compared:
    """What a statement needs of one measure. ranges: R by measure."""
    return Compared(
        measure.name,
        measure.title,
        measure.direction,
        ranges[measure.name],
        nominee.measures[measure.name],
        {name: result.measures[measure.name] for name, result in others.items()},
    )
