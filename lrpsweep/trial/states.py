"""The states that images go through while they are perturbed, and their scores."""

from __future__ import annotations

import numpy as np
import torch

from lrpsweep.evaluation import ClassScore, Protocol, Score, Series, Setting
from lrpsweep.models import Model


def perturbation_series(
    protocol: Protocol, setting: Setting, ranks: np.ndarray, order: str, first: int = 0
) -> Series:
    """The states of the images from `first` on, by the relevance of their patches (n, P)."""
    places = protocol.order(order).permute(ranks, setting.evaluation.seed, first)
    return protocol.series(setting, places, state_counts(protocol, setting), first)


def state_counts(protocol: Protocol, setting: Setting) -> np.ndarray:
    """How many patches are perturbed in each state, (S + 1,)."""
    return protocol.counts(setting.evaluation, *setting.images.shape[1:3])


def score_images(model: Model, followed: ClassScore, targets: np.ndarray) -> Score:
    """What scores pixels (B, H, W, 3) of the images `index` (B,) by each one's target class."""

    @torch.no_grad()
    def score(pixels: np.ndarray, index: np.ndarray) -> np.ndarray:
        outputs = followed.follow(model.net(model.normalize(pixels)))
        wanted = torch.as_tensor(targets[index], device=outputs.device)
        found: np.ndarray = outputs.gather(1, wanted[:, None])[:, 0].double().cpu().numpy()
        return found

    return score
