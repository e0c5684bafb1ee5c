from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_text import STUDY

from lrpsweep.study import (
    ModelSpec,
    init_text,
    load_study,
    parse_study,
    propose_block,
    resolve_path,
    write_study,
)

PROPOSED = (
    propose_block("pixel", ("features.0",), "z_box"),
    propose_block("early", ("features.1..features.17",), "gamma"),
    propose_block("late", ("features.18", "features.19..features.30"), "gamma"),
    propose_block("head", ("classifier",), "zero"),
)
VGG = ModelSpec(torchvision="vgg16", weights=None)


def proposed(path, **changes):
    known = {
        "name": "mine",
        "model": VGG,
        "folder": "images",
        "labels": "index",
        "images": 100,
        "patch": 8,
        "blocks": PROPOSED,
    }
    return parse_study(init_text(**(known | changes)), path)


def test_a_proposed_study_is_valid_and_commented(tmp_path):
    spec = proposed(tmp_path / "mine.yaml")
    assert spec.model == VGG
    assert list(spec.search) == ["early.gamma", "late.gamma"]
    assert spec.composite.blocks == PROPOSED
    assert spec.composite.blocks[2].layers == ("features.18", "features.19..features.30")
    assert (spec.data.split.search, spec.data.split.validation) == (32, 32)
    assert spec.sampler.name == "grid"
    assert spec.text.count("#") > 8


def test_many_hyperparameters_are_not_put_on_a_grid(tmp_path):
    spec = proposed(
        tmp_path / "mine.yaml",
        blocks=(
            *PROPOSED[1:3],
            propose_block("head", ("classifier.0",), "epsilon"),
            propose_block("last", ("classifier.3..end",), "alpha_beta"),
        ),
    )
    assert list(spec.search) == ["early.gamma", "late.gamma", "head.epsilon", "last.alpha"]
    assert (spec.sampler.name, spec.trials) == ("tpe", 100)


@pytest.mark.parametrize(
    ("images", "split"), [(1, (1, 0)), (2, (1, 1)), (5, (2, 2)), (64, (32, 32))]
)
def test_few_images_are_shared_out(tmp_path, images, split):
    found = proposed(tmp_path / "mine.yaml", images=images).data.split
    assert (found.search, found.validation) == split


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_any_folder_name_survives(folder):
    spec = proposed(Path("mine.yaml"), folder=folder, labels={folder: 3, "b": "no"})
    assert spec.data.folder == folder
    assert spec.data.labels == {folder: 3, "b": "no"}


def test_a_study_written_beside_itself_is_the_same_text(tmp_path):
    (tmp_path / "a.yaml").write_text(STUDY)
    write_study(load_study(tmp_path / "a.yaml"), tmp_path / "b.yaml")
    assert (tmp_path / "b.yaml").read_text() == STUDY
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.yaml", "b.yaml"]


def test_a_study_without_paths_moves_as_it_is(tmp_path):
    (tmp_path / "a.yaml").write_text(STUDY)
    (tmp_path / "runs").mkdir()
    write_study(load_study(tmp_path / "a.yaml"), tmp_path / "runs" / "study.yaml")
    assert (tmp_path / "runs" / "study.yaml").read_text() == STUDY


@pytest.mark.parametrize("folder", ["images", "../images", "${HERE}/x", "/data/images", "~/x"])
def test_paths_mean_the_same_after_a_move(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    spec = proposed(
        tmp_path / "mine.yaml",
        folder=folder,
        model=ModelSpec(torchvision="vgg16", weights="weights/a.pt"),
    )
    (tmp_path / "runs").mkdir()
    write_study(spec, tmp_path / "runs" / "study.yaml")
    moved = load_study(tmp_path / "runs" / "study.yaml")
    for old, new in [
        (spec.data.folder, moved.data.folder),
        (spec.model.weights, moved.model.weights),
    ]:
        was = resolve_path(old, spec.base)
        assert resolve_path(new, moved.base).resolve() == was.resolve()
    assert moved.search == spec.search
    assert moved.composite == spec.composite
