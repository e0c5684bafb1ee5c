"""What explaining a batch gives: relevance, and an account of the rest of the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lrpsweep.attribution.lrp.balance import BlockBalance


@dataclass(frozen=True)
class Explanation:
    """Relevance of one class score per image, or of T, and what became of the rest of the score.

    relevance: (N, C, *spatial), or (N, T, C, *spatial). score: (N,) or (N, T), the explained
    logits. bias, stabilizer: shaped like the score, what they took of it; unexplained: what is left
    of score − Σ relevance after that, which only rounding explains. blocks: the same for each group
    of layers, from the output to the images.
    """

    relevance: Tensor
    score: Tensor
    bias: Tensor
    stabilizer: Tensor
    unexplained: Tensor
    blocks: Mapping[str, BlockBalance]

    @property
    def heatmaps(self) -> Tensor:
        """Relevance summed over channels, (N, *spatial) or (N, T, *spatial)."""
        return self.relevance.sum(self.score.ndim)

    @classmethod
    def stacked(cls, explanations: Sequence[Explanation]) -> Explanation:
        """T explanations of the same images as one."""
        tensors = ("relevance", "score", "bias", "stabilizer", "unexplained")
        together = {n: torch.stack([getattr(e, n) for e in explanations], 1) for n in tensors}
        blocks = {
            name: BlockBalance.stacked([found.blocks[name] for found in explanations])
            for name in explanations[0].blocks
        }
        return cls(**together, blocks=blocks)

    def balance(self) -> Mapping[str, float]:
        """Mean over the scores of each part's size relative to the score's: never negative."""
        size = self.score.abs().clamp(min=torch.finfo(torch.float32).tiny)
        parts = ("bias", "stabilizer", "unexplained")
        return {name: float((getattr(self, name).abs() / size).mean()) for name in parts}
