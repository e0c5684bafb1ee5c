"""Studies side by side."""

from dataclasses import replace

import numpy as np
from fabricated import raced_study

from lrpsweep.report import comparison_lines, figure_distributions, to_png
from lrpsweep.results import StudyResults


def shifted(study: StudyResults, by: float, name: str) -> StudyResults:
    """The same study with every score higher by an amount that differs from image to image."""
    trials = []
    for trial in study.trials:
        if trial.result is not None:
            steps = by * (1 + np.arange(len(trial.result.scores)) % 2)
            trial = replace(
                trial,
                result=replace(trial.result, measures={"auc_morf": trial.result.scores + steps}),
            )
        trials.append(trial)
    return replace(study, trials=tuple(trials), name=name)


def with_images(study: StudyResults) -> StudyResults:
    count = len(study.complete[0].result.scores)
    return replace(study, images=tuple(f"image {n}" for n in range(count)))


def test_best_trials_are_compared_image_by_image(study: StudyResults) -> None:
    one = with_images(study)
    other = shifted(one, -0.5, "lower")
    lines = comparison_lines([one, other])
    assert lines[1].startswith(study.name)
    assert str(len(study.complete)) in lines[1]
    (line,) = lines[3:]
    count = len(one.images)
    gaps = 0.5 * (1 + np.arange(count) % 2)
    error = np.std(gaps, ddof=1) / np.sqrt(count)
    assert f"{study.name} − lower: {gaps.mean():#.4g} ± {error:.2g} on {count} images" in line


def test_other_images_or_objectives_are_not_compared(study: StudyResults) -> None:
    one = with_images(study)
    elsewhere = replace(one, images=one.images[::-1], name="elsewhere")
    upwards = replace(one, objectives=("auc_lerf",), directions=("maximize",), name="upwards")
    otherwise = replace(one, measured="protocol thesis", name="otherwise")
    for other in (elsewhere, otherwise, study):
        assert "differ in images, classes, network or" in comparison_lines([one, other])[-1]
    assert len(comparison_lines([one, upwards])) == 3


def test_stopped_trials_are_counted_and_hollow(study: StudyResults) -> None:
    raced = raced_study(["early.gamma", "late.gamma"])
    lines = comparison_lines([raced, study])
    assert "14 + 44 stopped early  " in lines[1]
    assert lines[0].index("trials") + 6 == lines[1].index(" stopped early") + 14
    (panel,) = figure_distributions([raced, study]).axes
    (hollow,) = [x for x in panel.lines if str(x.get_label()).startswith("stopped early")]
    assert len(hollow.get_ydata()) == len(raced.pruned) == 44
    assert hollow.get_markerfacecolor() == "white"


def test_a_box_for_every_study(study: StudyResults) -> None:
    upwards = replace(study, objectives=("auc_lerf",), directions=("maximize",), name="up-wards")
    figure = figure_distributions([study, upwards])
    (panel,) = figure.axes
    labels = [label.get_text() for label in panel.get_xticklabels()]
    for label, parts in zip(
        labels, [("AUC (MoRF)", "lower is better"), ("AUC (LeRF)", "higher is")], strict=True
    ):
        assert all(part in label for part in parts)
    stars = [line for line in panel.lines if line.get_marker() == "*"]
    nominees = [s.result_of(s.nominee).value for s in (study, upwards)]
    assert [float(star.get_ydata()[0]) for star in stars] == nominees
    assert to_png(figure)[:4] == b"\x89PNG"
