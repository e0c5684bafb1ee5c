"""The figures of a study: each a function from results to a matplotlib figure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation

from lrpsweep.report.heatmap import (
    colour_bar,
    colour_limit,
    draw_heatmap,
    draw_image,
    new_figure,
    to_png,
)
from lrpsweep.report.scales import draw_scale, format_value, plain, positions
from lrpsweep.results import Axis, StudyResults, TrialRecord

BLUE, ORANGE, GREEN, RED, PINK, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#767676",
)
LINES = tuple(itertools.product(("--", "-.", ":"), (ORANGE, GREEN, RED, PINK, GREY)))
OBJECTIVES = {
    "auc_morf": "AUC (MoRF)",
    "auc_lerf": "AUC (LeRF)",
    "auc_random": "AUC (random order)",
    "srg": "SRG = AUC (LeRF) − AUC (MoRF)",
}
MAX_PAIRS = 6
MAX_IMAGES = 6


def figure_contour(results: StudyResults) -> Figure | None:
    """The objective over each pair of hyperparameters that trials have; None without a pair."""
    pairs = [
        pair
        for pair in itertools.combinations(_varied(results), 2)
        if _having(results.complete, *pair)
    ][:MAX_PAIRS]
    if not pairs:
        return None
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    width = 6.4 if columns == 1 else 4.4 * columns + 0.8
    figure = new_figure(width, (4.9 if columns == 1 else 3.7 * rows) + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in panels[len(pairs) :]:
        unused.remove()
    colours = _colours(results)
    for panel, (across, up) in zip(panels, pairs, strict=False):
        _contour(panel, results, across, up, colours)
    figure.colorbar(colours, ax=panels[: len(pairs)].tolist(), label=_objective(results))
    _legend(figure, panels[: len(pairs)].tolist())
    figure.suptitle(plain(f"{results.name}: objective over the hyperparameters"))
    return figure


def _contour(
    panel: Axes, results: StudyResults, across: Axis, up: Axis, colours: ScalarMappable
) -> None:
    trials = _having(results.complete, across, up)
    x, y = _places(across, trials), _places(up, trials)
    if not (across.categories or up.categories):
        _filled_contour(panel, *_best_of_place(results, trials, x, y), colours)
        panel.plot(x, y, ".", color="black", markersize=4, label="trial", clip_on=False, zorder=3)
    else:
        order = np.argsort(_values(trials))[:: -1 if results.direction == "minimize" else 1]
        panel.scatter(
            x[order],
            y[order],
            c=_values(trials)[order],
            s=130,
            cmap=colours.cmap,
            vmin=colours.get_clim()[0],
            vmax=colours.get_clim()[1],
            edgecolors="black",
            linewidths=0.6,
            label="trial (the best lies on top)",
        )
    _mark_exceeding(panel, trials, x, y, color="black", markersize=5, clip_on=False, zorder=3)
    failed = _having([t for t in results.trials if t.state == "failed"], across, up)
    if failed:
        panel.plot(
            _places(across, failed),
            _places(up, failed),
            "x",
            color=RED,
            label="failed trial",
            clip_on=False,
            zorder=3,
        )
    _mark_literature(panel, trials, x, y)
    _mark_best(panel, results, trials, x, y, markersize=17, zorder=5, clip_on=False)
    draw_scale(panel.xaxis, across, x)
    draw_scale(panel.yaxis, up, y)


def _filled_contour(
    panel: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, colours: ScalarMappable
) -> None:
    points = np.stack([x, y])
    span = np.ptp(points, axis=1, keepdims=True)
    if len(x) < 3 or not span.all():
        return
    unit = (points - points.min(axis=1, keepdims=True)) / span
    if np.linalg.matrix_rank(unit - unit[:, :1], tol=1e-6) < 2:
        return
    mesh = Triangulation(x, y, Triangulation(*unit).triangles)
    levels = np.linspace(*colours.get_clim(), 15)
    panel.tricontourf(mesh, values, levels=levels, cmap=colours.cmap, norm=colours.norm)
    panel.tricontour(mesh, values, levels=levels[1:-1], colors="white", linewidths=0.4)


def _best_of_place(
    results: StudyResults, trials: Sequence[TrialRecord], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One value a place: with further hyperparameters several trials can share it."""
    best: dict[tuple[float, float], float] = {}
    better = min if results.direction == "minimize" else max
    for px, py, value in zip(x, y, _values(trials), strict=True):
        place = (round(float(px), 9), round(float(py), 9))
        best[place] = better(value, best.get(place, value))
    merged = np.array(list(best))
    return merged[:, 0], merged[:, 1], np.array(list(best.values()))


