"""What the economy of a study saves, and what it costs: sweeps over stored curves.

    python benchmarks/compute.py [tests/surfaces/NAME-curves.npz ...] [--seeds 20] [--trials 40]
    python benchmarks/compute.py SURFACE.npz --bootstraps 200

Each sweep is a real one, with the package's sampler, pilot, races, finalists and nomination; only
its worker looks curves up in place of making them, at the nearest point of the grid
(tests/replay.py). A surface of one's own is made by `benchmarks/surfaces.py`.

The measure is plain: the whole grid, all states of all images, nothing kept. Columns, means over
the seeds of the sampler: passes through the network, to explain and to score, and states inpainted,
both as one part of so many of plain's; regret, by how much the nominee is behind that of the grid
by the objective on all states, in standard errors of its mean and of the paired difference: the
median, and the share of seeds within one. There are no selection images and no published
composites: they cost the same either way. With `--guard 5` AUC (MoRF) is a guard, as in studies
that do not say otherwise; then the share is told whose nominee keeps it on the whole grid: one that
does not may be ahead of the grid's.

The last lines are plain TPE with as many trials as the passes of the economy pay for, and by how
much its regret is larger, seed by seed, in paired standard errors.

With `--bootstraps`, the images are drawn again for each seed, and the grid's nominee with them:
the share of draws in which the sweep loses more than one paired standard error, with and without
economy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from replay import Curves, load_curves, replay

from lrpsweep.evaluation import MEASURES
from lrpsweep.sweep.nomination import Criteria

FOLDER = Path(__file__).parent.parent / "tests" / "surfaces"
LAG = 8
MEANS = {
    "the grid, scores kept": {"sampler": "grid", "economy": "{}", "trials": None},
    "TPE": {"caching": False, "economy": f"{{lag: {LAG}}}"},
    "TPE, scores kept": {"economy": f"{{lag: {LAG}}}"},
    "TPE, states": {"caching": False, "economy": f"{{states: auto, lag: {LAG}}}"},
    "TPE, races": {"caching": False, "economy": f"{{racing: true, lag: {LAG}}}"},
    "all together": {"economy": f"{{states: auto, racing: true, lag: {LAG}}}"},
}
TOGETHER = "all together"


@dataclass(frozen=True)
class Found:
    """One sweep. passes, states: as a share of plain's. regret: in units of the objective, with
    the standard errors of the best's mean and of the paired difference. guarded: whether it keeps
    the guards on the whole grid."""

    passes: float
    states: float
    regret: float
    error: float
    paired_error: float
    guarded: bool

    @property
    def in_errors(self) -> float:
        return self.regret / self.error if self.error else 0.0

    @property
    def in_paired_errors(self) -> float:
        return self.regret / self.paired_error if self.paired_error else 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("surfaces", nargs="*", type=Path)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--trials", type=int, default=40)
    options.add_argument("--bootstraps", type=int, default=0)
    options.add_argument("--guard", type=float, default=0, help="per cent; 0: none")
    chosen = options.parse_args()
    for path in chosen.surfaces or sorted(FOLDER.glob("*-curves.npz")):
        surface = load_curves(path)
        print(f"\n{path.stem}: {len(surface.values)} points, {surface.images} images, ", end="")
        print(f"{surface.last + 1} states")
        usual = {"trials": chosen.trials, "guard": chosen.guard}
        if chosen.bootstraps:
            print_bootstraps(surface, chosen.bootstraps, usual)
        else:
            print_means(surface, chosen.seeds, usual)


def print_means(surface: Curves, seeds: int, usual: Mapping[str, Any]) -> None:
    print("", "passes", "states", "regret, errors", "within 1", sep=" | ", end=" | ")
    print("regret, paired", "within 1", "keeps the guard", sep=" | ")
    found = {}
    for name, given in MEANS.items():
        repeats = 1 if given.get("sampler") == "grid" else seeds
        found[name] = [sweep(surface, seed, **{**usual, **given}) for seed in range(repeats)]
        print_row(name, found[name])
    paid = float(np.mean([one.passes for one in found[TOGETHER]]))
    fewer = max(
        2, round(usual["trials"] * paid / float(np.mean([one.passes for one in found["TPE"]])))
    )
    plain = [
        sweep(surface, seed, **{**usual, **MEANS["TPE"], "trials": fewer}) for seed in range(seeds)
    ]
    print_row(f"TPE, {fewer} trials", plain)
    both = zip(plain, found[TOGETHER], strict=True)
    more = np.array([one.in_paired_errors - other.in_paired_errors for one, other in both])
    error = more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else float("nan")
    print(f"its regret is larger by {more.mean():.2f} ± {error:.2f} paired standard errors")


def print_row(name: str, found: Sequence[Found]) -> None:
    errors = np.array([one.in_errors for one in found])
    paired = np.array([one.in_paired_errors for one in found])
    print(
        name,
        *(
            f"1/{1 / mean(getattr(one, part) for one in found):.1f}"
            for part in ("passes", "states")
        ),
        *(f"{np.median(one):.2f} | {np.mean(one <= 1):.0%}" for one in (errors, paired)),
        f"{mean(one.guarded for one in found):.0%}",
        sep=" | ",
        flush=True,
    )


def print_bootstraps(surface: Curves, count: int, usual: Mapping[str, Any]) -> None:
    for name in ("TPE, scores kept", TOGETHER):
        lost = []
        for number in range(count):
            drawn = np.random.default_rng([9, number]).integers(surface.images, size=surface.images)
            one = sweep(surface.of(drawn), number, **{**usual, **MEANS[name]})
            lost.append(one.in_paired_errors > 1)
        error = np.std(lost) / np.sqrt(count)
        print(
            f"{name}: loses more than one paired standard error in {mean(lost):.1%} ± {error:.1%}"
        )


def sweep(surface: Curves, seed: int, guard: float, **given: Any) -> Found:
    guards = {"auc_morf": guard} if guard else {}
    with tempfile.TemporaryDirectory() as folder:
        results, worker = replay(
            surface, Path(folder), seed=seed, guards=json.dumps(guards), **given
        )
    ballot, criteria = surface.ballot(), Criteria(MEASURES["srg"], guards, floor=True)
    order = ballot.count().order(criteria, ballot.count().ranges(criteria))
    assert results.nominee is not None
    row, scores = surface.nearest(results.nominee.values), ballot.scores["srg"]
    best, gap = scores[order[0]], scores[order[0]] - scores[row]
    count = surface.images
    states = len(surface.values) * count * 2 * (surface.last + 1)
    return Found(
        passes=worker.passes / (states + len(surface.values) * count),
        states=worker.states / states,
        regret=float(gap.mean()),
        error=float(best.std(ddof=1) / np.sqrt(count)),
        paired_error=float(gap.std(ddof=1) / np.sqrt(count)),
        guarded=row in order,
    )


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    main()
