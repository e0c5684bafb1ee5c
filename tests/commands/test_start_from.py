"""A study that begins with composites that one has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lrpsweep.commands.describe import describe_study
from lrpsweep.commands.export import export_composite
from lrpsweep.commands.run import run
from lrpsweep.errors import InputError
from lrpsweep.results import StudyResults
from lrpsweep.study import StudySpec, load_study, write_study
from lrpsweep.sweep.search import Silent
from lrpsweep.trial.context import prepare

STUDY = """
version: 1
name: first
model: {embedded: scenes}
data: {embedded: scenes, split: {search: 2, validation: 0}}
search:
  g: {linear: [0.0, 1.0], points: 3}
  decay: {linear: [0.0, 0.75], points: 2}
composite:
  - {block: pixel, layers: features.0, rule: z_box}
  - {block: body, layers: features.1..features.19, rule: gamma, gamma: $g, decay: $decay}
  - {block: default, rule: zero}
evaluation: {patch: 16, perturbation: mean}
sampler: {name: grid}
run: {device: cpu, cache_gb: 0.1}
"""
LAST = {"g": 1.0, "decay": 0.75}


class Noting(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def started(self, text: str) -> None:
        self.said.append(text)


def went(folder: Path, *overrides: str, observer: Noting | None = None) -> StudyResults:
    return run(study(folder, *overrides), folder / "runs", executor="local", observer=observer)


def study(folder: Path, *overrides: str) -> StudySpec:
    return load_study(folder / "study.yaml", overrides)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the composites of two trials: last.json decays, half.json does not."""
    found: Path = tmp_path_factory.mktemp("starts")
    (found / "study.yaml").write_text(STUDY, encoding="utf-8")
    values = [trial.values for trial in went(found).trials]
    for name, point in (("last", LAST), ("half", {"g": 0.5, "decay": 0.0})):
        place, number = found / f"{name}.json", values.index(point)
        export_composite(study(found), found / "runs", place, trial=number, unvalidated=True)
    return found


def other(*files: str) -> list[str]:
    starts = f"start_from=[{', '.join(files)}]"
    return ["name=other", "sampler={name: random, seed: 1}", "trials=4", starts]


def test_a_composite_that_one_has_is_tried_first_and_once(folder: Path) -> None:
    results = went(folder, *other("last.json", "half.json", "last.json"))
    values = [trial.values for trial in results.trials]
    assert values[:2] == [LAST, {"g": 0.5, "decay": 0.0}]
    assert LAST not in values[2:]
    assert results.planned == len(values) == 4
    assert {trial.literature for trial in results.trials[:2]} == {None}
    kept = load_study(folder / "runs" / "other" / "study.yaml")
    assert kept.start_from == tuple(str(folder / f"{n}.json") for n in ("last", "half", "last"))
    assert len(run(kept, folder / "runs", executor="local").trials) == 4
    with pytest.raises(InputError, match=r"start_from: was .*decay: 0\.75"):
        went(folder, *other("half.json"))


def test_a_grid_has_its_points_once(folder: Path) -> None:
    results = went(folder, "name=grid", "start_from=[last.json]")
    assert results.trials[0].values == LAST
    assert results.planned == len(results.trials) == 6


def test_what_is_no_point_of_the_space_is_said_and_left_out(folder: Path) -> None:
    changes = [*other("last.json", "half.json"), "name=narrow", "search.g.linear=[0.0, 0.75]"]
    observer = Noting()
    results = went(folder, *changes, observer=observer)
    assert results.trials[0].values == {"g": 0.5, "decay": 0.0}
    said = "start_from: 'last.json' is no point of the search space, and left out."
    assert observer.said[0] == f"Warning: {said}"
    described: dict[str, Any] = describe_study(prepare(study(folder, *changes)))
    assert described["warnings"] == [said]


def test_what_is_for_another_network_or_no_file_is_refused(folder: Path) -> None:
    document = json.loads((folder / "last.json").read_text(encoding="utf-8"))
    document["blocks"][0]["layers"] = ["conv9"]
    (folder / "wrong.json").write_text(json.dumps(document), encoding="utf-8")
    for name, said in (
        ("wrong.json", r"start_from: .*wrong\.json: blocks: scenes has no layer 'conv9'"),
        ("none.json", r"start_from: .*none\.json: cannot be read"),
        ("tutorial", r"start_from\.0.*: found 'tutorial'; expected the path of a composite\.json"),
    ):
        with pytest.raises(InputError, match=said):
            went(folder, *other(name), "name=refused")
    assert not (folder / "runs" / "refused").exists()


def test_paths_to_start_from_mean_the_same_after_a_move(folder: Path) -> None:
    write_study(study(folder, *other("last.json")), folder / "runs" / "moved.yaml")
    moved = load_study(folder / "runs" / "moved.yaml")
    assert moved.start_from == (str(folder / "last.json"),)
