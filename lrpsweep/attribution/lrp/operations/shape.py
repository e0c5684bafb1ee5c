"""What moves values and changes none: relevance goes back by the operation's transpose."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Permute

from lrpsweep.attribution.lrp.balance import Arriving, per_image
from lrpsweep.attribution.lrp.operations.operation import Operation, Propagation
from lrpsweep.errors import InputError

SIZES = frozenset(
    (
        *("size", "dim", "ndimension", "numel", "nelement", "is_floating_point", "get_device"),
        len,
        *(".shape", ".ndim", ".dtype", ".device", ".layout", ".is_cuda", ".requires_grad"),
    )
)
"""Methods and attributes of a tensor that tell of it and give none of its values."""

PARTS = frozenset((torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind"))
"""Calls that give several tensors, of which steps then read one each."""

INTERPOLATIONS = (F.interpolate,)
UPSAMPLING = (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)


def repeats_values(settings: Mapping[str, Any]) -> bool:
    """Of an interpolation: whether each value that it gives is one that it read."""
    return settings.get("mode", "nearest") in ("nearest", "nearest-exact")


def _route(propagation: Propagation) -> list[Arriving]:
    """By the operation's transpose; what padding has got goes on the stabilizer's account."""
    signal, *rest = propagation.given
    if len(signal) > 1 and propagation.step.module is None:
        propagation.forward.cached(propagation.place, lambda: _images_kept_apart(propagation))
    _, transpose, *_ = torch.func.vjp(lambda x: propagation.step.run(x, *rest), signal)
    (lower,) = transpose(propagation.relevance)
    propagation.balance.stabilizer += per_image(propagation.relevance) - per_image(lower)
    return [Arriving(lower, propagation.arriving.rectified)]


def _images_kept_apart(propagation: Propagation) -> Tensor:
    """Moves the images' numbers as if they were values. Raises InputError if images change place.

    A transpose may do that, or a flip, where the output has as many rows as there are images.
    """
    signal, *rest = propagation.given
    places = (1,) * (signal.ndim - 1)
    numbers = torch.arange(1.0, len(signal) + 1, device=signal.device).view(-1, *places)
    found = propagation.step.run(numbers.expand(signal.shape), *rest)
    own = numbers.view(-1, *(1,) * (found.ndim - 1))
    if bool(((found != own) & (found != 0)).any()):
        raise InputError(
            f"'{propagation.step.name}' moves values of one image to another; expected a first "
            "dimension (N, …) that is that of the images everywhere in the network"
        )
    return numbers


def _adds_no_values(settings: Mapping[str, Any]) -> bool:
    """Of a padding: with zeros, or with values that it read."""
    return not settings.get("value")


ROUTE = Operation(
    "route",
    (nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, Permute),
    (
        *(torch.flatten, "flatten", torch.reshape, "reshape", "view", "view_as", "unflatten"),
        "contiguous",  # no identity: a view may need it
        *(torch.permute, "permute", torch.transpose, "transpose", torch.movedim, "movedim"),
        *(torch.swapaxes, "swapaxes", ".T", ".mT", ".H", ".mH"),
        *(torch.squeeze, "squeeze", torch.unsqueeze, "unsqueeze", "expand", "expand_as"),
        *(torch.narrow, "narrow", F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle),
        *(torch.flip, "flip", torch.roll, "roll", "repeat", torch.tile, "tile"),
        operator.getitem,
    ),
    _route,
    title="relevance moves as the values do",
    needs_values=False,
    moves=True,
    zennit="native",
)
PADDING = replace(
    ROUTE,
    name="padding",
    modules=(
        *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
        *(nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
        *(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
        *(nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
        *(nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
    ),
    calls=(F.pad,),
    accepts=_adds_no_values,
)
REPETITION = replace(
    ROUTE, name="repetition", modules=UPSAMPLING, calls=INTERPOLATIONS, accepts=repeats_values
)
