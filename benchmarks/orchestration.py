"""What a sweep costs beside its trials: Optuna, Ray and MLflow, with trials that only wait.

    python benchmarks/orchestration.py [--trials 100] [--seconds 0.5] [--workers 2]
        [--samplers random tpe] [--executor ray]

Each trial sleeps, so that nothing but orchestration is measured, on top of the ideal: trials ×
seconds / workers. Start-up (Ray, first worker) and the first trial, which runs alone to be timed,
are rows of their own; `steady` is from the end of the first trial to the end of the last one. With
`--executor local`, one worker in this process, it is the share without Ray.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lrpsweep.report.mlflow import publish
from lrpsweep.results import TrialRecord, TrialResult
from lrpsweep.study import identity, parse_study
from lrpsweep.sweep.search import Progress, Silent
from lrpsweep.sweep.study import ExecutorName, Plan, run_study
from lrpsweep.sweep.validation import Proof

STUDY = """
version: 1
name: orchestration
model: {embedded: scenes}
data: {embedded: scenes, split: {search: 32, validation: 0, seed: 0}}
search:
  early: {log: [1.0e-4, 1.0], zero: true}
  late: {log: [1.0e-4, 1.0], zero: true}
composite:
  - {block: early, layers: 0..5, rule: gamma, gamma: $early}
  - {block: default, rule: gamma, gamma: $late}
sampler: {name: SAMPLER}
trials: TRIALS
run: {workers: WORKERS}
"""


def sleeper(seconds: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A worker whose trials wait and give a result of the usual size."""
    curve = np.linspace(1, 0, 17)
    measures = {"auc_morf": np.linspace(0, 1, 32)}
    balance = {"bias": 0.1, "stabilizer": 0.0, "unexplained": 0.0}
    found = TrialResult(
        ("auc_morf",), measures, curve, curve, curve, curve, balance, 0.1, {"flip": 0.5}, "cpu"
    )

    def run(task: dict[str, Any]) -> dict[str, Any]:
        time.sleep(seconds)
        value = sum((v - 0.1) ** 2 for v in task["candidate"]["settings"]["values"].values())
        return replace(found, measures={"auc_morf": value + found.scores}).to_json()

    return run


class Clock(Silent):
    """When each trial ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def told(self, record: TrialRecord) -> None:
        pass

    def progressed(self, progress: Progress) -> None:
        self.ends.append(time.perf_counter())


def measure(
    sampler: str, trials: int, seconds: float, workers: int, executor: ExecutorName
) -> dict[str, float]:
    """Wall seconds by part."""
    text = STUDY.replace("SAMPLER", sampler).replace("TRIALS", str(trials))
    spec = parse_study(text.replace("WORKERS", str(workers)), Path("orchestration.yaml"))
    spec_hash, canonical = identity(spec, fingerprint="", image_ids=(), image_hashes=(), targets=())
    plan = Plan(spec, ("minimize",), canonical, spec_hash, Proof("lrp"), partial(sleeper, seconds))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        results = run_study(plan, runs_dir=Path(folder), observer=clock, executor=executor)
        ended = time.perf_counter()
        publish(results, tracking_uri=f"sqlite:///{folder}/mlflow.db")
        published = time.perf_counter()
    return {
        "start-up": clock.ends[0] - seconds - began,
        "steady": clock.ends[-1] - clock.ends[0],
        "shut-down": ended - clock.ends[-1],
        "publish": published - ended,
    }


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--executor", choices=["ray", "local"], default="ray")
    options = parser.parse_args()
    workers = 1 if options.executor == "local" else options.workers
    ideal = (options.trials - 1) * options.seconds / workers
    print(
        f"{options.trials} trials of {options.seconds} s, {options.executor}, {workers} workers\n"
    )
    print("| sampler | start-up | steady (ideal) | over | ms a trial | shut-down | MLflow, after |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for sampler in options.samplers:
        found = measure(sampler, options.trials, options.seconds, workers, options.executor)
        over = found["steady"] - ideal
        print(
            f"| {sampler} | {found['start-up']:.1f} s | {found['steady']:.1f} ({ideal:.1f}) s "
            f"| {over / ideal:.1%} | {1000 * over / (options.trials - 1):.0f} "
            f"| {found['shut-down']:.1f} s | {found['publish']:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
