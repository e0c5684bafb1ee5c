"""Pools of one to three dimensions, and other sums and averages of one tensor's values.

A max pool goes by one of two rules: `winner` and `window_sum`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.operations.operation import Operation, Propagation
from lrpsweep.attribution.lrp.operations.shape import INTERPOLATIONS, UPSAMPLING, repeats_values
from lrpsweep.errors import InputError

WINDOW = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
MAX_POOLS = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVERAGE_POOLS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
ADAPTIVE_MAX_POOLS = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
ADAPTIVE_AVERAGE_POOLS = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
REDUCTIONS = (torch.mean, "mean", torch.sum, "sum")
FEATURES = {1, 2, 3, 4, -1, -2, -3}
"""Dimensions that are no batch of images, in tensors of up to five dimensions."""

ALL_PLACES: tuple[set[Any], ...] = ({2, 3}, {-2, -1}, {2, 3, 4}, {-3, -2, -1})


def average(propagation: Propagation) -> list[Arriving]:
    """LRP-0 of an averaging layer: each input's share of the average."""
    return _by_share(propagation, lambda x: propagation.step.run(x, *propagation.given[1:]))


def _reduction(propagation: Propagation) -> list[Arriving]:
    """An average, or a sum, over places or features. Raises InputError if it is over images."""
    dims = reduced(propagation.step.settings(propagation.given))
    if 0 in {dim % propagation.given[0].ndim for dim in dims}:
        raise InputError(
            f"'{propagation.step.name}' takes images together: dimensions {sorted(dims)} of "
            f"{tuple(propagation.given[0].shape)}; expected others than the first"
        )
    return average(propagation)


def window_sum(propagation: Propagation) -> list[Arriving]:
    """Of a max pool: each input's share of the sum of its window.

    Source: Bermudez Schettino, App. C.2; the code of Montavon et al. 2019, which propagates through
    average pools instead of max pools. Of an adaptive pool, whose windows differ in size, shares of
    the average, which are the same but for the stabilizer.
    """
    settings, n = propagation.step.settings(propagation.given), _dimensions(propagation)
    if "output_size" in settings:
        adaptive = ADAPTIVE_AVERAGE_POOLS[n - 1]
        return _by_share(propagation, partial(adaptive, output_size=settings["output_size"]))
    kernel, stride, padding, _, ceil_mode = _window(settings, n)
    if n == 1:
        return _by_share(propagation, _line_sums(kernel[0], stride[0], padding[0], ceil_mode))
    pool = partial(AVERAGE_POOLS[n - 1], kernel_size=kernel, stride=stride, padding=padding)
    return _by_share(propagation, partial(pool, ceil_mode=ceil_mode, divisor_override=1))


def _line_sums(kernel: int, stride: int, padding: int, ceil_mode: bool) -> Callable[..., Tensor]:
    """Sums of one-dimensional windows, for which torch has averages of full ones alone."""
    sizes = ((1, kernel), (1, stride), (0, padding))
    return lambda x: F.avg_pool2d(x[..., None, :], *sizes, ceil_mode, True, 1)[..., 0, :]


def _by_share(propagation: Propagation, pool: Callable[[Tensor], Tensor]) -> list[Arriving]:
    x = propagation.given[0]
    pooled, transpose, *_ = torch.func.vjp(pool, x)
    s = propagation.balance.divide(propagation.relevance, pooled, None, propagation.stabilizer)
    (pulled,) = transpose(s)
    return [Arriving(x * pulled, rectified=True)]


def winner(propagation: Propagation) -> list[Arriving]:
    """Of a max pool: the largest input of a window takes all, the first one of several."""
    x, n = propagation.given[0], _dimensions(propagation)
    settings = propagation.step.settings(propagation.given)
    indices = propagation.forward.cached(propagation.place, lambda: _largest(settings, x, n))
    if "output_size" in settings:
        lower = _to_places(propagation.relevance, indices, x, n)
    else:
        lower = _to_windows(propagation.relevance, indices, x, *_window(settings, n))
    return [Arriving(lower, propagation.arriving.rectified)]


