from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fabricated import (
    AXES,
    FAILED,
    LITERATURE,
    MANY_AXES,
    concluded_study,
    conditional_study,
    dropped_study,
    fabricate_study,
    illustrations,
    one_validation_image,
    raced_study,
    scattered_trials,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lrpsweep.report.figures import FIGURES, draw_figures
from lrpsweep.report.figures.front import figure_front
from lrpsweep.report.figures.heatmaps import figure_heatmap_grid, figure_heatmaps
from lrpsweep.report.figures.importance import importances
from lrpsweep.report.figures.panels import objective_colours
from lrpsweep.report.figures.scores import figure_curves, figure_distribution
from lrpsweep.report.figures.space import figure_contour, figure_slices
from lrpsweep.report.figures.validation import figure_validation
from lrpsweep.results import Axis, Contender, Front, Pruned, StudyResults, TrialRecord


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    figure.canvas.draw()
    return figure


def line(figure: Figure, label: str) -> np.ndarray:
    """(N, 2) points of the first line with that label."""
    (found, *_) = [one for one in figure.axes[0].lines if str(one.get_label()).startswith(label)]
    return np.array(found.get_xydata())


OF_ONE = {name: plate for name, plate in FIGURES.items() if name != "front"}
"""The figures of a study of one objective."""


def test_every_figure_of_a_finished_study_is_a_picture(study: StudyResults) -> None:
    pictures = draw_figures(study)
    assert list(pictures) == list(OF_ONE)
    for png in pictures.values():
        with Image.open(io.BytesIO(png)) as picture:
            assert min(picture.size) > 200
            assert len(picture.getcolors(1 << 24)) > 50


def test_every_figure_names_the_study_and_its_axes(study: StudyResults) -> None:
    for name, plate in OF_ONE.items():
        figure = drawn(plate.draw(study))
        titles = [figure.get_suptitle(), *(panel.get_title() for panel in figure.axes)]
        assert any("quickstart" in title for title in titles), name
        if name != "heatmaps":
            assert figure.axes[0].get_xlabel(), name


def test_the_contour_marks_trials_best_literature_and_failures(study: StudyResults) -> None:
    figure = drawn(figure_contour(study))
    assert len(line(figure, "trial")) == 48
    best = study.ranked()[0]
    expected = [np.log10(best.values[axis.name]) for axis in AXES]
    assert line(figure, "nominee")[0] == pytest.approx(expected)
    failed = study.trials[FAILED].values
    assert line(figure, "failed")[0] == pytest.approx([np.log10(failed[a.name]) for a in AXES])
    assert {text.get_text() for text in figure.axes[0].texts} == {"LRP-0", "LRP-Tutorial"}
    assert "lower is better" in figure.axes[-1].get_ylabel()


def test_scattered_points_with_duplicates_are_interpolated() -> None:
    figure = drawn(figure_contour(fabricate_study(trials=scattered_trials())))
    assert figure.axes[0].collections


def on_axes(axes: tuple[Axis, ...], points: list[tuple[object, ...]]) -> StudyResults:
    result = scattered_trials(1)[0].result
    assert result is not None
    trials = tuple(
        TrialRecord(
            n,
            "complete",
            {axis.name: v for axis, v in zip(axes, point, strict=True)},
            dataclasses.replace(result, measures={"auc_morf": result.scores + n}),
        )
        for n, point in enumerate(points)
    )
    return fabricate_study(axes=axes, trials=trials, recommendation=None, illustrations=None)


LINEAR = (Axis("a"), Axis("b"))


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 0.0), (1.0, 2.0)],
        [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)],
    ],
)
def test_points_that_span_no_area_are_drawn_as_points(points: list[tuple[object, ...]]) -> None:
    figure = drawn(figure_contour(on_axes(LINEAR, points)))
    assert not figure.axes[0].collections
    assert len(line(figure, "trial")) == len(points)


def test_a_categorical_axis_is_not_interpolated() -> None:
    axes = (Axis("rule", categories=("zero", "gamma")), Axis("b"))
    figure = drawn(figure_contour(on_axes(axes, [("zero", 0.0), ("gamma", 1.0), ("zero", 1.0)])))
    (points,) = figure.axes[0].collections
    assert len(points.get_offsets()) == 3
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["zero", "gamma"]


def test_one_hyperparameter_has_slices_but_no_contour() -> None:
    results = on_axes((Axis("a"), Axis("b")), [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)])
    assert figure_contour(results) is None
    assert len(drawn(figure_slices(results)).axes) == 1


