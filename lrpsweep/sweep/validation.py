"""After the search: the nominee and the literature on images that nobody was tuned on.

The nominee is the best trial on the search images, chosen before a validation image is read. It
and every published composite are scored on the validation images and compared image by image. The
next best trials are only looked at: all of these are also scored in the other orders and under a
second perturbation, since a low MoRF curve alone can be had by scattered masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lrpsweep.evaluation import MEASURES, PROTOCOLS, Evidence, Measure
from lrpsweep.evaluation.measures.curves import AUC_RANDOM
from lrpsweep.results import (
    Candidate,
    Finalist,
    Recommendation,
    StudyResults,
    TrialRecord,
    TrialResult,
)
from lrpsweep.study import EvaluationSpec
from lrpsweep.sweep.execution import Job, Outcome
from lrpsweep.sweep.statistics import compare, mean_interval, sentence, verdict

FINALISTS = 3
CONTROL = AUC_RANDOM
"""What no heatmap changes: a nominee that is no better has found nothing."""


class JobList:
    """A fixed list of tasks as a source; outcomes by name."""

    def __init__(
        self, tasks: Mapping[str, Job], on_outcome: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self._waiting = [(name, dict(task)) for name, task in tasks.items()]
        self._names: dict[int, tuple[Job, str]] = {}
        self._on_outcome = on_outcome
        self.outcomes: dict[str, Outcome] = {}

    @property
    def finished(self) -> bool:
        """As `JobSource.finished`."""
        return not self._waiting and not self._names

    def next(self) -> Job | None:
        """As `JobSource.next`."""
        if not self._waiting:
            return None
        name, task = self._waiting.pop(0)
        self._names[id(task)] = (task, name)
        return task

    def done(self, task: Job, outcome: Outcome) -> None:
        """As `JobSource.done`."""
        self.outcomes[self._names.pop(id(task))[1]] = outcome
        self._on_outcome(outcome)


@dataclass(frozen=True)
class Measurement:
    """A measure taken on the validation images, with the study's perturbation or another one."""

    measure: Measure
    perturbation: str | None = None

    @property
    def name(self) -> str:
        """Its heading."""
        other = f" ({self.perturbation})" if self.perturbation else ""
        return f"{self.measure.name}{other}"


RANDOM_ORDER = Measurement(CONTROL)


def measurements(objective: str, evaluation: EvaluationSpec) -> tuple[Measurement, ...]:
    """The objective first, then what else is looked at, and last a second perturbation."""
    first = MEASURES[objective]
    sides = (m for m in MEASURES.values() if m.side and len(m.needs.orders) == 1)
    found = [Measurement(measure) for measure in dict.fromkeys((first, *sides))]
    if first.needs.orders:
        protocol = PROTOCOLS[evaluation.protocol]
        found.append(Measurement(first, protocol.other_perturbation(evaluation.perturbation)))
    return tuple(found)


def composed() -> tuple[Measure, ...]:
    """The measures made of others that are looked at: of the areas of several orders."""
    return tuple(m for m in MEASURES.values() if m.side and len(m.needs.orders) > 1)


@dataclass(frozen=True)
class Contender:
    """A candidate on the validation images: a trial's (by number), or a baseline."""

    label: str
    number: int | None
    values: Mapping[str, Any]
    candidate: Candidate

    def job(self, measurement: Measurement) -> Job:
        """What a worker is to do for one measurement."""
        return {
            "candidate": asdict(self.candidate),
            "split": "validation",
            "objectives": [measurement.measure.name],
            "perturbation": measurement.perturbation,
        }


