"""Candidates scored on a part of the images: as jobs for workers, kept as they come.

What has a score in the database is not computed again: an interrupted run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import RANDOM_ORDER, Candidate, TrialResult
from lrpsweep.sweep.execution import Job, JobSource, Outcome
from lrpsweep.sweep.storage import Store

T = TypeVar("T")
Steps = Generator[JobSource, None, T]
"""Sources of jobs, one after the other, and what comes of them."""


@dataclass(frozen=True)
class Scoring:
    """What one candidate is scored by, on one part of the images.

    label: of the candidate. number: of its trial, if it is one: trials are known by that, others by
    their settings. images: what every image is that it is scored on, with its target. perturbation:
    another one than the study's. steps, coarse: of `lrpsweep.trial.context.Task`. rows: where the
    images are in the part, if they are not all of it.
    """

    label: str
    candidate: Candidate
    split: str
    images: tuple[str, ...]
    measures: tuple[str, ...]
    number: int | None = None
    perturbation: str | None = None
    steps: tuple[int, ...] = ()
    rows: tuple[int, int] | None = None
    coarse: bool = False

    @property
    def control(self) -> bool:
        """Whether it is a random order of patches."""
        return self.label == RANDOM_ORDER

    @property
    def job(self) -> Job:
        """As a worker gets it."""
        return {
            "candidate": asdict(self.candidate),
            "split": self.split,
            "objectives": list(self.measures),
            "perturbation": self.perturbation,
            "control": self.control,
            **self._narrowed,
        }

    @property
    def _narrowed(self) -> dict[str, Any]:
        """What is not looked at in full, as a worker is told."""
        return {
            **({"steps": list(self.steps)} if self.steps else {}),
            **({"rows": list(self.rows)} if self.rows else {}),
            **({"coarse": True} if self.coarse else {}),
        }

    @property
    def key(self) -> str:
        """Under which the database keeps the scores."""
        who: Any = asdict(self.candidate) if self.number is None else self.number
        what = [None if self.control else who, self.images, self.measures, self.perturbation]
        what += [self._narrowed] if self._narrowed else []
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return f"scores {self.split} {self.label[:60]} {digest[:16]}"


def control_of(job: Scoring) -> list[Scoring]:
    """A random order in the place of the job's candidate; none where no measure knows orders."""
    ordered = tuple(name for name in job.measures if MEASURES[name].needs.orders)
    control = replace(job, label=RANDOM_ORDER, measures=ordered, number=None)
    return [control] if ordered else []


class ScoringList:
    """Scorings as a source of jobs.

    results, failed: by label, what came of them, and reasons, in the order of the scorings,
    whichever worker was first. on_outcome: called after each.
    """

    def __init__(self, store: Store, scorings: Sequence[Scoring]) -> None:
        """Those that the database has are not handed out."""
        self._store = store
        self.on_outcome: Callable[[Outcome], None] = lambda _: None
        self._labels = [scoring.label for scoring in scorings]
        self._running: dict[int, tuple[Job, Scoring]] = {}
        self._results: dict[str, TrialResult] = {}
        self._failed: dict[str, str] = {}
        self._waiting = [scoring for scoring in scorings if not self._known(scoring)]

    @property
    def waiting(self) -> int:
        """How many are still to be handed out."""
        return len(self._waiting)

    @property
    def results(self) -> dict[str, TrialResult]:
        """The scores of those that have some."""
        return {label: self._results[label] for label in self._labels if label in self._results}

    @property
    def failed(self) -> dict[str, str]:
        """The reasons of those that have none."""
        return {label: self._failed[label] for label in self._labels if label in self._failed}

    def _known(self, scoring: Scoring) -> bool:
        stored = self._store.get(scoring.key)
        if stored is not None:
            self._results[scoring.label] = TrialResult.from_json(stored)
        return stored is not None

    @property
    def finished(self) -> bool:
        """As `JobSource.finished`."""
        return not self._waiting and not self._running

    def next(self) -> Job | None:
        """As `JobSource.next`."""
        if not self._waiting:
            return None
        scoring = self._waiting.pop(0)
        job = scoring.job
        self._running[id(job)] = (job, scoring)
        return job

    def done(self, task: Job, outcome: Outcome) -> None:
        """As `JobSource.done`: scores that are finite are kept."""
        scoring = self._running.pop(id(task))[1]
        result = outcome.result and TrialResult.from_json(outcome.result)
        if result and all(np.isfinite(scores).all() for scores in result.measures.values()):
            self._store.set(scoring.key, result.to_json() | {"label": scoring.label})
            self._results[scoring.label] = result
        else:
            self._failed[scoring.label] = outcome.reason or "not a finite score"
        self.on_outcome(outcome)
