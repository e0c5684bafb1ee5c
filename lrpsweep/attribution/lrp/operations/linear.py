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

    def scaled_output(self, layer: Any, scale: Tensor) -> Tensor:
        """Output features come first."""
        weight: Tensor = layer.weight.detach().double()
        return weight * scale[:, None]

    def scaled_input(self, layer: Any, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Input features come last."""
        weight = layer.weight.detach().double()
        return weight * scale, (weight[None, ..., None] * shift.view(1, 1, -1, 1)).sum((2, 3))[0]

    def reads(self, layer: Any) -> int:
        """Its input features."""
        return int(layer.in_features)

    def gives(self, layer: Any) -> int:
        """Its output features."""
        return int(layer.out_features)

    def reads_inside(self, layer: Any) -> bool:
        """It has no padding."""
        return True

    def keeps_shape(self, layer: Any) -> bool:
        """With as many features as it reads."""
        return self.reads(layer) == self.gives(layer)

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
