"""A study in words, and a first study for a model and its images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpsweep.commands.describe import describe_study, described_lines, propose_study
from lrpsweep.commands.run import run
from lrpsweep.errors import InputError
from lrpsweep.study import load_study, parse_study
from lrpsweep.trial.context import prepare


def test_accuracy_is_told_where_the_classes_are_known(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    name = "top-1 on the search images"
    assert describe_study(context)[name].endswith("%")
    search = context.split.search
    unknown = replace(search, labels=np.full_like(search.labels, -1))
    context = replace(context, split=replace(context.split, search=unknown))
    assert name not in describe_study(context)


def test_the_first_images_are_shown_with_label_and_prediction(small_study: Path) -> None:
    context = prepare(load_study(small_study, ["data.split.search=6"]))
    described = describe_study(context)
    rows = described["first images"]
    assert [row["image"] for row in rows] == list(context.split.search.ids[:5])
    label = int(context.split.search.labels[0])
    assert rows[0]["label"] == f"{label} ({context.model.classes[label]})"
    assert described["warnings"] == []
    lines = described_lines(described)
    assert any(rows[4]["image"] in line and rows[4]["prediction"] in line for line in lines)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            64,
            "64 images find a gain of 4.86 % of the range with 80 %.",
        ),
        (19, "19 validation images decide nothing; expected at least 20."),
    ],
)
def test_what_the_validation_can_show_and_who_will_be_nominated(
    small_study: Path, images: int, said: str
) -> None:
    asked = ["version=2", "objective=srg", f"data.split.validation={images}", "data.split.search=2"]
    described = describe_study(prepare(load_study(small_study, asked)))
    assert described["validation"].startswith(said)
    assert described["the nominee"] == (
        "the best SRG; within 5 % of the best AUC (MoRF); better than a random order from both "
        "ends, stable"
    )


@pytest.mark.parametrize(("trials", "refused"), [(17, True), (18, False)])
def test_a_budget_too_small_for_a_pilot_is_refused_before_the_run(
    small_study: Path, trials: int, refused: bool
) -> None:
    """Of the points, one is published."""
    space = "search.gamma1={log: [0.1, 1.0], zero: true}"
    asked = ["version=2", "objective=srg", "economy={states: auto}", space, f"trials={trials}"]
    asked += ["search.gamma2={log: [0.25, 1.0]}", "sampler.name=random", "data.split.search=2"]
    asked += ["evaluation={patch: 8}"]
    context = prepare(load_study(small_study, asked))
    if not refused:
        assert describe_study(context)["trials"] == trials
        return
    text = "economy.states: .*; found 17 trials, 1 of them published .* expected at least 18 trials"
    with pytest.raises(InputError, match=text):
        describe_study(context)
    with pytest.raises(InputError, match=text):
        run(context.spec, small_study.parent / "runs", executor="local")


def test_wrong_labels_are_warned_of(small_study: Path) -> None:
    context = prepare(load_study(small_study))
    search = context.split.search
    wrong = replace(search, labels=(search.labels + 1) % len(context.model.classes))
    described = describe_study(replace(context, split=replace(context.split, search=wrong)))
    (warning,) = described["warnings"]
    assert warning.startswith("only 0% of the images")
    assert described_lines(described)[-1] == f"Warning: {warning}"


def fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for n in range(count):
        Image.new("RGB", (64, 64), (n, 0, 0)).save(folder / f"{n}.png")


def test_a_first_study_counts_the_images_that_are_loaded(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "0", 3)
    fill(tmp_path / "images" / "1", 2)
    target = tmp_path / "my study (é).yaml"
    found = parse_study(propose_study("scenes", None, tmp_path / "images", target), target)
    assert (found.data.split.search, found.data.split.validation) == (1, 4)
    assert found.name == "my-study-"


@pytest.mark.parametrize("count", [0, 1])
def test_a_first_study_wants_two_images(tmp_path: Path, count: int) -> None:
    fill(tmp_path / "images" / "0", count)
    with pytest.raises(InputError, match=f"--images: .* has {count} images .* at least 2"):
        propose_study("scenes", None, tmp_path / "images", tmp_path / "a.yaml")


def test_a_first_study_refuses_nested_images_as_the_loader_does(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "0" / "more", 3)
    with pytest.raises(InputError, match=r"more: is no image"):
        propose_study("scenes", None, tmp_path / "images", tmp_path / "a.yaml")