def plain_labels(panels: Sequence[Axes]) -> list[tuple[str, str]]:
    """Without shares."""
    return [(p.get_xlabel().split()[0], p.get_ylabel().split()[0]) for p in panels]


def test_three_hyperparameters_have_three_pairs_on_one_scale() -> None:
    points = [(float(i), float(j), float(k)) for i, j, k in np.ndindex(2, 2, 2)]
    figure = drawn(figure_contour(on_axes((*LINEAR, Axis("c")), points)))
    assert plain_labels(figure.axes[:3]) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_panels_show_the_trials_that_have_their_hyperparameters() -> None:
    study = conditional_study()
    contour = drawn(figure_contour(study))
    pairs = set(plain_labels(contour.axes[:-1]))
    assert len(pairs) == 5
    assert ("late.gamma", "late.epsilon") not in pairs
    slices = drawn(figure_slices(study))
    shown = {
        panel.get_xlabel().split()[0]: len(one.get_xydata())
        for panel in slices.axes
        for one in panel.lines
        if one.get_label() == "trial"
    }
    assert shown == {"early.gamma": 40, "rule": 40, "late.gamma": 14, "late.epsilon": 13}
    labels = {text.get_text() for text in slices.legends[0].get_texts()}
    assert "exceeds a constraint" in labels


NAMES = [axis.name for axis in MANY_AXES]
RACED = raced_study(NAMES[1:3])


