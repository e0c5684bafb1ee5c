"""How much of a heatmap lies in one pixel."""

from __future__ import annotations

import numpy as np

from lrpsweep.evaluation.measures.measure import Evidence, Measure, Needs


def hot_spot_index(heatmaps: np.ndarray) -> np.ndarray:
    """Share of all absolute relevance that lies in one pixel: max |R| / Σ |R|.

    1 / (H·W) for an even heatmap, 1 for a single hot pixel, 0 for one that is zero everywhere.
    heatmaps: (N, ...) -> (N,).
    """
    absolute = np.abs(heatmaps.astype(np.float64)).reshape(len(heatmaps), -1)
    total = absolute.sum(axis=1)
    peak = absolute.max(axis=1)
    return np.asarray(peak / np.where(total > 0, total, 1.0))


def _score(found: Evidence) -> np.ndarray:
    assert found.heatmaps is not None
    return hot_spot_index(found.heatmaps)


HOT_SPOT = Measure(
    name="hot_spot",
    title="hot-spot index",
    formula="max |R| / Σ |R|",
    unit="",
    direction="minimize",
    needs=Needs(heatmaps=True),
    score=_score,
)