def _mark_best(
    panel: Axes,
    results: StudyResults,
    trials: Sequence[TrialRecord],
    x: np.ndarray,
    y: np.ndarray,
    **style: Any,
) -> None:
    """A star on the best trial, if it is one of those whose places are x and y."""
    best = results.ranked()[0].number
    label = f"best (trial {best})"
    for trial, px, py in zip(trials, x, y, strict=True):
        if trial.number == best:
            panel.plot(px, py, "*", color="white", markeredgecolor="black", label=label, **style)


def _mark_exceeding(
    panel: Axes, trials: Sequence[TrialRecord], x: np.ndarray, y: np.ndarray, **style: Any
) -> None:
    """Hollow dots on the trials that no one may nominate."""
    beyond = [place for place, trial in enumerate(trials) if trial.exceeded]
    if beyond:
        label = "exceeds a constraint"
        panel.plot(x[beyond], y[beyond], "o", markerfacecolor="white", label=label, **style)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One for all panels, below them."""
    handles = {
        name: handle
        for panel in reversed(panels)
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)


def _mark_literature(
    panel: Axes, trials: Sequence[TrialRecord], x: np.ndarray, y: np.ndarray
) -> None:
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


def figure_slices(results: StudyResults) -> Figure | None:
    """The objective against each hyperparameter, a panel each; None if none varies."""
    axes = _varied(results)
    if not axes:
        return None
    columns = min(len(axes), 3)
    rows = -(-len(axes) // columns)
    figure = new_figure(4.2 * columns + 0.4, 3.4 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for unused in panels[len(axes) :]:
        unused.remove()
    for panel, axis in zip(panels, axes, strict=False):
        _slice(panel, results, axis)
    for row in range(rows):
        panels[row * columns].set_ylabel(_objective(results))
    _legend(figure, panels[: len(axes)].tolist())
    figure.suptitle(plain(f"{results.name}: objective against each hyperparameter"))
    return figure


def _slice(panel: Axes, results: StudyResults, axis: Axis) -> None:
    trials = _having(results.complete, axis)
    x, y = _places(axis, trials), _values(trials)
    errors = np.array([t.result.stderr for t in trials if t.result is not None])
    panel.errorbar(
        x, y, errors, fmt="none", ecolor="#8fb6cc", elinewidth=1, label="± standard error"
    )
    panel.plot(x, y, "o", color=BLUE, markersize=4, label="trial")
    _mark_exceeding(panel, trials, x, y, color=BLUE, markersize=4)
    named = [n for n, trial in enumerate(trials) if trial.literature is not None]
    if named:
        panel.plot(
            x[named], y[named], "s", color=ORANGE, markeredgecolor="black", label="literature"
        )
    _mark_best(panel, results, trials, x, y, markersize=15)
    draw_scale(panel.xaxis, axis, x)
    panel.grid(axis="y", color="#e5e5e5")
    panel.set_axisbelow(True)


def figure_curves(results: StudyResults) -> Figure | None:
    """Perturbation curves of the best trial, with its quartiles, and of published composites."""
    ranked = results.ranked()
    if not ranked:
        return None
    figure = new_figure(7.2, 4.6)
    panel = figure.subplots()
    best = ranked[0].result
    assert best is not None
    share = 100 * best.flipped
    panel.fill_between(
        share,
        best.curve_low,
        best.curve_high,
        color=BLUE,
        alpha=0.18,
        linewidth=0,
        label="best: middle half of the images",
    )
    named = [trial for trial in ranked if trial.literature is not None][: len(LINES)]
    for trial, (style, colour) in zip(named, LINES, strict=False):
        assert trial.result is not None
        panel.plot(
            100 * trial.result.flipped,
            trial.result.curve,
            style,
            color=colour,
            label=plain(f"{trial.literature}: {format_value(trial.result.value)}"),
        )
    panel.plot(
        share,
        best.curve,
        "o-",
        color=BLUE,
        markersize=3.5,
        label=f"best (trial {ranked[0].number}): {format_value(best.value)}",
    )
    score = results.provenance.get("score")
    panel.set_xlabel("patches perturbed [%]")
    panel.set_ylabel(plain(f"score of the explained class [{score}]" if score else "class score"))
    panel.set_xlim(0, 100)
    panel.grid(color="#e5e5e5")
    handles, labels = panel.get_legend_handles_labels()
    order = [len(labels) - 1, *range(len(labels) - 1)]
    panel.legend(
        [handles[n] for n in order],
        [labels[n] for n in order],
        title=plain(_objective_name(results)),
        framealpha=0.9,
        edgecolor="none",
    )
    panel.set_title(plain(f"{results.name}: perturbation curves, mean over the search images"))
    return figure


def figure_heatmaps(results: StudyResults) -> Figure | None:
    """Images, the best composite's and a baseline's heatmaps, and the half perturbed image."""
    shown = results.illustrations
    if shown is None or not len(shown.ids):
        return None
    count = min(len(shown.ids), MAX_IMAGES)
    tall = 2.1 * min(shown.images.shape[1] / shown.images.shape[2], 2)
    figure = new_figure(9.6, tall * count + 0.9)
    panels = figure.subplots(count, 4, squeeze=False)
    for row, (image_id, panel) in enumerate(zip(shown.ids, panels, strict=False)):
        limit = colour_limit(np.stack([shown.best[row], shown.baseline[row]]))
        draw_image(panel[0], shown.images[row])
        draw_image(panel[1], shown.halfway[row])
        draw_heatmap(panel[2], shown.best[row], limit)
        draw_heatmap(panel[3], shown.baseline[row], limit)
        colour_bar(figure, [panel[2], panel[3]], limit, _relevance(results))
        panel[0].set_ylabel(plain(_shortened(image_id)), fontsize=8)
    titles = ("image", "half of the steps perturbed", "best composite", shown.baseline_name)
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(plain(title), fontsize=10)
    figure.suptitle(plain(f"{results.name}: heatmaps (colours: one scale a row)"))
    return figure


def figure_heatmap_grid(results: StudyResults) -> Figure | None:
    """One image's heatmaps over one or two hyperparameters, all on one scale."""
    shown = results.illustrations
    if shown is None or not shown.grid.size:
        return None
    limit = colour_limit(shown.grid)
    rows, columns, height, width = shown.grid.shape
    gap = max(1, round(0.06 * max(height, width)))
    cell = min(1.2, 10 / max(rows, columns))
    figure = new_figure(max(cell * columns + 1.9, 4.5), cell * rows * height / width + 1.1)
    panel = figure.subplots()
    draw_heatmap(panel, _mosaic(shown.grid, gap), limit)
    panel.set_yticks(
        np.arange(rows) * (height + gap) + height / 2,
        [plain(format_value(value)) for value in shown.grid_rows],
    )
    panel.set_xticks(
        np.arange(len(shown.grid_columns)) * (width + gap) + width / 2,
        [plain(format_value(value)) for value in shown.grid_columns],
    )
    panel.tick_params(length=0)
    panel.set_ylabel(plain(shown.grid_names[0]))
    panel.set_xlabel(plain("".join(shown.grid_names[1:])))
    title = plain(f"{results.name}: heatmaps of {_shortened(shown.ids[0])}")
    panel.set_title(f"{title}\none colour scale for all")
    colour_bar(figure, panel, limit, _relevance(results))
    return figure


