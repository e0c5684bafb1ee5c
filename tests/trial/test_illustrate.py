"""The pictures of a study: made, kept and read again, whatever is searched."""

from pathlib import Path

import numpy as np
import pytest

from lrpsweep.report.illustrations import read_illustrations, write_illustrations
from lrpsweep.results import Illustrations
from lrpsweep.study import parse_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Context, prepare
from lrpsweep.trial.illustrate import illustrate

ONE_NAME = ["search={gamma1: {log: [0.1, 1.0], zero: true, points: 3}}", "composite.late.gamma=0"]
RULES = [
    "search={rule: {choice: [z_plus, flat]}, gamma1: {log: [0.1, 1.0], points: 2}}",
    "composite.late={block: late, layers: features.10..features.19, rule: $rule}",
]


def prepared(study: Path, overrides: list[str]) -> Context:
    return prepare(parse_study(study.read_text(encoding="utf-8"), study, overrides))


def kept(illustrations: Illustrations, path: Path) -> Illustrations:
    write_illustrations(illustrations, path)
    found = read_illustrations(path)
    assert found is not None
    return found


DEPTH = [
    "search={depth: {int: [1, 3]}}",
    "composite=[{block: flat, layers: 'depth ..$depth', rule: flat}, {block: default, rule: zero}]",
]


@pytest.mark.parametrize(
    ("overrides", "names", "rows", "columns"),
    [
        (DEPTH, ("depth",), (1, 2, 3), ()),
        (ONE_NAME, ("gamma1",), (0.0, 0.1, 1.0), ()),
        (RULES, ("rule", "gamma1"), ("z_plus", "flat"), (0.1, 1.0)),
    ],
)
def test_illustrations_are_read_as_they_were_written(
    small_study: Path,
    tmp_path: Path,
    overrides: list[str],
    names: tuple[str, ...],
    rows: tuple[object, ...],
    columns: tuple[object, ...],
) -> None:
    context = prepared(small_study, overrides)
    made = illustrate(context, tuned(context.some_values), "uniform_epsilon")
    found = kept(made, tmp_path / "heatmaps.npz")
    assert found.grid_names == names
    assert found.grid_rows == (rows if "rule" in names else pytest.approx(rows))
    assert found.grid_columns == pytest.approx(columns)
    assert found.grid.shape == (len(rows), max(1, len(columns)), 64, 64)
    for name in ("images", "best", "baseline", "halfway", "grid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    assert (found.ids, found.baseline_name) == (made.ids, "uniform_epsilon")
    assert not np.array_equal(found.grid[0, 0], found.grid[-1, -1])


def test_the_grid_shows_what_the_best_composite_depends_on(small_study: Path) -> None:
    """Other rules take what the best one does not, and then have its first value."""
    context = prepared(
        small_study,
        [
            "search={g: {linear: [0.1, 1], points: 2}, rule: {choice: [zero, gamma, epsilon]}, "
            "e: {linear: [0.1, 1], points: 2}}",
            "composite.early.gamma=0.5",
            "composite.late={block: late, layers: features.10..features.19, rule: $rule, "
            "gamma: $g, epsilon: $e}",
        ],
    )
    made = illustrate(context, tuned({"rule": "zero"}), "uniform_epsilon")
    assert made.grid_names == ("rule",)
    assert made.grid_rows == ("zero", "gamma", "epsilon")
    np.testing.assert_allclose(made.grid[0, 0], made.best[0], atol=1e-6)
    assert np.abs(made.grid[1, 0] - made.grid[0, 0]).max() > 1e-4
    made = illustrate(context, tuned({"rule": "epsilon", "e": 1.0}), "uniform_epsilon")
    assert made.grid_names == ("rule", "e")
    np.testing.assert_allclose(made.grid[2, 1], made.best[0], atol=1e-6)


def test_nothing_kept_is_nothing_read(tmp_path: Path) -> None:
    assert read_illustrations(tmp_path / "none.npz") is None
