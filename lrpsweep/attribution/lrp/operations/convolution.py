"""Convolutions of one to three dimensions, and transposed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lrpsweep.attribution.lrp.operations.operation import (
    Operation,
    Weights,
    copy_with,
    with_weights,
)

CONVOLVE = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED_LAYERS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Convolution(Weights):
    """w: (K, J / groups, *kernel). Padding is of zeros and given as numbers."""

    def push(self, layer: Any, x: Tensor, weight: Tensor) -> Tensor:
        """A convolution."""
        convolve = CONVOLVE[weight.ndim - 3]
        return convolve(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    def pull(self, layer: Any, weight: Tensor, s: Tensor, shape: Sequence[int]) -> Tensor:
        """A transposed convolution, which also gives the inputs that no output has read."""
        spans = zip(
            shape[2:], s.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation,
            strict=True,
        )  # fmt: skip
        unread = [x + 2 * p - d * (k - 1) - 1 - (n - 1) * by for x, n, k, by, p, d in spans]
        transpose = TRANSPOSE[weight.ndim - 3]
        return transpose(
            s, weight, None, layer.stride, layer.padding, unread, layer.groups, layer.dilation
        )

    def scaled_output(self, layer: Any, scale: Tensor) -> Tensor:
        """Output channels come first."""
        weight: Tensor = layer.weight.detach().double()
        return weight * scale.view(-1, *(1,) * (weight.ndim - 1))

    def scaled_input(self, layer: Any, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Group by group: each reads channels of its own."""
        weight = layer.weight.detach().double()
        grouped = weight.view(layer.groups, len(weight) // layer.groups, weight.shape[1], -1)
        by, plus = (values.view(layer.groups, 1, -1, 1) for values in (scale, shift))
        return (grouped * by).view_as(weight), (grouped * plus).sum((2, 3)).flatten()

    def reads(self, layer: Any) -> int:
        """Its input channels."""
        return int(layer.in_channels)

    def gives(self, layer: Any) -> int:
        """Its output channels."""
        return int(layer.out_channels)

    def reads_inside(self, layer: Any) -> bool:
        """Without padding."""
        return set(layer.padding) == {0}

    def keeps_shape(self, layer: Any) -> bool:
        """With stride 1, and padding that makes up for the kernel."""
        if layer.in_channels != layer.out_channels or set(layer.stride) != {1}:
            return False
        if isinstance(layer.padding, str):
            return bool(layer.padding == "same")
        sizes = zip(
            layer.padding, layer.dilation, layer.kernel_size, layer.output_padding, strict=True
        )
        return all(2 * p == d * (k - 1) + more for p, d, k, more in sizes)

    def from_call(self, settings: Mapping[str, Any]) -> nn.Module:
        """Of F.conv1d and its like."""
        weight, groups = settings["weight"], settings.get("groups", 1)
        names = ("stride", "padding", "dilation")
        more = {name: settings[name] for name in names if name in settings}
        layer = LAYERS[weight.ndim - 3](
            weight.shape[1] * groups, len(weight), tuple(weight.shape[2:]),
            groups=groups, device="meta", **more,
        )  # fmt: skip
        return with_weights(layer, weight, settings.get("bias"))


class TransposedConvolution(Convolution):
    """w: (J, K / groups, *kernel)."""

    def push(self, layer: Any, x: Tensor, weight: Tensor) -> Tensor:
        """A transposed convolution."""
        transpose = TRANSPOSE[weight.ndim - 3]
        return transpose(
            x, weight, None,
            layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation,
        )  # fmt: skip

    def pull(self, layer: Any, weight: Tensor, s: Tensor, shape: Sequence[int]) -> Tensor:
        """A convolution; output padding may let it give more places than were read."""
        pulled = super().push(layer, s, weight)
        kept: Any = (..., *(slice(size) for size in shape[2:]))
        return pulled[kept]

    def scaled_output(self, layer: Any, scale: Tensor) -> Tensor:
        """Output channels come second, group by group."""
        weight: Tensor = layer.weight.detach().double()
        grouped = weight.view(layer.groups, len(weight) // layer.groups, weight.shape[1], -1)
        return (grouped * scale.view(layer.groups, 1, -1, 1)).view_as(weight)

    def reads_inside(self, layer: Any) -> bool:
        """At its borders it gives sums of fewer inputs, as if the others were zeros."""
        return False

    def from_call(self, settings: Mapping[str, Any]) -> nn.Module:
        """Of F.conv_transpose1d and its like."""
        weight, groups = settings["weight"], settings.get("groups", 1)
        names = ("stride", "padding", "output_padding", "dilation")
        more = {name: settings[name] for name in names if name in settings}
        layer = TRANSPOSED_LAYERS[weight.ndim - 3](
            len(weight), weight.shape[1] * groups, tuple(weight.shape[2:]),
            groups=groups, device="meta", **more,
        )  # fmt: skip
        return with_weights(layer, weight, settings.get("bias"))


@dataclass(frozen=True)
class Padding:
    """Pads an input (N, C, *in) as a convolution does. sizes: as F.pad wants them."""

    sizes: tuple[int, ...]
    mode: str

    def __call__(self, x: Tensor) -> Tensor:
        """The padded input."""
        return F.pad(x, self.sizes, self.mode)


@dataclass(frozen=True)
class Cropped:
    """Leaves out the first places in each dimension."""

    first: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """The others."""
        kept: Any = (..., *(slice(n, None) for n in self.first))
        return x[kept]


def padded_outside(layer: Any) -> tuple[nn.Module, Padding]:
    """A convolution without padding, and the padding of another mode that goes before it."""
    sizes = _same_padding(layer) if isinstance(layer.padding, str) else layer.padding
    pairs = [size if isinstance(size, tuple) else (size, size) for size in sizes]
    padding = Padding(tuple(n for pair in reversed(pairs) for n in pair), layer.padding_mode)
    return _repadded(layer, (0,) * len(pairs)), padding


def padded_by_numbers(layer: Any) -> tuple[nn.Module, Cropped]:
    """Of padding 'same': with as many zeros on both sides as are needed on one, then cropped.

    So padding counts as no input for rules that look at weights alone.
    """
    pairs = _same_padding(layer)
    inner = _repadded(layer, tuple(after for _, after in pairs))
    return inner, Cropped(tuple(after - before for before, after in pairs))


def _same_padding(layer: Any) -> list[tuple[int, int]]:
    """Before and after, by dimension, as torch pads for the words 'same' and 'valid'."""
    whole = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return [(p // 2, p - p // 2) if layer.padding == "same" else (0, 0) for p in whole]


def _repadded(layer: Any, padding: tuple[int, ...]) -> nn.Module:
    new = copy_with(layer, layer.weight, layer.bias)
    new.__dict__ |= {"padding": padding, "padding_mode": "zeros"}
    return new


CONVOLUTION = Operation("convolution", LAYERS, CONVOLVE, weights=Convolution(), needs_values=False)
TRANSPOSED = Operation(
    "transposed_convolution",
    TRANSPOSED_LAYERS,
    TRANSPOSE,
    weights=TransposedConvolution(),
    needs_values=False,
)
