"""What a study leaves in `runs/NAME`: composite, heatmaps and report.

All of it can be written again from the database: the folder is a view.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lrpsweep.commands.composite_json import composite_document, write_composite
from lrpsweep.composites.file import read_composite
from lrpsweep.errors import InputError
from lrpsweep.report import write_report
from lrpsweep.report.illustrations import read_illustrations, write_illustrations
from lrpsweep.results import StudyResults, TrialRecord
from lrpsweep.study import StudySpec, identity
from lrpsweep.sweep.study import load_results
from lrpsweep.trial.context import Context, Given, prepare
from lrpsweep.trial.illustrate import illustrate
from lrpsweep.trial.literature import baselines


def write_outcome(context: Context, results: StudyResults, runs_dir: Path) -> StudyResults:
    """Writes heatmaps.npz, composite.json and report.html; gives the results with them."""
    folder = runs_dir / results.name
    folder.mkdir(parents=True, exist_ok=True)
    best = recommended_trial(results)
    illustrations = illustrate(context, best.values, _strongest_baseline(context, results))
    document = composite_document(context, results, best)
    write_illustrations(illustrations, folder / "heatmaps.npz")
    write_composite(document, folder / "composite.json")
    results = replace(results, illustrations=illustrations, composite=document)
    write_report(results, folder / "report.html")
    return results


def recommended_trial(results: StudyResults) -> TrialRecord:
    """The trial that was validated, else the best one on the search images."""
    ranked = results.ranked()
    if not ranked:
        raise InputError(f"study '{results.name}': no trial has a result yet.")
    if results.recommendation is None:
        return ranked[0]
    return next(t for t in ranked if t.number == results.recommendation.number)


def _strongest_baseline(context: Context, results: StudyResults) -> str:
    """The published composite with the best validation score, else the first that fits."""
    found = results.recommendation
    if found is None or not found.comparisons:
        return baselines(context)[0]
    sign = 1 if results.direction == "minimize" else -1
    return min(found.comparisons, key=lambda c: sign * c.mean).baseline


def read_outcome(spec: StudySpec, runs_dir: Path, given: Given | None = None) -> StudyResults:
    """A study's results from its database, with heatmaps and composite of its folder.

    What the folder lacks is made anew, which needs the study's model and images.
    """
    results = load_results(spec, runs_dir)
    folder = runs_dir / results.name
    illustrations = read_illustrations(folder / "heatmaps.npz")
    composite = folder / "composite.json"
    if illustrations is None or not composite.exists():
        return write_outcome(prepared_as_run(spec, results, given), results, runs_dir)
    return replace(results, illustrations=illustrations, composite=read_composite(composite))


def prepared_as_run(spec: StudySpec, results: StudyResults, given: Given | None) -> Context:
    """The study's context; raises InputError when the file is not the one that was run."""
    context = prepare(spec, given=given)
    if study_identity(context)[0] != results.spec_hash:
        raise InputError(
            f"{spec.path}: is not the study '{results.name}' that was run: model, images, "
            "composite, space or evaluation differ. Expected the file as it was, which is kept as "
            "study.yaml in the runs folder."
        )
    return context


def study_identity(context: Context) -> tuple[str, dict[str, Any]]:
    """As `lrpsweep.study.identity`, of a prepared study."""
    splits = (context.split.search, context.split.validation)
    return identity(
        context.spec,
        fingerprint=context.model.fingerprint,
        image_ids=[image for split in splits for image in split.ids],
        image_hashes=[mark for split in splits for mark in split.hashes],
        targets=[*context.targets["search"].tolist(), *context.targets["validation"].tolist()],
        operations=context.operations,
    )
