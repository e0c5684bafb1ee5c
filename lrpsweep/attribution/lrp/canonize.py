"""The network in the form that LRP's rules are made for: without batch norms, where they can go.

In eval mode a batch norm is x·scale + shift, channel by channel. As a layer of its own it would
take relevance for its shift; merged into a neighbour it is part of what that layer's rule decides.
Merging happens in copies of the layers, and the merged network computes what the original one does
(Pahde et al. 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lrpsweep.attribution.lrp.graph import Step, pixelwise, readers, without
from lrpsweep.attribution.lrp.operations.activation import IDENTITY
from lrpsweep.attribution.lrp.operations.arithmetic import GATE, JOIN, SUM
from lrpsweep.attribution.lrp.operations.normalisation import AFFINE, per_channel
from lrpsweep.attribution.lrp.operations.operation import copy_with


def canonize(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same network without steps that compute nothing, and with batch norms merged.

    One goes into the layers before it if nothing else reads those, also across a concatenation;
    else into all layers that read it, if they pad with no zeros. What is left stays `affine`.
    """
    steps = without(steps, {i for i, step in enumerate(steps) if step.operation == IDENTITY})
    steps = _in_units_of_pixels(steps)
    place = 0
    while place < len(steps):
        merged = _merged(steps, place) if steps[place].operation == AFFINE else None
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
        if place in pixels and step.operation == SUM:
            signal, shift = sorted(step.sources, key=lambda source: source not in pixels)
            found[place] = replace(step, operation=GATE, sources=(signal, shift))
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


def _into_layers_before(
    steps: Sequence[Step], place: int, scale: Tensor, shift: Tensor
) -> dict[int, nn.Module] | None:
    places = _layers_before(steps, readers(steps), steps[place].sources[0])
    if places is None:
        return None
    layers = [steps[i].layer for i in places]
    sizes = [weights.gives(layer) for layer, weights in layers]
    if sum(sizes) != len(scale) or _mixes_axes(steps[place], places, steps):
        return None
    parts = zip(places, torch.split(scale, sizes), torch.split(shift, sizes), strict=True)
    return {i: _scaled_output(steps[i], by, plus) for i, by, plus in parts}


def _mixes_axes(norm: Step, layers: Iterable[int], steps: Sequence[Step]) -> bool:
    """Whether the norm's channels are no features of dense layers: in (N, T, F) they are T."""
    dense = any(steps[i].layer[1].channels_last for i in layers)
    return dense and norm.ndim is not None and norm.ndim > 2


def _layers_before(
    steps: Sequence[Step], read_by: dict[int, list[int]], place: int
) -> list[int] | None:
    """The layers whose outputs, one behind the other, are this value, and that none else reads."""
    if place < 0 or len(read_by[place]) != 1:
        return None
    if steps[place].weighted:
        return [place]
    if steps[place].operation != JOIN or steps[place].dim not in (1, -3):
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
    layers = [i for i in places if steps[i].weighted]
    if not places or len(layers) < len(places) or _mixes_axes(steps[place], layers, steps):
        return None
    for layer, weights in (steps[i].layer for i in layers):
        if not weights.reads_inside(layer) or weights.reads(layer) != len(scale):
            return None
    return {i: _scaled_input(steps[i], scale, shift) for i in layers}


def _scaled_output(step: Step, scale: Tensor, shift: Tensor) -> nn.Module:
    """A layer that gives layer(x)·scale + shift."""
    layer, weights = step.layer
    return copy_with(layer, weights.scaled_output(layer, scale), _bias(step) * scale + shift)


def _scaled_input(step: Step, scale: Tensor, shift: Tensor) -> nn.Module:
    """A layer that gives layer(x·scale + shift)."""
    layer, weights = step.layer
    weight, plus = weights.scaled_input(layer, scale, shift)
    return copy_with(layer, weight, _bias(step) + plus)


def _bias(step: Step) -> Tensor:
    layer, weights = step.layer
    assert isinstance(layer.weight, Tensor)
    if not isinstance(layer.bias, Tensor):
        return layer.weight.new_zeros(weights.gives(layer), dtype=torch.float64)
    return layer.bias.detach().double()
