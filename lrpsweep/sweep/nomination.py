"""Who is nominated: by the search images, then by the selection images, and by nothing else.

Candidates are trials and published composites alike. The best by the objective wins among those
that stay within the guards, of the best by other measures, and that keep the floor: better than a
random order from both ends, and stable. All of it is arithmetic on per-image scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lrpsweep.evaluation import MEASURES, Measure
from lrpsweep.evaluation.measures.curves import AUC_LERF, AUC_MORF
from lrpsweep.results import Axis, Contender, Finalist, Nomination, Stability
from lrpsweep.study import StudySpec

FINALISTS = 5
DRAWS = 200
EXCEEDS = "exceeds the constraint of "
"""How the reason begins that a candidate does not keep a bound of the study."""

ENDS = (AUC_MORF, AUC_LERF)
"""Most and least relevant first: a heatmap that means something beats a random order from both."""

REGION = 0.2
"""What counts as the same region of the space: at most this share of each axis away."""


@dataclass(frozen=True)
class Criteria:
    """How a study nominates.

    guards: by measure, by how much of its range, in per cent, the nominee may be behind the best.
    floor: whether a nominee has to beat a random order from both ends, and be stable. further:
    objectives beside the first; where there are some, nobody is nominated (see `front`).
    """

    objective: Measure
    guards: Mapping[str, float]
    floor: bool
    further: tuple[Measure, ...] = ()

    @property
    def objectives(self) -> tuple[Measure, ...]:
        """All of them."""
        return (self.objective, *self.further)

    @property
    def ends(self) -> tuple[Measure, ...]:
        """What has to beat a random order."""
        return ENDS if self.floor else ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All that it looks at, the objectives first."""
        return tuple(
            dict.fromkeys((*self.objectives, *map(MEASURES.find, self.guards), *self.ends))
        )


def rule_of(spec: StudySpec) -> Criteria:
    """How the study nominates."""
    objective, *further = (MEASURES[name] for name in spec.objectives)
    return Criteria(objective, dict(spec.guards), spec.floor, tuple(further))


@dataclass(frozen=True)
class Ballot:
    """C candidates on the same N images.

    scores: (C, N) by measure. random: (N,) by measure, of a random order; nothing for measures that
    know no order. barred: by candidate, what keeps it from being nominated whatever its scores.
    """

    contenders: tuple[Contender, ...]
    scores: Mapping[str, np.ndarray]
    random: Mapping[str, np.ndarray]
    barred: tuple[tuple[str, ...], ...]

    @property
    def images(self) -> int:
        """N."""
        return int(next(iter(self.scores.values())).shape[1])

    def count(self, weights: np.ndarray | None = None) -> Tally:
        """The means over the images, with the weights (N,) if there are some."""
        share = np.full(self.images, 1 / self.images) if weights is None else weights
        return Tally(
            {name: scores @ share for name, scores in self.scores.items()},
            {name: float(scores @ share) for name, scores in self.random.items()},
            np.array([bool(why) for why in self.barred]),
        )

    def without(self, barred: Mapping[str, str]) -> Ballot:
        """With some barred, too: by label, the reason."""
        more = [(barred[one.label],) if one.label in barred else () for one in self.contenders]
        whys = tuple(why + new for why, new in zip(self.barred, more, strict=True))
        return replace(self, barred=whys)

    def broken(self, criteria: Criteria) -> list[tuple[str, ...]]:
        """By candidate, what bars it and what it breaks of the floor, in words; () for most."""
        tally = self.count()
        return [(*why, *tally.below_floor(row, criteria)) for row, why in enumerate(self.barred)]


