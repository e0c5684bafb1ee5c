"""Results of a sweep that never ran, as realistic as a page or a figure needs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrpsweep.evaluation import MEASURES, auc
from lrpsweep.results import (
    RANDOM_ORDER,
    Axis,
    Comparison,
    Contender,
    Finalist,
    Illustrations,
    Nomination,
    Pruned,
    Recommendation,
    StudyResults,
    TrialRecord,
    TrialResult,
)
from lrpsweep.sweep.nomination import Ballot, Criteria, nominate
from lrpsweep.sweep.statement import Compared, state
from lrpsweep.sweep.statistics import level_of, mean_interval

SMALL_STUDY = """\
version: 1
name: small
model: {embedded: scenes}
data:
  embedded: scenes
  target: label
  split: {search: 4, validation: 3, seed: 0}
search:
  gamma1: {log: [0.1, 1.0], zero: true, points: 3}
  gamma2: {log: [0.25, 1.0], points: 2}
composite:
  - {block: pixel, layers: features.0, rule: z_box}
  - {block: early, layers: features.1..features.9, rule: gamma, gamma: $gamma1}
  - {block: late,  layers: features.10..features.19, rule: gamma, gamma: $gamma2}
  - {block: default, rule: zero}
evaluation: {patch: 16, perturbation: mean}
objective: auc_morf
baselines: [decreasing_gamma, epsilon_gamma_box]
sampler: {name: grid, seed: 0}
run: {device: cpu, cpus: 1, cache_gb: 0.1}
"""

LOW, HIGH = 1e-4, 1.0
ZERO_AT = LOW * (LOW / HIGH) ** 0.1
POINTS = (0.0, *np.logspace(-4, 0, 6).tolist())
AXES = (
    Axis("early.gamma", log=True, zero_at=ZERO_AT),
    Axis("late.gamma", log=True, zero_at=ZERO_AT),
)
FAILED = 17
SPEC = """version: 1
name: quickstart
model: {embedded: scenes}
data: {embedded: scenes, split: {search: 32, validation: 32, seed: 0}}
search:
  early.gamma: {log: [1.0e-4, 1.0], zero: true, points: 7}
  late.gamma: {log: [1.0e-4, 1.0], zero: true, points: 7}
