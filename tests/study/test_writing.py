from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
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
    writing,
)
from lrpsweep.study.writing import shared_out
from lrpsweep.study.yaml_text import read_yaml

PROPOSED = (
    propose_block("pixel", ("features.0",), "z_box"),
    propose_block("early", ("features.1..features.17",), "gamma"),
    propose_block("late", ("features.18", "features.19..features.30"), "gamma"),
    propose_block("head", ("classifier",), "zero"),
)
VGG = ModelSpec(torchvision="vgg16", weights=None)


def proposed_text(**changes):
    known = {
        "name": "mine",
        "model": VGG,
        "folder": "images",
        "labels": "index",
        "images": 100,
        "patch": 8,
        "blocks": PROPOSED,
    }
    return init_text(**(known | changes))


def proposed(path, **changes):
    return parse_study(proposed_text(**changes), path)


def test_a_proposed_study_is_valid_and_commented(tmp_path):
    spec = proposed(tmp_path / "mine.yaml")
    assert spec.model == VGG
    assert list(spec.search) == ["early.gamma", "late.gamma"]
    assert spec.composite.blocks == PROPOSED
    assert spec.composite.blocks[2].layers == ("features.18", "features.19..features.30")
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
    assert (spec.sampler.name, spec.trials) == ("tpe", 80)


@pytest.mark.parametrize(
    ("names", "sampler", "trials"), [(1, "grid", None), (2, "grid", None), (3, "tpe", 60)]
)
def test_a_grid_is_proposed_where_it_is_small(names, sampler, trials):
    blocks = [propose_block(f"b{n}", (f"features.{n}",), "gamma") for n in range(names)]
    found = proposed(Path("mine.yaml"), blocks=(*blocks, propose_block("head", ("end",), "zero")))
    assert (found.sampler.name, found.trials) == (sampler, trials)
    assert found.economy.lag == 8


def test_few_hyperparameters_that_need_no_grid_get_forty_trials(monkeypatch):
    monkeypatch.setattr(writing, "MOST_GRID_POINTS", 6)
    spec = proposed(Path("mine.yaml"), blocks=(*PROPOSED[1:2], *PROPOSED[3:]))
    assert (list(spec.search), spec.sampler.name, spec.trials) == (["early.gamma"], "tpe", 40)


@pytest.mark.parametrize(
    ("images", "split"),
    [
        (1, (1, 0, 0)),
        (2, (1, 0, 1)),
        (5, (1, 0, 4)),
        (39, (13, 0, 26)),
        (40, (11, 5, 24)),
        (64, (18, 9, 37)),
        (112, (32, 16, 64)),
        (5000, (32, 16, 64)),
    ],
)
def test_images_are_shared_out(images, split):
    found = read_yaml(proposed_text(images=images))["data"]["split"]
    assert found == dict(zip(("search", "selection", "validation"), split, strict=True)) | {
        "seed": 0
    }


@given(st.integers(2, 300))
def test_a_proposal_has_images_to_search_and_to_validate_and_uses_no_more_than_there_are(images):
    search, selection, validation = shared_out(images)
    assert search >= 1
    assert validation >= search
    assert search >= selection
    assert (selection > 0) == (images >= 40)
    assert min(images, 112) - (search + selection + validation) in (0, 1)


def test_a_proposed_study_is_guarded():
    found = read_yaml(proposed_text())
    assert (found["version"], found["objective"]) == (2, "srg")
    assert found["guards"] == {"auc_morf": 5.0}


@settings(deadline=None)
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
