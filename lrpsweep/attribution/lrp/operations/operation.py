"""What an operation is: a kind of layer or function, forward and backward in one entry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lrpsweep.attribution.lrp.balance import Arriving, Balance
from lrpsweep.errors import InputError

if TYPE_CHECKING:
    from lrpsweep.attribution.lrp.forward import ForwardPass
    from lrpsweep.attribution.lrp.graph import Step

WEIGHTED = "weighted"
"""The kind of all layers with weights, whatever they compute: a composite's rule decides."""


@dataclass(frozen=True)
class Propagation:
    """Relevance about to go back through the step at `place`. stabilizer: of its denominators."""

    forward: ForwardPass
    place: int
    arriving: Arriving
    balance: Balance
    stabilizer: float

    @property
    def step(self) -> Step:
        """The step."""
        return self.forward.steps[self.place]

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What the step read."""
        return self.forward.given[self.place]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Of what the step read, that which gets relevance; maybe as shapes alone."""
        return self.given[: len(self.step.relevant_sources)]

    @property
    def relevance(self) -> Tensor:
        """What arrives, (N, *out)."""
        return self.arriving.relevance


def check_shapes(what: str, found: Sequence[Any], inputs: Sequence[Tensor]) -> None:
    """Raises InputError where what gives relevance gives inputs another shape than theirs."""
    shapes = [tuple(r.shape) if isinstance(r, Tensor) else type(r).__name__ for r in found]
    expected = [tuple(x.shape) for x in inputs]
    if shapes != expected:
        raise InputError(
            f"{what} gives relevance of shapes {shapes}; expected those of the inputs, {expected}"
        )