class Validation:
    """What has to be measured for a recommendation, and the recommendation from the outcomes."""

    def __init__(
        self,
        results: StudyResults,
        method: str,
        baselines: Mapping[str, Candidate],
        evaluation: EvaluationSpec,
    ) -> None:
        """method: that of the trials."""
        self._direction = results.direction
        self._sign = 1 if results.direction == "minimize" else -1
        self._seed = evaluation.seed
        self._measurements = measurements(results.objective, evaluation)
        finalists = [trial for trial in results.ranked() if trial.same_as is None][:FINALISTS]
        self._best = finalists[0]
        trials = [_contender(trial, method) for trial in finalists]
        self._nominee = trials[0]
        self._baselines = [Contender(name, None, {}, one) for name, one in baselines.items()]
        self._all = (*trials, *self._baselines)

    @staticmethod
    def count(objective: str, evaluation: EvaluationSpec, baselines: int, trials: int) -> int:
        """How many tasks a validation will have, before the search says which."""
        each = len(measurements(objective, evaluation))
        return (min(FINALISTS, trials) + baselines) * each + 1

    def jobs(self) -> dict[str, Job]:
        """All tasks by name. The random order knows no heatmap: once is enough."""
        wanted = {
            _name(contender, measurement): contender.job(measurement)
            for contender in self._all
            for measurement in self._measurements
        }
        return wanted | {_name(self._nominee, RANDOM_ORDER): self._nominee.job(RANDOM_ORDER)}

    def missing(self, outcomes: Mapping[str, Outcome]) -> list[str]:
        """The baselines without a score of the objective."""
        objective = self._measurements[0]
        return [b.label for b in self._baselines if _scores(outcomes[_name(b, objective)]) is None]

    def recommend(self, outcomes: Mapping[str, Outcome], looks: int = 1) -> Recommendation:
        """The comparison and what may be said. Raises ValueError when the nominee failed.

        looks: how often these images have judged a nominee of this study, this time included.
        """
        objective = self._measurements[0]
        found = {name: _scores(outcome) for name, outcome in outcomes.items()}
        nominee = found[_name(self._nominee, objective)]
        if nominee is None:
            reason = outcomes[_name(self._nominee, objective)].reason or "not a finite score"
            raise ValueError(f"{self._nominee.label} failed on the validation images: {reason}")
        scored = {b.label: found[_name(b, objective)] for b in self._baselines}
        compared = {name: scores for name, scores in scored.items() if scores is not None}
        missing = self.missing(outcomes)
        comparisons = compare(nominee, compared, self._direction, self._seed)
        interval = mean_interval(nominee, self._seed)
        recommendation = Recommendation(
            number=self._nominee.number or 0,
            values=self._nominee.values,
            validation_images=len(nominee),
            mean=interval.mean,
            low=interval.low,
            high=interval.high,
            comparisons=comparisons,
            verdict=verdict(comparisons, len(nominee)),
            sentence=sentence(comparisons, len(nominee), self._direction),
            finalists=tuple(self._finalist(contender, found) for contender in self._all),
        )
        warnings = [f"{name} could not be scored, so it was not compared." for name in missing]
        warnings += self._doubts(recommendation)
        warnings += self._conservation()
        if looks > 1:
            warnings.append(
                f"These validation images have been looked at {looks} times; each look at a study "
                "that grew makes 'better' likelier by chance than its p-values say."
            )
        return _without(replace(recommendation, warnings=tuple(warnings)), missing)

    def _finalist(self, contender: Contender, found: Mapping[str, np.ndarray | None]) -> Finalist:
        measured = {m.name: found[_name(contender, m)] for m in self._measurements}
        scores = {name: float(np.mean(v)) for name, v in measured.items() if v is not None}
        for measure in composed():
            areas = _areas(measure, scores)
            if areas is not None:
                scores[measure.name] = float(measure.score(areas)[0])
        random = found[_name(self._nominee, RANDOM_ORDER)]
        if random is not None:
            scores[CONTROL.name] = float(np.mean(random))
        return Finalist(contender.label, contender.number, contender.values, scores)

    def _doubts(self, found: Recommendation) -> Iterator[str]:
        """What speaks against the nominee beside the random order and the literature."""
        scores = {finalist.label: finalist.scores for finalist in found.finalists}
        ours = scores[self._nominee.label]
        theirs = {b.label: scores[b.label] for b in self._baselines}
        yield from self._no_better_than_random(ours)
        for measure in composed():
            yield from _behind(measure, ours, theirs)
        if found.comparisons:
            name = min(found.comparisons, key=lambda c: self._sign * c.mean).baseline
            yield from self._flips(ours, theirs[name], name)

    def _conservation(self) -> Iterator[str]:
        """What speaks against the nominee whatever its scores."""
        if self._best.exceeded:
            beyond = " and ".join(self._best.exceeded)
            yield f"No trial keeps all constraints; the nominee exceeds that of {beyond}."
        assert self._best.result is not None
        if self._best.result.unstable:
            yield f"The nominee's explanations are unstable: {self._best.result.unstable}."

    def _no_better_than_random(self, ours: Mapping[str, float]) -> Iterator[str]:
        """Against what a random order gives: known, or measured; of heatmaps alone, nothing."""
        objective = self._measurements[0].measure
        control = objective.chance
        if control is None and objective.needs.orders:
            control = ours.get(CONTROL.name)
        if control is not None and self._sign * (control - ours[objective.name]) <= 0:
            yield (
                f"{objective.name} is {ours[objective.name]:.3g}, no better than the "
                f"{control:.3g} of a random order."
            )

    def _flips(
        self, ours: Mapping[str, float], theirs: Mapping[str, float], name: str
    ) -> Iterator[str]:
        """Whether the second perturbation sees the two the other way round."""
        objective, second = self._measurements[0].name, self._measurements[-1].name
        if self._measurements[-1].perturbation and second in ours and second in theirs:
            ahead = self._sign * (theirs[objective] - ours[objective]) > 0
            still = self._sign * (theirs[second] - ours[second]) > 0
            if ahead and not still:
                yield f"Measured as {second}, {name} is ahead: the ranking flips."


