"""Heatmaps worth looking at: the best composite's, the baseline's, and a grid over two names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from lrpsweep.data.pinned import PartName
from lrpsweep.evaluation import ORDERS, perturbed
from lrpsweep.results import Candidate, Illustrations
from lrpsweep.study import free
from lrpsweep.trial.candidates import named, tuned
from lrpsweep.trial.context import Chunk, Context, Task
from lrpsweep.trial.states import perturbation_series

MOST_IMAGES = 6
MOST_GRID_POINTS = 7


def illustrate(context: Context, chosen: Candidate, baseline: str) -> Illustrations:
    """Explains the first validation images (search images, if there are none) in several ways.

    chosen: what is recommended, of LRP.
    """
    split: PartName = "validation" if len(context.split.validation.images) else "search"
    inputs = context.inputs(split)
    count = min(MOST_IMAGES, len(inputs.images))
    values = chosen.settings.get("values") or context.some_values
    best = context.explain(context.bind(chosen), Chunk(split, 0, count))
    names, rows, columns, maps = _grid(context, split, values)
    return Illustrations(
        ids=inputs.ids[:count],
        images=inputs.images[:count],
        best=best.heatmaps.cpu().numpy(),
        baseline=_heatmaps(context, split, named(baseline), count),
        baseline_name=baseline,
        halfway=_halfway(context, Task(chosen, split), best.relevance),
        grid=maps,
        grid_names=names,
        grid_rows=rows,
        grid_columns=columns,
    )


def _heatmaps(context: Context, split: PartName, candidate: Candidate, count: int) -> np.ndarray:
    explanation = context.explain(context.bind(candidate), Chunk(split, 0, count))
    found: np.ndarray = explanation.heatmaps.cpu().numpy()
    return found


def _halfway(context: Context, task: Task, relevance: Tensor) -> np.ndarray:
    """The images after half of the steps, in the order the objective asks for, if it has one."""
    setting = context.setting(task.split, task.perturbation)
    ranks = context.protocol.rank(relevance, setting.evaluation.patch)
    (objective, *_) = context.objectives(task)
    order = next(iter(objective.needs.orders or ORDERS))
    series = perturbation_series(context.protocol, setting, ranks, order)
    return perturbed(series, series.length // 2)


def _grid(
    context: Context, split: PartName, values: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[Any, ...], tuple[Any, ...], np.ndarray]:
    """Heatmaps of the first image over the first two searched names, the others at their best.

    A single name has rows alone. Names are those that the best composite depends on; where another
    rule depends on more, these have their first value.
    """
    points = _grid_values(context, values)
    names = tuple(points)[:2]
    rows = points[names[0]]
    columns = points[names[1]] if len(names) > 1 else []
    height, width = context.inputs(split).images.shape[1:3]
    maps = np.zeros((len(rows), max(1, len(columns)), height, width), dtype=np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns or [None]):
            moved = dict(zip(names, (row, column), strict=False))
            changed = {**context.some_values, **values, **moved}
            maps[i, j] = _heatmaps(context, split, tuned(changed), 1)[0]
    return names, tuple(rows), tuple(columns), maps


def _grid_values(context: Context, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Values on the first two free axes: the grid's, thinned out if there are many."""
    search = context.spec.search
    varied = [(name, d) for name, d in free(search).items() if name in values][:2]
    return {
        name: [search[name].decode(point) for point in dimension.thinned(MOST_GRID_POINTS).grid()]
        for name, dimension in varied
    }
