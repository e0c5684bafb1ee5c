"""Convolutions of one to three dimensions, and transposed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lrpsweep.attribution.lrp.operations.operation import (
    Operation,
    Weights,
    by_group,
    copy_with,
    with_weights,
)

CONVOLVE = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSE = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED_LAYERS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Convolution(Weights):
    """Padding is of zeros and given as numbers."""

    layers: tuple[Any, ...] = LAYERS

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

    def keeps_shape(self, layer: Any) -> bool:
        """With stride 1, and padding that makes up for the kernel."""
        if not super().keeps_shape(layer) or set(layer.stride) != {1}:
            return False
        if isinstance(layer.padding, str):
            return bool(layer.padding == "same")
        sizes = zip(
            layer.padding, layer.dilation, layer.kernel_size, layer.output_padding, strict=True
        )
        return all(2 * p == d * (k - 1) + more for p, d, k, more in sizes)

    def from_call(self, settings: Mapping[str, Any]) -> nn.Module:
        """Of F.conv1d and its like."""
        weight = settings["weight"]
        read, given = self.channels(weight, settings.get("groups", 1))
        own = {k: v for k, v in settings.items() if k not in ("weight", "bias")}
        kind = self.layers[weight.ndim - 3]
        layer = kind(read, given, tuple(weight.shape[2:]), device="meta", **own)
        return with_weights(layer, weight, settings.get("bias"))


class TransposedConvolution(Convolution):
    """w: (J, K / groups, *kernel)."""

    layers = TRANSPOSED_LAYERS

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

    def channels(self, weight: Tensor, groups: int) -> tuple[int, int]:
        """Inputs come first."""
        given, read = super().channels(weight, groups)
        return read, given

    def scaled_output(self, layer: Any, scale: Tensor) -> Tensor:
        """Output channels come second, group by group."""
        grouped = by_group(layer)
        return (grouped * scale.view(len(grouped), 1, -1, 1)).view_as(layer.weight)

    def reads_inside(self, layer: Any) -> bool:
        """At its borders it gives sums of fewer inputs, as if the others were zeros."""
        return False


def padded_outside(layer: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A convolution without padding, and the padding of another mode that goes before it."""
    sizes = _same_padding(layer) if isinstance(layer.padding, str) else layer.padding
    pairs = [size if isinstance(size, tuple) else (size, size) for size in sizes]
    flat = tuple(n for pair in reversed(pairs) for n in pair)
    return _repadded(layer, (0,) * len(pairs)), partial(F.pad, pad=flat, mode=layer.padding_mode)


def padded_by_numbers(layer: Any) -> tuple[nn.Module, tuple[int, ...]]:
    """Of padding 'same': with as many zeros on both sides as are needed on one.

    So padding counts as no input for rules that look at weights alone. Also gives how many places
    have then to be cropped at the beginning of each dimension.
    """
    pairs = _same_padding(layer)
    inner = _repadded(layer, tuple(after for _, after in pairs))
    return inner, tuple(after - before for before, after in pairs)


def cropped(x: Tensor, first: tuple[int, ...]) -> Tensor:
    """Leaves out the first places in each dimension."""
    kept: Any = (..., *(slice(n, None) for n in first))
    return x[kept]


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