objective: auc_morf
sampler: {name: grid, seed: 0}
"""
COMPOSITE = {
    "schema": 1,
    "validated": True,
    "blocks": [
        {"name": "pixel", "layers": ["features.0"], "rule": "z_box"},
        {
            "name": "early",
            "layers": ["features.2", "features.5", "features.7"],
            "rule": "gamma",
            "hyper": {"gamma": 0.1584893192461114},
        },
        {"name": "head", "layers": ["classifier.0", "classifier.2"], "rule": "zero"},
    ],
}


def place(value: float) -> float:
    """log10, with zero a little under the lowest value."""
    return float(np.log10(value if value > 0 else ZERO_AT))


def trial_result(quality: float, seed: int, images: int = 32) -> TrialResult:
    """The lower the quality, the faster the curve falls."""
    random = np.random.default_rng(seed)
    flipped = np.minimum(np.arange(17) ** 2, 256) / 256
    level = random.normal(14, 2, (images, 1))
    curves = 1 + (level - 1) * np.exp(-flipped * 12 / quality) + random.normal(0, 0.2, (images, 17))
    scores = np.trapezoid(curves, axis=1) / 16
    low, high = np.quantile(curves, [0.25, 0.75], axis=0)
    return TrialResult(
        objectives=("auc_morf",),
        measures={"auc_morf": scores},
        curve=curves.mean(0),
        curve_low=low,
        curve_high=high,
        flipped=flipped,
        balance={"bias": 0.11, "stabilizer": 0.0, "unexplained": 3e-7},
        hot_spot=0.021,
        seconds={"explain": 0.21, "flip": 0.42},
        device="cpu",
        blocks={
            "early": {"bias": 0.04, "stabilizer": 0.0, "unexplained": 2e-7, "hot_spot": 0.021},
            "late": {"bias": 0.07, "stabilizer": 0.0, "unexplained": 1e-7, "hot_spot": 0.11},
        },
    )


def grid_trials() -> tuple[TrialRecord, ...]:
    """7 by 7 points; trial 17 failed; two of them stand for published composites."""
    records = []
    for number, (i, j) in enumerate(np.ndindex(7, 7)):
        values = {"early.gamma": POINTS[i], "late.gamma": POINTS[j]}
        if number == FAILED:
            reason = "the logit of image 4 is NaN"
            records.append(TrialRecord(number, "failed", values, reason=reason, seconds=0.2))
            continue
        far = (place(POINTS[i]) + 0.8) ** 2 + 0.6 * (place(POINTS[j]) + 1.6) ** 2
        records.append(
            TrialRecord(
                number,
                "complete",
                values,
                result=trial_result(1.5 + 0.45 * far, seed=number % 3),
                literature={0: "LRP-0", 40: "LRP-Tutorial"}.get(number),
                seconds=0.7,
            )
        )
    return tuple(records)


def scattered_trials(number: int = 40, seed: int = 1) -> tuple[TrialRecord, ...]:
    """Points as a sampler without a grid proposes them, two of them the same."""
    random = np.random.default_rng(seed)
    records = []
    for n in range(number):
        early, late = 10 ** random.uniform(-4.4, 0, 2)
        early, late = (0.0 if early < LOW else early), (0.0 if late < LOW else late)
        if n == 1:
            early, late = records[0].values.values()
        far = (place(early) + 0.8) ** 2 + 0.6 * (place(late) + 1.6) ** 2
        values = {"early.gamma": early, "late.gamma": late}
        result = trial_result(1.5 + 0.45 * far, seed=n % 3)
        records.append(TrialRecord(n, "complete", values, result=result, seconds=0.7))
    return tuple(records)


RULES = {"gamma": ("late.gamma",), "epsilon": ("late.epsilon",), "z_plus": ()}


def conditional_study() -> StudyResults:
    """A finished study of 40 trials in which the late block's rule is searched, too.

    Two trials were given another one's result, three exceed a constraint, one is unstable.
    """
    random = np.random.default_rng(5)
    records = []
    for n in range(40):
        rule = tuple(RULES)[n % 3]
        drawn = {"late.gamma": 10 ** random.uniform(-4, 0), "late.epsilon": random.uniform(0, 1)}
        values = {"early.gamma": 10 ** random.uniform(-4, 0), "rule": rule}
        values |= {name: drawn[name] for name in RULES[rule]}
        far = (place(values["early.gamma"]) + 0.8) ** 2 + 0.6 * (n % 3)
        result = trial_result(1.5 + 0.45 * far, seed=n % 3)
        if n == 7:
            result = dataclasses.replace(result, unstable="features.12: R is 4e9 times its input")
        same_as = {20: 2, 23: 2}.get(n)
        exceeded = ("hot_spot",) if n in (7, 8, 30) else ()
        records.append(
            TrialRecord(
                n, "complete", values, result, seconds=0.7, same_as=same_as, exceeded=exceeded
            )
        )
    axes = (
        AXES[0],
        Axis("rule", categories=tuple(RULES)),
        Axis("late.gamma", log=True),
        Axis("late.epsilon"),
    )
    return fabricate_study(trials=tuple(records), axes=axes, planned=40, recommendation=None)


MANY_AXES = (
    Axis("early.epsilon"),
    AXES[0],
    AXES[1],
    Axis("rule", categories=("gamma", "epsilon", "z_plus")),
    Axis("late.epsilon"),
)
WEIGHTS = (0.02, 0.2, 0.45, 0.3, 0.0)


def raced_study(names: Sequence[str], number: int = 60, **changes: Any) -> StudyResults:
    """A study without nomination over some of MANY_AXES, which matter as `WEIGHTS` say.

    Two trials failed; from the tenth on, those far behind the best one before them were stopped.
    """
    axes = [axis for axis in MANY_AXES if axis.name in names]
    weights = [w for axis, w in zip(MANY_AXES, WEIGHTS, strict=True) if axis.name in names]
    random = np.random.default_rng(7)
    hard = random.normal(0, 0.6, 32)
    records: list[TrialRecord] = []
    best = np.inf
    for n in range(number):
        drawn = [random.uniform(0, 1) for _ in axes]
        values = dict(zip(names, map(_value_at, axes, drawn), strict=True))
        far = sum(w * abs(d - 0.4) for w, d in zip(weights, drawn, strict=True))
        scores = 2 + 4 * far + hard + random.normal(0, 0.4, 32)
        if n in (5, 17):
            records.append(TrialRecord(n, "failed", values, reason="NaN", seconds=0.2))
        elif n > 8 and scores.mean() > best + 0.3:
            pruned = Pruned(8 + n % 3 * 4, float(scores.mean() + random.normal(0, 0.05)))
            records.append(TrialRecord(n, "pruned", values, seconds=0.2, pruned=pruned))
        else:
            best = min(best, float(scores.mean()))
            result = dataclasses.replace(trial_result(3, n), measures={"auc_morf": scores})
            records.append(TrialRecord(n, "complete", values, result, seconds=0.7))
    study = fabricate_study(
        trials=tuple(records),
        planned=number,
        axes=tuple(axes),
        recommendation=None,
        illustrations=None,
    )
    return dataclasses.replace(study, **changes)


def _value_at(axis: Axis, share: float) -> Any:
    """The value at a share of an axis, from 0 to 1."""
    if axis.categories:
        return axis.categories[min(int(share * len(axis.categories)), len(axis.categories) - 1)]
    if not axis.log:
        return share
    value = 10 ** (-4.4 * (1 - share))
    return value if value >= LOW else 0.0


def recommendation(number: int = 39) -> Recommendation:
    rows = (
        ("LRP-Tutorial", 3.71, -0.31, -0.55, -0.12, 0.0008, 0.0032),
        ("LRP-Decreasing-γ", 3.66, -0.26, -0.49, -0.06, 0.004, 0.012),
        ("EpsilonPlus", 4.42, -1.02, -1.43, -0.71, 0.0001, 0.0005),
        ("uniform ε", 4.95, -1.55, -2.1, -1.04, 0.0001, 0.0005),
        ("EpsilonGammaBox", 3.52, -0.12, -0.29, 0.05, 0.09, 0.09),
    )
    comparisons = tuple(Comparison(*row, better=row[-1] < 0.05) for row in rows)
    return Recommendation(
        number=number,
        values={"early.gamma": POINTS[5], "late.gamma": POINTS[4]},
        validation_images=32,
        mean=3.4,
        low=3.1,
        high=3.75,
        comparisons=comparisons,
        verdict="not better",
        sentence="Not better than every composite of the literature: EpsilonGammaBox is as good "
        "(difference -0.12, 95 % interval -0.29 to 0.05).",
        finalists=(
            Finalist(
                "trial 39",
                39,
                {"early.gamma": POINTS[5], "late.gamma": POINTS[4]},
                {"auc_morf": 3.41, "auc_lerf": 11.2, "srg": 7.8},
            ),
            Finalist(
                "LRP-Tutorial", None, {}, {"auc_morf": 3.71, "auc_lerf": 11.4, "auc_random": 7.7}
            ),
        ),
        warnings=("SRG is worse than that of LRP-Tutorial (7.69 against 7.80).",),
    )


def illustrations(count: int = 4, size: int = 64) -> Illustrations:
    """A ring on a textured ground, and heatmaps that see it more or less well."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:size, :size]
    images, best, baseline, halfway = [], [], [], []
    for k in range(count):
        cy, cx = random.uniform(20, 44, 2)
        distance = np.hypot(y - cy, x - cx)
        ring = np.exp(-((distance - 10) ** 2) / 8)
        image = np.stack([90 + 60 * np.sin((x + k * y) / (3 + c)) for c in range(3)], -1)
        image = np.clip(image + 90 * ring[..., None] + random.normal(0, 9, image.shape), 0, 255)
        images.append(image.astype(np.uint8))
        best.append(ring * random.normal(0.02, 0.01, ring.shape))
        baseline.append(ring * 0.01 + random.normal(0, 0.02, ring.shape))
        gone = image.copy()
        gone[distance < 15] = image.mean((0, 1))
        halfway.append(gone.astype(np.uint8))
    grid = np.stack(
        [
            np.stack([best[0] + (0.02 / (1 + i + j)) * (baseline[0]) * 40 for j in range(7)])
            for i in range(7)
        ]
    )
    return Illustrations(
        ids=tuple(f"scene-{k:04d} (ring)" for k in range(count)),
        images=np.stack(images),
        best=np.stack(best),
        baseline=np.stack(baseline),
        baseline_name="EpsilonGammaBox",
        halfway=np.stack(halfway),
        grid=grid,
        grid_names=("early.gamma", "late.gamma"),
        grid_rows=POINTS,
        grid_columns=POINTS,
    )


