"""What several figures share: colours, marks, places on axes, and words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lrpsweep.evaluation import MEASURES, Measure, Needs
from lrpsweep.report.differences import as_good_as_shown
from lrpsweep.report.scales import plain, positions
from lrpsweep.report.words import shown, shown_as
from lrpsweep.results import Axis, Pruned, StudyResults, TrialRecord

BLUE, ORANGE, GREEN, RED, PINK, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#767676",
)
STOPPED = "stopped early (estimate)"
LINES = tuple(itertools.product(("--", "-.", ":"), (ORANGE, GREEN, RED, PINK, GREY)))


def measure_of(results: StudyResults, place: int = 0) -> Measure:
    """An objective's entry; one with name and direction alone where its plugin is missing."""
    name, direction = results.objectives[place], results.directions[place]
    if name in MEASURES:
        return MEASURES[name]
    return Measure(name, name, "", direction, Needs(), lambda evidence: np.empty(0))


def objective_name(results: StudyResults, place: int = 0) -> str:
    """An objective with its unit."""
    measure, score = measure_of(results, place), results.provenance.get("score")
    return f"{measure.heading} [{score}]" if score and measure.unit else measure.heading


def objective_label(results: StudyResults, place: int = 0) -> str:
    """An objective with its unit, and which way is better."""
    return plain(f"{objective_name(results, place)}; {measure_of(results, place).aim}")


def objective_words(results: StudyResults) -> str:
    """What a title calls the objective that is drawn: of several, the first."""
    if not results.several:
        return "objective"
    return f"{measure_of(results).title}, the first of {len(results.objectives)} objectives,"


def objective_colours(results: StudyResults) -> ScalarMappable:
    """Bright is good, whichever the direction."""
    values = trial_values(scored_trials(results))
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - 0.5, high + 0.5
    name = "viridis_r" if results.direction == "minimize" else "viridis"
    return ScalarMappable(Normalize(low, high), name)


def scored_trials(results: StudyResults) -> list[TrialRecord]:
    """Complete trials and those that were stopped early; none before one is complete."""
    scored = [t for t in results.trials if t.result is not None or t.pruned is not None]
    return scored if results.complete else []


def trial_values(trials: Sequence[TrialRecord]) -> np.ndarray:
    """The objective's values of those that have a result, estimates of those stopped early."""
    ends = [end for trial in trials if (end := trial.result or trial.pruned) is not None]
    return np.array([end.estimate if isinstance(end, Pruned) else end.value for end in ends])


def is_complete(trials: Sequence[TrialRecord]) -> np.ndarray:
    """(N,) whether each has a result."""
    return np.array([trial.result is not None for trial in trials], dtype=bool)


def axis_places(axis: Axis, trials: Sequence[TrialRecord]) -> np.ndarray:
    """Where the trials lie on a drawn axis."""
    return positions(axis, [trial.values[axis.name] for trial in trials])


def varied_axes(results: StudyResults) -> list[Axis]:
    """The axes along which the trials with a score differ."""
    trials = scored_trials(results)
    return [
        axis
        for axis in results.axes
        if len({trial.values[axis.name] for trial in trials_having(trials, axis)}) > 1
    ]


def trials_having(trials: Sequence[TrialRecord], *axes: Axis) -> list[TrialRecord]:
    """The trials whose composites depend on all these hyperparameters."""
    return [trial for trial in trials if all(axis.name in trial.values for axis in axes)]


def mark_best(
    panel: Axes,
    results: StudyResults,
    trials: Sequence[TrialRecord],
    x: np.ndarray,
    y: np.ndarray,
    **style: Any,
) -> None:
    """A star on the nominee, or else the best, if it is one of the trials at the places x and y."""
    one, label = shown(results), plain(shown_as(results))
    for trial, px, py in zip(trials, x, y, strict=True):
        if one is not None and trial.number == one.number:
            panel.plot(px, py, "*", color="white", markeredgecolor="black", label=label, **style)


def outside_note(results: StudyResults) -> str:
    """A line for the title where no star can be drawn: the nominee is no trial."""
    nominee = results.nominee
    if nominee is None or nominee.number is not None:
        return ""
    return f"\n{plain(nominee.label)} is nominated, which is no trial"


def mark_exceeding(
    panel: Axes, trials: Sequence[TrialRecord], x: np.ndarray, y: np.ndarray, **style: Any
) -> None:
    """Hollow dots on the trials that no one may nominate."""
    beyond = [place for place, trial in enumerate(trials) if trial.exceeded]
    if beyond:
        label = "exceeds a constraint"
        panel.plot(x[beyond], y[beyond], "o", markerfacecolor="white", label=label, **style)


def mark_stopped(panel: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """Hollow diamonds on trials that were stopped early, whose values are estimates."""
    if len(x):
        panel.plot(x, y, "D", markerfacecolor="white", label=STOPPED, **style)


def mark_alike(
    panel: Axes,
    results: StudyResults,
    trials: Sequence[TrialRecord],
    x: np.ndarray,
    y: np.ndarray,
    **style: Any,
) -> None:
    """Rings around the trials that the images do not tell apart from the nominee or best."""
    alike = as_good_as_shown(results)
    ringed = [row for row, trial in enumerate(trials) if trial.number in alike]
    if ringed:
        label = plain(f"≤ 1 standard error from {shown_as(results)}")
        panel.plot(x[ringed], y[ringed], "o", markerfacecolor="none", label=label, **style)


def mark_literature(
    panel: Axes, trials: Sequence[TrialRecord], x: np.ndarray, y: np.ndarray
) -> None:
    """Squares with names on the published composites."""
    for trial, px, py in zip(trials, x, y, strict=True):
        if trial.literature is None:
            continue
        panel.plot(
            px,
            py,
            "s",
            color=ORANGE,
            markeredgecolor="black",
            label="literature",
            clip_on=False,
            zorder=4,
        )
        right = px > x.mean()
        panel.annotate(
            plain(trial.literature),
            (px, py),
            xytext=(-7 if right else 7, -7 if py > y.mean() else 7),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top" if py > y.mean() else "bottom",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8},
        )


def draw_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One for all panels, below them, in up to four columns: as many as are not cut off."""
    handles = {
        name: handle
        for panel in reversed(panels)
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    for columns in (4, 3, 2, 1):
        legend = figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=columns, frameon=False
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def relevance_label(results: StudyResults) -> str:
    """What a colour bar of heatmaps shows, with its unit."""
    score = results.provenance.get("score")
    return f"relevance [{score}]" if score else "relevance"


def shortened(text: str, longest: int = 30) -> str:
    """The end of a text that is too long."""
    return text if len(text) <= longest else "…" + text[-longest + 1 :]