@dataclass(frozen=True)
class Tally:
    """Mean scores (C,) by measure, those of a random order, and which candidates are barred (C,)"""

    means: Mapping[str, np.ndarray]
    chance: Mapping[str, float]
    barred: np.ndarray

    def of(self, rows: Sequence[int]) -> Tally:
        """Some of the candidates."""
        chosen = list(rows)
        means = {name: scores[chosen] for name, scores in self.means.items()}
        return Tally(means, self.chance, self.barred[chosen])

    def behind(self, measure: Measure) -> np.ndarray:
        """The scores, low ones better whatever the measure, (C,)."""
        return measure.sign * self.means[measure.name]

    def gain_on_chance(self, measure: Measure) -> np.ndarray:
        """By how much each candidate beats a random order, (C,)."""
        return measure.sign * self.chance[measure.name] - self.behind(measure)

    def kept(self, criteria: Criteria) -> np.ndarray:
        """Which candidates keep the floor, (C,)."""
        kept = ~self.barred
        for measure in criteria.ends:
            kept = kept & (self.gain_on_chance(measure) > 0)
        return kept

    def below_floor(self, row: int, criteria: Criteria) -> Iterator[str]:
        """What a candidate breaks of the floor, in words."""
        for measure in criteria.ends:
            if self.gain_on_chance(measure)[row] <= 0:
                yield (
                    f"{measure.title} is {self.means[measure.name][row]:.3g}, no better than the "
                    f"{self.chance[measure.name]:.3g} of a random order"
                )

    def ranges(self, criteria: Criteria) -> dict[str, float]:
        """R by measure: by how much the best candidate that keeps the floor beats a random order.

        Where no candidate keeps it, of all. Of a measure that knows no order, the distance from the
        worst to the best.
        """
        kept = self.kept(criteria)
        rows = kept if kept.any() else np.ones_like(kept)
        return {
            measure.name: float(
                self.gain_on_chance(measure)[rows].max()
                if measure.name in self.chance
                else np.ptp(self.behind(measure)[rows])
            )
            for measure in criteria.measures
        }

    def order(self, criteria: Criteria, ranges: Mapping[str, float]) -> list[int]:
        """Rows of the candidates that keep floor and guards, best first; of equal ones, the first.

        A guard is measured from the best of those that keep the floor.
        """
        kept = within = self.kept(criteria)
        if not kept.any():
            return []
        for name, percent in criteria.guards.items():
            behind = self.behind(MEASURES.find(name))
            within = within & (behind - behind[kept].min() <= percent / 100 * max(ranges[name], 0))
        ranked = np.argsort(self.behind(criteria.objective), kind="stable")
        return [int(row) for row in ranked[within[ranked]]]


def nominate(
    ballot: Ballot,
    criteria: Criteria,
    axes: Sequence[Axis] = (),
    selected: Ballot | None = None,
    seed: int = 0,
    looked_at: Sequence[Contender] = (),
) -> Nomination:
    """The nominee among the candidates on the search images, and how it came about.

    selected: the finalists, in their order, on the selection images, if there are any; the best
    there that keeps guards and floor is the nominee. Where none does, or no candidate keeps all
    guards at once, the best published composite that keeps the floor on the search images; else
    nothing. looked_at: all candidates, if only the best of them are in the ballot.
    """
    tally, why = ballot.count(), ballot.broken(criteria)
    ranges = tally.ranges(criteria)
    places = tally.order(criteria, ranges)[:FINALISTS]
    published = [bool(one.published) for one in ballot.contenders]
    there = None if selected is None else (places, selected.count())
    chosen, how = _pick(tally, criteria, published, there)
    finalists = [_finalist(ballot, row, why[row]) for row in places]
    if selected is not None:
        again = selected.broken(criteria)
        finalists = [
            replace(one, selection=_means(selected, row), broken=again[row])
            for row, one in enumerate(finalists)
        ]
    return Nomination(
        nominee=None if chosen is None else ballot.contenders[chosen],
        sentence=_sentence(how, chosen, ballot, criteria, len(places), selected, looked_at),
        ranges=ranges,
        random={name: float(scores.mean()) for name, scores in ballot.random.items()},
        finalists=tuple(finalists),
        candidates=len(looked_at or ballot.contenders),
        broken={
            contender.label: found
            for contender, found in zip(ballot.contenders, why, strict=True)
            if found
        },
        stability=None
        if chosen is None
        else _stability(ballot, criteria, axes, chosen, selected, places, seed, looked_at),
        selection_images=0 if selected is None else selected.images,
    )


How = Literal["searched", "selected", "fallen back", "no guard kept", "nothing"]


def _pick(
    tally: Tally,
    criteria: Criteria,
    published: Sequence[bool],
    selected: tuple[Sequence[int], Tally] | None,
) -> tuple[int | None, How]:
    """The row of the nominee, and how it was found.

    published: by candidate. selected: rows that have scores on the selection images, and those.
    """
    ranges = tally.ranges(criteria)
    order = tally.order(criteria, ranges)
    finalists = order[:FINALISTS]
    if order and selected is None:
        return order[0], "searched"
    if order and selected is not None:
        rows, there = selected
        # Of images drawn again, others may be the finalists, which have no scores there.
        known = [row for row in rows if row in finalists] or list(rows)
        places = [rows.index(row) for row in known]
        best = there.of(places).order(criteria, ranges)
        if best:
            return known[best[0]], "selected"
    free = tally.order(replace(criteria, guards={}), ranges)
    rest = [row for row in free if published[row] and row not in finalists]
    if rest:
        return rest[0], "fallen back" if order else "no guard kept"
    return None, "fallen back" if order else "no guard kept" if free else "nothing"