def _mosaic(grid: np.ndarray, gap: int) -> np.ndarray:
    """(A, B, H, W) tiles as one picture, NaN between them."""
    padded = np.pad(
        grid.astype(float), ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan
    )
    rows, columns, height, width = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-gap, :-gap]


def figure_distribution(results: StudyResults) -> Figure | None:
    """How the objective is distributed over the trials; None without a complete trial."""
    ranked = results.ranked()
    if not ranked:
        return None
    values = _values(ranked)
    figure = new_figure(7.2, 4.2)
    panel = figure.subplots()
    spread = np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max()))
    panel.hist(
        values,
        bins=min(20, max(5, len(values) // 3)) if spread else 1,
        color="#9cc5dd",
        edgecolor="white",
    )
    panel.plot(
        values,
        np.zeros(len(values)),
        "|",
        color="black",
        markersize=11,
        label="trial",
        clip_on=False,
    )
    panel.axvline(
        float(values[0]),
        color=BLUE,
        linewidth=2.2,
        label=f"best (trial {ranked[0].number}): {format_value(values[0])}",
    )
    named = [trial for trial in ranked if trial.literature is not None][: len(LINES)]
    for trial, (style, colour) in zip(named, LINES, strict=False):
        assert trial.result is not None
        panel.axvline(
            trial.result.value,
            linestyle=style,
            color=colour,
            linewidth=1.8,
            label=plain(f"{trial.literature}: {format_value(trial.result.value)}"),
        )
    panel.set_xlabel(_objective(results))
    panel.set_ylabel("trials")
    panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    panel.set_title(plain(f"{results.name}: objective of {len(values)} trials"))
    return figure


def figure_validation(results: StudyResults) -> Figure | None:
    """The nominee against each published composite, on images it was not tuned on."""
    found = results.recommendation
    if found is None or not found.comparisons:
        return None
    rows = len(found.comparisons)
    figure = new_figure(7.6, 0.42 * rows + 2.0)
    panel = figure.subplots()
    for row, one in enumerate(found.comparisons):
        colour = BLUE if one.better else GREY
        error = [[max(one.difference - one.low, 0)], [max(one.high - one.difference, 0)]]
        panel.errorbar(
            one.difference,
            row,
            xerr=error,
            fmt="o" if one.better else "s",
            color=colour,
            markerfacecolor=colour if one.better else "white",
            capsize=4,
        )
    panel.axvline(0, color="black", linewidth=1)
    panel.set_yticks(range(rows), [plain(one.baseline) for one in found.comparisons])
    panel.set_ylim(rows - 0.5, -0.5)
    panel.grid(axis="x", color="#e5e5e5")
    right = panel.secondary_yaxis("right")
    right.set_yticks(range(rows), [f"p = {one.p_holm:.2g}" for one in found.comparisons])
    right.tick_params(length=0)
    side = "left" if results.direction == "minimize" else "right"
    objective = plain(f"{_objective_name(results)}: nominee − baseline")
    panel.set_xlabel(
        f"{objective}, mean over {found.validation_images} images, 95 % interval\n"
        f"{side} of zero: the nominee is better; filled: at p < 0.05 (Holm)"
    )
    panel.set_title(
        plain(f"{results.name}: nominee (trial {found.number}) on validation images")
        + f"\nagainst every composite of the literature: {found.verdict}"
    )
    return figure


@dataclass(frozen=True)
class Plate:
    """A figure with the words around it. draw gives None where there is nothing to show."""

    draw: Callable[[StudyResults], Figure | None]
    title: str
    caption: str


FIGURES: dict[str, Plate] = {
    "validation": Plate(
        figure_validation,
        "Against the literature",
        "Mean paired difference on the validation images, none of which any trial has seen.",
    ),
    "contour": Plate(
        figure_contour,
        "Objective over the hyperparameters",
        "Interpolated between the trials (dots). Logarithmic axes show zero at their end, not to "
        "scale. Where trials differ in a third hyperparameter, the best of them is drawn; those "
        "that do not depend on both hyperparameters are not.",
    ),
    "slices": Plate(
        figure_slices,
        "Objective against each hyperparameter",
        "All trials see the same images, so differences between two trials are surer than their "
        "standard errors, which are over images, suggest.",
    ),
    "curves": Plate(
        figure_curves,
        "Perturbation curves",
        "The AUC averages over the steps (dots), which need not be evenly spaced on this axis.",
    ),
    "heatmaps": Plate(
        figure_heatmaps,
        "Heatmaps",
        "Red is relevance for the explained class, blue against it, white none. Colours saturate "
        "at the 99.5th percentile of the absolute relevance of both heatmaps in a row.",
    ),
    "heatmap_grid": Plate(
        figure_heatmap_grid,
        "One image under many composites",
        "All heatmaps share one colour scale, saturating at the 99.5th percentile of the absolute "
        "relevance over all of them.",
    ),
    "distribution": Plate(
        figure_distribution,
        "Distribution over the trials",
        "Each stroke under the histogram is a trial.",
    ),
}


def draw_figures(results: StudyResults) -> dict[str, bytes]:
    """Every figure that the results can fill, as PNG, in the order of `FIGURES`."""
    drawn = ((name, plate.draw(results)) for name, plate in FIGURES.items())
    return {name: to_png(figure) for name, figure in drawn if figure is not None}


def _objective_name(results: StudyResults) -> str:
    name = OBJECTIVES.get(results.objective, results.objective)
    score = results.provenance.get("score")
    return f"{name} [{score}]" if score else name


def _objective(results: StudyResults) -> str:
    return plain(f"{_objective_name(results)}; {aim(results)}")


def aim(results: StudyResults) -> str:
    """Which way is better, in words."""
    if results.objective == "auc_random":
        return "a control"
    return "lower is better" if results.direction == "minimize" else "higher is better"


def _relevance(results: StudyResults) -> str:
    score = results.provenance.get("score")
    return f"relevance [{score}]" if score else "relevance"


def _colours(results: StudyResults) -> ScalarMappable:
    """Bright is good, whichever the direction."""
    values = _values(results.complete)
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - 0.5, high + 0.5
    name = "viridis_r" if results.direction == "minimize" else "viridis"
    return ScalarMappable(Normalize(low, high), name)


def _values(trials: Sequence[TrialRecord]) -> np.ndarray:
    return np.array([trial.result.value for trial in trials if trial.result is not None])


def _places(axis: Axis, trials: Sequence[TrialRecord]) -> np.ndarray:
    return positions(axis, [trial.values[axis.name] for trial in trials])


def _varied(results: StudyResults) -> list[Axis]:
    """The axes along which the complete trials differ."""
    return [
        axis
        for axis in results.axes
        if len({trial.values[axis.name] for trial in _having(results.complete, axis)}) > 1
    ]


def _having(trials: Sequence[TrialRecord], *axes: Axis) -> list[TrialRecord]:
    """The trials whose composites depend on all these hyperparameters."""
    return [trial for trial in trials if all(axis.name in trial.values for axis in axes)]


def _shortened(text: str, longest: int = 30) -> str:
    return text if len(text) <= longest else "…" + text[-longest + 1 :]
