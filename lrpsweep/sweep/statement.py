"""What may be said about a nominee on validation images that it was not tuned on.

One statement of five, in this order: better, better but behind, as good, worse, undecided. What
decides is, for each measure, the smallest over the baselines of the one-sided lower bounds of the
mean gain: to be better than every baseline at once takes no correction (Berger 1982, the
intersection-union test). How often the images have been looked at sets the level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrpsweep.results import DROPPING_LEVEL, Comparison, Direction, MeasureBound, Verdict
from lrpsweep.sweep.statistics import (
    FEWEST_IMAGES,
    detectable_gain,
    draw_flips,
    gains,
    hochberg,
    holm,
    images_needed,
    level_of,
    sign_flip,
    skewed_behind,
)

MARGIN_OBJECTIVE = 5.0
"""In per cent of the range: so far behind by the objective is still as good."""
MARGIN_GUARD = 10.0
"""In per cent of the range: so far behind by a guard is put up with."""


@dataclass(frozen=True)
class Compared:
    """A measure of the nominee and of its B baselines on the same N images.

    title: how sentences call it. range: R, by how much the best candidate beats a random order, in
    units of the measure; where it is not above 0, margins are nothing. nominee, each baseline:
    scores (N,); (n,), of the first n images, of a baseline that was dropped.
    """

    name: str
    title: str
    direction: Direction
    range: float
    nominee: np.ndarray
    baselines: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Statement:
    """What may be said about a nominee, and the numbers that say it.

    bounds: by measure, the objective first; none without baselines. comparisons: of the objective,
    by baseline. ahead: the baselines that are significantly better by the objective, after Holm's
    correction. images_for_better, images_for_as_good: the number of images that would show it, with
    80 % for each comparison alone, at the next look's level; those at hand where they show it
    already; None where more images will not show it, and where nothing could be tested.
    """

    verdict: Verdict
    sentence: str
    bounds: tuple[MeasureBound, ...]
    comparisons: tuple[Comparison, ...]
    ahead: tuple[str, ...]
    images_for_better: int | None
    images_for_as_good: int | None


def state(
    objective: Compared,
    guards: Sequence[Compared],
    *,
    look: int,
    seed: int,
    published: str | None = None,
) -> Statement:
    """The statement about a nominee on the validation images.

    guards: other measures on the same images with the same baselines; ValueError otherwise.
    look: how often these images have judged a nominee, this time included. published: the name of
    the published composite that the nominee itself is, which is then none of the baselines.
    """
    first = _Tested(objective, MARGIN_OBJECTIVE, seed, look)
    others = [_Tested(_same(guard, objective), MARGIN_GUARD, seed, look) for guard in guards]
    found = _Judged(first, others, other="" if published is None else "other ")
    reason = _untestable(first, look)
    words = f"undecided: {reason}" if reason else found.words(first.where)
    return Statement(
        verdict="undecided" if reason else found.verdict,
        sentence=_sentence(words, published),
        bounds=tuple(one.bound(guard=one is not first) for one in (first, *others) if one.tests),
        comparisons=first.comparisons(testable=not reason),
        ahead=() if reason else found.ahead,
        images_for_better=None if reason else found.images_for(0.0),
        images_for_as_good=None if reason else found.images_for(first.allowed),
    )


def dropped(
    objective: Compared, guards: Sequence[Compared], *, look: int, seed: int
) -> frozenset[str]:
    """The baselines that need no more images, all having the first n of the nominee's N.

    By p < 0.001 the nominee is better by the objective, and within the margin by every guard: an
    early look at so strict a level leaves the later test its own (Haybittle 1971, Peto et al.
    1976).
    """
    tested = [
        _Tested(objective, 0.0, seed, look),
        *(_Tested(_same(guard, objective), MARGIN_GUARD, seed, look) for guard in guards),
    ]
    return frozenset(
        name
        for name in objective.baselines
        if all(one.tests[name].low > -one.allowed for one in tested)
    )


def state_current(name: str, objective: Compared, *, look: int, seed: int) -> str:
    """The sentence on the nominee beside what is used today: one comparison, uncorrected.

    objective: with that as its only baseline; ValueError otherwise. Either side is tested at the
    level of the look.
    """
    if len(objective.baselines) != 1:
        raise ValueError(f"expected one baseline, found {len(objective.baselines)}")
    one = _Tested(objective, MARGIN_OBJECTIVE, seed, look)
    reason = _untestable(one, look)
    if reason:
        return f"Undecided against what you use today ({name}): {reason}."
    (test,) = one.tests.values()
    if test.low > 0:
        word, how = "Better than", f"{one.amount(test.mean)} on average, at least {test.low:.3g}"
    elif test.high < 0:
        word, how = "Behind", f"{one.amount(-test.mean)} on average, at least {-test.high:.3g}"
    else:
        word, how = "No different from", f"a gain between {test.low:+.3g} and {test.high:+.3g}"
    return f"{word} what you use today ({name}): by {objective.title} {how}, {one.where}."


def power_sentence(sigma_percent: float, images: int, level: float) -> str:
    """What so many validation images can show in one comparison.

    sigma_percent: standard deviation over the images of the gain, in per cent of the range.
    """
    gain = detectable_gain(sigma_percent, images, level)
    return f"{images} images find a gain of {gain:.3g} % of the range with 80 %."


class _Tested:
    """A measure with the test of every baseline; all amounts in units of the measure."""

    def __init__(self, measure: Compared, margin: float, seed: int, look: int) -> None:
        """margin: in per cent of the range."""
        self.measure = measure
        self.look = look
        self.level = level_of(look)
        self.next_level = level_of(look + 1)
        self.margin = margin
        self.allowed = margin / 100 * max(measure.range, 0.0)
        self.gains = {
            name: gains(measure.nominee[: len(scores)], scores, measure.direction)
            for name, scores in measure.baselines.items()
        }
        flips = {size: draw_flips(size, seed) for size in set(map(len, self.gains.values()))}
        self.tests = {
            name: sign_flip(gain, flips[len(gain)], self._level_for(len(gain)))
            for name, gain in self.gains.items()
        }

    def _level_for(self, images: int) -> float:
        """A baseline that was dropped early was and stays tested at the level of dropping."""
        early = images < len(self.measure.nominee)
        return min(self.level, DROPPING_LEVEL) if early else self.level

    @property
    def where(self) -> str:
        """On how many images, at which level; of baselines that were dropped, too."""
        images, count = len(self.measure.nominee), len(self.gains)
        early = [len(gain) for gain in self.gains.values() if len(gain) < images]
        some = (
            f"; {len(early)} of {count} composites on the first {max(early)}, "
            f"at {100 * self._level_for(max(early)):.3g} %"
            if early
            else ""
        )
        return (
            f"on {images} validation images (tested at {100 * self.level:.3g} %, look "
            f"{self.look}{some})"
        )

    @property
    def against(self) -> str:
        """The baseline with the smallest lower bound."""
        return min(self.tests, key=lambda name: (self.tests[name].low, self.tests[name].mean))

    @property
    def low(self) -> float:
        """The smallest lower bound over the baselines."""
        return self.tests[self.against].low

    @property
    def strongest(self) -> str:
        """The baseline with the best mean score."""
        return min(self.tests, key=lambda name: self.tests[name].mean)

    @property
    def held(self) -> bool:
        """Whether the nominee keeps within the margin of every baseline."""
        return self.low > -self.allowed

    def images_for(self, margin: float) -> int | None:
        """How many images would clear the baselines not cleared yet; 0 where all are.

        They would be another look, tested at its own level.
        """
        waiting = [self.gains[name] for name, test in self.tests.items() if test.low <= -margin]
        return _largest([images_needed(gain, margin, self.next_level) for gain in waiting])

    def bound(self, *, guard: bool) -> MeasureBound:
        """How much better the nominee is at least than every baseline."""
        return MeasureBound(
            measure=self.measure.name,
            low=self.low,
            low_percent=self._percent(self.low),
            against=self.against,
            range=self.measure.range,
            margin=self.margin,
            guard=guard,
        )

    def comparisons(self, *, testable: bool) -> tuple[Comparison, ...]:
        """One row for every baseline, marked by Hochberg's correction where it may be tested."""
        sign = -1 if self.measure.direction == "minimize" else 1
        adjusted = hochberg([test.p for test in self.tests.values()])
        return tuple(
            Comparison(
                baseline=name,
                mean=float(np.mean(self.measure.baselines[name])),
                difference=sign * test.mean + 0.0,
                low=min(sign * test.low, sign * test.high) + 0.0,
                high=max(sign * test.low, sign * test.high) + 0.0,
                p=test.p,
                p_adjusted=p_adjusted,
                better=testable and p_adjusted <= self.level,
                images=len(self.gains[name]),
            )
            for (name, test), p_adjusted in zip(self.tests.items(), adjusted, strict=True)
        )

    def amount(self, value: float) -> str:
        """In units of the measure, and in per cent of the range where there is one."""
        percent = f" ({self._percent(value):.1f} % of the range)" if self.measure.range > 0 else ""
        return f"{value:.3g}{percent}"

    def _percent(self, value: float) -> float:
        return 100 * value / self.measure.range if self.measure.range > 0 else math.nan


