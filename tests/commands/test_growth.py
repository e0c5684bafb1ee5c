"""A study of version 2 whose validation images, baselines and current composite change later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lrpsweep.commands.run import outcome_lines, run
from lrpsweep.data.scenes import CLASSES, draw_scenes
from lrpsweep.errors import InputError
from lrpsweep.results import StudyResults
from lrpsweep.study import load_study

STUDY = """
version: 2
name: growing
model: {embedded: scenes}
data:
  folder: images
  labels: name
  split: {search: 4, selection: 2, validation: 20, seed: 0}
search:
  gamma1: {log: [0.1, 1.0], points: 2}
  gamma2: {log: [0.1, 1.0], points: 2}
composite:
  - {block: pixel, layers: features.0, rule: z_box}
  - {block: early, layers: features.1..features.6, rule: gamma, gamma: $gamma1}
  - {block: late, layers: features.7..features.19, rule: gamma, gamma: $gamma2}
  - {block: head, layers: flatten..end, rule: zero}
evaluation: {patch: 16, perturbation: mean}
baselines: [uniform_gamma, uniform_epsilon]
floor: false
sampler: {name: grid}
run: {device: cpu, cpus: 1, cache_gb: 0.1}
"""


def add_scenes(folder: Path, first: int, count: int) -> None:
    for index in range(first, first + count):
        (scene,) = draw_scenes("search", 7, [index])
        place = folder / "images" / CLASSES[scene.label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(place / f"{index % 10}-{index}.png")


def went(folder: Path, *overrides: str) -> StudyResults:
    return run(load_study(folder / "growing.yaml", overrides), folder / "runs", executor="local")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = tmp_path_factory.mktemp("growing")
    (found / "growing.yaml").write_text(STUDY, encoding="utf-8")
    add_scenes(found, 0, 40)
    return found


def document(folder: Path) -> dict[str, object]:
    text = (folder / "runs" / "growing" / "composite.json").read_text(encoding="utf-8")
    found: dict[str, object] = json.loads(text)
    return found


def test_further_files_keep_all_trials_and_are_a_look_of_their_own(folder: Path) -> None:
    first = went(folder)
    assert first.recommendation is not None
    assert any("through the network" in line for line in outcome_lines(first, folder / "runs"))
    kept = document(folder)
    assert went(folder).recommendation == first.recommendation
    assert document(folder) == kept  # down to the exported JSON
    add_scenes(folder, 40, 60)
    same = went(folder)
    assert same.recommendation == first.recommendation  # further files alone change nothing
    grown = went(folder, "data.split.validation=24")
    assert grown.begun_on["validation"][:20] == first.begun_on["validation"]
    assert [t.result.scores.tolist() for t in grown.complete if t.result] == [
        t.result.scores.tolist() for t in first.complete if t.result
    ]
    for part, count in (("search", 4), ("selection", 2)):
        assert grown.begun_on[part] == first.begun_on[part]
        assert len(grown.begun_on[part]) == count
    found = grown.recommendation
    assert found is not None
    assert (found.look, found.level, found.validation_images) == (2, 0.005, 24)
    result = document(folder)["result"]
    assert isinstance(result, dict)
    scores = result["validation"]["scores"]
    assert all(len(one) == 24 for by_measure in scores.values() for one in by_measure.values())
    assert set(scores["random order"]) == {"srg", "auc_morf", "auc_lerf"}


def test_other_baselines_and_what_is_used_today_are_looks_too(folder: Path) -> None:
    before = went(folder, "data.split.validation=24")
    assert before.recommendation is not None
    after = went(
        folder, "data.split.validation=24", "current=runs/growing/composite.json", "baselines=null"
    )
    found = after.recommendation
    assert found is not None
    assert found.look == before.recommendation.look + 1
    assert len(found.comparisons) > 10
    assert "(runs/growing/composite.json)" in found.current
    assert len(after.complete) == len(before.complete)


def test_a_search_image_that_is_gone_is_named_before_anything_runs(folder: Path) -> None:
    name, _ = went(folder, "data.split.validation=24").begun_on["search"][0]
    gone = folder / "images" / name
    kept = gone.read_bytes()
    gone.unlink()
    try:
        with pytest.raises(InputError, match=f"image '{name}', which the study has begun on"):
            went(folder, "data.split.validation=24")
    finally:
        gone.write_bytes(kept)


@pytest.mark.parametrize(
    ("current", "said"),
    [
        ("nowhere.json", "current: .*nowhere.json: cannot be read"),
        ("epsilon_plus.jsn", "current.*: found 'epsilon_plus.jsn'; expected one of"),
    ],
)
def test_what_is_used_today_is_checked_before_the_first_trial(
    folder: Path, current: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        went(folder, "name=other", f"current={current}")
    assert not (folder / "runs" / "other").exists()


def test_a_composite_for_another_network_is_refused(folder: Path) -> None:
    other = document(folder)
    blocks = other["blocks"]
    assert isinstance(blocks, list)
    blocks[0]["layers"] = ["conv9"]
    (folder / "other.json").write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(InputError, match=r"current: .*other\.json: blocks: scenes has no layer"):
        went(folder, "name=other", "current=other.json")
