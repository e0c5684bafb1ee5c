"""`lrpsweep export`: a composite as JSON, or as Python for zennit."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lrpsweep.attribution.zennit.export import certify, zennit_data, zennit_source
from lrpsweep.commands.composite_json import composite_document, write_composite
from lrpsweep.commands.outcome import prepared_as_run, recommended
from lrpsweep.commands.outputs import check_output, study_inputs
from lrpsweep.errors import InputError, WorkError
from lrpsweep.files import write_atomically
from lrpsweep.results import StudyResults, TrialRecord, contender
from lrpsweep.study import StudySpec
from lrpsweep.sweep.study import load_results
from lrpsweep.trial.candidates import candidate_of
from lrpsweep.trial.context import Given

COMPARED = 2
"""Of how many search images an exported composite's relevance is compared with zennit's."""

PARITY = 1e-6
"""Relevance that differs by less of its largest is the same."""


def export_composite(
    spec: StudySpec,
    runs_dir: Path,
    output: Path,
    *,
    trial: int | None = None,
    unvalidated: bool = False,
    for_zennit: bool = False,
    given: Given | None = None,
) -> str:
    """Writes the recommended composite, or that of a trial: as JSON, or as Python for zennit.

    Where zennit is installed, its relevance of the first search images is compared with lrpsweep's.
    Returns what was written and how they compare, in a sentence. Raises InputError when the trial
    was not validated and `unvalidated` does not allow that (with several objectives none is), and
    for what zennit has no rule for; WorkError when what was meant for zennit gives other heatmaps
    there.
    """
    suffix = ".py" if for_zennit else ".json"
    check_output(output, (suffix,), study_inputs(spec, runs_dir))
    results = load_results(spec, runs_dir)
    one = recommended(results) if trial is None else contender(_trial(results, trial))
    found = results.recommendation
    validated = found is not None and found.nominee.label == one.label
    if not (validated or unvalidated or results.several):
        raise InputError(
            f"study '{results.name}': {one.label} was not tested on validation images; "
            "expected a finished study with data.split.validation above 0, or --unvalidated."
        )
    context = prepared_as_run(spec, results, given)
    rules = context.composite(candidate_of(one)).rules(context.layers)
    bounds = context.model.pixel_bounds
    if for_zennit:
        data = zennit_data(context.model.net, rules, bounds)
    images = context.model.normalize(context.split.search.images[:COMPARED])
    targets = torch.as_tensor(context.targets["search"][:COMPARED], device=images.device)
    parity = certify(context.model.net, rules, bounds, images, targets)
    compared = _compared(parity)
    if for_zennit:
        _check_same(parity)
        about = (
            f"The LRP composite {one.label} of the study {results.name!r}, for zennit."
            f"\n\nWritten by lrpsweep {metadata.version('lrpsweep')} for the network "
            f"{context.model.name!r} with weights {context.model.fingerprint[:12]}…\n{compared}"
        )
        write_atomically(output, zennit_source(data, about))
    else:
        write_composite(composite_document(context, results, one, parity), output)
    return f"{output}: written. {compared}"


def _compared(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "Not compared with zennit, which is not installed."
    if "not_expressible" in parity:
        return f"Not compared with {parity['against']}: {parity['not_expressible']}."
    return (
        f"Relevance differs from that of {parity['against']} by at most "
        f"{parity['largest_relative_difference']:.1e} of the largest "
        f"({parity['images']} images, float64)."
    )


def _check_same(parity: Mapping[str, Any] | None) -> None:
    found = 0.0 if parity is None else parity["largest_relative_difference"]
    if not found < PARITY:
        raise WorkError(
            f"zennit explains this network in another way: relevance differs by {found:.1e} of the "
            "largest. Does forward() overwrite tensors that it uses later?"
        )


def _trial(results: StudyResults, number: int) -> TrialRecord:
    for record in results.complete:
        if record.number == number:
            return record
    raise InputError(
        f"--trial: study '{results.name}' has no complete trial {number}; expected one of "
        f"{len(results.complete)} complete trials, best first: "
        f"{', '.join(str(t.number) for t in results.ranked()[:10])}."
    )