class _Judged:
    """All measures together: the verdict and the words for it, where something can be tested.

    other: 'other ' where the nominee is itself a published composite.
    """

    def __init__(self, objective: _Tested, guards: Sequence[_Tested], other: str) -> None:
        self._objective = objective
        self._guards = guards
        self._other = other

    @cached_property
    def _failing(self) -> list[_Tested]:
        return [guard for guard in self._guards if not guard.held]

    @cached_property
    def ahead(self) -> tuple[str, ...]:
        """The baselines that are significantly better by the objective, strongest first.

        Two tests have to be convinced: of many baselines, one is easily behind by skewness alone.
        """
        tests, level = self._objective.tests, self._objective.level
        gains = self._objective.gains
        behind = [max(test.p_behind, skewed_behind(gains[name])) for name, test in tests.items()]
        adjusted = holm(behind)
        found = [name for name, p in zip(tests, adjusted, strict=True) if p <= level]
        return tuple(sorted(found, key=lambda name: tests[name].mean))

    @cached_property
    def verdict(self) -> Verdict:
        """The first of the five that holds."""
        if self._objective.low > 0:
            return "better, but behind" if self._failing else "better"
        if self._objective.held and not self._failing:
            return "as good"
        return "worse" if self.ahead else "undecided"

    def images_for(self, margin: float) -> int | None:
        """How many images would show the objective above −margin and the guards above theirs."""
        guards = [guard.images_for(guard.allowed) for guard in self._guards]
        needed = _largest([self._objective.images_for(margin), *guards])
        images = len(self._objective.measure.nominee)
        if needed is None:
            return None
        return max(images + 1, needed) if needed else images

    def words(self, on: str) -> str:
        """The verdict, where it was tested, and the numbers behind it, from a small letter on."""
        details = [_least(self._objective), *(_doubt(guard) for guard in self._failing)]
        if self.verdict == "as good" and self.ahead:
            details.append(f"significantly ahead: {_listing(self.ahead)}")
        if self.verdict in ("as good", "undecided"):
            details.append(self._more_images())
        return f"{self._headline()} {on}: {'; '.join(details)}"

    def _headline(self) -> str:
        count = len(self._objective.tests)
        behind = _listing([_behind(guard) for guard in self._failing])
        return {
            "better": f"better than every {self._other}published composite ({count})",
            "better, but behind": f"better by {self._objective.measure.title}, but {behind},",
            "as good": f"as good as the best {self._other}published composite",
            "worse": f"worse than {_listing(self.ahead)}",
            "undecided": "undecided",
        }[self.verdict]

    def _more_images(self) -> str:
        better, as_good = self.images_for(0.0), self.images_for(self._objective.allowed)
        wanted = {"better": better}
        if self.verdict == "undecided":
            wanted["as good"] = as_good
        enough = [
            f"about {count} images would show it {word}" for word, count in wanted.items() if count
        ]
        never = [word for word, count in wanted.items() if count is None]
        if enough:
            level = 100 * self._objective.next_level
            enough[-1] += f" (tested again at {level:.3g} %, with 80 % for each alone)"
        if never:
            enough.append(f"more images will not show it {' or '.join(never)}")
        return ", ".join(enough)