def _sentence(
    how: How,
    chosen: int | None,
    ballot: Ballot,
    criteria: Criteria,
    finalists: int,
    selected: Ballot | None,
    looked_at: Sequence[Contender],
) -> str:
    """How the nominee came about, or why there is none."""
    title, images = criteria.objective.title, f"on {ballot.images} search images"
    names = [MEASURES[name].title for name in criteria.guards]
    guarded = f" among those within the guard of {' and '.join(names)}" if names else ""
    count = len(ballot.contenders)
    if len(looked_at) > count:
        guarded += f", {count} of them on all states,"
    best = f"best of {len(looked_at) or count} candidates by {title}{guarded}"
    if how == "searched":
        return f"The {best} {images}."
    if how == "selected":
        assert selected is not None
        among = f"Of the {finalists} {best} {images}, the best"
        return f"{among} on {selected.images} selection images."
    last = f"the best published composite by {title} that keeps the floor."
    if chosen is None:
        last = "nor is there another published composite that keeps it; nothing is recommended."
    if how == "fallen back":
        return f"None of the {finalists} {best} keeps the floor on the selection images: {last}"
    if how == "no guard kept":
        return f"No candidate is within all guards ({', '.join(names)}) at once {images}: {last}"
    return why_nothing(ballot, criteria)


def _means(ballot: Ballot, row: int) -> dict[str, float]:
    return {name: float(scores[row].mean()) for name, scores in ballot.scores.items()}


def _finalist(ballot: Ballot, row: int, why: tuple[str, ...]) -> Finalist:
    one = ballot.contenders[row]
    return Finalist(
        one.label, one.number, one.values, _means(ballot, row), one.published, broken=why
    )


def why_nothing(ballot: Ballot, criteria: Criteria) -> str:
    """Why no candidate keeps constraints and floor."""
    tally, objective, why = ballot.count(), criteria.objective, ballot.broken(criteria)
    if objective.name in tally.chance and tally.gain_on_chance(objective).max() <= 0:
        return (
            f"By {objective.title}, nothing is better than a random order: nothing is recommended."
        )
    beyond = sum(any(reason.startswith(EXCEEDS) for reason in one) for one in why)
    below = sum(any(not reason.startswith(EXCEEDS) for reason in one) for one in why)
    return (
        f"None of the {len(ballot.contenders)} candidates may be nominated: {below} do no better "
        f"than a random order from one end at least, or are unstable, {beyond} exceed a "
        "constraint; nothing is recommended."
    )


def _stability(
    ballot: Ballot,
    criteria: Criteria,
    axes: Sequence[Axis],
    chosen: int,
    selected: Ballot | None,
    places: Sequence[int],
    seed: int,
    looked_at: Sequence[Contender],
) -> Stability:
    """How often search images and selection images drawn again nominate the same of the ballot."""
    rng = np.random.default_rng([seed, 2])
    everyone = looked_at or ballot.contenders
    near = [_is_near(ballot.contenders[chosen], one, axes, everyone) for one in ballot.contenders]
    published = [bool(one.published) for one in ballot.contenders]
    drawn = []
    for _ in range(DRAWS):
        tally = ballot.count(_weights(ballot.images, rng))
        there = None if selected is None else selected.count(_weights(selected.images, rng))
        known = None if there is None else (places, there)
        drawn.append(_pick(tally, criteria, published, known)[0])
    same = np.mean([row == chosen for row in drawn])
    region = np.mean([row is not None and near[row] for row in drawn])
    return Stability(DRAWS, float(same), float(region))


def _weights(images: int, rng: np.random.Generator) -> np.ndarray:
    """How much each image counts, (N,), where as many are drawn again."""
    return rng.multinomial(images, np.full(images, 1 / images)) / images


def _is_near(
    nominee: Contender, other: Contender, axes: Sequence[Axis], everyone: Sequence[Contender]
) -> bool:
    """Whether both lie in the same region; what is not in the space is a region of its own."""
    if nominee.number is None or other.number is None:
        return nominee.label == other.label
    if nominee.values.keys() != other.values.keys():
        return False
    return all(_close(nominee, other, axis, everyone) for axis in axes if axis.name in other.values)


def _close(nominee: Contender, other: Contender, axis: Axis, everyone: Sequence[Contender]) -> bool:
    ours, theirs = nominee.values[axis.name], other.values[axis.name]
    if axis.categories or not all(isinstance(v, int | float) for v in (ours, theirs)):
        return bool(ours == theirs)
    every = [
        _place(one.values[axis.name], axis)
        for one in everyone
        if isinstance(one.values.get(axis.name), int | float)
    ]
    length = max(every) - min(every)
    return abs(_place(ours, axis) - _place(theirs, axis)) <= REGION * length + 1e-9


def _place(value: float, axis: Axis) -> float:
    """Where a value is drawn on its axis."""
    if axis.log:
        return float(np.log(value if value > 0 else axis.zero_at or np.nan))
    return float(value)
