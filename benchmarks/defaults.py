"""What a study should optimise by default: split halves of stored surfaces.

    python benchmarks/defaults.py [--splits 100] [--budgets 20 40]
    python benchmarks/defaults.py --verdicts [--studies 500]

On one half of a surface's images a sampler searches the grid, and a nominee is found among its
trials and the published composites; the other half is the truth. Compared are

- A: TPE optimises AUC (MoRF); nominated is the highest SRG within a guard and above the floor;
- B: TPE optimises SRG; nominated in the same way;
- B without floor, and A and B with other guards and without one;
- MoRF alone: TPE optimises AUC (MoRF), and the lowest is nominated, whatever else it does.

`all` in the place of a budget is the whole grid, on which A and B are the same. Columns: the
nominee's gain on a random order, on the other half, in per cent of the best candidate's there, by
SRG and by MoRF; in how many runs the nominee is better there than the published composite that is
best on the search half, by the same measure (a published nominee is not better than itself); and
how often another was nominated than without guard or without floor; how often the nominee is itself
published. B − A is the difference, split by split. Each with its standard error over the splits,
which says nothing of other images than the pool's.

With `--verdicts`: what the studies of tests/sweep/test_recommendation.py, as they are, end with on
64 validation images under each guard, in per cent of them; the same images for each.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "sweep"))
from surface import NAMES, Surface, load
from test_recommendation import stated, studies

from lrpsweep.evaluation import MEASURES, Measure
from lrpsweep.results import Verdict
from lrpsweep.study import Space, parse_study
from lrpsweep.sweep import nomination as nominating
from lrpsweep.sweep import statistics
from lrpsweep.sweep.nomination import Criteria, Tally
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.samplers.sampler import Asked, first_new

SRG, MORF = MEASURES["srg"], MEASURES["auc_morf"]
GUARDS = {
    "guard 2.5 %": {"auc_morf": 2.5},
    "guard 5 %": {"auc_morf": 5.0},
    "guard 10 %": {"auc_morf": 10.0},
    "no guard": {},
}
USUAL = "guard 5 %"
FULL = Criteria(SRG, GUARDS[USUAL], floor=True)
RULES: dict[str, tuple[Measure, Criteria]] = {
    **{f"A, {name}": (MORF, Criteria(SRG, guards, floor=True)) for name, guards in GUARDS.items()},
    **{f"B, {name}": (SRG, Criteria(SRG, guards, floor=True)) for name, guards in GUARDS.items()},
    f"B, {USUAL}, no floor": (SRG, Criteria(SRG, GUARDS[USUAL], floor=False)),
    "MoRF alone": (MORF, Criteria(MORF, {}, floor=False)),
}
"""By name: what the sampler optimises, and what decides on the nominee."""
VERDICTS: tuple[Verdict, ...] = (
    "better",
    "better, but behind",
    "as good",
    "worse",
    "undecided",
)
STUDY = """
version: 2
name: places
model: {{embedded: scenes}}
data: {{embedded: scenes, split: {{search: 20, validation: 0, seed: 0}}}}
search: {{first: {{int: [0, {}]}}, second: {{int: [0, {}]}}}}
composite:
  - {{block: early, layers: 0..5, rule: gamma, gamma: $first}}
  - {{block: default, rule: gamma, gamma: $second}}
sampler: {{name: tpe, seed: 0}}
trials: 1
"""
"""A space of the places on a surface's two axes."""


@dataclass(frozen=True)
class Run:
    """What became of one nominee on the other half, in per cent.

    srg, morf: its gain on a random order, of the best candidate's. guard_bars, floor_bars: whether
    they kept another from being nominated. published: whether it is a published composite.
    """

    srg: float
    morf: float
    better_srg: float
    better_morf: float
    guard_bars: float
    floor_bars: float
    published: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--splits", type=int, default=100)
    options.add_argument("--budgets", type=int, nargs="+", default=[20, 40])
    options.add_argument("--surfaces", nargs="+", default=list(NAMES))
    options.add_argument("--verdicts", action="store_true")
    options.add_argument("--studies", type=int, default=500)
    chosen = options.parse_args()
    if chosen.verdicts:
        print_verdicts(chosen.surfaces, chosen.studies)
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in chosen.surfaces:
        print(f"\n{name}\n", "trials", *(field.name for field in fields(Run)), sep=" | ")
        found = compare(load(name), chosen.splits, chosen.budgets)
        for budget, rule in sorted(found, key=lambda key: key[0]):
            print(budget, rule, *columns(table(found[budget, rule])), sep=" | ")
        for budget in dict.fromkeys(budget for budget, _ in found):
            for guard in GUARDS:
                runs = (table(found[budget, f"{one}, {guard}"]) for one in "BA")
                print(budget, f"B − A, {guard}", *columns(np.subtract(*runs)), sep=" | ")


def print_verdicts(surfaces: Sequence[str], count: int) -> None:
    """With as many flips as the tests have, and no stability, which nothing depends on."""
    statistics.FLIPS, nominating.DRAWS = 999, 1
    print("surface", "guard", *VERDICTS, sep=" | ")
    for name in surfaces:
        for guard, guards in GUARDS.items():
            found = verdicts(load(name), Criteria(SRG, guards, floor=True), 64, count)
            shares = (f"{100 * found[one] / found.total():.1f}" for one in VERDICTS)
            print(name, guard, *shares, sep=" | ", flush=True)