def _same(guard: Compared, objective: Compared) -> Compared:
    """The guard; ValueError where it is not of the objective's images and baselines."""
    if len(guard.nominee) != len(objective.nominee) or set(guard.baselines) != set(
        objective.baselines
    ):
        raise ValueError(f"{guard.name}: expected the images and baselines of {objective.name}")
    return guard


def _untestable(one: _Tested, look: int) -> str:
    """Why nothing can be said, whatever the scores; empty where something can."""
    images = len(one.measure.nominee)
    if not one.tests:
        return "there is no other composite to compare it with"
    if images < FEWEST_IMAGES:
        return f"{images} validation images, and at least {FEWEST_IMAGES} are needed"
    if math.isinf(one.low):
        return f"these images have been looked at {look} times, too often to be tested again"
    return ""


def _sentence(words: str, published: str | None) -> str:
    if published is None:
        return f"{words[0].upper()}{words[1:]}."
    return f"Tuning found nothing better than {published}; beside the others it is {words}."


def _least(one: _Tested) -> str:
    """How much better at least, and the baseline that comes closest or is furthest ahead."""
    title, name = one.measure.title, one.strongest
    gain = f"{name} ({one.tests[name].mean:+.3g})"
    if one.low > 0:
        return f"by {title} at least {one.amount(one.low)} better than each; the closest is {gain}"
    return f"by {title} at most {one.amount(0.0 - one.low)} behind any; the strongest is {gain}"


def _behind(guard: _Tested) -> str:
    """A bound below the margin is no proof of being behind: only a mean below 0 is called so."""
    word = "behind" if guard.tests[guard.against].mean < 0 else "perhaps behind"
    return f"{word} {guard.against} by {guard.measure.title}"


def _doubt(guard: _Tested) -> str:
    test = guard.tests[guard.against]
    return (
        f"by {guard.measure.title} {test.mean:+.3g} against {guard.against}, perhaps "
        f"{guard.amount(-test.low)} behind"
    )


def _largest(counts: Sequence[int | None]) -> int | None:
    """The largest of these; 0 of none, None where one of them is."""
    known = [count for count in counts if count is not None]
    return max(known, default=0) if len(known) == len(counts) else None


def _listing(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
