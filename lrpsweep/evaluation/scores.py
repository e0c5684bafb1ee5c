"""Which number of the network's output is followed while an image is perturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrpsweep.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClassScore:
    """follow: from a network's outputs (B, classes) to the score of each class, (B, classes)."""

    name: str
    follow: Callable[[Tensor], Tensor]


SCORES: Registry[ClassScore] = Registry(
    "score",
    (
        ClassScore("logit", lambda outputs: outputs),
        ClassScore("probability", lambda outputs: outputs.softmax(1)),
    ),
)
