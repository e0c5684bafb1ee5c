"""Whether relevance has grown out of all proportion on its way down, and in which layer.

Where a denominator is near zero, a few units get relevance that is orders of magnitude too large,
with both signs: patches of such relevance are what Bermudez Schettino found for small γ, and hot
spots what users of ResNets report. In float32 the sum is then no longer the score, either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrpsweep.attribution.lrp.balance import largest, size
from lrpsweep.attribution.lrp.engine import Explainer, Explanation

if TYPE_CHECKING:
    from lrpsweep.composites.block import Composite

UNEXPLAINED = 0.01
"""Of the score: a sum that is off by more is not the score any more."""

HOT_SPOT = 0.1
"""Of all absolute relevance: more in one pixel is an artefact, not an explanation."""

GROWTH = 10.0
"""Of Σ |R| in a single step. LRP-0 on the networks this was measured on stays below 6."""


@dataclass(frozen=True)
class Instability:
    """layer: where relevance grows out of proportion. reason: how much, in how many images."""

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


def doubtful(explanation: Explanation) -> Tensor:
    """Which images may be explained unstably, (N,): a sign that costs nothing to look for.

    Σ |R| that leaves a block has grown out of proportion to the score. What grows in one step and
    cancels again within the same block is not seen.
    """
    sizes = torch.stack([block.size for block in explanation.blocks.values()])
    return _wrong(explanation) | (sizes.amax(0) > GROWTH * explanation.score.abs())


def _wrong(explanation: Explanation) -> Tensor:
    heatmaps = explanation.heatmaps
    rest = explanation.unexplained.abs() > UNEXPLAINED * explanation.score.abs()
    hot = largest(heatmaps) > HOT_SPOT * size(heatmaps)
    return rest | hot | ~heatmaps.flatten(1).isfinite().all(1)


def find_instability(
    explainer: Explainer,
    images: Tensor,
    targets: Tensor,
    composite: Composite,
    key: Hashable = None,
) -> Instability | None:
    """Where relevance first grows out of proportion; None when that happens to no image.

    Arguments as for `Explainer.attribute`.
    """
    growth: dict[str, Tensor] = {}

    def watch(layer: str, arriving: Tensor, lower: Sequence[Tensor]) -> None:
        before = size(arriving).clamp(min=torch.finfo(torch.float64).tiny)
        factor = torch.stack([size(part) for part in lower]).sum(0) / before
        known = growth.get(layer)
        growth[layer] = factor if known is None else torch.maximum(known, factor)

    explanation = explainer.attribute(images, targets, composite, key, watch)
    factors = torch.stack(list(growth.values())).nan_to_num(nan=torch.inf)
    grown = (factors > GROWTH).any(0)
    found = grown | _wrong(explanation)
    if not bool(found.any()):
        return None
    first = torch.where(grown, (factors > GROWTH).int().argmax(0), factors.argmax(0))[found]
    where = Counter(first.tolist()).most_common(1)[0][0]
    times = float(factors[where, found].max())
    return Instability(
        list(growth)[where],
        f"relevance grows up to {times:.3g} times there, in {int(found.sum())} of {len(images)} "
        "images",
    )
