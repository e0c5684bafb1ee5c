"""What a sweep finds, as plain values: the one language of trial, sweep, report and export.

Everything here is numbers and text. Nothing knows how a result was made or where it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

TrialState = Literal["complete", "pruned", "failed", "running", "waiting"]
Direction = Literal["minimize", "maximize"]
Directions = tuple[Direction, ...]
Verdict = Literal[
    "better",
    "better, but behind",
    "as good",
    "worse",
    "undecided",
    "not better",
    "not decided",
]
"""The last two stand in what versions before 0.2 stored."""


RANDOM_ORDER = "random order"
"""The label of what no candidate decides: patches in a random order."""

DROPPING_LEVEL = 0.001
"""At most this level decides whether half of the validation images are enough for a baseline."""

ARRAYS = ("curve", "curve_low", "curve_high", "flipped")


@dataclass(frozen=True)
class Candidate:
    """A method with its settings: a trial, a published composite, any other method.

    settings, of LRP: {"values": of the study's search names} or {"preset": a published composite};
    of another method, what its entry in METHODS takes.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialResult:
    """One candidate, scored on N images over a schedule of S steps.

    objectives: names of the measures it was scored by, those that decide first. measures: their
    scores per image (N,), and of others that cost nothing. curve, curve_low, curve_high: (S + 1,),
    mean and quartiles over the images of the perturbation curve that the first objective is made
    of; empty where it has none. balance: mean
    share of the explained score that is taken by 'bias' and by 'stabilizer', and the mean
    absolute 'unexplained' rest. hot_spot: mean over images of max |R| / Σ|R|. seconds: wall time
    by part ('explain', 'perturb', 'score'). flipped: (S + 1,), share of patches perturbed at each
    step. blocks: by block of the composite, its own 'bias', 'stabilizer' and 'unexplained', as in
    balance, and the 'hot_spot' of what leaves it. unstable: where and how an unstable explanation
    became so, 'features.12: …'; empty for others. curves: (S + 1,), mean curves by order, of the
    further orders that were looked at. counts: of perturbed states ('states'), of those whose score
    was known from before ('known'), and of images that passed through the network to score the
    others ('forwards'); empty in what earlier versions stored. states: the steps of the schedule
    that were looked at, none where all were: between them curves are straight, so that such scores
    are compared with each other alone. coarse: by name of a subset of the states, the scores that
    it gives, as measures.
    """

    objectives: tuple[str, ...]
    measures: Mapping[str, np.ndarray]
    curve: np.ndarray
    curve_low: np.ndarray
    curve_high: np.ndarray
    flipped: np.ndarray
    balance: Mapping[str, float]
    hot_spot: float
    seconds: Mapping[str, float]
    device: str
    blocks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unstable: str = ""
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    states: tuple[int, ...] = ()
    coarse: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @property
    def scores(self) -> np.ndarray:
        """Those of the first objective, (N,)."""
        return self.measures[self.objectives[0]]

    @property
    def value(self) -> float:
        """Mean of the scores over the images."""
        return self.mean(self.objectives[0])

    @property
    def stderr(self) -> float:
        """Standard error of that mean; NaN for a single image."""
        return self.standard_error(self.objectives[0])

    def mean(self, measure: str) -> float:
        """Of a measure's scores over the images."""
        return float(np.mean(self.measures[measure]))

    def means(self, count: int) -> tuple[float, ...]:
        """Those of the first so many objectives: of the study's."""
        return tuple(self.mean(name) for name in self.objectives[:count])

    def standard_error(self, measure: str) -> float:
        """Of that mean; NaN for a single image."""
        scores = self.measures[measure]
        n = len(scores)
        return float(np.std(scores, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")

    def excess(self, bounds: Mapping[str, float]) -> dict[str, float]:
        """By how much 'unexplained' or 'hot_spot' exceeds its bound; 0 or less: it keeps it."""
        measured = {"unexplained": self.balance["unexplained"], "hot_spot": self.hot_spot}
        return {name: measured[name] - bound for name, bound in bounds.items()}

    def to_json(self) -> dict[str, Any]:
        """Lists and floats only, as stored in the database."""
        return {name: getattr(self, name).tolist() for name in ARRAYS} | {
            "objectives": list(self.objectives),
            "measures": _lists(self.measures),
            "balance": dict(self.balance),
            "hot_spot": self.hot_spot,
            "seconds": dict(self.seconds),
            "device": self.device,
            "blocks": {block: dict(parts) for block, parts in self.blocks.items()},
            "unstable": self.unstable,
            "curves": _lists(self.curves),
            "counts": dict(self.counts),
            **({"states": list(self.states)} if self.states else {}),
            **(
                {"coarse": {name: _lists(by) for name, by in self.coarse.items()}}
                if self.coarse
                else {}
            ),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], objective: str = "") -> TrialResult:
        """The inverse of `to_json`.

        objective: the study's, for what earlier versions stored: its 'scores' alone, and neither
        'blocks' nor 'unstable'.
        """
        measures = stored.get("measures") or {objective: stored["scores"]}
        return cls(
            tuple(stored.get("objectives") or (objective,)),
            _arrays(measures),
            **{name: np.asarray(stored[name], np.float64) for name in ARRAYS},
            balance=stored["balance"],
            hot_spot=stored["hot_spot"],
            seconds=stored["seconds"],
            device=stored["device"],
            blocks=stored.get("blocks", {}),
            unstable=stored.get("unstable", ""),
            curves=_arrays(stored.get("curves", {})),
            counts=stored.get("counts", {}),
            states=tuple(stored.get("states", ())),
            coarse={name: _arrays(by) for name, by in stored.get("coarse", {}).items()},
        )


def _lists(arrays: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in arrays.items()}


def _arrays(lists: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(numbers, np.float64) for name, numbers in lists.items()}


@dataclass(frozen=True)
class Pruned:
    """How a trial ended that was stopped, as it was behind the incumbent, the best one before it.

    images: how many it had been scored on. estimate: the incumbent's mean by the objective plus the
    mean paired difference on these images: where the trial would probably have ended.
    """

    images: int
    estimate: float


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the database knows it.

    values: the hyperparameters as the composite gets them (zero is 0, not its place on the
    axis); those that it depends on at this point, and no others. literature: the name of the
    published composite this point stands for, if any. reason: why a failed trial failed. same_as:
    the trial with the same composite, whose result this one was given. exceeded: the constraints
    whose bounds it does not keep. pruned: of a pruned trial, which has no result.
    """

    number: int
    state: TrialState
    values: Mapping[str, Any]
    result: TrialResult | None = None
    literature: str | None = None
    reason: str | None = None
    seconds: float | None = None
    same_as: int | None = None
    exceeded: tuple[str, ...] = ()
    pruned: Pruned | None = None


@dataclass(frozen=True)
class Axis:
    """How a hyperparameter is drawn: `zero_at` is the place of 0 on a logarithmic axis."""

    name: str
    log: bool = False
    zero_at: float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The nominee against one published composite, image by image, on the validation images.

    difference: mean of (nominee − baseline), in units of the measure, with an interval for this row
    alone; p: one-sided, for 'the nominee is no better', of the test that the interval inverts;
    p_adjusted: corrected over the baselines; better: whether that is at most the look's level.
    images: on how many, where it is known: a baseline that is clearly behind on the first half is
    not scored on the others, and its interval is that of 99.8 %.
    """

    baseline: str
    mean: float
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    better: bool
    images: int | None = None


@dataclass(frozen=True)
class MeasureBound:
    """How much better the nominee is at least than every baseline, by one measure.

    low: the smallest over the baselines of the one-sided lower bounds of the paired mean gain, in
    units of the measure; positive: better than all. against: the baseline where it is smallest.
    range: R, by how much the best candidate beats a random order; low_percent: low in per cent of
    that, NaN where no candidate beats it. margin: in per cent; `low_percent` has to be above
    −margin for 'as good'. guard: whether the measure is a guard and not the objective.
    """

    measure: str
    low: float
    low_percent: float
    against: str
    range: float
    margin: float
    guard: bool


@dataclass(frozen=True)
class Contender:
    """What may be nominated: a trial, by its number, or a published composite, by its name.

    A trial whose composite is published has both.
    """

    label: str
    number: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    published: str | None = None


@dataclass(frozen=True)
class Finalist:
    """One of the candidates that were looked at closely, with its mean scores by measure.

    scores: on the search images until there is a nominee, in a `Recommendation` on the validation
    images. selection: on the selection images, where there are any. broken: why it may not be
    nominated.
    """

    label: str
    number: int | None
    values: Mapping[str, Any]
    scores: Mapping[str, float]
    published: str | None = None
    selection: Mapping[str, float] = field(default_factory=dict)
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stability:
    """How often the search images, drawn again `draws` times, nominate the same.

    same: the share of the same candidate; region: that of candidates no further from it than
    `sweep.nomination.REGION` of each axis.
    """

    draws: int
    same: float
    region: float


@dataclass(frozen=True)
class Nomination:
    """Who is nominated, by the search images and the selection images alone.

    nominee: None when nothing may be nominated. sentence: how it came about. ranges: R by measure:
    by how much the best candidate beats a random order on the search images. random: mean scores of
    that order by measure. finalists: the best, best first. broken: by label, why candidates break
    the floor. candidates: how many there were.
    """

    nominee: Contender | None
    sentence: str
    ranges: Mapping[str, float]
    random: Mapping[str, float]
    finalists: tuple[Finalist, ...]
    candidates: int
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stability: Stability | None = None
    selection_images: int = 0


@dataclass(frozen=True)
class Front:
    """What may be chosen by several objectives: no other candidate is better by one of them and no
    worse by the rest, on the search images.

    members: best by the first objective first. sentence: how it came about, and what to do with it.
    candidates: how many there were. broken: by label, why candidates may not be on it.
    """

    members: tuple[Contender, ...]
    sentence: str
    candidates: int
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Recommendation:
    """The nominee, what it was tested against, and what may be said about it.

    number: of its trial, None for a published composite, whose name is `published`. level: of the
    one-sided tests and bounds, spent on this look at the validation images, the `look`-th. ahead:
    baselines that are significantly better. images_for_better, images_for_as_good: how many
    validation images would be needed to say so, None where more images will not show it. current:
    a sentence about what is used today. scores: by label and measure, one for each validation
    image, 'random order' among the labels. images: hashes of these images.
    """

    number: int | None
    values: Mapping[str, Any]
    validation_images: int
    mean: float
    low: float
    high: float
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    sentence: str
    finalists: tuple[Finalist, ...] = ()
    warnings: tuple[str, ...] = ()
    published: str | None = None
    bounds: tuple[MeasureBound, ...] = ()
    look: int = 1
    level: float = 0.05
    ahead: tuple[str, ...] = ()
    images_for_better: int | None = None
    images_for_as_good: int | None = None
    current: str = ""
    scores: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    images: tuple[str, ...] = ()

    @property
    def nominee(self) -> Contender:
        """What is recommended."""
        label = self.published if self.number is None else f"trial {self.number}"
        return Contender(label or "", self.number, self.values, self.published)


@dataclass(frozen=True)
class Economy:
    """What a search saved, and what that cost.

    forwards: images that passed through the network to be explained or scored; plain: how many had
    passed if the same candidates had been scored on all states of all images, and nothing kept.
    known: the share of the states that were looked at whose score was known from before. subset:
    the name of the states that trials were scored on, 'all', 'listed', or one whose worst error by
    the pilot is `error`, in standard errors of the difference between two trials.
    """

    forwards: int
    plain: int
    known: float = 0.0
    subset: str = "all"
    steps: tuple[int, ...] = ()
    error: float | None = None


@dataclass(frozen=True)
class Illustrations:
    """Pictures worth keeping, kept in `runs/NAME/heatmaps.npz`.

    ids: (K,), images: uint8 (K, H, W, 3), best and baseline heatmaps: (K, H, W), halfway:
    uint8 (K, H, W, 3), the image with half the steps perturbed. grid: (A, B, H, W) heatmaps of
    the first image over two hyperparameters, whose values are grid_rows (A,), grid_columns (B,).
    Over one, grid_columns is empty and B = 1.
    """

    ids: tuple[str, ...]
    images: np.ndarray
    best: np.ndarray
    baseline: np.ndarray
    baseline_name: str
    halfway: np.ndarray
    grid: np.ndarray
    grid_names: tuple[str, ...]
    grid_rows: tuple[Any, ...]
    grid_columns: tuple[Any, ...]


@dataclass(frozen=True)
class StudyResults:
    """All that a report, an export or a tracking server may want to know about a study.

    objectives: the measures that decide, with their directions. With several, a `front` takes the
    place of nomination and recommendation. images: what each search image is (a hash of its
    content, and the class that is explained), in the order of the trials' scores. measured: of what
    and how, as text: network and evaluation. literature: published composites on the search images,
    by name; random: a random order there. full: by label, the candidates that were scored on all
    states, where trials were on some. begun_on: by part of the images, the (id, hash) of those that
    no further image replaces. concluding: how far a step after the search is that has begun and not
    ended; else empty. economy: None where nothing says, as in what earlier versions stored.
    """

    name: str
    objectives: tuple[str, ...]
    directions: Directions
    trials: tuple[TrialRecord, ...]
    planned: int
    axes: tuple[Axis, ...]
    spec_text: str
    spec_hash: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    nomination: Nomination | None = None
    recommendation: Recommendation | None = None
    front: Front | None = None
    illustrations: Illustrations | None = None
    composite: Mapping[str, Any] | None = None
    images: tuple[str, ...] = ()
    measured: str = ""
    literature: Mapping[str, TrialResult] = field(default_factory=dict)
    random: TrialResult | None = None
    begun_on: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    concluding: str = ""
    full: Mapping[str, TrialResult] = field(default_factory=dict)
    economy: Economy | None = None

    @property
    def objective(self) -> str:
        """The first one: what one scale can show is of it."""
        return self.objectives[0]

    @property
    def direction(self) -> Direction:
        """Which way is better by the first objective."""
        return self.directions[0]

    @property
    def several(self) -> bool:
        """Whether there are several objectives, and so nothing that is best."""
        return len(self.objectives) > 1

    @property
    def complete(self) -> tuple[TrialRecord, ...]:
        """The trials that have a result, in the order of their numbers."""
        return tuple(t for t in self.trials if t.result is not None)

    @property
    def pruned(self) -> tuple[TrialRecord, ...]:
        """The trials that were stopped early, in the order of their numbers."""
        return tuple(t for t in self.trials if t.pruned is not None)

    @property
    def nominee(self) -> Contender | None:
        """What is recommended, or would be; None: nothing may be, or nothing is complete, or
        several objectives leave the choice open."""
        if self.recommendation is not None:
            return self.recommendation.nominee
        if self.nomination is not None:
            return self.nomination.nominee
        if self.begun_on or self.several:
            return None
        ranked = self.ranked()  # of version 1, the best is the nominee
        return contender(ranked[0]) if ranked else None

    def result_of(self, candidate: Contender) -> TrialResult | None:
        """What the candidate scored on the search images, on all states if it was."""
        owner = next((t.same_as for t in self.trials if t.number == candidate.number), None)
        label = candidate.label if owner is None else f"trial {owner}"
        return self.full.get(label) or self.searched_result(candidate)

    def searched_result(self, candidate: Contender) -> TrialResult | None:
        """What the candidate scored on the search images, on the states of the trials."""
        if candidate.number is None:
            return self.literature.get(candidate.published or "")
        return next((t.result for t in self.trials if t.number == candidate.number), None)

    def ranked(self, objective: int = 0) -> tuple[TrialRecord, ...]:
        """The complete trials, best first: those that keep all bounds before the others.

        objective: which one counts. Of equal ones, those that were computed come before those that
        were given their result, and then lower numbers before higher ones.
        """
        sign = 1 if self.directions[objective] == "minimize" else -1

        def place(trial: TrialRecord) -> tuple[bool, float, bool, int]:
            assert trial.result is not None
            value = sign * trial.result.mean(trial.result.objectives[objective])
            return bool(trial.exceeded), value, trial.same_as is not None, trial.number

        return tuple(sorted(self.complete, key=place))


def contender(trial: TrialRecord) -> Contender:
    """A trial as a candidate."""
    return Contender(f"trial {trial.number}", trial.number, trial.values, trial.literature)
