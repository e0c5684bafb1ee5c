"""A trial that races the best one before it, and is stopped once it is clearly behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpsweep.evaluation.measures import MEASURES

FIRST_LOOK = 8
"""Images before the first look: from the fourth on, the best was lost in one race of thirty."""
STANDARD_ERRORS = 2.0
FEWEST_TRIALS = 3
"""By so many, other than the best, is seen whether first images mislead."""


def looks(images: int) -> tuple[int, ...]:
    """After how many images it is looked at: 8, 16, 32, … of more than those.

    >>> looks(64)
    (8, 16, 32)
    """
    found = []
    look = FIRST_LOOK
    while look < images:
        found.append(look)
        look *= 2
    return tuple(found)


def misleading(differences: np.ndarray) -> bool:
    """Whether the first images tell too little of all for a race.

    differences: (T, N), of complete trials from one of them, in the order in which images are
    looked at. From the first look, the mean over all is known with a standard error: it is too
    little where the trials miss it by more than two of these, by the root mean square.
    """
    first = differences[:, :FIRST_LOOK]
    if first.shape == differences.shape:
        return False
    left = 1 - first.shape[1] / differences.shape[1]
    errors = first.std(1, ddof=1) * math.sqrt(left / first.shape[1])
    missed = (differences.mean(1) - first.mean(1))[errors > 0] / errors[errors > 0]
    return bool(len(missed) >= FEWEST_TRIALS and np.mean(missed**2) > STANDARD_ERRORS**2)


@dataclass(frozen=True)
class Race:
    """What a trial races against; scores are (N,), of all the images in their order, by measure.

    incumbent: the scores of the best trial. allowed: by how much a trial may be behind it on
    average, in units of each measure. leaders: the scores of the best trial by each guard, which
    later trials are measured from: one that may be better than that is never stopped.
    """

    incumbent: Mapping[str, np.ndarray]
    allowed: Mapping[str, float]
    leaders: Mapping[str, np.ndarray]

    @property
    def images(self) -> int:
        """N."""
        return len(next(iter(self.incumbent.values())))

    def lost(self, scores: Mapping[str, np.ndarray]) -> bool:
        """Whether a trial with these scores (n,) of the first n images is behind.

        It is where by some measure its mean paired difference exceeds what is allowed by two
        standard errors, and by every guard it is as clearly behind the leader. The error is that of
        the mean over all N images: the fewer are left, the smaller.
        """
        behind = (
            _exceeds(name, scores[name], self.incumbent[name], most)
            for name, most in self.allowed.items()
        )
        return any(behind) and all(
            _exceeds(name, scores[name], leader, 0.0) for name, leader in self.leaders.items()
        )

    def estimate(self, measure: str, scores: np.ndarray) -> float:
        """The incumbent's mean plus the mean paired difference on the first images, (n,)."""
        theirs = self.incumbent[measure]
        return float(theirs.mean() + (scores - theirs[: len(scores)]).mean())

    def to_json(self) -> dict[str, Any]:
        """As a job carries it."""
        incumbent = {name: scores.tolist() for name, scores in self.incumbent.items()}
        leaders = {name: scores.tolist() for name, scores in self.leaders.items()}
        return {"incumbent": incumbent, "allowed": dict(self.allowed), "leaders": leaders}


def read_race(stored: Mapping[str, Any]) -> Race:
    """The inverse of `to_json`."""
    incumbent = {name: np.array(scores) for name, scores in stored["incumbent"].items()}
    leaders = {name: np.array(scores) for name, scores in stored["leaders"].items()}
    return Race(incumbent, stored["allowed"], leaders)


def _exceeds(measure: str, scores: np.ndarray, theirs: np.ndarray, most: float) -> bool:
    differences = MEASURES[measure].sign * (scores - theirs[: len(scores)])
    if len(differences) < 2:
        return False
    left = 1 - len(differences) / len(theirs)
    error = differences.std(ddof=1) * math.sqrt(left / len(differences))
    return bool(differences.mean() - most > STANDARD_ERRORS * error)
