"""What a network may consist of: the kind of step that each module and function is.

weighted: a composite's rule decides. affine: a batch norm, merged where it can be. relu, pass:
relevance goes on unchanged. identity: computes nothing in eval mode. max_pool, average: pooling.
route: moves values, changes none; relevance goes back by the operation's transpose. join:
concatenation. sum and difference: relevance is split by contribution. product, quotient: a signal
times a gate. constant: does not depend on the images. custom: registered with a function.

Relevance passes activations unchanged (Bach et al. 2015), and normalisations too: the identity rule
of the literature, used for layer norm by Achtibat et al. 2024 and as the baseline for local
response normalisation by Binder et al. 2016.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import FrozenBatchNorm2d, Permute, StochasticDepth
from torchvision.ops.stochastic_depth import stochastic_depth

from lrpsweep.errors import InputError

Backward = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | tuple[Tensor, ...]]

MODULES: dict[type[nn.Module], str] = {
    nn.Conv2d: "weighted",
    nn.Linear: "weighted",
    nn.BatchNorm1d: "affine",
    nn.BatchNorm2d: "affine",
    FrozenBatchNorm2d: "affine",
    nn.ReLU: "relu",
    nn.ReLU6: "pass",
    nn.LeakyReLU: "pass",
    nn.PReLU: "pass",
    nn.ELU: "pass",
    nn.CELU: "pass",
    nn.SELU: "pass",
    nn.SiLU: "pass",
    nn.GELU: "pass",
    nn.Mish: "pass",
    nn.Hardswish: "pass",
    nn.Hardsigmoid: "pass",
    nn.Hardtanh: "pass",
    nn.Sigmoid: "pass",
    nn.Tanh: "pass",
    nn.Softplus: "pass",
    nn.LayerNorm: "pass",
    LayerNorm2d: "pass",
    nn.LocalResponseNorm: "pass",
    nn.Identity: "identity",
    nn.Dropout: "identity",
    nn.Dropout1d: "identity",
    nn.Dropout2d: "identity",
    nn.AlphaDropout: "identity",
    nn.FeatureAlphaDropout: "identity",
    StochasticDepth: "identity",
    nn.MaxPool2d: "max_pool",
    nn.AvgPool2d: "average",
    nn.AdaptiveAvgPool2d: "average",
    nn.Flatten: "route",
    nn.Unflatten: "route",
    nn.ZeroPad2d: "route",
    nn.PixelShuffle: "route",
    nn.PixelUnshuffle: "route",
    nn.ChannelShuffle: "route",
    Permute: "route",
}

_CALLS: dict[str, tuple[Any, ...]] = {
    "relu": (F.relu, torch.relu, torch.relu_, "relu", "relu_"),
    "pass": (
        *(F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.silu, F.gelu, F.mish, F.softplus),
        *(F.hardswish, F.hardsigmoid, F.hardtanh, F.layer_norm, F.local_response_norm),
        *(F.sigmoid, torch.sigmoid, "sigmoid", "sigmoid_", F.tanh, torch.tanh, "tanh", "tanh_"),
        *(operator.neg, torch.neg, "neg"),
    ),
    "identity": (
        *(F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout),
        *(stochastic_depth, "clone"),
    ),
    "max_pool": (F.max_pool2d,),
    "average": (F.avg_pool2d, F.adaptive_avg_pool2d, torch.mean, "mean"),
    "route": (
        *(torch.flatten, "flatten", torch.reshape, "reshape", "view", "unflatten", F.pad),
        "contiguous",  # no identity: a view may need it
        *(torch.permute, "permute", torch.transpose, "transpose", torch.movedim, "movedim"),
        *(torch.squeeze, "squeeze", torch.unsqueeze, "unsqueeze", "expand", "expand_as"),
        *(torch.narrow, "narrow", F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle),
        operator.getitem,
    ),
    "join": (torch.cat, torch.concat, torch.concatenate),
    "sum": (operator.add, operator.iadd, torch.add, "add", "add_"),
    "difference": (operator.sub, operator.isub, torch.sub, "sub", "sub_"),
    "product": (operator.mul, operator.imul, torch.mul, "mul", "mul_"),
    "quotient": (operator.truediv, operator.itruediv, torch.div, "div", "div_"),
    "constant": (torch.zeros_like, torch.ones_like),
}
CALLS: dict[Any, str] = {call: kind for kind, calls in _CALLS.items() for call in calls}
"""The kind of every function, and of every tensor method by its name."""

SIZES = {"size", "dim"}
"""Tensor methods that give no tensor: they are worked out when a step needs them."""

PARTS = {torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind"}
"""Calls that give several tensors, of which steps then read one each."""

NOT_IN_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    torch.relu_: torch.relu,
}

_registered: dict[type[nn.Module], Literal["pass"] | Backward] = {}


def register(module_type: type[nn.Module], how: Literal["pass"] | Backward) -> None:
    """Says how relevance goes back through a type of module that lrpsweep does not know.

    how: 'pass' hands it on unchanged, for modules whose output has the shape of their input; or a
    function `(module, inputs, relevance) -> relevance of inputs`, where inputs is the tuple of
    tensors that the module read, (N, …) each, and relevance has the shape of its output. It
    returns a tensor, or a tuple of as many as there are inputs. It is called without gradients
    (use `torch.enable_grad` to differentiate); what it does not conserve is reported as the
    explanation's unexplained rest. Subclasses need a registration of their own. Registering a
    type that lrpsweep knows replaces what it does.
    """
    if not (isinstance(module_type, type) and issubclass(module_type, nn.Module)):
        raise InputError(f"register: {module_type!r} is no module type; expected a class")
    if how != "pass" and not callable(how):
        raise InputError(
            f"register: {how!r} for {module_type.__name__}; expected 'pass' or a function "
            "(module, inputs, relevance) -> relevance of inputs"
        )
    _registered[module_type] = how


def registrations() -> dict[type[nn.Module], Literal["pass"] | Backward]:
    """What has been registered so far: other processes have to register it again."""
    return dict(_registered)


def registered(module: nn.Module) -> Literal["pass"] | Backward | None:
    """What was registered for the module's type."""
    return _registered.get(type(module))


def kind_of(module: nn.Module) -> str | None:
    """The kind of a module that lrpsweep knows; None where a subclass computes something else."""
    return next((kind for known, kind in MODULES.items() if _computes_as(module, known)), None)


def _computes_as(module: nn.Module, known: type[nn.Module]) -> bool:
    """Whether it is of the type, and no subclass or attribute has replaced its forward pass."""
    if not isinstance(module, known) or "forward" in vars(module):
        return False
    inherited = ("forward", "_conv_forward")
    return all(getattr(type(module), n, None) is getattr(known, n, None) for n in inherited)