def fabricate_study(**changes: Any) -> StudyResults:
    """A finished study of 49 trials over two logarithmic axes with zero; `changes` replace."""
    study = StudyResults(
        name="quickstart",
        objectives=("auc_morf",),
        directions=("minimize",),
        trials=grid_trials(),
        planned=49,
        axes=AXES,
        spec_text=SPEC,
        spec_hash="a9" * 32,
        provenance={
            "device": "cpu",
            "lrpsweep": "0.1.0",
            "torch": "2.13.0",
            "seed": 0,
            "score": "logit",
        },
        recommendation=recommendation(),
        illustrations=illustrations(),
        composite=COMPOSITE,
    )
    return dataclasses.replace(study, **changes)


CRITERIA = Criteria(MEASURES["srg"], {"auc_morf": 2.5}, floor=True)
LITERATURE = {"decreasing_gamma": 2.1, "epsilon_gamma_box": 1.9, "epsilon_plus": 3.0}
PARTS = {"search": 32, "selection": 16, "validation": 40}
CHANCE = 4.0


def two_sided(quality: float, seed: int, part: str = "search", chance: bool = False) -> TrialResult:
    """As `trial_result`, from both ends; images differ in the same way for every candidate."""
    images, noise = PARTS[part], np.random.default_rng(seed)
    level = np.random.default_rng(len(part)).normal(14, 2, (images, 1)) - 1
    flipped = np.minimum(np.arange(17) ** 2, 256) / 256
    kept = {"morf": np.exp(-flipped * 12 / quality), "lerf": 1 - flipped ** (6 / quality)}
    if chance:
        kept = {"morf": kept["morf"]}
    curves = {
        order: 1 + level * share + noise.normal(0, 0.5, (images, 17))
        for order, share in kept.items()
    }
    if chance:
        curves["lerf"] = curves["morf"]
    areas = {order: auc(found) for order, found in curves.items()}
    low, high = np.quantile(curves["morf"], [0.25, 0.75], axis=0)
    return dataclasses.replace(
        trial_result(quality, seed),
        objectives=("srg", "auc_morf", "auc_lerf"),
        measures={
            "srg": areas["lerf"] - areas["morf"],
            "auc_morf": areas["morf"],
            "auc_lerf": areas["lerf"],
        },
        curve=curves["morf"].mean(0),
        curve_low=low,
        curve_high=high,
        flipped=flipped,
        curves={"lerf": curves["lerf"].mean(0)},
    )