def _largest(settings: Mapping[str, Any], x: Tensor, n: int) -> Tensor:
    """Where each maximum came from: its index among a map's places, shaped as the output."""
    if "output_size" in settings:
        found = ADAPTIVE_MAX_POOLS[n - 1](x, settings["output_size"], return_indices=True)
    else:
        found = MAX_POOLS[n - 1](x, *_window(settings, n), return_indices=True)
    indices: Tensor = found[1]
    return indices


def _to_places(relevance: Tensor, indices: Tensor, x: Tensor, n: int) -> Tensor:
    lower = torch.zeros_like(x, memory_format=torch.contiguous_format).flatten(-n)
    return lower.scatter_add_(-1, indices.flatten(-n), relevance.flatten(-n)).view(x.shape)


def _to_windows(
    relevance: Tensor, indices: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any,
    dilation: Any, ceil_mode: bool,
) -> Tensor:  # fmt: skip
    """The backward functions of torch, which are deterministic on every device."""
    window, n = (kernel, stride, padding, dilation), len(kernel)
    if n == 3:
        back = torch.ops.aten.max_pool3d_with_indices_backward
        lower: Tensor = back(relevance, x, *window, ceil_mode, indices)
        return lower
    back = torch.ops.aten.max_pool2d_with_indices_backward
    if n == 2:
        lower = back(relevance, x, *window, ceil_mode, indices)
    else:
        flat = [(first, *own) for first, own in zip((1, 1, 0, 1), window, strict=True)]
        line = (values[..., None, :] for values in (relevance, x))
        lower = back(*line, *flat, ceil_mode, indices[..., None, :])[..., 0, :]
    return lower


def _dimensions(propagation: Propagation) -> int:
    """Of a max pool's windows, by its type: what it reads may have no channels."""
    module = propagation.step.module
    return next(i % 3 + 1 for i, one in enumerate(MAX_POOL.modules) if isinstance(module, one))


def _window(settings: Mapping[str, Any], n: int) -> tuple[Any, Any, Any, Any, bool]:
    """Window, stride, padding and dilation of `n` numbers each, and ceil_mode."""
    *sizes, ceil_mode = (settings[name] for name in WINDOW)
    if sizes[1] is None or sizes[1] == []:
        sizes[1] = sizes[0]
    spread = [tuple(v) if isinstance(v, tuple | list) else (v,) * n for v in sizes]
    kernel, stride, padding, dilation = (v * n if len(v) == 1 else v for v in spread)
    return kernel, stride, padding, dilation, bool(ceil_mode)


def reduced(settings: Mapping[str, Any]) -> set[Any]:
    """The dimensions that a mean or sum takes together; none: all."""
    dims = settings.get("dim", ())
    return set(dims) if isinstance(dims, list | tuple) else {dims}


def pools_all(settings: Mapping[str, Any]) -> bool:
    """Whether a pool leaves one value per channel, however large the image is."""
    if "output_size" in settings:
        size = settings["output_size"]
        return size == 1 or (isinstance(size, tuple | list) and set(size) == {1})
    return "dim" in settings and reduced(settings) in ALL_PLACES


def _gives_values_alone(settings: Mapping[str, Any]) -> bool:
    return not settings.get("return_indices")


def _keeps_images_apart(settings: Mapping[str, Any]) -> bool:
    return bool(reduced(settings)) and reduced(settings) <= FEATURES


def _averages(settings: Mapping[str, Any]) -> bool:
    return not repeats_values(settings)


MAX_POOL = Operation(
    "max_pool",
    (
        *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
        *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    ),
    (*MAX_POOLS, *ADAPTIVE_MAX_POOLS),
    winner,
    title="relevance goes to the largest value",
    accepts=_gives_values_alone,
    zennit="native",
)
AVERAGE = Operation(
    "average",
    (
        *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
        *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    ),
    (*AVERAGE_POOLS, *ADAPTIVE_AVERAGE_POOLS),
    average,
    title="relevance is shared by contribution",
    zennit="shared",
    averages=True,
)
REDUCTION = replace(
    AVERAGE,
    name="reduction",
    modules=(),
    calls=REDUCTIONS,
    backward=_reduction,
    accepts=_keeps_images_apart,
)
INTERPOLATION = replace(
    AVERAGE, name="interpolation", modules=UPSAMPLING, calls=INTERPOLATIONS, accepts=_averages
)
"""Weighted averages of values: LRP-0 with their weights."""
