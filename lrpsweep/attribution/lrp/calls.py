"""A function or module as forward() calls it: its arguments by name, and what it gives."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

NOT_IN_PLACE: Mapping[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    torch.relu_: torch.relu,
}
"""Functions that overwrite what they read, with those that compute the same and do not."""

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = (
    *("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
)
_REDUCTION = ("input", "dim", "keepdim")
_CLAMP = ("input", "min", "max")
_ADAPTIVE = ("input", "output_size")

SIGNATURES: Mapping[Any, Sequence[str]] = {
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _CONVOLUTION),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), _TRANSPOSED),
    F.linear: ("input", "weight", "bias"),
    **dict.fromkeys((torch.mean, "mean", torch.sum, "sum"), _REDUCTION),
    **dict.fromkeys((torch.clamp, torch.clip, "clamp", "clamp_", "clip", "clip_"), _CLAMP),
    F.adaptive_avg_pool1d: _ADAPTIVE,
    **dict.fromkeys((torch.stack, torch.cat, torch.concat, torch.concatenate), ("tensors", "dim")),
}
"""The arguments of functions and tensor methods that Python knows no signature of."""

DISPATCHED = {
    getattr(F, name): getattr(F, f"{name}_with_indices")
    for name in (f"{kind}max_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3))
}
"""Functions of the signature (*args, **kwargs), with those that have the true one."""


def arguments(node: fx.Node) -> dict[str, Any]:
    """A call's arguments by name, defaults included where Python knows them."""
    return _by_name(node.target, node.args, node.kwargs)


def _by_name(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if target in SIGNATURES:
        return dict(zip(SIGNATURES[target], args, strict=False)) | dict(kwargs)
    try:
        bound = inspect.signature(DISPATCHED.get(target, target)).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return dict(kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def called(node: fx.Node) -> Any:
    """What a node calls, as operations list it: an attribute of a tensor is written '.mT'."""
    if node.op == "call_function" and node.target is getattr:
        return f".{node.args[1]}"
    return node.target


def overwrites(method: str) -> bool:
    """Whether a tensor's method writes its result into the tensor."""
    return method.endswith("_") and not method.endswith("__")


def overwrites_input(node: fx.Node) -> bool:
    """Whether a function or method writes its result into the tensor that it reads."""
    if node.op == "call_method":
        return overwrites(str(node.target))
    return node.op == "call_function" and (
        node.target in NOT_IN_PLACE or bool(arguments(node).get("inplace", False))
    )


class Call:
    """What a node calls, on its tensors' values; never in place: the values below are needed."""

    def __init__(self, node: fx.Node, tensors: Sequence[fx.Node], module: nn.Module | None = None):
        self.node, self.tensors, self.module = node, tensors, module

    def __call__(self, *values: Tensor) -> Any:
        """The node's value for `values` of its tensors."""
        return self._value(self.node, self._known(values))

    def arguments(self, *values: Tensor) -> dict[str, Any]:
        """The call's arguments by name, also those that are sizes of `values`."""
        known = self._known(values)
        return _by_name(self.node.target, *self._read(self.node, known))

    def _known(self, values: Sequence[Tensor]) -> dict[fx.Node, Any]:
        return dict(zip(self.tensors, values, strict=True))

    def _read(self, node: fx.Node, known: dict[fx.Node, Any]) -> tuple[Any, Any]:
        found: tuple[Any, Any] = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: self._value(n, known)
        )
        return found

    def _value(self, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
        """Also that of a size or of parts, which are no steps."""
        if node in known:
            return known[node]
        args, kwargs = self._read(node, known)
        if node.op == "call_module":
            assert self.module is not None
            return self.module(*args, **kwargs)
        return evaluate(node, args, kwargs)


def evaluate(node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a function or method gives, computed without overwriting what it reads."""
    if node.op == "call_method":
        method = str(node.target)
        return getattr(args[0], method.rstrip("_") if overwrites(method) else method)(
            *args[1:], **kwargs
        )
    if "inplace" in arguments(node):
        return node.target(**_by_name(node.target, args, kwargs) | {"inplace": False})  # type: ignore[operator]
    return NOT_IN_PLACE.get(node.target, node.target)(*args, **kwargs)
