"""Normalisations: by running statistics, a batch norm; by those of the image, passed unchanged.

Relevance passes the latter as it passes activations: the identity rule of the literature, used for
layer norm by Achtibat et al. 2024, and as the baseline for local response normalisation by Binder
et al. 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import FrozenBatchNorm2d

from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.operations.activation import PASS
from lrpsweep.attribution.lrp.operations.arithmetic import divided
from lrpsweep.attribution.lrp.operations.operation import Operation, Propagation


def per_channel(norm: Any) -> tuple[Tensor, Tensor]:
    """scale and shift (C,) in float64: a batch norm is x·scale + shift."""
    mean, variance, eps = norm.running_mean, norm.running_var, norm.eps
    scale = (variance.double() + eps).rsqrt()
    if isinstance(norm.weight, Tensor):
        scale = scale * norm.weight.detach().double()
    shift = -mean.double() * scale
    return scale, shift + norm.bias.detach().double() if isinstance(norm.bias, Tensor) else shift


def _affine(propagation: Propagation) -> list[Arriving]:
    """LRP-0 of x·scale + shift, channel by channel: the shift is a bias."""
    x = propagation.given[0]
    scale, shift = (values.to(x.dtype) for values in per_channel(propagation.step.module))
    s = divided(propagation, shift)
    return [Arriving(s.mul_(scale.view(-1, *(1,) * (x.ndim - 2))).mul_(x), rectified=True)]


class CalledBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm of any number of dimensions, as F.batch_norm is."""

    def _check_input_dim(self, input: Tensor) -> None:
        """None is wrong."""


def from_call(settings: Mapping[str, Any]) -> nn.Module:
    """The layer that F.batch_norm computes, from its arguments by name."""
    mean, weight, bias = (settings[name] for name in ("running_mean", "weight", "bias"))
    norm = CalledBatchNorm(len(mean), settings["eps"], affine=False)
    norm.running_mean, norm.running_var = mean.detach(), settings["running_var"].detach()
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None:
            setattr(norm, name, nn.Parameter(values.detach(), requires_grad=False))
    return norm.eval()


def _by_running_statistics(settings: Mapping[str, Any]) -> bool:
    """Not by the batch's own, which would mix images."""
    return settings.get("running_mean") is not None and not settings.get("training")


def _by_own_statistics(settings: Mapping[str, Any]) -> bool:
    return settings.get("running_mean") is None


INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)

AFFINE = Operation(
    "affine",
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, FrozenBatchNorm2d, *INSTANCE_NORMS),
    (F.batch_norm,),
    _affine,
    title="relevance is shared with the shift, a bias",
    accepts=_by_running_statistics,
    zennit="shared",
)
NORMALISATION = replace(
    PASS,
    name="normalisation",
    modules=(nn.LayerNorm, LayerNorm2d, nn.LocalResponseNorm, nn.GroupNorm, *INSTANCE_NORMS),
    calls=(F.layer_norm, F.local_response_norm, F.group_norm, torch.group_norm, F.instance_norm),
    accepts=_by_own_statistics,
)
