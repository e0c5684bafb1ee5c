"""Activations, and what computes nothing in eval mode: relevance goes on unchanged.

Relevance passes activations unchanged (Bach et al. 2015).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth
from torchvision.ops.stochastic_depth import stochastic_depth

from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.operations.operation import Operation, Propagation

CLAMPS = (torch.clamp, torch.clip, "clamp", "clamp_", "clip", "clip_")


def pass_rectified(propagation: Propagation) -> list[Arriving]:
    """Unchanged: where a ReLU's output is 0, nothing arrives."""
    return [propagation.arriving]


def pass_unchanged(propagation: Propagation) -> list[Arriving]:
    """Unchanged; but an input may be 0 where the output is not."""
    return [Arriving(propagation.relevance)]


def _is_relu(settings: Mapping[str, Any]) -> bool:
    """Of a clamp: from 0 on, without an upper end."""
    return settings.get("min") == 0 and settings.get("max") is None


def _in_eval_mode(settings: Mapping[str, Any]) -> bool:
    """Of a function, as it is called."""
    return not settings.get("training")


RELU = Operation(
    "relu",
    (nn.ReLU,),
    (F.relu, torch.relu, torch.relu_, "relu", "relu_"),
    pass_rectified,
    title="relevance goes on unchanged",
    needs_values=False,
    zennit="unchanged",
)
CLAMPED = replace(RELU, name="clamp_from_0", modules=(), calls=CLAMPS, accepts=_is_relu)
PASS = Operation(
    "pass",
    (
        *(nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.GELU, nn.Mish),
        *(nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus),
    ),
    (
        *(F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.silu, F.gelu, F.mish, F.softplus),
        *(F.hardswish, F.hardsigmoid, F.hardtanh, F.prelu),
        *(F.sigmoid, torch.sigmoid, "sigmoid", "sigmoid_", F.tanh, torch.tanh, "tanh", "tanh_"),
        *(operator.neg, torch.neg, "neg", *CLAMPS),
    ),
    pass_unchanged,
    title="relevance goes on unchanged",
    needs_values=False,
    zennit="unchanged",
)
IDENTITY = Operation(
    "identity",
    (
        *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
        *(nn.AlphaDropout, nn.FeatureAlphaDropout, StochasticDepth),
    ),
    (
        *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout),
        *(F.feature_alpha_dropout, stochastic_depth, "clone"),
    ),
    title="without effect on the class scores",
    accepts=_in_eval_mode,
    needs_values=False,
)
