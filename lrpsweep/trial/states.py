"""The states that images go through while they are perturbed, and their scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from lrpsweep.evaluation import ClassScore, Protocol, Score, Series, Setting
from lrpsweep.models import Model


def perturbation_series(
    protocol: Protocol,
    setting: Setting,
    ranks: np.ndarray,
    order: str,
    first: int = 0,
    steps: Sequence[int] = (),
) -> Series:
    """The states of the images from `first` on, by the relevance of their patches (n, P).

    steps: those of the schedule that are looked at, all when there are none.
    """
    places = _places(protocol, setting, ranks, order, first)
    return protocol.series(setting, places, state_counts(protocol, setting, steps), first)


def _places(
    protocol: Protocol, setting: Setting, ranks: np.ndarray, order: str, first: int
) -> np.ndarray:
    """Indices of patches in the order in which they are perturbed, (n, P)."""
    return protocol.order(order).permute(ranks, setting.evaluation.seed, first)


def state_keys(
    protocol: Protocol,
    setting: Setting,
    ranks: np.ndarray,
    order: str,
    first: int,
    made_of: Sequence[str],
    steps: Sequence[int] = (),
) -> list[bytes]:
    """A digest of all that makes each state and its score, image after image (n · (S + 1)).

    As `perturbation_series`, for a protocol whose states are independent. made_of: of each image,
    what makes its states and scores beside the patches that are perturbed.
    """
    places = np.argsort(_places(protocol, setting, ranks, order, first), axis=1)
    counts = state_counts(protocol, setting, steps)
    keys = []
    for image, place in zip(made_of, places, strict=True):
        whole = hashlib.blake2b(image.encode(), digest_size=16)
        for perturbed in place < counts[:, None]:
            state = whole.copy()
            state.update(np.packbits(perturbed).tobytes())
            keys.append(state.digest())
    return keys


def state_counts(protocol: Protocol, setting: Setting, steps: Sequence[int] = ()) -> np.ndarray:
    """How many patches are perturbed in each state that is looked at, (S + 1,) in all."""
    counts = protocol.counts(setting.evaluation, *setting.images.shape[1:3])
    return counts[list(steps)] if steps else counts


def score_images(model: Model, followed: ClassScore, targets: np.ndarray) -> Score:
    """What scores pixels (B, H, W, 3) of the images `index` (B,) by each one's target class."""

    @torch.no_grad()
    def score(pixels: np.ndarray, index: np.ndarray) -> np.ndarray:
        outputs = followed.follow(model.net(model.normalize(pixels)))
        wanted = torch.as_tensor(targets[index], device=outputs.device)
        found: np.ndarray = outputs.gather(1, wanted[:, None])[:, 0].double().cpu().numpy()
        return found

    return score
