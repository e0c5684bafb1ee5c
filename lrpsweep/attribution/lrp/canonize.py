"""The network in the form that LRP's rules are made for: without batch norms, where they can go.

In eval mode a batch norm is x·scale + shift, channel by channel. As a layer of its own it would
take relevance for its shift; merged into a neighbour it is part of what that layer's rule decides.
Merging happens in copies of the layers, and the merged network computes what the original one does
(Pahde et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lrpsweep.attribution.lrp.graph import Step, pixelwise, readers, without


def canonize(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same network without steps that compute nothing, and with batch norms merged.

    One goes into the layers before it if nothing else reads those, also across a concatenation;
    else into all layers that read it, if they pad with no zeros. What is left stays `affine`.
    """
    steps = without(steps, {i for i, step in enumerate(steps) if step.kind == "identity"})
    steps = _in_units_of_pixels(steps)
    place = 0
    while place < len(steps):
        merged = _merged(steps, place) if steps[place].kind == "affine" else None
        if merged is None:
            place += 1
        else:  # the next step has moved to this place
            steps = merged
    return tuple(steps)


def _in_units_of_pixels(steps: Sequence[Step]) -> list[Step]:
    """Constants added to single pixels get no relevance: they normalise, as if it were done before.

    Shared by contribution, a pixel that such a normalisation brings near zero would be a hot spot.
    """
    pixels = pixelwise(steps)
    found = list(steps)
    for place, step in enumerate(steps):
        if place in pixels and step.kind == "sum":
            signal, shift = sorted(step.sources, key=lambda source: source not in pixels)
            found[place] = replace(step, kind="gate", sources=(signal, shift))
    return found


def _merged(steps: Sequence[Step], place: int) -> list[Step] | None:
    """The graph without the batch norm at `place`, or None if it has to stay."""
    norm = steps[place]
    assert norm.module is not None
    scale, shift = per_channel(norm.module)
    changed = _into_layers_before(steps, place, scale, shift)
    if changed is None:
        changed = _into_layers_after(steps, place, scale, shift)
    if changed is None:
        return None
    result = list(steps)
    for i, layer in changed.items():
        taken = (*steps[i].merged, norm.name)
        result[i] = replace(steps[i], module=layer, run=layer, merged=taken)
    return without(result, {place})


def per_channel(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """scale and shift (C,) in float64: a batch norm is x·scale + shift."""
    mean, variance, eps = norm.running_mean, norm.running_var, norm.eps
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    assert isinstance(eps, float)
    scale = (variance.double() + eps).rsqrt()
    if isinstance(norm.weight, Tensor):
        scale = scale * norm.weight.detach().double()
    shift = -mean.double() * scale
    return scale, shift + norm.bias.detach().double() if isinstance(norm.bias, Tensor) else shift


def _into_layers_before(
    steps: Sequence[Step], place: int, scale: Tensor, shift: Tensor
) -> dict[int, nn.Module] | None:
    places = _layers_before(steps, readers(steps), steps[place].sources[0])
    if places is None:
        return None
    layers = [steps[i].module for i in places]
    sizes = [len(layer.weight) for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    if sum(sizes) != len(scale):
        return None
    parts = zip(places, layers, torch.split(scale, sizes), torch.split(shift, sizes), strict=True)
    return {i: _scaled_output(layer, by, plus) for i, layer, by, plus in parts}


def _layers_before(
    steps: Sequence[Step], read_by: dict[int, list[int]], place: int
) -> list[int] | None:
    """The layers whose outputs, one behind the other, are this value, and that none else reads."""
    if place < 0 or len(read_by[place]) != 1:
        return None
    if steps[place].kind == "weighted":
        return [place]
    if steps[place].kind != "join" or steps[place].dim not in (1, -3):
        return None
    found: list[int] = []
    for source in steps[place].sources:
        layers = _layers_before(steps, read_by, source)
        if layers is None:
            return None
        found += layers
    return found


def _into_layers_after(
    steps: Sequence[Step], place: int, scale: Tensor, shift: Tensor
) -> dict[int, nn.Module] | None:
    """Not behind zero padding: there the merged layer would read 0 where it read the shift."""
    places = readers(steps)[place]
    layers = {i: steps[i].module for i in places if steps[i].kind == "weighted"}
    exact = all(_inputs_read(layer) == len(scale) for layer in layers.values())
    if not places or len(layers) < len(set(places)) or not exact:
        return None
    return {i: _scaled_input(layer, scale, shift) for i, layer in layers.items()}


def _inputs_read(layer: nn.Module | None) -> int | None:
    """How many channels a layer reads; None if it pads them with zeros."""
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels if set(layer.padding) == {0} else None
    return layer.in_features if isinstance(layer, nn.Linear) else None


def _scaled_output(layer: nn.Module | None, scale: Tensor, shift: Tensor) -> nn.Module:
    """A layer that gives layer(x)·scale + shift."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    weight = layer.weight.detach().double() * scale.view(-1, *(1,) * (layer.weight.ndim - 1))
    return _like(layer, weight, _bias(layer) * scale + shift)


def _scaled_input(layer: nn.Module | None, scale: Tensor, shift: Tensor) -> nn.Module:
    """A layer that gives layer(x·scale + shift)."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    weight = layer.weight.detach().double()
    grouped = weight.view(groups, len(weight) // groups, weight.shape[1], -1)
    by, plus = (values.view(groups, 1, -1, 1) for values in (scale, shift))
    bias = _bias(layer) + (grouped * plus).sum((2, 3)).flatten()
    return _like(layer, (grouped * by).view_as(weight), bias)


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    if layer.bias is None:
        return layer.weight.new_zeros(len(layer.weight), dtype=torch.float64)
    return layer.bias.detach().double()


def _like(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> nn.Module:
    """The same layer with other weights, in the original's precision."""
    new: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Conv2d):
        new = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            device="meta",
        )
    else:
        new = nn.Linear(layer.in_features, layer.out_features, device="meta")
    new.weight = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=False)
    new.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=False)
    return new.eval()
