"""After the search: who is nominated, and what may be said of it on images nobody was tuned on.

Four steps, each of which only reads what the one before has left. The literature is scored on the
search images, so that candidates are trials and published composites alike. The finalists are
scored on the selection images, and the nominee is chosen (`nomination`). Nominee, baselines and
what is used today are scored on the validation images, and one statement is made (`statement`).
Last, the nominee and the strongest baseline are looked at under a second perturbation. With several
objectives there is the first step alone, and a Pareto front from which people choose (`front`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from lrpsweep.errors import WorkError
from lrpsweep.evaluation import MEASURES, PROTOCOLS, Measure
from lrpsweep.results import (
    RANDOM_ORDER,
    Candidate,
    Contender,
    Finalist,
    Nomination,
    Recommendation,
    StudyResults,
    TrialRecord,
    TrialResult,
    contender,
)
from lrpsweep.study import StudySpec
from lrpsweep.sweep.dropping import Scored, clearly_behind, compare, half_of
from lrpsweep.sweep.front import find_front
from lrpsweep.sweep.nomination import ENDS, EXCEEDS, FINALISTS, Ballot, Criteria, nominate, rule_of
from lrpsweep.sweep.preparation import steps_of
from lrpsweep.sweep.scoring import Scoring, ScoringList, Steps, control_of
from lrpsweep.sweep.search import Stage, StageWatch
from lrpsweep.sweep.shortlist import SEASONED, rounds, settled
from lrpsweep.sweep.statement import Compared, Statement, power_sentence, state, state_current
from lrpsweep.sweep.statistics import FEWEST_IMAGES, level_of, mean_interval
from lrpsweep.sweep.storage import Store, exceeded

CURRENT = "current"
"""The label of what is used today, where it is none of the baselines."""


@dataclass(frozen=True)
class Proof:
    """What a nominee is chosen from and tested against.

    method: that of trials. parts: by part of the images, what each image is, with its target.
    baselines: by name; those of `method` are candidates too. current: what is used today, by its
    name, if the study says so. meaning: equal for candidates that explain this network alike.
    validated: (id, hash) of the validation images.
    """

    method: str
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baselines: Mapping[str, Candidate] = field(default_factory=dict)
    current: tuple[str, Candidate] | None = None
    meaning: Callable[[Candidate], Hashable] = repr
    validated: tuple[tuple[str, str], ...] = ()

    def alike(self, candidate: Candidate) -> tuple[str, ...]:
        """The baselines that explain this network as the candidate does."""
        meaning = self.meaning(candidate)
        return tuple(name for name, own in self._meanings.items() if own == meaning)

    @cached_property
    def _meanings(self) -> dict[str, Hashable]:
        return {name: self.meaning(one) for name, one in self.baselines.items()}

    def images(self, part: str) -> tuple[str, ...]:
        """What each image of the part is."""
        return self.parts.get(part, ())

    def digest(self, *more: Any) -> str:
        """Equal for the same images, baselines and current composite, and whatever else is said."""
        baselines = {name: asdict(one) for name, one in self.baselines.items()}
        current = self.current and (self.current[0], asdict(self.current[1]))
        text = json.dumps([self.images("validation"), baselines, current, *more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Conclusion:
    """What is left to do for a recommendation when the search is over.

    failed: whether anything could not be scored, so that it is worth another try.
    """

    def __init__(self, store: Store, spec: StudySpec, proof: Proof, watch: StageWatch) -> None:
        self._store = store
        self._spec = spec
        self._proof = proof
        self._watch = watch
        self._rule = rule_of(spec)
        self._seed = spec.evaluation.seed
        self._steps = steps_of(store)
        self.failed = False

    def stages(self, results: StudyResults, say: Callable[[str], None]) -> Steps[None]:
        """The jobs of one step after another; what comes of them is stored. say: for people.

        Raises WorkError when the nominee cannot be scored on the validation images.
        """
        yield from self._concluded(results, say)
        self._store.set("concluding", None)

    def _concluded(self, results: StudyResults, say: Callable[[str], None]) -> Steps[None]:
        looked_at = ballot = yield from self._on_search_images(results)
        if self._rule.further:
            self._store.set("front", asdict(find_front(ballot, self._rule, results.name)))
            return
        if self._steps:
            ballot = yield from self._in_full(looked_at)
        nomination = yield from self._nominated(ballot, results, looked_at.contenders)
        self._store.set("nomination", asdict(nomination))
        if nomination.nominee is None:
            say(nomination.sentence)
            self._store.set("recommendation", None)
            return
        if self._proof.images("validation"):
            said = self._power(looked_at, nomination)
            if said:
                say(f"Validation: {said}")
            yield from self._on_validation_images(results, nomination)

    # On the search images.

    def _on_search_images(self, results: StudyResults) -> Steps[Ballot]:
        """The candidates: trials, and the published composites that no trial is."""
        trials = [(self._known_as(one), trial) for one, trial in _distinct(results)]
        there = {name for one, _ in trials for name in self._proof.alike(self._candidate(one))}
        there |= {one.published for one, _ in trials if one.published}
        others = {n: c for n, c in self._literature().items() if n not in there}
        anyone = self._candidate(trials[0][0])
        steps = self._steps
        jobs = [self._scoring(_named(n), c, "search", steps) for n, c in others.items()]
        jobs += self._control(anyone, "search", steps)
        done = yield from self._scored("literature", jobs)
        _check_control(done, "search")
        self._store.set("literature", {name: _key(jobs, name) for name in (*others, RANDOM_ORDER)})
        found = [(one, trial.result) for one, trial in trials if trial.result is not None]
        found += [(_named(n), done.results[n]) for n in others if n in done.results]
        barred = [self._barred(result, trials) for _, result in found]
        return _ballot(self._rule, found, barred, done.results.get(RANDOM_ORDER))

    def _in_full(self, ballot: Ballot) -> Steps[Ballot]:
        """The candidates that are worth it, on all states: five, and five more while the best is
        one of the newest: where some states mislead, that is paid for with further candidates."""
        chosen: list[int] = []
        for rows in rounds(ballot, self._rule):
            chosen += rows
            newest = len(rows) if len(chosen) > len(rows) else max(0, len(rows) - SEASONED)
            full = yield from self._scored_in_full(ballot, chosen)
            if settled(full, self._rule, newest):
                break
        return full

    def _scored_in_full(self, ballot: Ballot, chosen: Sequence[int]) -> Steps[Ballot]:
        """These candidates, in this order, without those that cannot be scored."""
        ones = [ballot.contenders[row] for row in chosen]
        jobs = [self._scoring(one, self._candidate(one), "search") for one in ones]
        jobs += self._control(self._candidate(ones[0]), "search")
        done = yield from self._scored("finalists", jobs)
        _check_control(done, "search")
        self._store.set("full", {one.label: _key(jobs, one.label) for one in ones})
        there = [row for row, one in zip(chosen, ones, strict=True) if one.label in done.results]
        found = [
            (ballot.contenders[row], done.results[ballot.contenders[row].label]) for row in there
        ]
        if not found:
            why = next(iter(done.failed.values()))
            raise WorkError(f"no finalist could be scored on all states: {why}")
        barred = [ballot.barred[row] for row in there]
        return _ballot(self._rule, found, barred, done.results.get(RANDOM_ORDER))

    def _known_as(self, one: Contender) -> Contender:
        """The trial with the name of the published composite that it is, if it is one."""
        alike = self._proof.alike(self._candidate(one)) if self._spec.version > 1 else ()
        return replace(one, published=one.published or next(iter(alike), None))

    def _literature(self) -> dict[str, Candidate]:
        """The baselines that may be nominated; of version 1, none."""
        if self._spec.version == 1:
            return {}
        baselines, method = self._proof.baselines, self._proof.method
        return {name: one for name, one in baselines.items() if one.method == method}

    def _barred(
        self, result: TrialResult, trials: list[tuple[Contender, TrialRecord]]
    ) -> tuple[str, ...]:
        """What keeps a candidate from being nominated.

        In version 1, bounds bind only where some trial keeps them.
        """
        beyond = exceeded(result.excess(self._spec.constraints.bounds))
        if self._spec.version == 1 and all(trial.exceeded for _, trial in trials):
            beyond = ()
        return tuple(f"{EXCEEDS}{name}" for name in beyond) + self._unstable(result)

    def _unstable(self, result: TrialResult) -> tuple[str, ...]:
        floor = self._rule.floor and result.unstable
        return (f"unstable: {result.unstable}",) if floor else ()

    # On the selection images.

    def _nominated(
        self, ballot: Ballot, results: StudyResults, looked_at: Sequence[Contender]
    ) -> Steps[Nomination]:
        """The nominee; a finalist that cannot be scored on the selection images is barred.

        looked_at: all candidates, also those that the ballot has not.
        """
        while True:
            nomination = nominate(
                ballot, self._rule, results.axes, seed=self._seed, looked_at=looked_at
            )
            if not self._proof.images("selection") or len(nomination.finalists) < 2:
                return nomination
            finalists = [_contender(one) for one in nomination.finalists]
            done = yield from self._on_selection_images(finalists)
            if not done.failed:
                selected = self._selected(ballot, finalists, done)
                return nominate(ballot, self._rule, results.axes, selected, self._seed, looked_at)
            ballot = ballot.without(
                {
                    label: f"no score on a selection image: {why}"
                    for label, why in done.failed.items()
                }
            )

    def _on_selection_images(self, finalists: Sequence[Contender]) -> Steps[ScoringList]:
        candidates = [self._candidate(one) for one in finalists]
        jobs = [
            self._scoring(one, candidate, "selection")
            for one, candidate in zip(finalists, candidates, strict=True)
        ]
        jobs += self._control(candidates[0], "selection")
        done = yield from self._scored("selection", jobs)
        _check_control(done, "selection")
        return done

    def _selected(
        self, ballot: Ballot, finalists: Sequence[Contender], done: ScoringList
    ) -> Ballot:
        """The finalists, in their order, on the selection images."""
        barred = dict(zip((c.label for c in ballot.contenders), ballot.barred, strict=True))
        found = [(one, done.results[one.label]) for one in finalists]
        why = [barred[one.label] + self._unstable(result) for one, result in found]
        return _ballot(self._rule, found, why, done.results.get(RANDOM_ORDER))

    # On the validation images.

    def _on_validation_images(self, results: StudyResults, nomination: Nomination) -> Steps[None]:
        nominee = nomination.nominee
        assert nominee is not None
        candidate = self._candidate(nominee)
        own = {*self._proof.alike(candidate), nominee.published}
        baselines = {n: c for n, c in self._proof.baselines.items() if n not in own}
        current = self._current(candidate, nominee)
        jobs = [self._scoring(nominee, candidate, "validation")]
        jobs += [self._scoring(_named(n), c, "validation") for n, c in baselines.items()]
        if current == CURRENT:
            assert self._proof.current is not None
            jobs.append(self._scoring(Contender(CURRENT), self._proof.current[1], "validation"))
        jobs += self._control(candidate, "validation")
        self._store.set("validated images", self._proof.validated)
        # What is used today gets a sentence on all images.
        done = yield from self._dropping(jobs, baselines.keys() - {current}, nomination)
        if nominee.label in done.failed:
            raise WorkError(
                f"{nominee.label} failed on the validation images: {done.failed[nominee.label]}"
            )
        scored = {n: done.results[n] for n in baselines if n in done.results}
        strongest = _strongest(done.results[nominee.label], scored, self._rule.objective)
        images = len(scored[strongest].scores) if strongest else 0
        second = yield from self._under_second_perturbation(nominee, candidate, strongest, images)
        judged = _Conclusions(self._spec, self._rule, nomination, results, done, scored, second)
        looks = self._looks(nominee)
        found = judged.recommend(self._proof, current, len(looks), self._seed)
        if found.bounds and found.validation_images >= FEWEST_IMAGES:
            self._store.set("looks", looks)
        self._store.set("recommendation", asdict(found))

    def _dropping(
        self, jobs: list[Scoring], halved: Set[str], nomination: Nomination
    ) -> Steps[Scored]:
        """The scores of all jobs; with racing, some baselines' on the first half of the images.

        halved: the labels of those that half of the images may be enough for.
        """
        half = half_of(len(self._proof.images("validation"))) if self._spec.economy.racing else 0
        found = yield from self._scored(
            "validation",
            [_part(job, 0, half) if half and job.label in halved else job for job in jobs],
        )
        first, nominee = Scored(found.results, found.failed), nomination.nominee
        assert nominee is not None
        if not half or nominee.label in first.failed:
            return first
        there = {label: one for label, one in first.results.items() if label in halved}
        behind = clearly_behind(
            self._rule,
            nomination.ranges,
            first.results[nominee.label],
            there,
            look=len(self._looks(nominee)),
            seed=self._seed,
        )
        rest = [job for job in jobs if job.label in there and job.label not in behind]
        found = yield from self._scored(
            "validation", [_part(job, half, len(job.images)) for job in rest]
        )
        return first.then(Scored(found.results, found.failed))

    def _current(self, candidate: Candidate, nominee: Contender) -> str:
        """The label under which what is used today is scored; '' where nobody says what that is."""
        current = self._proof.current
        if current is None:
            return ""
        if self._proof.meaning(current[1]) == self._proof.meaning(candidate):
            return nominee.label
        return next(iter(self._proof.alike(current[1])), CURRENT)

    def _looks(self, nominee: Contender | None) -> list[str]:
        """The looks at the validation images, this one included."""
        this = self._proof.digest(nominee and nominee.label)
        return list(dict.fromkeys([*(self._store.get("looks") or ()), this]))

    def _under_second_perturbation(
        self, nominee: Contender, candidate: Candidate, strongest: str, images: int
    ) -> Steps[dict[str, float]]:
        """Mean scores of nominee and strongest baseline by label; none where that means nothing.

        strongest: '' where there is none. images: on how many that was scored.
        """
        objective = self._rule.objective
        if not strongest or not objective.needs.orders:
            return {}
        evaluation = self._spec.evaluation
        other = PROTOCOLS[evaluation.protocol].other_perturbation(evaluation.perturbation)
        both = (
            self._scoring(nominee, candidate, "validation"),
            self._scoring(_named(strongest), self._proof.baselines[strongest], "validation"),
        )
        jobs = [replace(one, measures=(objective.name,), perturbation=other) for one in both]
        if images < len(jobs[0].images):
            jobs = [_part(job, 0, images) for job in jobs]
        done = yield from self._scored("validation", jobs)
        return {label: result.value for label, result in done.results.items()}

    # What all of them share.

    def _scored(self, stage: Stage, jobs: list[Scoring]) -> Steps[ScoringList]:
        source = ScoringList(self._store, jobs)
        source.on_outcome = self._watch(stage, source.waiting)
        if not source.finished:
            self._store.set("concluding", {"stage": stage, "keys": [job.key for job in jobs]})
            yield source
        self.failed = self.failed or bool(source.failed)
        return source

    def _candidate(self, one: Contender) -> Candidate:
        if one.number is None:
            return self._proof.baselines[one.published or ""]
        return Candidate(self._proof.method, {"values": dict(one.values)})

    def _scoring(
        self, one: Contender, candidate: Candidate, split: str, steps: tuple[int, ...] = ()
    ) -> Scoring:
        measures = self._spec.recorded if self._spec.version > 1 else _sides(self._rule)
        images = self._proof.images(split)
        return Scoring(
            one.label, candidate, split, images, tuple(measures), one.number, steps=steps
        )

    def _control(self, anyone: Candidate, split: str, steps: tuple[int, ...] = ()) -> list[Scoring]:
        """A random order, once for each part of the images."""
        return control_of(self._scoring(Contender(RANDOM_ORDER), anyone, split, steps))

    def _power(self, ballot: Ballot, nomination: Nomination) -> str:
        """What the validation images can show, from what the search images have shown."""
        objective, nominee = self._rule.objective, nomination.nominee
        assert nominee is not None
        labels = [one.label for one in ballot.contenders]
        ours = labels.index(nominee.label)
        rivals = [
            row
            for row, one in enumerate(ballot.contenders)
            if row != ours and (one.published or self._spec.version == 1)
        ]
        scores = ballot.scores[objective.name]
        scale = ballot.count().ranges(self._rule)[objective.name]
        images, look = len(self._proof.images("validation")), len(self._looks(nominee))
        if not rivals or scale <= 0 or ballot.images < 2:
            return ""
        sigma = paired_deviation(objective.sign * scores[ours], objective.sign * scores[rivals])
        return power(100 * sigma / scale, images, look)


TYPICAL_DEVIATION = 15.0
"""Standard deviation over the images of the gain of one good composite on another, in per cent of
the range: 12, 15 and 20 on SqueezeNet 1.1, the embedded network and a ResNet-20."""


def power(sigma_percent: float, images: int, look: int = 1) -> str:
    """What so many validation images can show. sigma_percent: as `paired_deviation`, of R."""
    if images < FEWEST_IMAGES:
        return f"{images} validation images decide nothing; expected at least {FEWEST_IMAGES}."
    return power_sentence(sigma_percent, images, level_of(look))


def paired_deviation(nominee: np.ndarray, rivals: np.ndarray) -> float:
    """How much the gain on one of the stronger rivals differs between images: the median.

    nominee: scores (N,), at least 2; rivals: (C, N), low ones better; the better half counts.
    """
    order = np.argsort(rivals.mean(1), kind="stable")[: max(1, len(rivals) // 2)]
    return float(np.median(np.std(rivals[order] - nominee, axis=1, ddof=1)))


def _distinct(results: StudyResults) -> list[tuple[Contender, TrialRecord]]:
    """The trials that were computed, best first; one that repeats another lends it its name."""
    names = {t.same_as: t.literature for t in results.complete if t.literature}
    found = []
    for trial in results.ranked():
        if trial.same_as is None:
            one = contender(trial)
            published = one.published or names.get(trial.number)
            found.append((Contender(one.label, one.number, one.values, published), trial))
    return found


def _sides(rule: Criteria) -> tuple[str, ...]:
    """What a study of version 1 looks at on the validation images."""
    sides = (name for name, measure in MEASURES.items() if measure.side)
    return tuple(dict.fromkeys((rule.objective.name, *sides)))


def _key(jobs: list[Scoring], label: str) -> str | None:
    return next((job.key for job in jobs if job.label == label), None)


def _named(name: str) -> Contender:
    return Contender(name, published=name)


def _contender(one: Finalist) -> Contender:
    return Contender(one.label, one.number, one.values, one.published)


def _check_control(done: ScoringList, part: str) -> None:
    """Raises WorkError when there is no random order to compare with."""
    if RANDOM_ORDER in done.failed:
        reason = done.failed[RANDOM_ORDER]
        raise WorkError(f"a random order failed on the {part} images: {reason}")


def _ballot(
    rule: Criteria,
    found: Sequence[tuple[Contender, TrialResult]],
    barred: Sequence[tuple[str, ...]],
    random: TrialResult | None,
) -> Ballot:
    names = [measure.name for measure in rule.measures]
    return Ballot(
        tuple(one for one, _ in found),
        {name: np.stack([result.measures[name] for _, result in found]) for name in names},
        {n: random.measures[n] for n in names if random and n in random.measures},
        tuple(barred),
    )


def _part(job: Scoring, first: int, last: int) -> Scoring:
    """On some of its images."""
    return replace(job, images=job.images[first:last], rows=(first, last))


def _strongest(ours: TrialResult, others: Mapping[str, TrialResult], measure: Measure) -> str:
    """Which of them is best by the measure; '' of none.

    Beside the nominee on their own images: means over different images tell nothing.
    """
    ahead = {name: _means(ours, other, measure) for name, other in others.items()}
    return min(ahead, key=lambda n: measure.sign * (ahead[n][1] - ahead[n][0]), default="")


def _means(ours: TrialResult, other: TrialResult, measure: Measure) -> tuple[float, float]:
    """Mean scores of both on the other's images, which are the first of ours."""
    theirs = other.measures[measure.name]
    return float(ours.measures[measure.name][: len(theirs)].mean()), float(theirs.mean())


