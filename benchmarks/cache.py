"""What is saved by scores of perturbed states that were scored before.

    python benchmarks/cache.py [STUDY] [--trials 49] [--images 32]

The first trials of the study's grid, the quickstart's where none is named, by two workers that take
turns: one keeps scores and one does not, and both must find the same. CPU time is the steadier
number where other programs share the machine; explaining, inpainting and scoring are wall times,
inpainting only as far as scoring had to wait for it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from lrpsweep.evaluation import ScoreCache
from lrpsweep.results import Candidate
from lrpsweep.study import Space, StudySpec, bundled_studies, grid, load_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Context, Task, prepare
from lrpsweep.trial.trial import run_trial


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("study", type=Path, nargs="?", default=bundled_studies()["quickstart"])
    options.add_argument("--trials", type=int, default=49)
    options.add_argument("--images", type=int, help="instead of the study's search images")
    chosen = options.parse_args()
    split = {"selection": 0, "validation": 0, "search": chosen.images}
    changes = [f"data.split.{part}={count}" for part, count in split.items() if count is not None]
    spec = load_study(chosen.study, changes)
    torch.set_num_threads(max(1, int(spec.run.cpus)))
    contexts = [prepare(spec), prepare(spec)]
    contexts[0].score_cache, contexts[1].score_cache = ScoreCache(), None
    found = [Worker(context) for context in contexts]
    for candidate in islice(points(spec), chosen.trials):
        for worker in found:
            worker.run(candidate)
    report(*found)


def points(spec: StudySpec) -> Iterator[Candidate]:
    space = Space(spec.search, spec.composite)
    return (tuned(space.values(point)) for point in space.points(grid(spec.search)))


SCORED = "states made and scored"


@dataclass
class Worker:
    """What the trials of one context have given and cost."""

    context: Context
    scores: list[np.ndarray] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def run(self, candidate: Candidate) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        result = run_trial(self.context, Task(candidate))
        self.costs["CPU, s"] += time.process_time() - cpu
        self.costs["wall, s"] += time.perf_counter() - wall
        for part, seconds in result.seconds.items():
            self.costs[f"– {part}, s"] += seconds
        self.costs["states asked for"] += result.counts["states"]
        self.costs[SCORED] += result.counts["states"] - result.counts["known"]
        self.costs["images through the network"] += result.counts["forwards"]
        self.scores.append(result.scores)


def report(cached: Worker, plain: Worker) -> None:
    trials, cache = len(plain.scores), cached.context.score_cache
    assert cache is not None
    print(f"{trials} trials, batch {cached.context.batch}, {len(cache)} scores kept")
    print(f"hit rate {1 - cached.costs[SCORED] / plain.costs[SCORED]:.1%}")
    before, after = (np.concatenate(worker.scores) for worker in (plain, cached))
    print(f"largest relative difference of a score {np.max(np.abs(after / before - 1)):.1e}\n")
    print("| a trial | without | with | ratio |\n| --- | --- | --- | --- |")
    for name, without in plain.costs.items():
        ratio = cached.costs[name] / without
        print(
            f"| {name} | {without / trials:.4g} | {cached.costs[name] / trials:.4g} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
