"""The bundled study is worth running: its composites differ, and its best is no corner."""

import itertools

import numpy as np
import pytest

from lrpsweep.study import bundled_studies, decode, grid, load_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Task, prepare
from lrpsweep.trial.trial import run_trial


@pytest.mark.long
def test_best_and_worst_composite_differ_and_the_best_is_inside_the_grid():
    spec = load_study(bundled_studies()["quickstart"])
    split = spec.data.split
    assert (split.search, split.selection, split.validation) == (32, 16, 64)
    axes = grid(spec.search)
    assert np.prod([len(points) for points in axes.values()]) >= 49
    context = prepare(spec)
    points = list(itertools.product(*axes.values()))
    trials = [dict(zip(axes, point, strict=True)) for point in points]
    scores = np.array(
        [run_trial(context, Task(tuned(decode(spec.search, p)))).scores for p in trials]
    )
    means = scores.mean(1)
    best, worst = int(means.argmax()), int(means.argmin())
    difference = scores[best] - scores[worst]
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert difference.mean() >= 5 * error
    ends = [
        point in (axis[0], axis[-1])
        for point, axis in zip(points[best], axes.values(), strict=True)
    ]
    assert not all(ends)