class _Conclusions:
    """The recommendation, from all that was scored on the validation images."""

    def __init__(
        self,
        spec: StudySpec,
        rule: Criteria,
        nomination: Nomination,
        results: StudyResults,
        done: Scored,
        baselines: Mapping[str, TrialResult],
        second: Mapping[str, float],
    ) -> None:
        """baselines: those that were scored. second: scores under another perturbation."""
        assert nomination.nominee is not None
        self._spec = spec
        self._rule = rule
        self._nomination = nomination
        self._nominee = nomination.nominee
        self._results = results
        self._done = done
        self._ours = done.results[self._nominee.label]
        self._baselines = baselines
        self._second = second

    def recommend(self, proof: Proof, current: str, look: int, seed: int) -> Recommendation:
        """The comparison and what may be said. current: the label of what is used today, or ''."""
        nominee, done = self._nominee, self._done
        found = self._complete(self._state(look, seed))
        interval = mean_interval(self._ours.scores, seed)
        return Recommendation(
            number=nominee.number,
            values=nominee.values,
            published=nominee.published,
            validation_images=len(self._ours.scores),
            mean=interval.mean,
            low=interval.low,
            high=interval.high,
            comparisons=found.comparisons,
            verdict=found.verdict,
            sentence=found.sentence,
            finalists=tuple(self._finalist(label) for label in done.results),
            warnings=tuple(self._warnings()),
            bounds=found.bounds,
            look=look,
            level=level_of(look),
            ahead=found.ahead,
            images_for_better=found.images_for_better,
            images_for_as_good=found.images_for_as_good,
            current=self._beside(proof, current, look, seed),
            images=tuple(mark.split()[0] for mark in proof.images("validation")),
            scores={
                label: {name: tuple(scores.tolist()) for name, scores in result.measures.items()}
                for label, result in done.results.items()
            },
        )

    def _state(self, look: int, seed: int) -> Statement:
        objective, *guards = (
            self._compared(measure, self._baselines)
            for measure in (self._rule.objective, *map(MEASURES.find, self._rule.guards))
        )
        return state(objective, guards, look=look, seed=seed, published=self._nominee.published)

    def _compared(self, measure: Measure, others: Mapping[str, TrialResult]) -> Compared:
        return compare(measure, self._nomination.ranges, self._ours, others)

    def _complete(self, found: Statement) -> Statement:
        """Nothing may be said of all baselines while one of them has no score."""
        missing = [label for label in self._done.failed if label not in (RANDOM_ORDER, CURRENT)]
        if not missing or found.verdict not in ("better", "better, but behind", "as good"):
            return found
        said = found.sentence[0].lower() + found.sentence[1:]
        text = f"Undecided: {', '.join(missing)} could not be scored. Of the others: {said}"
        return replace(found, verdict="undecided", sentence=text)

    def _beside(self, proof: Proof, label: str, look: int, seed: int) -> str:
        if proof.current is None:
            return ""
        name = proof.current[0]
        if label == self._nominee.label:
            return f"It is what you use today ({name})."
        result = self._done.results.get(label)
        if result is None:
            return f"What you use today ({name}) could not be scored."
        compared = self._compared(self._rule.objective, {name: result})
        return state_current(name, compared, look=look, seed=seed)

    def _finalist(self, label: str) -> Finalist:
        measured = self._done.results[label].measures
        scores = {name: float(np.mean(found)) for name, found in measured.items()}
        if label == self._nominee.label:
            one = self._nominee
            return Finalist(label, one.number, one.values, scores, one.published)
        published = label if label in self._baselines else None
        return Finalist(label, None, {}, scores, published)

    def _warnings(self) -> Iterator[str]:
        """What speaks against the nominee beside the statement."""
        for name, reason in self._done.failed.items():
            yield f"{name} could not be scored ({reason}), so it was not compared."
        yield from self._below_chance()
        for measure in self._undecided_measures():
            yield from self._behind(measure)
        yield from self._flips()
        yield from self._conservation()

    def _below_chance(self) -> Iterator[str]:
        """Where a random order does as well, on the validation images."""
        random = self._done.results.get(RANDOM_ORDER)
        if random is None:
            return
        for measure in dict.fromkeys((self._rule.objective, *ENDS)):
            if measure.name not in random.measures:
                continue
            ours = float(self._ours.measures[measure.name].mean())
            chance = float(random.measures[measure.name].mean())
            if measure.sign * (chance - ours) <= 0:
                yield (
                    f"{measure.title} is {ours:.3g} on the validation images, no better than the "
                    f"{chance:.3g} of a random order."
                )

    def _undecided_measures(self) -> Iterator[Measure]:
        """The measures made of several orders that neither decide nor guard."""
        decisive = {self._rule.objective.name, *self._rule.guards}
        for measure in MEASURES.values():
            if measure.side and len(measure.needs.orders) > 1 and measure.name not in decisive:
                yield measure

    def _behind(self, measure: Measure) -> Iterator[str]:
        """Whether a baseline is ahead by a measure beside the objective."""
        name = _strongest(self._ours, self._baselines, measure)
        if not name:
            return
        ours, theirs = _means(self._ours, self._baselines[name], measure)
        if measure.sign * (ours - theirs) > 0:
            side = "above" if measure.direction == "minimize" else "below"
            yield (
                f"{measure.title} ({measure.formula}) is {ours:.3g}, {side} the {theirs:.3g} of "
                f"{name}{self._where(name)}."
            )

    def _where(self, name: str) -> str:
        """' on the first 32 images' of a baseline that was not scored on more."""
        images = len(self._baselines[name].scores)
        return "" if images == len(self._ours.scores) else f" on the first {images} images"

    def _flips(self) -> Iterator[str]:
        """Whether the second perturbation sees nominee and strongest baseline the other way."""
        objective = self._rule.objective
        if len(self._second) < 2:
            return
        name = _strongest(self._ours, self._baselines, objective)
        ours, theirs = _means(self._ours, self._baselines[name], objective)
        ahead = objective.sign * (theirs - ours) > 0
        still = objective.sign * (self._second[name] - self._second[self._nominee.label]) > 0
        if ahead and not still:
            evaluation = self._spec.evaluation
            other = PROTOCOLS[evaluation.protocol].other_perturbation(evaluation.perturbation)
            yield (
                f"Measured as {objective.name} with perturbation {other}, {name} is ahead: the "
                "ranking flips."
            )

    def _conservation(self) -> Iterator[str]:
        """What speaks against the nominee whatever its scores."""
        searched = self._results.result_of(self._nominee)
        if searched is None:
            return
        beyond = " and ".join(exceeded(searched.excess(self._spec.constraints.bounds)))
        if beyond:
            yield f"No trial keeps all constraints; the nominee exceeds that of {beyond}."
        if searched.unstable:
            yield f"The nominee's explanations are unstable: {searched.unstable}."


def scorings_left(spec: StudySpec, proof: Proof, trials: int, whole: float = 1.0) -> float:
    """About how many trials' time the conclusion takes, before the search says who is nominated.

    whole: of how many trials' time a scoring on all states is.
    """
    if spec.version == 1 and not (proof.baselines and proof.images("validation")):
        return 0
    search = max(1, len(proof.images("search")))
    literature = len(proof.baselines) + 1 if spec.version > 1 else 1
    finalists = FINALISTS + 1 if whole > 1 else 0
    if len(spec.objectives) > 1:
        return literature
    selection = (FINALISTS + 1) * len(proof.images("selection")) / search
    validated = len(proof.images("validation")) / search
    later = finalists + selection + (min(1, trials) + len(proof.baselines) + 4) * validated
    return literature + whole * later
