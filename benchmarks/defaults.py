"""What a study should optimise by default: split halves of stored surfaces.

    python benchmarks/defaults.py [--splits 100] [--budgets 20 40]

On one half of a surface's images a sampler searches the grid, and a nominee is found among its
trials and the published composites; the other half is the truth. Compared are

- A: TPE optimises AUC (MoRF); nominated is the highest SRG within the guard and above the floor;
- B: TPE optimises SRG; nominated in the same way;
- B without floor, with a wider guard, and without one;
- MoRF alone: TPE optimises AUC (MoRF), and the lowest is nominated, whatever else it does.

`all` in the place of a budget is the whole grid, on which A and B are the same. Columns: the
nominee's gain on a random order, on the other half, in per cent of the best candidate's there, by
SRG and by MoRF; in how many runs the nominee is better there than the published composite that is
best on the search half, by the same measure (a published nominee is not better than itself); and
how often another was nominated than without guard or without floor; how often the nominee is itself
published. B − A is the difference, split by split. Each with its standard error
over the splits, which says nothing of other images than the pool's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import optuna

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from surface import NAMES, Surface, load

from lrpsweep.evaluation import MEASURES, Measure
from lrpsweep.study import Space, parse_study
from lrpsweep.sweep.nomination import Criteria, Tally
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.samplers.sampler import Asked, first_new

SRG, MORF = MEASURES["srg"], MEASURES["auc_morf"]
GUARD = {"auc_morf": 2.5}
FULL = Criteria(SRG, GUARD, floor=True)
A, B = "A: MoRF, then SRG", "B: SRG"
RULES: dict[str, tuple[Measure, Criteria]] = {
    A: (MORF, FULL),
    B: (SRG, FULL),
    "B without floor": (SRG, Criteria(SRG, GUARD, floor=False)),
    "B, guard 5 %": (SRG, Criteria(SRG, {"auc_morf": 5.0}, floor=True)),
    "B, guard 10 %": (SRG, Criteria(SRG, {"auc_morf": 10.0}, floor=True)),
    "B without guard": (SRG, Criteria(SRG, {}, floor=True)),
    "MoRF alone": (MORF, Criteria(MORF, {}, floor=False)),
}
"""By name: what the sampler optimises, and what decides on the nominee."""
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
    chosen = options.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in chosen.surfaces:
        print(f"\n{name}\n", "trials", *(field.name for field in fields(Run)), sep=" | ")
        found = compare(load(name), chosen.splits, chosen.budgets)
        for budget, rule in sorted(found, key=lambda key: key[0]):
            runs = table(found[budget, rule])
            print(budget, rule, *columns(runs), sep=" | ")
            if rule == B:
                print(budget, "B − A", *columns(runs - table(found[budget, A])), sep=" | ")


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
    proposals = SAMPLERS["tpe"].proposals(space, seed, "minimize")
    tried: list[Asked] = []
    seen: list[tuple[Any, ...]] = []
    while len(tried) < min(budget, len(places)):
        params = first_new(space, proposals(tried), seen)
        loss = losses[row_of[params["first"], params["second"]]]
        tried.append(Asked(params, "complete", float(loss)))
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
