"""What the network computed on one batch, as far as relevance needs it on its way back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrpsweep.attribution.lrp.balance import Arriving, Balance
from lrpsweep.attribution.lrp.graph import Step, pixelwise, reached, readers
from lrpsweep.attribution.lrp.record import Record
from lrpsweep.errors import InputError

Range = tuple[Tensor, Tensor]

NEEDS_VALUES = ("max_pool", "average", "sum", "affine", "custom")
"""Kinds of steps whose inputs are kept; of the others' the shapes are enough."""


MOST_CHECKPOINTS = 16
"""How many stops on the way down a batch keeps; the one that was not used for longest goes."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of relevance at one place on its way down."""

    pending: Mapping[int, Arriving]
    balance: Balance


class ForwardPass:
    """A batch as the network saw it: what each step read, and a `Record` per weighted one.

    Everything is kept by a step's place, so that a layer used twice has two records. given: what
    each step read, (N, …) each; for most kinds a stand-in of that shape that takes no memory.
    rectified: what a ReLU made of a sum or batch norm that it alone reads.
    """

    def __init__(self, steps: Sequence[Step], images: Tensor, bounds: tuple[Tensor, Tensor] | None):
        self.steps, self.bounds = steps, bounds
        self.records: dict[int, Record] = {}
        self.given: dict[int, tuple[Tensor, ...]] = {}
        self.rectified: dict[int, Tensor] = {}
        self._winners: dict[int, Tensor] = {}
        self._checkpoints: dict[Hashable, Checkpoint] = {}
        self._seen: set[int] = set()
        self.output = self._run(images)

    def _run(self, images: Tensor) -> Tensor:
        """The scores (N, classes). Values that nothing needs any more are let go of."""
        relevant, rectified = reached(self.steps), _read_by_relu_alone(self.steps)
        pixels = pixelwise(self.steps)
        ranges = {} if self.bounds is None else {-1: _range_of(images, self.bounds)}
        last = {source: i for i, step in enumerate(self.steps) for source in step.sources}
        values: dict[int, Any] = {-1: images}
        for place, step in enumerate(self.steps):
            given = tuple(values[source] for source in step.sources)
            value = values[place] = step.run(*given)
            if place in relevant and step.kind != "constant":
                _check(step, given, value, len(images))
                self._remember(place, given, ranges)
            if place in pixels and self.bounds is not None:
                ranges[place] = _range(step, values, ranges)
            if place in rectified:
                self._rectify(rectified[place], value)
            for source in step.sources:
                if last[source] == place:
                    values.pop(source, None)
        output: Tensor = values[len(self.steps) - 1]
        return output

    def _remember(self, place: int, given: tuple[Tensor, ...], ranges: Mapping[int, Range]) -> None:
        step = self.steps[place]
        if step.kind in NEEDS_VALUES:
            self.given[place] = given
            for source, value in zip(step.sources, given, strict=True):
                if source in self.records:  # kept for this step: no need to compute it again
                    self.records[source].output = self.channels_first(source, value)
        else:
            self.given[place] = tuple(_stand_in(x) for x in given)
        if step.kind == "weighted":
            self.records[place] = self._record(place, given[0], ranges)

    def _rectify(self, place: int, value: Tensor) -> None:
        """Keeps ReLU(z) of what is at `place`, if relevance comes to it."""
        if place in self.records:
            self.records[place].rectified = self.channels_first(place, value)
        elif place in self.given:
            self.rectified[place] = value

    def _record(self, place: int, x: Tensor, ranges: Mapping[int, Range]) -> Record:
        layer = self.steps[place].module
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        if self.reads_tokens(place):
            assert isinstance(layer, nn.Linear)
            layer = _as_convolution(layer)
        ends = ranges.get(self.steps[place].sources[0], ())
        return Record(
            layer, self.channels_first(place, x), None, *(end[:1].clone() for end in ends)
        )

    def reads_tokens(self, place: int) -> bool:
        """Whether it is a dense layer at each of several places: (N, *places, F)."""
        return isinstance(self.steps[place].module, nn.Linear) and self.given[place][0].ndim > 2

    def channels_first(self, place: int, value: Tensor) -> Tensor:
        """What a layer reads or gives as its record knows it: (N, *places, F) -> (N, F, P, 1)."""
        return value.flatten(1, -2).mT[..., None] if self.reads_tokens(place) else value

    def channels_last(self, place: int, value: Tensor) -> Tensor:
        """The way back, for what the layer at `place` reads."""
        return (
            value[..., 0].mT.reshape(self.given[place][0].shape)
            if self.reads_tokens(place)
            else value
        )

    def winners(self, place: int) -> Tensor:
        """Where each maximum came from, first index on ties."""
        if place not in self._winners:
            self._winners[place] = F.max_pool2d(
                self.given[place][0], *pool_arguments(self.steps[place].module), return_indices=True
            )[1]
        return self._winners[place]

    def checkpoint(self, key: Hashable, checkpoint: Checkpoint) -> None:
        """Keeps what has arrived somewhere, under all that it depends on, from the second time on.

        What comes once would only take memory: of a grid's points, most share no lower blocks.
        """
        if hash(key) not in self._seen:
            self._seen.add(hash(key))
            return
        self._checkpoints[key] = checkpoint
        while len(self._checkpoints) > MOST_CHECKPOINTS:
            del self._checkpoints[next(iter(self._checkpoints))]

    def checkpoint_at(self, key: Hashable) -> Checkpoint | None:
        """What has arrived under that key before."""
        checkpoint = self._checkpoints.pop(key, None)
        if checkpoint is not None:
            self._checkpoints[key] = checkpoint
        return checkpoint

    def drop_checkpoint(self) -> bool:
        """Lets go of the checkpoint that was not used for longest; False when there is none."""
        if not self._checkpoints:
            return False
        del self._checkpoints[next(iter(self._checkpoints))]
        return True

    def kept_bytes(self) -> int:
        """Memory that keeping this pass costs."""
        checkpoint_at = [
            a.relevance
            for checkpoint in self._checkpoints.values()
            for a in checkpoint.pending.values()
        ]
        recorded = [tensor for record in self.records.values() for tensor in record.kept()]
        given = [tensor for tensors in self.given.values() for tensor in tensors]
        others = (self._winners, self.rectified)
        kept = [
            self.output,
            *given,
            *(t for o in others for t in o.values()),
            *recorded,
            *checkpoint_at,
        ]
        storages = [tensor.untyped_storage() for tensor in kept]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _range_of(images: Tensor, bounds: Range) -> Range:
    """The bounds (C,) of a pixel as images (N, C, H, W) that take no memory."""
    low, high = (bound.to(images).view(-1, 1, 1).expand_as(images) for bound in bounds)
    return low, high