def verdicts(surface: Surface, criteria: Criteria, images: int, count: int) -> Counter[Verdict]:
    """How many studies end with each, in the first look."""
    rng = np.random.default_rng([9, images])
    return Counter(
        stated(study, study.gains, rng.integers(surface.images, size=images), 1, seed).verdict
        for seed, study in enumerate(studies(surface, count, criteria))
    )


def table(runs: Sequence[Run]) -> np.ndarray:
    """(runs, columns)."""
    return np.array([[getattr(run, field.name) for field in fields(Run)] for run in runs])


def columns(found: np.ndarray) -> list[str]:
    """Means with their standard errors."""
    errors = found.std(0, ddof=1) / np.sqrt(len(found))
    return [f"{mean:.1f} ± {error:.1f}" for mean, error in zip(found.mean(0), errors, strict=True)]


def compare(
    surface: Surface, splits: int, budgets: Sequence[int]
) -> dict[tuple[str, str], list[Run]]:
    """Runs by budget and rule. The first trials of a longer search are those of a shorter one."""
    found: dict[tuple[str, str], list[Run]] = {}
    for split in range(splits):
        search, truth = halves(surface, split)
        tried = {
            measure.name: tpe(surface, search.behind(measure), max(budgets), split)
            for measure in (MORF, SRG)
        }
        for name, (measure, criteria) in RULES.items():
            trials = {str(budget): tried[measure.name][:budget] for budget in budgets}
            for label, some in (trials | {"all": surface.trials}).items():
                rows = np.concatenate([some, surface.published])
                run = judge(surface, search, truth, rows, criteria)
                found.setdefault((label, name), []).append(run)
    return found


def halves(surface: Surface, split: int) -> tuple[Tally, Tally]:
    """Means on either half of the images, drawn at random."""
    order = np.random.default_rng([3, split]).permutation(surface.images)
    half = surface.images // 2
    return surface.ballot(order[:half]).count(), surface.ballot(order[half:]).count()


def tpe(surface: Surface, losses: np.ndarray, budget: int, seed: int) -> np.ndarray:
    """Rows of the grid in the order in which a study's TPE tries them; none twice."""
    places, sizes = grid(surface)
    row_of = dict(zip(places, surface.trials, strict=True))
    spec = parse_study(STUDY.format(*(size - 1 for size in sizes)), Path("places.yaml"))
    space = Space(spec.search, spec.composite)
    proposals = SAMPLERS["tpe"].proposals(space, seed, ("minimize",))
    tried: list[Asked] = []
    seen: list[tuple[Any, ...]] = []
    while len(tried) < min(budget, len(places)):
        params = first_new(space, proposals(tried), seen)
        loss = losses[row_of[params["first"], params["second"]]]
        tried.append(Asked(params, "complete", (float(loss),)))
        seen.append(space.key(params))
    return np.array([row_of[one.params["first"], one.params["second"]] for one in tried])


def grid(surface: Surface) -> tuple[list[tuple[int, ...]], list[int]]:
    """The place of each trial on the axes of the grid, and how many there are on each."""
    values = [list(surface.contenders[row].values.values()) for row in surface.trials]
    axes = [sorted(set(axis)) for axis in zip(*values, strict=True)]
    places = [tuple(axis.index(v) for axis, v in zip(axes, one, strict=True)) for one in values]
    return places, [len(axis) for axis in axes]


def nominee(tally: Tally, rows: np.ndarray, criteria: Criteria) -> int:
    """The row that is nominated among these."""
    among = Tally(
        {name: means[rows] for name, means in tally.means.items()}, tally.chance, tally.barred[rows]
    )
    return int(rows[among.order(criteria, among.ranges(criteria))[0]])


def judge(
    surface: Surface, search: Tally, truth: Tally, rows: np.ndarray, criteria: Criteria
) -> Run:
    """The nominee of the search half among these rows, on the other half."""
    chosen = nominee(search, rows, criteria)
    best = truth.ranges(FULL)
    reached = {m.name: 100 * truth.gain_on_chance(m)[chosen] / best[m.name] for m in (SRG, MORF)}
    unguarded = Criteria(criteria.objective, {}, criteria.floor)
    floorless = Criteria(criteria.objective, criteria.guards, floor=False)
    return Run(
        srg=float(reached["srg"]),
        morf=float(reached["auc_morf"]),
        better_srg=100.0 * beats(surface, search, truth, chosen, SRG),
        better_morf=100.0 * beats(surface, search, truth, chosen, MORF),
        guard_bars=100.0 * (nominee(search, rows, unguarded) != chosen),
        floor_bars=100.0 * (nominee(search, rows, floorless) != chosen),
        published=100.0 * (chosen in surface.published),
    )


def beats(surface: Surface, search: Tally, truth: Tally, chosen: int, measure: Measure) -> bool:
    """Whether it is better than the published composite that is best on the search half."""
    best = surface.published[np.argmin(search.behind(measure)[surface.published])]
    return bool(truth.behind(measure)[chosen] < truth.behind(measure)[best])


if __name__ == "__main__":
    main()
