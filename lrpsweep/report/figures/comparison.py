"""Several studies side by side: how their trials' scores spread, and which nominee is ahead."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lrpsweep.report.differences import paired_difference
from lrpsweep.report.figures.panels import (
    BLUE,
    ORANGE,
    is_complete,
    mark_stopped,
    measure_of,
    scored_trials,
    trial_values,
)
from lrpsweep.report.heatmap import new_figure
from lrpsweep.report.scales import format_score, format_short, format_values, plain
from lrpsweep.report.words import shown
from lrpsweep.results import Contender, StudyResults, TrialResult


def figure_distributions(studies: Sequence[StudyResults]) -> Figure:
    """The objective of every trial of each study, a box and a star for the nominee each.

    With the estimates of trials that were stopped early: the others alone are the better ones.
    """
    figure = new_figure(1.5 * len(studies) + 2.0, 4.8)
    panel = figure.subplots()
    trials = [scored_trials(study) for study in studies]
    values = [trial_values(scored) for scored in trials]
    panel.boxplot(values, widths=0.5, showfliers=False, medianprops={"color": BLUE})
    rng = np.random.default_rng(0)
    for place, (study, scores) in enumerate(zip(studies, values, strict=True), start=1):
        across = place + rng.uniform(-0.15, 0.15, len(scores))
        whole = is_complete(trials[place - 1])
        dots: dict[str, Any] = {"color": "black", "markersize": 3, "alpha": 0.5}
        mark_stopped(panel, across[~whole], scores[~whole], **dots)
        panel.plot(across[whole], scores[whole], ".", label="trial", **dots)
        best = _as_searched(study).value
        panel.plot(
            place, best, "*", color=ORANGE, markeredgecolor="black", markersize=14, label="nominee"
        )
    panel.set_xticks(range(1, len(studies) + 1), [_heading(study) for study in studies])
    panel.set_ylabel("objective")
    panel.grid(axis="y", alpha=0.3)
    handles = {name: h for h, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("Objective of every trial, by study")
    return figure


def _heading(study: StudyResults) -> str:
    name = plain(study.name).replace("-", "-\n")
    states = _as_searched(study).states
    some = f"\non {len(states)} states" if states else ""
    return f"{name}\n{measure_of(study).title}\n({measure_of(study).aim}){some}"


def comparison_lines(studies: Sequence[StudyResults]) -> list[str]:
    """A line for each study's nominee, then one for each pair with the same objective.

    Differences are paired by image, where images, network and evaluation are the same; ± is one
    standard error.
    """
    width = max(len(study.name) for study in studies)
    counts = [_count(study) for study in studies]
    most = max(6, *map(len, counts))
    lines = [f"{'study':{width}}  objective   {'trials':>{most}}  nominee"]
    for study, count in zip(studies, counts, strict=True):
        one, found = _shown(study)
        score = f"{format_score(found.value)} ± {format_short(found.stderr)}"
        lines.append(
            f"{study.name:{width}}  {study.objective:10}  {count:>{most}}  "
            f"{score} ({format_values(one.values) or one.label})"
        )
    lines += [
        f"{study.name} has several objectives ({', '.join(study.objectives)}) and no nominee: what "
        f"is compared is the best of its front by {study.objective}."
        for study in studies
        if study.several
    ]
    return [*lines, *_differences(studies)]


def _count(study: StudyResults) -> str:
    stopped = f" + {len(study.pruned)} stopped early" if study.pruned else ""
    return f"{len(study.complete)}{stopped}"


def _differences(studies: Sequence[StudyResults]) -> Iterator[str]:
    for one, other in itertools.combinations(studies, 2):
        if one.objective != other.objective:
            continue
        if not one.images or (one.images, one.measured) != (other.images, other.measured):
            yield f"{one.name} and {other.name} differ in images, classes, network or evaluation."
            continue
        found, theirs = _shown(one)[1], _shown(other)[1]
        if found.states != theirs.states:
            yield f"{one.name} and {other.name} were not scored on the same states."
            continue
        mean, error = paired_difference(found, theirs)
        gap = f"{format_score(mean)} ± {format_short(error)} on {len(found.scores)} images"
        yield f"{one.name} − {other.name}: {gap} ({measure_of(one).aim})"


def _as_searched(study: StudyResults) -> TrialResult:
    """The nominee on the states of the trials that it stands among."""
    one, found = _shown(study)
    return study.searched_result(one) or found


def _shown(study: StudyResults) -> tuple[Contender, TrialResult]:
    """The nominee, or the best trial where there is none, on the search images."""
    one = shown(study)
    assert one is not None
    found = study.result_of(one)
    assert found is not None
    return one, found
