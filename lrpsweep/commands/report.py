"""`lrpsweep report` and `publish`: what a study's database says, on a page and in MLflow."""

from __future__ import annotations

from pathlib import Path

from lrpsweep.commands.outcome import read_outcome
from lrpsweep.commands.outputs import check_no_input, study_inputs
from lrpsweep.report import write_report
from lrpsweep.report.mlflow import publish
from lrpsweep.study import StudySpec
from lrpsweep.trial.context import Given


def write_study_report(
    spec: StudySpec, runs_dir: Path, output: Path | None = None, given: Given | None = None
) -> Path:
    """Writes the report anew, by default to runs/NAME/report.html, and gives its path.

    Raises InputError when `output` is a file that is read for it.
    """
    folder = runs_dir / spec.name
    path = output or folder / "report.html"
    kept = {
        folder / "study.yaml": "the study as it was run",
        folder / "heatmaps.npz": "the study's heatmaps",
        folder / "composite.json": "the study's composite",
    }
    check_no_input(path, study_inputs(spec, runs_dir) | kept)
    results = read_outcome(spec, runs_dir, given)
    write_report(results, path)
    return path


def publish_study(
    spec: StudySpec, runs_dir: Path, tracking_uri: str, given: Given | None = None
) -> None:
    """Rebuilds a study's MLflow runs."""
    publish(read_outcome(spec, runs_dir, given), tracking_uri=tracking_uri)