def _quality(trial: TrialRecord) -> float:
    early, late = (place(value) for value in trial.values.values())
    far = (early + 0.8) ** 2 + 0.6 * (late + 1.6) ** 2
    return 1.5 + 0.03 * far + 0.01 * far**2


def concluded_study(
    literature: Mapping[str, float] = LITERATURE,
    *,
    chance: float = CHANCE,
    validated: float | None = 1.5,
    look: int = 1,
    current: str = "",
) -> StudyResults:
    """A study with nomination and statement, as the sweep makes them of fabricated scores.

    literature: by name, the quality of published composites; chance: that of a random order.
    validated: the nominee's on the validation images; None: there are none.
    """
    trials = tuple(
        trial
        if trial.result is None
        else dataclasses.replace(trial, result=two_sided(_quality(trial), n))
        for n, trial in enumerate(grid_trials())
    )
    published = {name: two_sided(q, 100 + n) for n, (name, q) in enumerate(literature.items())}
    random = two_sided(chance, 99, chance=True)
    nomination = _nomination(trials, literature, published, random, chance)
    nominee = nomination.nominee
    found = None
    if nominee is not None and validated is not None:
        found = _judged(nomination, nominee, literature, chance, validated, look, current)
    return fabricate_study(
        objectives=("srg",),
        directions=("maximize",),
        trials=trials,
        nomination=nomination,
        recommendation=found,
        literature=published,
        random=random,
        composite=None if nominee is None else COMPOSITE,
    )