def legend(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_trials_that_were_stopped_are_hollow_and_on_the_scale_of_all() -> None:
    study = RACED
    estimates = [trial.pruned.estimate for trial in study.pruned if trial.pruned]
    figure = drawn(figure_contour(study))
    (hollow,) = [x for x in figure.axes[0].lines if str(x.get_label()).startswith("stopped early")]
    assert hollow.get_markerfacecolor() == "white"
    assert len(hollow.get_xydata()) == len(estimates) > 20
    assert len(line(figure, "trial")) == len(study.complete)
    colours = objective_colours(study).get_clim()
    complete = [trial.result.value for trial in study.complete if trial.result]
    assert colours == (min(complete), max(complete + estimates))
    assert max(estimates) > max(complete)
    (surface, *_) = figure.axes[0].collections
    assert surface.get_clim() == pytest.approx(colours)


def test_a_stopped_trial_is_part_of_the_surface_by_its_estimate() -> None:
    corners = [(0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (2.0, 2.0)]
    results = on_axes(LINEAR, corners)
    middle = TrialRecord(4, "pruned", {"a": 1.0, "b": 1.0}, pruned=Pruned(8, 40.0))
    raced = dataclasses.replace(results, trials=(*results.trials, middle))
    surface, _ = drawn(figure_contour(raced)).axes[0].collections
    assert surface.get_clim()[1] == 40
    darkest = surface.get_paths()[-1]
    assert darkest.get_extents().get_points().mean(0) == pytest.approx([1, 1], abs=0.01)


def test_slices_have_estimates_without_error_bars() -> None:
    panel = drawn(figure_slices(RACED)).axes[0]
    (bars,) = panel.containers
    assert len(bars.lines[2][0].get_segments()) == len(RACED.complete)
    (hollow,) = [x for x in panel.lines if str(x.get_label()).startswith("stopped early")]
    estimates = [trial.pruned.estimate for trial in RACED.pruned if trial.pruned]
    assert hollow.get_ydata() == pytest.approx(estimates)
    assert hollow.get_markerfacecolor() == "white"


def test_hollow_marks_on_a_categorical_axis_have_the_colours_of_their_estimates() -> None:
    study = raced_study(NAMES[2:4])
    figure = drawn(figure_contour(study))
    hollow, filled = figure.axes[0].collections
    values = [trial.pruned.estimate for trial in study.pruned if trial.pruned]
    assert hollow.get_edgecolors() == pytest.approx(objective_colours(study).to_rgba(values))
    assert len(filled.get_offsets()) == len(study.complete)
    assert "stopped early (estimate)" in legend(figure)


def test_the_star_is_on_no_stopped_trial() -> None:
    """Their estimates are extrapolated; one that looks best is not."""
    best = min(trial.result.value for trial in RACED.complete if trial.result)
    trials = tuple(
        dataclasses.replace(trial, pruned=Pruned(8, best - 1)) if trial.pruned else trial
        for trial in RACED.trials
    )
    study = dataclasses.replace(RACED, trials=trials)
    star = line(drawn(figure_slices(study)), "best (trial")
    assert star[0][1] == best


def test_a_figure_needs_a_complete_trial() -> None:
    only = dataclasses.replace(RACED, trials=RACED.pruned)
    assert draw_figures(only) == {}


def test_the_distribution_stacks_the_stopped_hollow() -> None:
    figure = drawn(figure_distribution(RACED))
    bars = figure.axes[0].patches
    hollow = [bar for bar in bars if bar.get_facecolor() == (1, 1, 1, 1)]
    assert sum(bar.get_height() for bar in hollow) == len(RACED.pruned)
    assert sum(bar.get_height() for bar in bars) == len(RACED.complete) + len(RACED.pruned)
    assert all(bar.get_height() for bar in hollow)
    assert "58 trials, 44 of them stopped early" in figure.axes[0].get_title()


def rings(figure: Figure) -> list[list[float]]:
    found = [x for x in figure.axes[0].lines if x.get_markerfacecolor() == "none"]
    return [point for one in found for point in one.get_xydata().tolist()]


def test_trials_that_images_do_not_tell_from_the_best_are_ringed() -> None:
    results = on_axes(LINEAR, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
    first = results.trials[0].result
    assert first is not None
    turned = np.where(np.arange(len(first.scores)) % 2, 0.3, -0.29)
    alike = dataclasses.replace(first, measures={"auc_morf": first.scores + turned})
    trials = list(results.trials)
    trials[3] = dataclasses.replace(trials[3], result=alike)
    figure = drawn(figure_contour(dataclasses.replace(results, trials=tuple(trials))))
    assert rings(figure) == [[1.0, 1.0]]
    assert "≤ 1 standard error from best (trial 0)" in legend(figure)
    assert rings(drawn(figure_contour(results))) == []


def test_pairs_and_slices_are_ordered_by_importance() -> None:
    study = raced_study(NAMES)
    axes = study.axes
    shares = importances(study, axes)
    assert sum(shares.values()) == pytest.approx(1)
    ranked = sorted(shares, key=lambda name: -shares[name])
    assert ranked[0] == "late.gamma"
    contour, slices = drawn(figure_contour(study)), drawn(figure_slices(study))
    pairs = plain_labels(contour.axes[:6])
    sums = [shares[across] + shares[up] for across, up in pairs]
    assert sums == sorted(sums, reverse=True)
    assert all(shares[across] >= shares[up] for across, up in pairs)
    every = [shares[a] + shares[b] for a, b in itertools.combinations(ranked, 2)]
    assert sums == pytest.approx(sorted(every, reverse=True)[:6])
    assert "6 of 10 pairs, by importance" in contour.get_suptitle()
    assert [panel.get_xlabel().split()[0] for panel in slices.axes] == ranked
    assert slices.axes[0].get_xlabel() == f"late.gamma ({100 * shares['late.gamma']:.0f} %)"
    assert "by importance" in slices.get_suptitle()
    assert importances(study, axes) == shares, "nothing of it is drawn by chance"


def test_two_hyperparameters_or_few_trials_are_drawn_as_declared() -> None:
    assert importances(RACED, RACED.axes) == {}
    study = raced_study(NAMES[:3], number=7)
    assert importances(study, study.axes) == {}
    figure = drawn(figure_contour(study))
    labels = [(panel.get_xlabel(), panel.get_ylabel()) for panel in figure.axes[:3]]
    assert labels == list(itertools.combinations(NAMES[:3], 2))
    assert "importance" not in figure.get_suptitle()


def test_equal_trials_have_no_importance_and_no_warning() -> None:
    points = [(float(i), float(j), float(k)) for i, j, k in np.ndindex(2, 2, 3)]
    results = on_axes((*LINEAR, Axis("c")), points)
    same = tuple(dataclasses.replace(t, result=results.trials[0].result) for t in results.trials)
    assert importances(dataclasses.replace(results, trials=same), results.axes) == {}


def test_conditional_and_categorical_hyperparameters_have_an_importance() -> None:
    study = conditional_study()
    shares = importances(study, study.axes)
    assert set(shares) == {axis.name for axis in study.axes}
    assert max(shares, key=shares.__getitem__) == "early.gamma"


@pytest.mark.parametrize("names", [NAMES[1:2], NAMES[1:3], NAMES[2:4], NAMES[:3], NAMES])
def test_legends_are_not_cut_off(names: list[str]) -> None:
    for draw in (figure_contour, figure_slices):
        figure = draw(raced_study(names))
        if figure is None:
            continue
        box = drawn(figure).legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_equal_trials_do_not_break_the_scales() -> None:
    results = on_axes(LINEAR, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
    same = tuple(dataclasses.replace(t, result=results.trials[0].result) for t in results.trials)
    for plate in FIGURES.values():
        figure = plate.draw(dataclasses.replace(results, trials=same))
        assert figure is None or drawn(figure)


def test_slices_show_standard_errors(study: StudyResults) -> None:
    figure = drawn(figure_slices(study))
    (bars,) = figure.axes[0].containers
    low, high = bars.lines[2][0].get_segments()[0][:, 1]
    result = study.complete[0].result
    assert result is not None
    assert (high - low) / 2 == pytest.approx(result.stderr)


def test_curves_show_the_best_trial_over_the_share_of_patches(study: StudyResults) -> None:
    figure = drawn(figure_curves(study))
    best = study.ranked()[0].result
    assert best is not None
    assert line(figure, "nominee (") == pytest.approx(np.stack([100 * best.flipped, best.curve], 1))
    assert len(line(figure, "LRP-Tutorial")) == 17
    (band,) = figure.axes[0].collections
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(best.curve_high.max())


def test_heatmaps_stand_beside_their_images_on_one_scale_a_row(study: StudyResults) -> None:
    shown = study.illustrations
    assert shown is not None
    figure = drawn(figure_heatmaps(study))
    first = figure.axes[:4]
    assert [p.get_title() for p in first][2:] == ["nominee\n(trial 39)", "EpsilonGammaBox"]
    assert np.array_equal(first[0].images[0].get_array(), shown.images[0])
    assert np.array_equal(first[1].images[0].get_array(), shown.halfway[0])
    assert first[2].images[0].get_clim() == first[3].images[0].get_clim()
    assert first[0].get_ylabel() == shown.ids[0]


def test_the_grid_of_heatmaps_may_have_one_hyperparameter(study: StudyResults) -> None:
    shown = illustrations()
    single = dataclasses.replace(
        shown, grid=shown.grid[:, :1], grid_names=("early.gamma",), grid_columns=()
    )
    figure = drawn(figure_heatmap_grid(dataclasses.replace(study, illustrations=single)))
    panel = figure.axes[0]
    assert (panel.get_ylabel(), panel.get_xlabel()) == ("early.gamma", "")
    assert (len(panel.get_yticks()), len(panel.get_xticks())) == (7, 0)


def test_the_grid_of_heatmaps_states_its_one_scale(study: StudyResults) -> None:
    figure = drawn(figure_heatmap_grid(study))
    panel = figure.axes[0]
    assert "one colour scale" in panel.get_title()
    assert (panel.get_ylabel(), panel.get_xlabel()) == ("early.gamma", "late.gamma")
    assert panel.get_xticklabels()[0].get_text() == "0"
    mosaic = panel.images[0].get_array()
    assert mosaic is not None
    shown = illustrations()
    assert np.array_equal(np.asarray(mosaic)[:64, :64], shown.grid[0, 0])
    assert np.array_equal(np.asarray(mosaic)[-64:, -64:], shown.grid[-1, -1])


def test_the_distribution_counts_the_complete_trials(study: StudyResults) -> None:
    figure = drawn(figure_distribution(study))
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 48


def test_the_validation_figure_has_a_row_for_every_baseline(study: StudyResults) -> None:
    figure = drawn(figure_validation(study))
    found = study.recommendation
    assert found is not None
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [one.baseline for one in found.comparisons]
    interval = figure.axes[0].containers[0].lines[2][0].get_segments()[0][:, 0]
    assert interval == pytest.approx([found.comparisons[0].low, found.comparisons[0].high])
    assert "left of zero: the nominee is better" in figure.axes[0].get_xlabel()


PUBLISHED = {**LITERATURE, "epsilon_gamma_box": 1.2}
CONCLUDED = {
    "nominee": concluded_study(),
    "published": concluded_study(PUBLISHED, validated=1.2),
    "nothing": concluded_study(chance=0.6),
    "not validated": concluded_study(validated=None),
    "too many looks": concluded_study(look=12),
}


@pytest.mark.parametrize("kind", CONCLUDED)
def test_every_end_of_a_study_has_its_figures(kind: str) -> None:
    study = CONCLUDED[kind]
    expected = set(OF_ONE) - (set() if study.recommendation else {"validation"})
    assert set(draw_figures(study)) == expected


def test_the_validation_figure_says_how_it_was_tested() -> None:
    figure = drawn(figure_validation(CONCLUDED["nominee"]))
    (panel, *_) = figure.axes
    for words in ("92 % interval for each row alone", "p ≤ 0.04 (Hochberg)", "right of zero"):
        assert words in panel.get_xlabel()
    assert panel.get_title().endswith("literature: better")
    study = CONCLUDED["nominee"]
    assert study.nomination is not None
    margin = 0.05 * study.nomination.ranges["srg"]
    dashed = [line for line in panel.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == pytest.approx([-margin])


def test_marks_are_filled_where_the_nominee_is_better() -> None:
    study = concluded_study(validated=1.95, look=3)
    found = study.recommendation
    assert found is not None
    panel = drawn(figure_validation(study)).axes[0]
    filled = [bar.lines[0].get_markerfacecolor() != "white" for bar in panel.containers]
    assert filled == [one.better for one in found.comparisons] == [True, False, True]


def test_the_validation_figure_says_which_baselines_were_not_scored_on_all_images() -> None:
    panel = drawn(figure_validation(dropped_study())).axes[0]
    found = dropped_study().recommendation
    assert found is not None
    names = [label.get_text() for label in panel.get_yticklabels()]
    first, *others = [one.baseline for one in found.comparisons]
    assert names == [f"{first} (32 images)", *others]
    assert "(n images): clearly behind on these, 99.8 % interval" in panel.get_xlabel()


def test_intervals_without_ends_are_not_drawn() -> None:
    figure = drawn(figure_validation(CONCLUDED["too many looks"]))
    low, high = figure.axes[0].get_xlim()
    assert np.isfinite([low, high]).all()
    assert "undecided" in figure.axes[0].get_title()


def test_results_of_earlier_versions_say_how_those_tested(study: StudyResults) -> None:
    label = drawn(figure_validation(study)).axes[0].get_xlabel()
    assert "95 % interval" in label
    assert "p < 0.05 (Holm)" in label
    assert "dashed" not in label


def test_a_published_nominee_has_no_star_but_is_named() -> None:
    for figure in (figure_contour, figure_slices):
        panels = drawn(figure(CONCLUDED["published"]))
        assert "epsilon_gamma_box is nominated, which is no trial" in panels.get_suptitle()
        assert not [x for p in panels.axes for x in p.lines if x.get_marker() == "*"]


def test_without_a_nominee_the_star_is_on_the_best_trial() -> None:
    study = CONCLUDED["nothing"]
    best = study.ranked()[0]
    star = line(drawn(figure_contour(study)), f"best (trial {best.number})")
    assert star[0] == pytest.approx([np.log10(best.values[axis.name]) for axis in AXES])


def test_the_star_is_on_the_nominee_and_not_on_the_best(study: StudyResults) -> None:
    assert study.recommendation is not None
    second = study.ranked()[1]
    found = dataclasses.replace(study.recommendation, number=second.number, values=second.values)
    star = line(drawn(figure_contour(dataclasses.replace(study, recommendation=found))), "nominee")
    assert star[0] == pytest.approx([np.log10(second.values[axis.name]) for axis in AXES])


def test_curves_from_both_ends_stand_beside_a_random_order() -> None:
    study = CONCLUDED["nominee"]
    panel = drawn(figure_curves(study)).axes[0]
    styles = {str(x.get_label()).rpartition(" ")[0]: x.get_linestyle() for x in panel.lines}
    assert styles == {
        "nominee (trial 39): AUC (MoRF)": "-",
        "nominee (trial 39): AUC (LeRF)": "--",
        "LRP-Tutorial: AUC (MoRF)": "-",
        "LRP-Tutorial: AUC (LeRF)": "--",
        "random": ":",
    }
    result = study.trials[39].result
    assert result is not None
    lerf = line(drawn(figure_curves(study)), "nominee (trial 39): AUC (LeRF)")
    assert lerf[:, 1] == pytest.approx(result.curves["lerf"])


def test_the_curves_of_a_published_nominee_are_its_own() -> None:
    study = CONCLUDED["published"]
    figure = drawn(figure_curves(study))
    expected = study.literature["epsilon_gamma_box"].curve
    assert line(figure, "nominee (epsilon_gamma_box)")[:, 1] == pytest.approx(expected)
    assert len([x for x in figure.axes[0].lines if "epsilon_gamma_box" in str(x.get_label())]) == 2


def test_a_study_without_results_has_no_figures() -> None:
    empty = fabricate_study(trials=(), recommendation=None, illustrations=None, composite=None)
    assert draw_figures(empty) == {}


def test_hostile_names_are_drawn_as_text() -> None:
    study = fabricate_study(name="$\\frac{$ <b> 漢")
    shown = study.illustrations
    assert shown is not None
    study = dataclasses.replace(
        study, illustrations=dataclasses.replace(shown, ids=("$\\evil$", *shown.ids[1:]))
    )
    assert len(draw_figures(study)) == len(OF_ONE)


def test_a_single_validation_image_is_drawn_without_an_interval(study: StudyResults) -> None:
    figure = drawn(figure_validation(one_validation_image(study)))
    assert "over 1 images" in figure.axes[0].get_xlabel()


def test_an_objective_without_curves_has_no_figure_of_them(study: StudyResults) -> None:
    nothing = np.empty(0)
    bare = tuple(
        dataclasses.replace(
            trial,
            result=trial.result
            and dataclasses.replace(
                trial.result,
                curve=nothing,
                curve_low=nothing,
                curve_high=nothing,
                flipped=nothing,
            ),
        )
        for trial in study.trials
    )
    found = dataclasses.replace(study, trials=bare, objectives=("hot_spot",))
    assert figure_curves(found) is None
    assert "curves" not in draw_figures(found)


def test_labels_come_from_the_measure(study: StudyResults) -> None:
    def label(objective: str) -> str:
        return (
            drawn(figure_distribution(dataclasses.replace(study, objectives=(objective,))))
            .axes[0]
            .get_xlabel()
        )

    assert label("auc_morf") == "AUC (MoRF) [logit]; lower is better"
    assert label("auc_random") == "AUC (random order) [logit]; a control"
    assert label("hot_spot") == "hot-spot index = max |R| / Σ |R|; lower is better"
    assert label("gone") == "gone; lower is better"


def several(*members: Contender, **changes: Any) -> StudyResults:
    """A study of two objectives whose front has these members."""
    front = Front(
        members, "What is on it.", 51, {"trial 3": ("exceeds the constraint of hot_spot",)}
    )
    return dataclasses.replace(
        CONCLUDED["nominee"],
        **{
            "objectives": ("srg", "auc_morf"),
            "directions": ("maximize", "minimize"),
            "nomination": None,
            "recommendation": None,
            "front": front,
        }
        | changes,
    )


def test_the_front_shows_all_candidates_and_names_its_members() -> None:
    found = several(
        Contender("trial 39", 39), Contender("epsilon_gamma_box", published="epsilon_gamma_box")
    )
    figure = drawn(figure_front(found))
    panel = figure.axes[0]
    points = {str(one.get_label()): np.array(one.get_xydata()) for one in panel.lines}
    assert len(points["trial, barred"]) == 1
    assert len(points["trial"]) == len(found.complete) - 1
    assert len(points["literature"]) == len(found.literature)
    result = found.trials[39].result
    assert result is not None
    place = [result.mean("srg"), result.mean("auc_morf")]
    assert points["trial on the front"][0] == pytest.approx(place)
    names = " ".join(text.get_text().replace("\n", " ") for text in panel.texts)
    assert "39" in names
    assert "epsilon_gamma_box" in names
    assert [x.get_drawstyle() for x in panel.lines].count("steps-post") == 1
    assert panel.get_xlabel() == "SRG = LeRF − MoRF [logit]; higher is better"
    assert panel.get_ylabel() == "AUC (MoRF) [logit]; lower is better"


def test_members_that_are_near_share_a_label() -> None:
    near = [Contender(f"trial {n}", n) for n in (39,) * 7]
    texts = drawn(figure_front(several(*near))).axes[0].texts
    assert [text.get_text() for text in texts] == ["39, 39, 39, 39, +3"]


def test_of_several_objectives_the_pictures_over_the_space_say_whose_they_are() -> None:
    found = several(Contender("trial 39", 39))
    for draw in (figure_contour, figure_slices):
        title = drawn(draw(found)).get_suptitle()
        assert "SRG, the first of 2 objectives" in title
    assert len(line(drawn(figure_slices(found)), "best by SRG (trial 39)"))


def test_a_front_of_nobody_and_one_that_is_not_there_yet_are_drawn() -> None:
    for found in (several(), several(front=None)):
        assert "front" in draw_figures(found)
    assert figure_front(CONCLUDED["nominee"]) is None