def _range(step: Step, values: Mapping[int, Any], ranges: Mapping[int, Range]) -> Range:
    """Lowest and highest value of a `pixelwise` step."""
    ends = [
        step.run(*(ranges[s][end] if s in ranges else values[s] for s in step.sources))
        for end in (0, 1)
    ]
    return torch.minimum(*ends), torch.maximum(*ends)


def _stand_in(x: Any) -> Any:
    return x.new_zeros(()).expand(x.shape) if isinstance(x, Tensor) else x


def _as_convolution(layer: nn.Linear) -> nn.Conv2d:
    """The 1x1 convolution that does what a dense layer does at every place, with its weights."""
    conv = nn.Conv2d(layer.in_features, layer.out_features, 1, device="meta")
    conv.weight = nn.Parameter(layer.weight.detach()[..., None, None], requires_grad=False)
    bias = layer.bias
    conv.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
    return conv.eval()


def _check(step: Step, given: tuple[Tensor, ...], value: Any, images: int) -> None:
    """Refuses what would hand relevance of one image to another, or `pass` between shapes."""
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != images:
        raise InputError(
            f"'{step.name}' gives {_shape(value)} for {images} images; expected a tensor (N, …) "
            "whose first dimension is that of the images everywhere in the network"
        )
    if step.kind == "pass" and given[0].shape != value.shape:
        raise InputError(
            f"'{step.name}': relevance cannot pass unchanged from {_shape(value)} to "
            f"{_shape(given[0])}; expected equal shapes, or a function to be registered"
        )


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _read_by_relu_alone(steps: Sequence[Step]) -> dict[int, int]:
    """Places of ReLUs that alone read a layer, sum or batch norm, with its place."""
    read_by = readers(steps)
    return {
        place: step.sources[0]
        for place, step in enumerate(steps)
        if step.kind == "relu"
        and step.sources[0] >= 0
        and steps[step.sources[0]].kind in ("weighted", "sum", "affine")
        and read_by[step.sources[0]] == [place]
    }


def pool_arguments(pool: nn.Module | None) -> tuple[Any, ...]:
    """Window, stride, padding, dilation and ceil_mode of a max pool."""
    assert isinstance(pool, nn.MaxPool2d)
    return (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)
