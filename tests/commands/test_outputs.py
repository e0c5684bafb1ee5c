"""No command writes over what it reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lrpsweep.commands.compare import compare_studies
from lrpsweep.commands.export import export_composite
from lrpsweep.commands.outputs import check_output, study_inputs
from lrpsweep.commands.picture import explain_image
from lrpsweep.commands.report import write_study_report
from lrpsweep.errors import InputError
from lrpsweep.study import StudySpec, load_study


def link(target: Path, path: Path) -> Path:
    path.symlink_to(target)
    return path


def hard_link(target: Path, path: Path) -> Path:
    os.link(target, path)
    return path


def roundabout(target: Path, path: Path) -> Path:
    (path.parent / "folder").mkdir()
    return path.parent / "folder" / ".." / target.name


@pytest.mark.parametrize("name", ["photo.png", "net.png", "composite.png"])
@pytest.mark.parametrize("reach", [lambda target, path: target, link, hard_link, roundabout])
def test_explain_does_not_write_over_what_it_reads(
    tmp_path: Path, name: str, reach: Callable[[Path, Path], Path]
) -> None:
    """Caught: `explain X.png -o X.png` left the heatmap in place of the photo."""
    for file in ("photo.png", "net.png", "composite.png"):
        (tmp_path / file).write_text(file)
    output = reach(tmp_path / name, tmp_path / "other.png")
    with pytest.raises(InputError, match=r"--output .*which would be overwritten"):
        explain_image(
            tmp_path / "photo.png",
            tmp_path / "composite.png",
            output,
            weights=str(tmp_path / "net.png"),
        )
    assert (tmp_path / name).read_text() == name


@pytest.fixture
def spec(small_study: Path, tmp_path: Path) -> StudySpec:
    database = tmp_path / "kept.db"
    database.write_text("kept")
    return load_study(small_study, [f"run.storage=sqlite:///{database}"])


def test_report_writes_over_neither_study_nor_database(spec: StudySpec, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "small"
    folder.mkdir(parents=True)
    (folder / "heatmaps.npz").write_text("kept")
    for path in (spec.path, tmp_path / "kept.db", folder / "heatmaps.npz"):
        before = path.read_text()
        with pytest.raises(InputError, match="overwritten"):
            write_study_report(spec, tmp_path / "runs", path)
        assert path.read_text() == before


def test_export_and_compare_write_over_no_database(spec: StudySpec, tmp_path: Path) -> None:
    for suffix in ("json", "png"):
        link(tmp_path / "kept.db", tmp_path / f"kept.{suffix}")
    with pytest.raises(InputError, match="is the study's database"):
        export_composite(spec, tmp_path / "runs", tmp_path / "kept.json")
    with pytest.raises(InputError, match="is the study's database"):
        compare_studies([spec], tmp_path / "runs", tmp_path / "kept.png")
    assert (tmp_path / "kept.db").read_text() == "kept"


def test_images_tables_weights_and_code_of_a_study_are_inputs(
    small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own").mkdir()
    written = [tmp_path / "own" / "net.py", tmp_path / "table.csv", tmp_path / "cow.png"]
    for path in written:
        path.write_text("kept")
    text = small_study.read_text()
    text = text.replace(
        "model: {embedded: scenes}",
        "model: {factory: own.net:make, preprocess: {mean: [0, 0, 0], std: [1, 1, 1]}}",
    )
    text = text.replace("  embedded: scenes\n", "  csv: table.csv\n  root: .\n  labels: index\n")
    small_study.write_text(text)
    inputs = study_inputs(load_study(small_study), tmp_path / "runs")
    for path in written:
        with pytest.raises(InputError, match="overwritten"):
            check_output(path, (path.suffix,), inputs)
    check_output(tmp_path / "composite.json", (".json",), inputs)


def test_a_folder_of_images_may_hold_other_outputs(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    check_output(tmp_path / "old.json", (".json",), {tmp_path: "one of the study's images"})
