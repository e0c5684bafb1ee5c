"""A study that goes on where logarithms differ in their last digit is still the same study.

`numpy.geomspace` gives 0.15848931924611143 on one processor and 0.1584893192461114 on another.
Caught: 26 trials with 22 distinct points, four of them doubled and four never tried.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quadratic import result

from lrpsweep.results import TrialResult
from lrpsweep.study import Log, StudySpec, decode, encode, parse_study
from lrpsweep.sweep.execution import Outcome
from lrpsweep.sweep.samplers.mirror import distributions
from lrpsweep.sweep.search import TrialSource, planned_trials
from lrpsweep.sweep.storage import Store, create_store, study_url

STUDY = """\
version: 1
name: elsewhere
model: {embedded: scenes}
data: {embedded: scenes, split: {search: 4, validation: 4}}
search:
  x: {log: [0.01, 1.0], zero: true, points: 6}
  y: {log: [0.01, 1.0], points: 4}
composite:
  - {block: early, layers: 0..5, rule: gamma, gamma: $x}
  - {block: default, rule: gamma, gamma: $y}
sampler: {name: grid}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(study_url(None, tmp_path, "s", tmp_path), "s", ("minimize",))


def study(*changes: str) -> StudySpec:
    return parse_study(STUDY, Path("elsewhere.yaml"), changes)


def computed_before(dimension: Log, sign: float) -> list[float]:
    """The axis as versions without rounding had it, inner points one unit in the last place off."""
    low, high = dimension.log
    assert dimension.points is not None
    zeros = [low * (low / high) ** 0.1] if dimension.zero else []
    points = np.geomspace(low, high, dimension.points - len(zeros)).tolist()
    inner = [float(np.nextafter(point, sign * math.inf)) for point in points[1:-1]]
    zeros = [float(np.nextafter(zero, sign * math.inf)) for zero in zeros]
    return [*zeros, points[0], *inner, points[-1]]


def search_of(spec: StudySpec, store: Store, literature: dict[str, Any]) -> TrialSource:
    return TrialSource(
        store,
        spec,
        literature,
        "lrp",
        lambda values: tuple(values.items()),
        lambda record, outcome: None,
    )


def run(search: TrialSource) -> list[dict[str, Any]]:
    """Everything that is left; the values of each trial."""
    asked = []
    while (task := search.next()) is not None:
        asked.append(dict(task["candidate"]["settings"]["values"]))
        search.done(task, Outcome(result=result([0.5, 0.6]), seconds=0.1))
    return asked


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_grid_is_completed_with_the_points_that_are_missing(store: Store, sign: float) -> None:
    spec = study()
    axes = {name: computed_before(d, sign) for name, d in spec.search.items()}  # type: ignore[arg-type]
    stored = [{"x": x, "y": y} for x in axes["x"] for y in axes["y"]][:10]
    for number, point in enumerate(stored):
        known = distributions(spec.search)
        for name, drawn in known.items():
            drawn.low = min(drawn.low, point[name])  # type: ignore[attr-defined]
        store.start(point, known, decode(spec.search, point))
        store.complete(number, TrialResult.from_json(result([0.5, 0.6])), 0.1)
    literature = {"published": {"x": 0.25, "y": 0.5}, "known": decode(spec.search, stored[5])}
    assert planned_trials(spec, literature) == 6 * 4 + 1
    search = search_of(spec, store, literature)
    asked = run(search)
    values = [tuple(decode(spec.search, trial.params).items()) for trial in search.history]
    assert len(values) == len(set(values)) == 25
    assert len(asked) == 15


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_other_samplers_go_on_from_values_at_the_ends(store: Store, sampler: str) -> None:
    """Caught: Optuna refuses a value that lies a digit below its range."""
    spec = study(f"sampler.name={sampler}", "trials=6")
    bottom = float(np.nextafter(spec.search["x"].lowest, 0.0))
    known = distributions(spec.search)
    known["x"].low = bottom  # type: ignore[attr-defined]
    store.start({"x": bottom, "y": 1.0}, known, {"x": 0.0, "y": 1.0})
    store.complete(0, TrialResult.from_json(result([0.5, 0.6])), 0.1)
    assert len(run(search_of(spec, store, {}))) == 5


def test_values_are_rounded_where_they_are_made_and_ends_are_as_written() -> None:
    third = Log(log=(0.01, 1 / 3), points=5)
    assert third.grid()[-1] == 1 / 3
    assert all(point == float(f"{point:.12g}") for point in third.grid()[1:-1])
    log = Log(log=(0.01, 10.0), points=6)
    assert log.grid()[2] == 0.158489319246
    for other in (0.15848931924611143, 0.1584893192461114):
        assert encode({"a": log}, {"a": other}) == {"a": 0.158489319246}
        assert decode({"a": log}, {"a": other}) == {"a": 0.158489319246}
    assert log.contains(float(np.nextafter(10.0, math.inf)))
    assert not log.contains(10.0 * (1 + 1e-9))
