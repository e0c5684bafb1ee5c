"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lrpsweep.files import write_atomically
from lrpsweep.report.figures import FIGURES, draw_figures
from lrpsweep.report.figures.panels import measure_of
from lrpsweep.report.scales import (
    format_percent,
    format_score,
    format_short,
    format_value,
    format_values,
)
from lrpsweep.report.words import (
    correction_name,
    dropped_sentence,
    economy_sentences,
    fewer_images,
    interval_name,
    is_older,
    measure_title,
    nominated_since,
    shown,
    shown_as,
    stability_sentence,
    stopped_after,
    trial_counts,
)
from lrpsweep.results import (
    RANDOM_ORDER,
    Finalist,
    Recommendation,
    StudyResults,
    TrialRecord,
)

TONES = {"better": "good", "better, but behind": "fair", "as good": "fair", "worse": "poor"}
"""By verdict, how the box around the statement looks; the others are neutral."""


class Remarks(NamedTuple):
    """Of a trial: words for the last column, and whether they are against it."""

    text: str
    doubtful: bool


def render_page(results: StudyResults, figures: Mapping[str, bytes]) -> str:
    """The page as HTML. figures: name in FIGURES -> PNG, as `draw_figures` gives them.

    Every text is escaped, and the page forbids itself to load anything or to run a script.
    """
    ranked = results.ranked()
    failed = tuple(t for t in results.trials if t.state == "failed")
    chosen = shown(results)
    outcome = results.nomination or results.front
    broken = outcome.broken if outcome else {}
    members = results.front.members if results.front else ()
    remarks = {trial.number: _remarks(trial, broken) for trial in ranked}
    return _template().render(
        results=results,
        objective=measure_of(results).heading,
        objectives=_objectives(results),
        ranked=ranked,
        failed=failed,
        counts=trial_counts(results),
        economy=economy_sentences(results),
        tone=TONES.get(results.recommendation.verdict, "") if results.recommendation else "",
        random_order=RANDOM_ORDER,
        since=nominated_since(results),
        words=_words(results.recommendation),
        validated=_validated(results),
        columns=_columns(results),
        sides=_sides(results),
        broken=broken,
        best=[one.number for one in members or (chosen,) if one],
        chosen_as=_capitalised(shown_as(results)) if chosen else "",
        chosen_result=results.result_of(chosen) if chosen else None,
        remarks=remarks,
        remarked=any(remark.text for remark in remarks.values()),
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
    environment.filters["percent"] = format_percent
    environment.filters["short"] = format_short
    environment.filters["hyperparameters"] = format_values
    environment.filters["measure"] = measure_title
    environment.filters["stopped"] = stopped_after
    environment.filters["fewer_images"] = fewer_images
    environment.filters["stability"] = stability_sentence
    return environment.get_template("page.html")


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def _objectives(results: StudyResults) -> str:
    """Their titles, and which way is better by each."""
    better = {"minimize": "lower", "maximize": "higher"}
    return "; ".join(
        f"{measure_of(results, place).heading}, {better[direction]} is better"
        for place, direction in enumerate(results.directions)
    )


def _remarks(trial: TrialRecord, broken: Mapping[str, tuple[str, ...]]) -> Remarks:
    """What a reader should know of a trial beside its numbers. broken: by label, what it breaks."""
    assert trial.result is not None
    doubts = [f"exceeds the constraint of {name}" for name in trial.exceeded]
    if trial.result.unstable:
        doubts.append(f"unstable: {trial.result.unstable}")
    doubts += broken.get(f"trial {trial.number}", ())
    same = [] if trial.same_as is None else [f"same composite as trial {trial.same_as}"]
    return Remarks("; ".join(dict.fromkeys([*doubts, *same])), bool(doubts))


def _words(found: Recommendation | None) -> dict[str, str | bool]:
    """How the comparisons were made: earlier versions did otherwise."""
    if found is None:
        return {}
    return {
        "older": is_older(found),
        "interval": interval_name(found),
        "correction": correction_name(found),
        "images": _images_needed(found),
        "dropped": dropped_sentence(found),
    }


def _images_needed(found: Recommendation) -> str:
    """How many validation images would show more; empty where nothing more is left to show."""
    wanted = {"better": found.images_for_better, "as good": found.images_for_as_good}
    if found.verdict == "better" or not any(wanted.values()):
        return ""
    parts = []
    for word, count in wanted.items():
        if count is None:
            parts.append(f"{word}: more images will not show it")
        elif count <= found.validation_images:
            parts.append(f"{word}: these {found.validation_images}")
        else:
            parts.append(f"{word}: about {count} (with 80 %)")
    return "; ".join(parts)


def _validated(results: StudyResults) -> list[Finalist]:
    """All that was looked at on the validation images, best first: they are stored as they came."""
    found, name = results.recommendation, results.objective
    sign = measure_of(results).sign
    return sorted(
        found.finalists if found else (),
        key=lambda one: sign * one.scores.get(name, sign * math.inf),
    )


def _columns(results: StudyResults) -> dict[str, tuple[str, ...]]:
    """The measures that the tables of finalists and of validated composites have."""
    nomination, found = results.nomination, results.recommendation
    finalists = nomination.finalists if nomination else ()
    return {
        "search": tuple(nomination.ranges) if nomination else (),
        "selection": _measures(one.selection for one in finalists),
        "validation": _measures(one.scores for one in found.finalists) if found else (),
    }


def _measures(scores: Iterable[Mapping[str, float]]) -> tuple[str, ...]:
    """The measures that any has a score of, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for one in scores for name in one))


def _sides(results: StudyResults) -> tuple[str, ...]:
    """The measures beside the first objective that decide who may be chosen."""
    ranges = results.nomination.ranges if results.nomination else results.objectives
    return tuple(name for name in ranges if name != results.objective)
