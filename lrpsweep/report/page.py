"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lrpsweep.files import write_atomically
from lrpsweep.report.figures import FIGURES, draw_figures
from lrpsweep.report.figures.panels import measure_of
from lrpsweep.report.scales import format_score, format_short, format_value, format_values
from lrpsweep.results import StudyResults, TrialRecord


def render_page(results: StudyResults, figures: Mapping[str, bytes]) -> str:
    """The page as HTML. figures: name in FIGURES -> PNG, as `draw_figures` gives them.

    Every text is escaped, and the page forbids itself to load anything or to run a script.
    """
    ranked = results.ranked()
    failed = tuple(t for t in results.trials if t.state == "failed")
    return _template().render(
        results=results,
        objective=measure_of(results).heading,
        better="lower" if results.direction == "minimize" else "higher",
        ranked=ranked,
        failed=failed,
        others=len(results.trials) - len(ranked) - len(failed),
        finalist_scores=_finalist_scores(results),
        chosen=_chosen(results),
        remarked=any(_remarks(trial) for trial in ranked),
        composite=None
        if results.composite is None
        else json.dumps(results.composite, indent=2, ensure_ascii=False),
        figures=[(FIGURES[name], _data_url(png)) for name, png in figures.items()],
    )


def write_report(results: StudyResults, path: Path) -> None:
    """Draw the figures and write the page; an older page stays until the new one is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = render_page(results, draw_figures(results))
    write_atomically(path, page.encode("utf-8", "replace"))


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("lrpsweep.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_value
    environment.filters["score"] = format_score
    environment.filters["short"] = format_short
    environment.filters["hyperparameters"] = format_values
    environment.filters["remarks"] = _remarks
    return environment.get_template("page.html")


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chosen(results: StudyResults) -> TrialRecord | None:
    """The recommended trial, else the best one."""
    found = results.recommendation
    ranked = results.ranked()
    if found is None:
        return ranked[0] if ranked else None
    return next((trial for trial in ranked if trial.number == found.number), None)


def _remarks(trial: TrialRecord) -> str:
    """What a reader should know of a trial beside its numbers."""
    remarks = [f"exceeds the constraint of {name}" for name in trial.exceeded]
    if trial.result is not None and trial.result.unstable:
        remarks.append(f"unstable: {trial.result.unstable}")
    if trial.same_as is not None:
        remarks.append(f"same composite as trial {trial.same_as}")
    return "; ".join(remarks)


def _finalist_scores(results: StudyResults) -> tuple[str, ...]:
    """The scores that any finalist has, in the order in which they first appear."""
    if results.recommendation is None:
        return ()
    return tuple(dict.fromkeys(s for one in results.recommendation.finalists for s in one.scores))
