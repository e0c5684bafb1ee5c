"""A study without images: the score is a quadratic of the hyperparameters."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Candidate, TrialResult
from lrpsweep.study import identity, parse_study
from lrpsweep.sweep.study import Plan
from lrpsweep.sweep.validation import Proof


def result(
    scores: list[float],
    device: str = "cpu",
    hot_spot: float = 0.5,
    unstable: str = "",
    objective: str = "auc_morf",
    **others: list[float],
) -> dict[str, Any]:
    """A trial with these scores of auc_morf, and of other measures."""
    measures = {"auc_morf": scores} | others
    found = TrialResult(
        objectives=(objective,),
        measures={name: np.asarray(values) for name, values in measures.items()},
        curve=np.linspace(1, 0, 3),
        curve_low=np.linspace(1, 0, 3) - 0.1,
        curve_high=np.linspace(1, 0, 3) + 0.1,
        flipped=np.linspace(0, 1, 3),
        balance={"bias": 0.1, "stabilizer": 0.0, "unexplained": 0.0},
        hot_spot=hot_spot,
        seconds={"explain": 0.0, "flip": 0.0},
        device=device,
        blocks={"early": {"bias": 0.1, "stabilizer": 0.0, "unexplained": 0.0, "hot_spot": 0.2}},
        unstable=unstable,
    )
    return found.to_json() | {"forwards": 7, "memory_bytes": 1000}


def job(**values: float) -> dict[str, Any]:
    """A task at this point, as a worker gets it."""
    return {"candidate": {"method": "lrp", "settings": {"values": values}}}


def both_ends(morf: list[float], lerf: list[float], **more: Any) -> dict[str, Any]:
    """A trial that was perturbed from both ends."""
    srg = (np.asarray(lerf) - morf).tolist()
    return result(morf, auc_lerf=lerf, srg=srg, **more)


class Build:
    """Builds a runner; picklable. faults: what happens at which value of x,
    or with which preset. version: of the study: trials of later ones record both orders.
    """

    def __init__(
        self, seconds: float = 0.0, version: int = 1, objective: str = "auc_morf", **faults: str
    ) -> None:
        self.seconds = seconds
        self.objective = objective
        self.version = version
        self.faults = faults

    def __call__(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return self.run

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.seconds)
        settings = task["candidate"]["settings"]
        if settings.get("preset") in self.faults and not task.get("control"):
            raise ValueError("a bad preset")
        if task.get("control"):
            chance = [1.0 + 0.01 * i for i in range(4)]
            return both_ends(chance, chance, objective=self.objective)
        values = settings.get("values") or {"x": 0.9, "y": 0.9}
        value = (values["x"] - 0.3) ** 2 + (values.get("y", 0.0) - 0.1) ** 2
        fault = self.faults.get(f"x{values['x']:g}".replace(".", "_"))
        match fault:
            case "nan" | "inf":
                value = float(fault)
            case "raise":
                raise ValueError("a bad point")
            case "memory":
                raise MemoryError("no room")
            case "exit":
                os._exit(3)
        scores = [value + 0.01 * i for i in range(4)]
        if len(task.get("objectives", ())) > 1 or self.version > 1 or self.objective != "auc_morf":
            lerf = [2 - score for score in scores]
            return both_ends(scores, lerf, hot_spot=1 - values["x"], objective=self.objective)
        return result(scores, hot_spot=1 - values["x"])


class Uneven(Build):
    """One trial is faster, another one slower, never the same."""

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        time.sleep(random.SystemRandom().random() * 0.1)
        return super().run(task)


class Several(Build):
    """Two objectives that pull apart: auc_morf, best at (0.3, 0.1), and hot_spot, best at x = 1."""

    OBJECTIVES = ("auc_morf", "hot_spot")

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        found = super().run(task)
        spot = 1 - task["candidate"]["settings"].get("values", {"x": 0.9})["x"]
        if self.faults.get("spots") and spot > 0.9:
            spot = float("nan")
        found["measures"]["hot_spot"] = [spot] * 4
        return found | {"objectives": [*self.OBJECTIVES, "auc_lerf", "srg"]}


class NotMounted(Build):
    """Nothing can be built where its data are missing."""

    def __call__(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        raise OSError("the images are not mounted")


STUDY = """
version: {version}
name: {name}
model: {{embedded: scenes}}
data: {{embedded: scenes, split: {{search: 4, validation: 4, seed: 0}}}}
objective: {objective}
{floor}
search:
  x: {{linear: [0.0, 1.0], points: {points}}}
  y: {{linear: [0.0, 1.0], points: {points}}}
composite:
  - {{block: early, layers: 0..5, rule: gamma, gamma: $x}}
  - {{block: default, rule: gamma, gamma: $y}}
evaluation: {{patch: {patch}}}
constraints: {constraints}
sampler: {{name: {sampler}, seed: {seed}}}
economy: {economy}
{trials}
run: {{storage: {storage}, workers: {workers}, cpus: {cpus}}}
"""


def plan(
    *,
    name: str = "quadratic",
    sampler: str = "random",
    trials: int | None = 6,
    points: int = 3,
    patch: int = 8,
    seed: int = 0,
    storage: str | None = None,
    build: Build | None = None,
    literature: dict[str, Any] | None = None,
    baselines: tuple[str, ...] = (),
    constraints: str = "{}",
    economy: str = "{}",
    workers: int = 2,
    version: int = 1,
    objective: str = "auc_morf",
    floor: bool = True,
    parts: dict[str, tuple[str, ...]] | None = None,
    current: tuple[str, Candidate] | None = None,
    alike: Callable[[Candidate], Any] = repr,
    **changes: Any,
) -> Plan:
    """A plan over x and y in [0, 1]; the best point is (0.3, 0.1). changes: of the plan.

    workers: on two processors.
    """
    text = STUDY.format(
        name=name,
        points=points,
        patch=patch,
        constraints=constraints,
        economy=economy,
        workers=workers,
        cpus=2 / workers,
        version=version,
        objective=objective,
        floor="" if floor else "floor: false",
        sampler=sampler,
        seed=seed,
        storage="null" if storage is None else json.dumps(storage),
        trials="" if sampler == "grid" else f"trials: {trials}",
    )
    spec = parse_study(text, Path("quadratic.yaml"))
    spec_hash, canonical = identity(
        spec, fingerprint="none", image_ids=["a"], image_hashes=["b"], targets=[0]
    )
    return Plan(
        spec=spec,
        directions=tuple(MEASURES[name].direction for name in spec.objectives),
        identity=canonical,
        spec_hash=spec_hash,
        proof=Proof(
            method="lrp",
            parts=parts or {"search": ("a 0",) * 4, "validation": ("b 0",) * 4},
            baselines={name: Candidate("lrp", {"preset": name}) for name in baselines},
            current=current,
            meaning=alike,
        ),
        build=build or Build(version=version, objective=objective),
        literature=literature or {},
        **changes,
    )
