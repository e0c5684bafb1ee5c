"""Whole sweeps over the stored curves of a grid: real ones, whose worker looks curves up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lrpsweep.evaluation import MEASURES, Evidence, auc, looks, subsets, thinned, with_ends
from lrpsweep.evaluation.racing import read_race
from lrpsweep.results import Contender, StudyResults, TrialResult
from lrpsweep.study import identity, parse_study
from lrpsweep.sweep.nomination import Ballot
from lrpsweep.sweep.study import Plan, run_study
from lrpsweep.sweep.validation import Proof

ORDERS = ("morf", "lerf")
MEASURED = ("srg", "auc_morf", "auc_lerf")
CONTROL = np.uint32(1)
"""What the states of a random order differ by from those of any composite."""


@dataclass(frozen=True)
class Curves:
    """Perturbation curves of C composites, the points of a grid over two gammas, on N images.

    values: of each point. curves: by order, (C, N, S + 1). random: (N, S + 1), of a random order.
    unstable: (C,), whether relevance grew out of proportion. keys: (C, orders, N, S + 1), equal for
    states of an image that are the same.
    """

    values: tuple[Mapping[str, float], ...]
    curves: Mapping[str, np.ndarray]
    random: np.ndarray
    unstable: np.ndarray
    keys: np.ndarray

    @property
    def images(self) -> int:
        """N."""
        return len(self.random)

    @property
    def last(self) -> int:
        """S."""
        return self.random.shape[1] - 1

    def of(self, images: np.ndarray) -> Curves:
        """These images alone, some of them repeatedly."""
        curves = {order: found[:, images] for order, found in self.curves.items()}
        keys = self.keys[:, :, images]
        return Curves(self.values, curves, self.random[images], self.unstable, keys)

    def nearest(self, values: Mapping[str, float]) -> int:
        """The row of the grid point that is nearest on logarithmic axes."""
        place = [_place(values[name]) for name in self._names]
        return int(np.abs(self._places - place).sum(1).argmin())

    def ballot(self) -> Ballot:
        """All of the grid, on all states."""
        morf, lerf = (_areas(self.curves[order]) for order in ORDERS)
        chance = _areas(self.random)
        return Ballot(
            tuple(Contender(f"point {n}", n, one) for n, one in enumerate(self.values)),
            {"srg": lerf - morf, "auc_morf": morf, "auc_lerf": lerf},
            {"srg": np.zeros_like(chance), "auc_morf": chance, "auc_lerf": chance},
            tuple(("unstable",) if found else () for found in self.unstable),
        )

    @cached_property
    def _names(self) -> list[str]:
        return list(self.values[0])

    @cached_property
    def _places(self) -> np.ndarray:
        return np.array([[_place(one[name]) for name in self._names] for one in self.values])


def _place(gamma: float) -> float:
    return float(np.log(max(gamma, 3e-3)))


def _areas(curves: np.ndarray) -> np.ndarray:
    return auc(curves.reshape(-1, curves.shape[-1])).reshape(curves.shape[:-1])


def load_curves(path: Path) -> Curves:
    """The grid of a surface as `benchmarks/surfaces.py` makes it."""
    with np.load(path) as stored:
        values = tuple(json.loads(text) for text in stored["values"])
        curves = {order: stored[order][: len(values)].astype(float) for order in ORDERS}
        random, unstable = stored["random"].astype(float), stored["unstable"][: len(values)]
        keys = stored["keys"][: len(values)]
    return Curves(values, curves, random, unstable, keys)


@dataclass
class Worker:
    """Scores tasks by a surface, and counts what a network would have had to do.

    passes: through the network, to explain or to score. states: inpainted. caching: whether it
    keeps scores, as a worker does, for states that recur.
    """

    surface: Curves
    caching: bool = True
    passes: int = 0
    states: int = 0
    _known: set[tuple[int, int]] = field(default_factory=set)

    def __call__(self) -> Any:
        """Itself, as a `Build`."""
        return self.run

    def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """As the runner of `lrpsweep.trial.worker.build_runner`."""
        surface, settings = self.surface, task["candidate"]["settings"]
        row = surface.nearest(settings["values"])
        first, last = task.get("rows") or (0, surface.images)
        steps = task.get("steps") or []
        steps = with_ends(steps, surface.last) if steps else ()
        stops = [*looks(surface.images), last] if task.get("race") else [last]
        race = task.get("race") and read_race(task["race"])
        for stop in sorted(stops):
            scores, curves = self._scored(row, task, slice(first, stop), steps)
            if race and stop < last and race.lost(scores):
                break
        self._count(row, slice(first, stop), steps, control=task.get("control", False))
        return self._result(row, scores, curves, steps, coarse=task.get("coarse", False)).to_json()

    def _scored(
        self, row: int, task: Mapping[str, Any], rows: slice, steps: tuple[int, ...]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        surface = self.surface
        both = {order: surface.curves[order][row, rows] for order in ORDERS}
        if task.get("control"):
            both = dict.fromkeys(ORDERS, surface.random[rows])
        if steps:
            both = {order: thinned(curves, steps) for order, curves in both.items()}
        return _scores(both), both

    def _count(self, row: int, rows: slice, steps: tuple[int, ...], *, control: bool) -> None:
        keys = self.surface.keys[row, : 1 if control else None, rows][
            ..., list(steps) or slice(None)
        ]
        keys = keys ^ CONTROL if control else keys
        images = np.broadcast_to(np.arange(rows.start, rows.stop)[:, None], keys.shape)
        states = list(zip(images.ravel().tolist(), keys.ravel().tolist(), strict=True))
        fresh = set(states) - self._known
        self._known |= fresh
        self.states += len(fresh) if self.caching else len(states)
        self.passes += (len(fresh) if self.caching else len(states)) + rows.stop - rows.start

    def _result(
        self,
        row: int,
        scores: Mapping[str, np.ndarray],
        curves: Mapping[str, np.ndarray],
        steps: tuple[int, ...],
        *,
        coarse: bool,
    ) -> TrialResult:
        last, mean = self.surface.last, curves["morf"].mean(0)
        named = subsets(last) if coarse else {}
        return TrialResult(
            objectives=("srg",),
            measures=scores,
            curve=mean,
            curve_low=mean,
            curve_high=mean,
            flipped=np.linspace(0, 1, last + 1),
            balance={"bias": 0.0, "stabilizer": 0.0, "unexplained": 0.0},
            hot_spot=0.0,
            seconds={},
            device="cpu",
            unstable="features.0" if self.surface.unstable[row] else "",
            states=steps,
            coarse={
                name: _scores({order: thinned(found, some) for order, found in curves.items()})
                for name, some in named.items()
            },
        )


def _scores(curves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    seen = Evidence(curves=curves, area=auc)
    return {name: np.asarray(MEASURES[name].score(seen)) for name in MEASURED}


STUDY = """
version: 2
name: replayed
model: {{embedded: scenes}}
data: {{embedded: scenes, split: {{search: {images}, validation: 0, seed: 0}}}}
search: {{{search}}}
composite:
  - {{block: early, layers: 0..5, rule: gamma, gamma: ${first}}}
  - {{block: default, rule: gamma, gamma: ${second}}}