def dropped_study() -> StudyResults:
    """One whose first baseline was scored on 32 of the 64 validation images alone."""
    study = concluded_study()
    assert study.recommendation is not None
    found = dataclasses.replace(study.recommendation, validation_images=64)
    images = (32,) + (64,) * (len(found.comparisons) - 1)
    comparisons = tuple(
        dataclasses.replace(one, images=count)
        for one, count in zip(found.comparisons, images, strict=True)
    )
    return dataclasses.replace(
        study, recommendation=dataclasses.replace(found, comparisons=comparisons)
    )


def _nomination(
    trials: tuple[TrialRecord, ...],
    literature: Mapping[str, float],
    published: Mapping[str, TrialResult],
    random: TrialResult,
    chance: float,
) -> Nomination:
    complete = [t for t in trials if t.result is not None]
    contenders = [
        Contender(f"trial {t.number}", t.number, t.values, t.literature) for t in complete
    ]
    results = [t.result for t in complete if t.result is not None] + list(published.values())
    qualities = [_quality(t) for t in complete] + list(literature.values())
    contenders += [Contender(name, published=name) for name in published]
    ballot = _ballot(contenders, results, random)
    first = nominate(ballot, CRITERIA, AXES)
    places = [[c.label for c in contenders].index(one.label) for one in first.finalists]
    if not places:
        return first
    again = [two_sided(qualities[row], 200 + row, "selection") for row in places]
    chosen = [contenders[row] for row in places]
    selected = _ballot(chosen, again, two_sided(chance, 98, "selection", chance=True))
    return nominate(ballot, CRITERIA, AXES, selected)


def _ballot(contenders: list[Contender], results: list[TrialResult], random: TrialResult) -> Ballot:
    measures = [measure.name for measure in CRITERIA.measures]
    return Ballot(
        tuple(contenders),
        {name: np.stack([result.measures[name] for result in results]) for name in measures},
        random.measures,
        ((),) * len(contenders),
    )


def _judged(
    nomination: Nomination,
    nominee: Contender,
    literature: Mapping[str, float],
    chance: float,
    validated: float,
    look: int,
    current: str,
) -> Recommendation:
    ours = two_sided(validated, 300, "validation")
    others = {
        name: two_sided(quality, 301 + n, "validation")
        for n, (name, quality) in enumerate(literature.items())
        if name != nominee.published
    }
    objective, guard = (
        Compared(
            name,
            MEASURES[name].title,
            MEASURES[name].direction,
            nomination.ranges[name],
            ours.measures[name],
            {other: result.measures[name] for other, result in others.items()},
        )
        for name in ("srg", "auc_morf")
    )
    found = state(objective, [guard], look=look, seed=0, published=nominee.published)
    interval = mean_interval(ours.scores, 0)
    control = two_sided(chance, 97, "validation", chance=True)
    everyone = {nominee.label: ours, **others, RANDOM_ORDER: control}
    return Recommendation(
        number=nominee.number,
        values=nominee.values,
        published=nominee.published,
        validation_images=len(ours.scores),
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        comparisons=found.comparisons,
        verdict=found.verdict,
        sentence=found.sentence,
        finalists=tuple(
            Finalist(
                label,
                nominee.number if label == nominee.label else None,
                nominee.values if label == nominee.label else {},
                {name: float(scores.mean()) for name, scores in result.measures.items()},
            )
            for label, result in everyone.items()
        ),
        warnings=("AUC (LeRF) is 10.9, below the 11.1 of epsilon_gamma_box.",),
        bounds=found.bounds,
        look=look,
        level=level_of(look),
        ahead=found.ahead,
        images_for_better=found.images_for_better,
        images_for_as_good=found.images_for_as_good,
        current=current,
    )


def one_validation_image(study: StudyResults) -> StudyResults:
    """The study with all that a single validation image cannot tell as NaN."""
    found = study.recommendation
    assert found is not None
    unknown = float("nan")
    comparisons = tuple(
        dataclasses.replace(
            c, low=unknown, high=unknown, p=unknown, p_adjusted=unknown, better=False
        )
        for c in found.comparisons
    )
    single = dataclasses.replace(
        found, validation_images=1, low=unknown, high=unknown, comparisons=comparisons
    )
    return dataclasses.replace(study, recommendation=single)
