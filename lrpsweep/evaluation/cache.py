"""Scores of perturbed states that were scored before: most composites perturb many of the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_SCORES = 2**20
"""A few hundred bytes each: some 200 MB when it is full."""


class ScoreCache:
    """Scores by a digest of all that makes them; the least recently used are dropped."""

    def __init__(self, most: int = MOST_SCORES) -> None:
        """most: how many are kept."""
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        """How many are kept now."""
        return len(self._scores)

    def get(self, key: bytes) -> float | None:
        """The score of that key, which counts as used; None if it is not kept."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: bytes, score: float) -> None:
        """Keeps a score that is not kept yet."""
        self._scores[key] = score
        if len(self._scores) > self._most:
            self._scores.popitem(last=False)


@dataclass(frozen=True)
class Known:
    """A cache and the keys of a series' states in it, image after image: equal for equal states."""

    cache: ScoreCache
    keys: Sequence[bytes]

    def look_up(self) -> tuple[dict[bytes, float], list[int]]:
        """The scores that are kept, by key, and the first row of every key that has none."""
        found: dict[bytes, float] = {}
        missing: dict[bytes, int] = {}
        for row, key in enumerate(self.keys):
            if key in found or key in missing:
                continue
            score = self.cache.get(key)
            if score is None:
                missing[key] = row
            else:
                found[key] = score
        return found, list(missing.values())

    def complete(
        self, found: dict[bytes, float], rows: Sequence[int], fresh: np.ndarray
    ) -> np.ndarray:
        """The scores of all states, (rows of the series,); the fresh ones, of `rows`, are kept."""
        for row, score in zip(rows, fresh.tolist(), strict=True):
            found[self.keys[row]] = score
            self.cache.put(self.keys[row], score)
        return np.array([found[key] for key in self.keys])