sampler: {{name: {sampler}, seed: {seed}}}
guards: {guards}
economy: {economy}
{trials}
"""


def plan_of(
    surface: Curves,
    worker: Worker,
    *,
    sampler: str,
    seed: int,
    economy: str,
    trials: int | None,
    guards: str = "{auc_morf: 5}",
) -> Plan:
    """A study of the surface's space; points at the same place of the grid are one composite."""
    names = list(surface.values[0])
    space = "log: [0.01, 10.0], zero: true, points: 16"
    text = STUDY.format(
        images=surface.images,
        search=", ".join(f"{name}: {{{space}}}" for name in names),
        first=names[0],
        second=names[1],
        sampler=sampler,
        seed=seed,
        economy=economy,
        guards=guards,
        trials="" if trials is None else f"trials: {trials}",
    )
    spec = parse_study(text, Path("replayed.yaml"))
    marks = tuple(f"image {n}" for n in range(surface.images))
    spec_hash, canonical = identity(
        spec, fingerprint="0", image_ids=marks, image_hashes=marks, targets=[0] * len(marks)
    )
    return Plan(
        spec=spec,
        directions=("maximize",),
        identity=canonical,
        spec_hash=spec_hash,
        proof=Proof("lrp", {"search": marks}),
        build=worker,
        meaning=surface.nearest,
    )


def replay(
    surface: Curves,
    folder: Path,
    *,
    seed: int = 0,
    economy: str = "{lag: 8}",
    trials: int | None = 40,
    sampler: str = "tpe",
    caching: bool = True,
    guards: str = "{auc_morf: 5}",
) -> tuple[StudyResults, Worker]:
    """A sweep over the surface, and what it took."""
    worker = Worker(surface, caching)
    study = plan_of(
        surface,
        worker,
        sampler=sampler,
        seed=seed,
        economy=economy,
        trials=trials,
        guards=guards,
    )
    return run_study(study, runs_dir=folder, executor="local"), worker