def _without(found: Recommendation, missing: Sequence[str]) -> Recommendation:
    """Better than every one of the literature needs every one of it."""
    if not missing or found.verdict != "better":
        return found
    text = f"Not decided: {', '.join(missing)} could not be scored on the validation images."
    return replace(found, verdict="not decided", sentence=text)


def _areas(measure: Measure, scores: Mapping[str, float]) -> Evidence | None:
    """The mean areas that the measure is made of, from the scores of one order each."""
    single = {
        m.needs.orders[0]: np.array([scores[m.name]])
        for m in MEASURES.values()
        if m.side and len(m.needs.orders) == 1 and m.name in scores
    }
    if not set(measure.needs.orders) <= single.keys():
        return None
    return Evidence(curves=single, area=lambda area: area)


def _behind(
    measure: Measure, ours: Mapping[str, float], theirs: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    """Whether a baseline is ahead by a measure beside the objective."""
    others = {b: measure.sign * s[measure.name] for b, s in theirs.items() if measure.name in s}
    name = min(others, key=others.__getitem__, default="")
    if name and measure.name in ours and measure.sign * ours[measure.name] > others[name]:
        side = "above" if measure.direction == "minimize" else "below"
        yield (
            f"{measure.title} ({measure.formula}) is {ours[measure.name]:.3g}, {side} the "
            f"{theirs[name][measure.name]:.3g} of {name}."
        )


def _contender(trial: TrialRecord, method: str) -> Contender:
    published = f" ({trial.literature})" if trial.literature else ""
    candidate = Candidate(method, {"values": dict(trial.values)})
    return Contender(f"trial {trial.number}{published}", trial.number, trial.values, candidate)


def _name(contender: Contender, measurement: Measurement) -> str:
    return f"{contender.label}: {measurement.name}"


def _scores(outcome: Outcome) -> np.ndarray | None:
    """Scores per image (N,), or None when there are none or they are not all finite."""
    if outcome.result is None:
        return None
    scores = TrialResult.from_json(outcome.result).scores
    return scores if np.isfinite(scores).all() else None
