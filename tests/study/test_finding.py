from __future__ import annotations

from pathlib import Path

import pytest
from study_text import STUDY

from lrpsweep.errors import InputError
from lrpsweep.study import find_study, resolve_path


def test_a_path_a_bundled_name_and_a_run_are_found(tmp_path):
    ran = tmp_path / "runs" / "mine" / "study.yaml"
    ran.parent.mkdir(parents=True)
    ran.write_text(STUDY)
    assert find_study(str(ran), tmp_path) == ran
    assert find_study("quickstart", tmp_path / "runs").name == "quickstart.yaml"
    assert find_study("mine", tmp_path / "runs") == ran


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").write_text(STUDY)
    with pytest.raises(InputError) as caught:
        find_study("quikstart", tmp_path)
    assert "Bundled: quickstart, thesis-" in str(caught.value)
    assert f"In {tmp_path}: mine." in str(caught.value)
    assert str(caught.value).endswith("Did you mean 'quickstart'?")


@pytest.mark.parametrize("name", ["none.yaml", "some/where", "../runs/x"])
def test_a_missing_path_is_not_taken_for_a_name(name, tmp_path):
    with pytest.raises(InputError, match="found no such file"):
        find_study(name, tmp_path)


def test_paths_start_from_the_study_and_variables_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGES", "/data/images")
    monkeypatch.setenv("PART", "val")
    assert resolve_path("${IMAGES}/${PART}", tmp_path) == Path("/data/images/val")
    assert resolve_path("here/${PART}", tmp_path) == tmp_path / "here" / "val"
    assert resolve_path("~/x", tmp_path) == Path.home() / "x"
    assert resolve_path("$PART", tmp_path) == tmp_path / "$PART"


def test_a_variable_that_is_not_set_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGENET", raising=False)
    with pytest.raises(InputError, match="IMAGENET is not set"):
        resolve_path("${IMAGENET}/val", tmp_path)
