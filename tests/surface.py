"""The stored scores of a whole grid, as ballots of any of its candidates on any of its images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lrpsweep.results import Contender
from lrpsweep.sweep.nomination import Ballot

FOLDER = Path(__file__).with_name("surfaces")
NAMES = ("embedded", "squeezenet", "resnet20")


@dataclass(frozen=True)
class Surface:
    """C candidates on the N images of a pool: first the trials of a grid, then the published.

    scores: (C, N) by measure. random: (N,) by measure, of a random order. barred: why, if so.
    """

    contenders: tuple[Contender, ...]
    scores: dict[str, np.ndarray]
    random: dict[str, np.ndarray]
    barred: tuple[tuple[str, ...], ...]

    @property
    def images(self) -> int:
        """N."""
        return len(self.random["srg"])

    @property
    def trials(self) -> np.ndarray:
        """Rows of the grid."""
        return np.array([row for row, one in enumerate(self.contenders) if one.number is not None])

    @property
    def published(self) -> np.ndarray:
        """Rows of the published composites."""
        return np.array([row for row, one in enumerate(self.contenders) if one.number is None])

    def ballot(self, images: np.ndarray, rows: Sequence[int] | np.ndarray | None = None) -> Ballot:
        """These candidates (all without `rows`) on these images, of which some may be repeated."""
        chosen = np.arange(len(self.contenders)) if rows is None else np.asarray(rows)
        return Ballot(
            tuple(self.contenders[row] for row in chosen),
            {name: scores[np.ix_(chosen, images)] for name, scores in self.scores.items()},
            {name: scores[images] for name, scores in self.random.items()},
            tuple(self.barred[row] for row in chosen),
        )


def load(name: str) -> Surface:
    """A surface of this folder, in float64."""
    with np.load(FOLDER / f"{name}.npz") as stored:
        values = [json.loads(text) for text in stored["values"]]
        published = [str(preset) for preset in stored["published"]]
        morf, lerf, random = (stored[key].astype(float) for key in ("morf", "lerf", "random"))
        unstable = stored["unstable"]
    trials = [Contender(f"trial {number}", number, one) for number, one in enumerate(values)]
    return Surface(
        (*trials, *(Contender(name, published=name) for name in published)),
        {"auc_morf": morf, "auc_lerf": lerf, "srg": lerf - morf},
        {"auc_morf": random, "auc_lerf": random, "srg": np.zeros_like(random)},
        tuple(("unstable",) if found else () for found in unstable),
    )
