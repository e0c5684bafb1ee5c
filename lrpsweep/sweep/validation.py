"""After the search: the nominee and the literature on images that nobody was tuned on.

The nominee is the best trial on the search images, chosen before a validation image is read. It
and every published composite are scored on the validation images and compared image by image. The
next best trials are only looked at: all of these are also scored in the other orders and under a
second perturbation, since a low MoRF curve alone can be had by scattered masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrpsweep.results import Finalist, Recommendation, StudyResults, TrialRecord, TrialResult
from lrpsweep.study import EvaluationSpec
from lrpsweep.sweep.execution import Outcome, Task
from lrpsweep.sweep.statistics import compare, mean_interval, sentence, verdict

FINALISTS = 3
SECOND = {"default": "mean", "thesis": "uniform"}
"""By protocol, the perturbation that is compared with inpainting."""


class Tasks:
    """A fixed list of tasks as a source; outcomes by name."""

    def __init__(
        self, tasks: Mapping[str, Task], on_outcome: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self._waiting = [(name, dict(task)) for name, task in tasks.items()]
        self._names: dict[int, tuple[Task, str]] = {}
        self._on_outcome = on_outcome
        self.outcomes: dict[str, Outcome] = {}

    @property
    def finished(self) -> bool:
        """As `Source.finished`."""
        return not self._waiting and not self._names

    def next(self) -> Task | None:
        """As `Source.next`."""
        if not self._waiting:
            return None
        name, task = self._waiting.pop(0)
        self._names[id(task)] = (task, name)
        return task

    def done(self, task: Task, outcome: Outcome) -> None:
        """As `Source.done`."""
        self.outcomes[self._names.pop(id(task))[1]] = outcome
        self._on_outcome(outcome)


@dataclass(frozen=True)
class Measure:
    """One number about a composite. name: its heading; objective, perturbation: how to get it."""

    name: str
    objective: str
    perturbation: str | None = None


def measures(objective: str, evaluation: EvaluationSpec) -> tuple[Measure, ...]:
    """The objective first, then what else is looked at."""
    orders = dict.fromkeys((objective, "auc_morf", "auc_lerf"))
    second = "telea" if evaluation.perturbation != "telea" else SECOND[evaluation.protocol]
    return (
        *(Measure(name, name) for name in orders),
        Measure(f"{objective} ({second})", objective, second),
    )


RANDOM = Measure("auc_random", "auc_random")


@dataclass(frozen=True)
class Candidate:
    """A composite to look at on the validation images: a trial's (by number), or a preset."""

    label: str
    number: int | None
    values: Mapping[str, Any]
    preset: str | None = None

    def task(self, measure: Measure) -> Task:
        """What a worker is to do for one measure."""
        return {
            "values": dict(self.values),
            "preset": self.preset,
            "split": "validation",
            "objective": measure.objective,
            "perturbation": measure.perturbation,
        }


class Validation:
    """What has to be measured for a recommendation, and the recommendation from the outcomes."""

    def __init__(
        self, results: StudyResults, baselines: Sequence[str], evaluation: EvaluationSpec
    ) -> None:
        self._direction = results.direction
        self._sign = 1 if results.direction == "minimize" else -1
        self._seed = evaluation.seed
        self._measures = measures(results.objective, evaluation)
        finalists = [trial for trial in results.ranked() if trial.same_as is None][:FINALISTS]
        self._best = finalists[0]
        self._nominee = _candidate(self._best)
        self._baselines = [Candidate(name, None, {}, preset=name) for name in baselines]
        self._all = (*map(_candidate, finalists), *self._baselines)

    @staticmethod
    def count(objective: str, evaluation: EvaluationSpec, baselines: int, trials: int) -> int:
        """How many tasks a validation will have, before the search says which."""
        each = len(measures(objective, evaluation))
        return (min(FINALISTS, trials) + baselines) * each + 1

    def tasks(self) -> dict[str, Task]:
        """All tasks by name. The random order knows no heatmap: once is enough."""
        wanted = {
            _name(candidate, measure): candidate.task(measure)
            for candidate in self._all
            for measure in self._measures
        }
        return wanted | {_name(self._nominee, RANDOM): self._nominee.task(RANDOM)}

    def missing(self, outcomes: Mapping[str, Outcome]) -> list[str]:
        """The baselines without a score of the objective."""
        objective = self._measures[0]
        return [b.label for b in self._baselines if _scores(outcomes[_name(b, objective)]) is None]

    def recommend(self, outcomes: Mapping[str, Outcome], looks: int = 1) -> Recommendation:
        """The comparison and what may be said. Raises ValueError when the nominee failed.

        looks: how often these images have judged a nominee of this study, this time included.
        """
        objective = self._measures[0]
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
            finalists=tuple(self._finalist(candidate, found) for candidate in self._all),
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

    def _finalist(self, candidate: Candidate, found: Mapping[str, np.ndarray | None]) -> Finalist:
        scores = {
            measure.name: float(np.mean(values))
            for measure in self._measures
            if (values := found[_name(candidate, measure)]) is not None
        }
        if {"auc_morf", "auc_lerf"} <= scores.keys():
            scores["srg"] = scores["auc_lerf"] - scores["auc_morf"]
        random = found[_name(self._nominee, RANDOM)]
        if random is not None:
            scores["auc_random"] = float(np.mean(random))
        return Finalist(candidate.label, candidate.number, candidate.values, scores)

    def _doubts(self, found: Recommendation) -> Iterator[str]:
        """What speaks against the nominee beside the random order and the literature."""
        scores = {finalist.label: finalist.scores for finalist in found.finalists}
        ours = scores[self._nominee.label]
        theirs = {b.label: scores[b.label] for b in self._baselines}
        yield from self._no_better_than_random(ours)
        gains = {name: other["srg"] for name, other in theirs.items() if "srg" in other}
        name = max(gains, key=gains.__getitem__, default="")
        if name and "srg" in ours and ours["srg"] < gains[name]:
            yield f"SRG (LeRF − MoRF) is {ours['srg']:.3g}, below the {gains[name]:.3g} of {name}."
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
        """For SRG, the control is 0: a random order has the same curve from both ends."""
        objective = self._measures[0].name
        control = 0.0 if objective == "srg" else ours.get("auc_random")
        if control is not None and self._sign * (control - ours[objective]) <= 0:
            yield (
                f"{objective} is {ours[objective]:.3g}, no better than the {control:.3g} of a "
                "random order."
            )

    def _flips(
        self, ours: Mapping[str, float], theirs: Mapping[str, float], name: str
    ) -> Iterator[str]:
        """Whether the second perturbation sees the two the other way round."""
        objective, second = self._measures[0].name, self._measures[-1].name
        if second in ours and second in theirs:
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


def _candidate(trial: TrialRecord) -> Candidate:
    published = f" ({trial.literature})" if trial.literature else ""
    return Candidate(f"trial {trial.number}{published}", trial.number, trial.values)


def _name(candidate: Candidate, measure: Measure) -> str:
    return f"{candidate.label}: {measure.name}"


def _scores(outcome: Outcome) -> np.ndarray | None:
    """Scores per image (N,), or None when there are none or they are not all finite."""
    if outcome.result is None:
        return None
    scores = TrialResult.from_json(outcome.result).scores
    return scores if np.isfinite(scores).all() else None
