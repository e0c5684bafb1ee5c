"""Heatmaps worth looking at: the best composite's, the baseline's, and a grid over two names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lrpsweep.composites import Composite
from lrpsweep.evaluation import METRICS, perturbed
from lrpsweep.results import Illustrations
from lrpsweep.study import free
from lrpsweep.trial.context import Context, SplitName, Task
from lrpsweep.trial.trial import find_protocol, perturbation_series

MOST_IMAGES = 6
MOST_GRID_POINTS = 7


def illustrate(context: Context, values: Mapping[str, Any], baseline: str) -> Illustrations:
    """Explains the first validation images (search images, if there are none) in several ways."""
    split: SplitName = "validation" if len(context.split.validation.images) else "search"
    inputs = context.inputs(split)
    count = min(MOST_IMAGES, len(inputs.images))
    best = context.explain(context.composite(Task(values=values)), split, 0, count)
    names, rows, columns, maps = _grid(context, split, values)
    return Illustrations(
        ids=inputs.ids[:count],
        images=inputs.images[:count],
        best=best.heatmaps.cpu().numpy(),
        baseline=_heatmaps(context, split, context.composite(Task(preset=baseline)), count),
        baseline_name=baseline,
        halfway=_halfway(context, split, best.relevance),
        grid=maps,
        grid_names=names,
        grid_rows=rows,
        grid_columns=columns,
    )


def _heatmaps(context: Context, split: SplitName, composite: Composite, count: int) -> np.ndarray:
    found: np.ndarray = context.explain(composite, split, 0, count).heatmaps.cpu().numpy()
    return found


def _halfway(context: Context, split: SplitName, relevance: Tensor) -> np.ndarray:
    """The images after half of the steps, in the order the objective asks for."""
    ranks = find_protocol(context).rank(relevance, context.spec.evaluation.patch)
    order = METRICS[context.spec.objective].orders[0]
    series = perturbation_series(context, Task(split=split), ranks, order)
    return perturbed(series, series.length // 2)


def _grid(
    context: Context, split: SplitName, values: Mapping[str, Any]
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
            composite = context.composite(Task(values=changed))
            maps[i, j] = _heatmaps(context, split, composite, 1)[0]
    return names, tuple(rows), tuple(columns), maps


def _grid_values(context: Context, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Values on the first two free axes: the grid's, thinned out if there are many."""
    search = context.spec.search
    varied = [(name, d) for name, d in free(search).items() if name in values][:2]
    return {
        name: [search[name].decode(point) for point in dimension.thinned(MOST_GRID_POINTS).grid()]
        for name, dimension in varied
    }


def write_illustrations(illustrations: Illustrations, path: Path) -> None:
    """Keeps them as one .npz file."""
    arrays: dict[str, Any] = {
        f.name: np.asarray(getattr(illustrations, f.name)) for f in fields(illustrations)
    }
    partial = path.with_name("partial-" + path.name)
    np.savez_compressed(partial, **arrays)
    partial.replace(path)


def read_illustrations(path: Path) -> Illustrations | None:
    """What `write_illustrations` kept; None if there is nothing. Unpickles nothing."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        values: dict[str, Any] = {name: kept[name] for name in kept.files}
    for name in ("ids", "grid_names", "grid_rows", "grid_columns"):
        values[name] = tuple(values[name].tolist())
    values["baseline_name"] = str(values["baseline_name"])
    return Illustrations(**values)
