"""Whether relevance has grown out of all proportion on its way down, and in which layer.

Where a denominator is near zero, a few units get relevance that is orders of magnitude too large,
with both signs: patches of such relevance are what Bermudez Schettino found for small γ, and hot
spots what users of ResNets report. In float32 the sum is then no longer the score, either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lrpsweep.attribution.composite import Composite
from lrpsweep.attribution.engine import Explainer, Explanation
from lrpsweep.attribution.ledger import largest, size

UNEXPLAINED = 0.01
"""Of the score: a sum that is off by more is not the score any more."""

HOT_SPOT = 0.1
"""Of all absolute relevance: more in one pixel is an artefact, not an explanation."""


@dataclass(frozen=True)
class Instability:
    """layer: where relevance grew most. reason: what is wrong with how many images."""

    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


def unstable(explanation: Explanation) -> Tensor:
    """Which of the images are explained with numbers that mean nothing, (N,)."""
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

    found = unstable(explainer.attribute(images, targets, composite, key, watch))
    if not bool(found.any()):
        return None
    layers = list(growth)
    factors = torch.stack(list(growth.values()))[:, found].nan_to_num(nan=torch.inf)
    worst = Counter(factors.argmax(0).tolist()).most_common(1)[0][0]
    times = float(factors[worst].median())
    return Instability(
        layers[worst],
        f"relevance grows {times:.3g} times there, in {int(found.sum())} of {len(images)} images",
    )
