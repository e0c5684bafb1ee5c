"""What a study leaves in `runs/NAME`: composite, heatmaps and report.

All of it can be written again from the database: the folder is a view.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lrpsweep.commands.composite_json import composite_document, write_composite
from lrpsweep.composites.file import read_composite
from lrpsweep.data.pinned import PartName
from lrpsweep.errors import InputError
from lrpsweep.report import write_report
from lrpsweep.report.illustrations import read_illustrations, write_illustrations
from lrpsweep.report.words import front_labels, shown
from lrpsweep.results import Contender, StudyResults
from lrpsweep.study import StudySpec, identity
from lrpsweep.sweep.study import load_results
from lrpsweep.trial.candidates import candidate_of
from lrpsweep.trial.context import Context, Given, prepare
from lrpsweep.trial.illustrate import illustrate
from lrpsweep.trial.literature import baselines, fitting_presets, starts


def write_outcome(context: Context, results: StudyResults, runs_dir: Path) -> StudyResults:
    """Writes heatmaps.npz, composite.json and report.html; gives the results with them.

    Where nothing is recommended, there is no composite.json, and what `report.words.shown` gives is
    drawn.
    """
    folder = runs_dir / results.name
    folder.mkdir(parents=True, exist_ok=True)
    one = shown(results)
    assert one is not None
    illustrations = illustrate(context, candidate_of(one), _strongest_baseline(context, results))
    write_illustrations(illustrations, folder / "heatmaps.npz")
    document = None
    if results.nominee is not None:
        document = composite_document(context, results, one)
        write_composite(document, folder / "composite.json")
    else:
        (folder / "composite.json").unlink(missing_ok=True)
    results = replace(results, illustrations=illustrations, composite=document)
    write_report(results, folder / "report.html")
    return results


def check_complete(results: StudyResults) -> None:
    """Raises InputError when no trial of the study has a result."""
    if not results.complete:
        raise InputError(f"study '{results.name}': no trial has a result yet.")


def recommended(results: StudyResults) -> Contender:
    """What was validated, else what is nominated, else the best trial on the search images."""
    check_complete(results)
    if results.nominee is None:
        found = results.front or results.nomination
        said = found.sentence if found else "Its search is not over."
        members = front_labels(results)
        wanted = f"--trial, of the front's {members}" if members else "a nominee, or --trial"
        raise InputError(f"study '{results.name}': {said} Expected {wanted}.")
    return results.nominee


def _strongest_baseline(context: Context, results: StudyResults) -> str:
    """The published composite that is best beside the nominee, else the first that fits."""
    found, nominee = results.recommendation, results.nominee
    if found is None or not found.comparisons:
        own = nominee and nominee.published
        names = [*baselines(context), *fitting_presets(context)]
        return next((name for name in names if name != own), names[0])
    sign = 1 if results.direction == "minimize" else -1
    return max(found.comparisons, key=lambda c: sign * c.difference).baseline


def read_outcome(spec: StudySpec, runs_dir: Path, given: Given | None = None) -> StudyResults:
    """A study's results from its database, with heatmaps and composite of its folder.

    What the folder lacks is made anew, which needs the study's model and images.
    """
    results = load_results(spec, runs_dir)
    folder = runs_dir / results.name
    illustrations = read_illustrations(folder / "heatmaps.npz")
    composite = folder / "composite.json"
    wanted = results.nominee is not None
    if illustrations is None or (wanted and not composite.exists()):
        return write_outcome(prepared_as_run(spec, results, given), results, runs_dir)
    document = read_composite(composite) if wanted else None
    return replace(results, illustrations=illustrations, composite=document)


def prepared_as_run(spec: StudySpec, results: StudyResults, given: Given | None) -> Context:
    """The study's context; raises InputError when the file is not the one that was run."""
    context = prepare(spec, given=given, begun_on=results.begun_on)
    if study_identity(context)[0] != results.spec_hash:
        raise InputError(
            f"{spec.path}: is not the study '{results.name}' that was run: model, images, "
            "composite, space or evaluation differ. Expected the file as it was, which is kept as "
            "study.yaml in the runs folder."
        )
    return context


def study_identity(context: Context) -> tuple[str, dict[str, Any]]:
    """As `lrpsweep.study.identity`, of a prepared study.

    From version 2 on, without the validation images: more of them is the same study.
    """
    names: list[PartName] = ["search", "selection", "validation"]
    parts = names if context.spec.version == 1 else names[:2]
    splits = [context.inputs(part) for part in parts]
    return identity(
        context.spec,
        fingerprint=context.model.fingerprint,
        image_ids=[image for split in splits for image in split.ids],
        image_hashes=[mark for split in splits for mark in split.hashes],
        targets=[target for part in parts for target in context.targets[part].tolist()],
        operations=context.operations,
        starts=starts(context).points,
    )


def image_marks(context: Context) -> dict[str, tuple[str, ...]]:
    """By part of the images, what each is: a hash of its pixels, and the class explained."""
    return {
        name: tuple(
            f"{mark} {target}"
            for mark, target in zip(part.hashes, context.targets[name].tolist(), strict=True)
        )
        for name, part in context.split.parts.items()
    }
