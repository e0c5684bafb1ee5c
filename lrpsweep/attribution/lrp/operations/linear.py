"""Dense layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lrpsweep.attribution.lrp.operations.operation import Operation, Weights, with_weights


class Dense(Weights):
    """w: (K, J). At each of several places, (N, *places, J), it is a convolution of size 1."""

    channels_last = True

    def push(self, layer: Any, x: Tensor, weight: Tensor) -> Tensor:
        """x wᵀ."""
        return F.linear(x, weight)

    def pull(self, layer: Any, weight: Tensor, s: Tensor, shape: Sequence[int]) -> Tensor:
        """s w."""
        return s @ weight

    def from_call(self, settings: Mapping[str, Any]) -> nn.Module:
        """Of F.linear."""
        weight = settings["weight"]
        layer = nn.Linear(weight.shape[1], len(weight), device="meta")
        return with_weights(layer, weight, settings.get("bias"))


LINEAR = Operation("linear", (nn.Linear,), (F.linear,), weights=Dense(), needs_values=False)


def as_convolution(layer: nn.Linear) -> nn.Conv2d:
    """The 1x1 convolution that does what a dense layer does at every place, with its weights."""
    convolution = nn.Conv2d(layer.in_features, layer.out_features, 1, device="meta")
    weight = layer.weight.detach()[..., None, None]
    with_weights(convolution, weight, layer.bias)
    return convolution
