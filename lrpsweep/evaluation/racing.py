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


@dataclass(frozen=True)
class Race:
    """What a trial races against.

    incumbent: the scores of the best trial, (N,), of all the images in their order, by measure.
    allowed: by how much a trial may be behind on average, in units of each measure.
    """

    incumbent: Mapping[str, np.ndarray]
    allowed: Mapping[str, float]

    @property
    def images(self) -> int:
        """N."""
        return len(next(iter(self.incumbent.values())))

    def lost(self, scores: Mapping[str, np.ndarray]) -> bool:
        """Whether a trial with these scores (n,) of the first n images is behind by a measure.

        It is where its mean paired difference exceeds what is allowed by two standard errors.
        """
        return any(
            _exceeds(MEASURES[name].sign * (scores[name] - self.incumbent[name][: len(ours)]), most)
            for name, most in self.allowed.items()
            if len(ours := scores[name]) > 1
        )

    def estimate(self, measure: str, scores: np.ndarray) -> float:
        """The incumbent's mean plus the mean paired difference on the first images, (n,)."""
        theirs = self.incumbent[measure]
        return float(theirs.mean() + (scores - theirs[: len(scores)]).mean())

    def to_json(self) -> dict[str, Any]:
        """As a job carries it."""
        incumbent = {name: scores.tolist() for name, scores in self.incumbent.items()}
        return {"incumbent": incumbent, "allowed": dict(self.allowed)}


def read_race(stored: Mapping[str, Any]) -> Race:
    """The inverse of `to_json`."""
    incumbent = {name: np.array(scores) for name, scores in stored["incumbent"].items()}
    return Race(incumbent, stored["allowed"])


def _exceeds(differences: np.ndarray, most: float) -> bool:
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    return bool(differences.mean() - most > STANDARD_ERRORS * error)
