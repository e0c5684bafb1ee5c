"""`lrpsweep compare`: several studies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lrpsweep.commands.outcome import check_complete
from lrpsweep.commands.outputs import check_output, study_inputs
from lrpsweep.files import write_atomically
from lrpsweep.report import comparison_lines, figure_distributions, to_png
from lrpsweep.study import StudySpec
from lrpsweep.sweep.study import load_results


def compare_studies(specs: Sequence[StudySpec], runs_dir: Path, output: Path) -> list[str]:
    """Draws the distributions of several studies' scores (.png) and gives lines that compare them.

    Reads their databases alone. Raises InputError when one of them has no result.
    """
    inputs = {path: what for spec in specs for path, what in study_inputs(spec, runs_dir).items()}
    check_output(output, (".png",), inputs)
    studies = [load_results(spec, runs_dir) for spec in specs]
    for study in studies:
        check_complete(study)
    write_atomically(output, to_png(figure_distributions(studies)))
    return [*comparison_lines(studies), f"{output}: written."]