class Weights(ABC):
    """What a kind of layer computes with any weights: linear in its input, Σ_j x_j w_jk + b_k.

    w: (K, J / groups, *kernel) where a kind says nothing else; no kernel: a dense layer.
    """

    channels_last = False
    """Whether features are the last dimension of input and output, not the second one."""

    @abstractmethod
    def push(self, layer: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Σ_j x_j w_jk, without bias: (N, *in) -> (N, *out)."""

    @abstractmethod
    def pull(self, layer: Any, weight: Tensor, s: Tensor, shape: Sequence[int]) -> Tensor:
        """Σ_k w_jk s_k, the transpose of `push`: (N, *out) -> (N, *in) of that shape."""

    @abstractmethod
    def from_call(self, settings: Mapping[str, Any]) -> nn.Module:
        """The layer that a function computes, from its arguments by name."""

    def channels(self, weight: Tensor, groups: int) -> tuple[int, int]:
        """How many channels, or features, such weights read, and how many they give."""
        return weight.shape[1] * groups, len(weight)

    def reads(self, layer: Any) -> int:
        """How many channels, or features, the layer reads."""
        return self.channels(layer.weight, getattr(layer, "groups", 1))[0]

    def gives(self, layer: Any) -> int:
        """How many channels, or features, the layer gives."""
        return self.channels(layer.weight, getattr(layer, "groups", 1))[1]

    def scaled_output(self, layer: Any, scale: Tensor) -> Tensor:
        """Weights of a layer that gives `scale` (K,) times the sum, in float64."""
        weight: Tensor = layer.weight.detach().double()
        return weight * scale.view(-1, *(1,) * (weight.ndim - 1))

    def scaled_input(self, layer: Any, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Weights, and what to add to the bias (K,), to read x·scale + shift; both in float64."""
        weight, grouped = layer.weight, by_group(layer)
        by, plus = (values.view(len(grouped), 1, -1, 1) for values in (scale, shift))
        return (grouped * by).view_as(weight), (grouped * plus).sum((2, 3)).flatten()

    def reads_inside(self, layer: Any) -> bool:
        """Whether every output reads inputs alone, never padding: a shift may then be merged."""
        return not any(getattr(layer, "padding", ()))

    def keeps_shape(self, layer: Any) -> bool:
        """Whether the output always has the shape of the input."""
        return self.reads(layer) == self.gives(layer)


def by_group(layer: Any) -> Tensor:
    """A layer's weights in float64, (groups, channels, channels, kernel): groups do not mix."""
    weight, groups = layer.weight.detach().double(), getattr(layer, "groups", 1)
    grouped: Tensor = weight.view(groups, len(weight) // groups, weight.shape[1], -1)
    return grouped


@dataclass(frozen=True)
class Operation:
    """A kind of layer or function: what belongs to it, and how relevance goes back through it.

    name: in messages and tables. modules: types, also those of subclasses with the same forward().
    calls: functions, names of tensor methods ('relu'), and attributes that are tensors ('.mT').
    backward: what arrives at the output -> what goes to each input, in order; None: relevance does
    not come here, or `weights` decides. title: what becomes of relevance, in words. accepts:
    whether a module or call of the kind is set up so, from its attributes or arguments by name.
    weights: what a layer with weights computes. needs_values: whether `backward` reads the values
    of the inputs, which then are kept; their shapes are always known. all_sources: whether every
    input gets relevance, or the first one alone: the others then are sizes or gates. moves: values
    are moved and not changed, so that pixels stay pixels. averages: values of several places are
    taken together. weightless: a module with parameters is refused, since they would have no say.
    zennit: how zennit expresses it: 'native' (as gradients go), 'unchanged', 'shared', 'sum'; '':
    not at all.
    """

    name: str
    modules: tuple[type[nn.Module], ...] = ()
    calls: tuple[Any, ...] = ()
    backward: Callable[[Propagation], list[Arriving]] | None = None
    title: str = ""
    accepts: Callable[[Mapping[str, Any]], bool] | None = None
    weights: Weights | None = None
    needs_values: bool = True
    all_sources: bool = False
    moves: bool = False
    averages: bool = False
    weightless: bool = False
    zennit: str = ""

    @property
    def kind(self) -> str:
        """What a rule may be for: 'weighted' for every layer with weights, else the name."""
        return self.name if self.weights is None else WEIGHTED

    def takes(self, settings: Mapping[str, Any]) -> bool:
        """Whether a module's attributes, or a call's arguments, are what the operation says."""
        return self.accepts is None or self.accepts(settings)


def settings_of(module: nn.Module) -> dict[str, Any]:
    """A module's attributes by name, but for its mode, which may be switched."""
    plain = {k: v for k, v in vars(module).items() if k != "training" and not k.startswith("_")}
    return {**plain, **module._buffers, **module._parameters}


def computes_as(module: nn.Module, known: type[nn.Module]) -> bool:
    """Whether it is of the type, and no subclass or attribute has replaced its forward pass."""
    if not isinstance(module, known) or any(name in vars(module) for name in FORWARD):
        return False
    return all(getattr(type(module), n, None) is getattr(known, n, None) for n in FORWARD)


FORWARD = ("forward", "_conv_forward")
"""What decides how a module computes: methods of its type, or attributes that replace them."""


def has_weights(module: nn.Module) -> bool:
    """Whether a module holds numbers that its output may depend on: parameters, or in buffers."""
    buffered = any(buffer.is_floating_point() for buffer in module.buffers())
    return buffered or next(module.parameters(), None) is not None


def with_weights(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """The layer itself, in eval mode, with these weights."""
    layer.weight = _parameter(weight)
    layer.bias = None if bias is None else _parameter(bias)
    found: nn.Module = layer.eval()
    return found


def copy_with(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A layer set up alike with other weights, in the original's precision; no hooks are copied."""
    new: nn.Module = object.__new__(type_before_parametrizations(layer))
    nn.Module.__init__(new)
    new.__dict__ |= {k: v for k, v in vars(layer).items() if k not in _OWN and k[0] != "_"}
    precision: torch.dtype = layer.weight.dtype
    return with_weights(new, weight.to(precision), None if bias is None else bias.to(precision))


_OWN = ("weight", "bias", "training")
"""Attributes of a layer that its copy has otherwise."""


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach(), requires_grad=False)


def effective(layer: nn.Module) -> nn.Module:
    """The layer, or, where its weights are computed from others, a copy with those in effect.

    Raises InputError in training mode, in which computing them may change the layer.
    """
    if "weight" in layer._parameters and "bias" in layer._parameters:
        return layer
    if layer.training:
        raise InputError(
            f"a layer of type {type_before_parametrizations(layer).__name__} computes its weights "
            "and is in training mode; expected a network in eval mode: call `net.eval()` first"
        )
    held: Any = object.__new__(type(layer))  # what hooks compute is set on it, not on the user's
    held.__dict__ = dict(vars(layer))
    for hook in layer._forward_pre_hooks.values():
        hook(held, None)
    return copy_with(held, held.weight, held.bias)
