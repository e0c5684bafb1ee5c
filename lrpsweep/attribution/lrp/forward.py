"""What the network computed on one batch, as far as the backward pass needs it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrpsweep.attribution.lrp.balance import Arriving, Balance
from lrpsweep.attribution.lrp.graph import Step, pixelwise, reached, readers
from lrpsweep.attribution.lrp.operations.activation import pass_rectified, pass_unchanged
from lrpsweep.attribution.lrp.operations.arithmetic import CONSTANT, SUM
from lrpsweep.attribution.lrp.operations.linear import as_convolution
from lrpsweep.attribution.lrp.operations.normalisation import AFFINE
from lrpsweep.attribution.lrp.record import Record
from lrpsweep.errors import InputError

Ends = tuple[Tensor, Tensor]
"""Lowest and highest values."""

MOST_CHECKPOINTS = 16
"""How many checkpoints a batch keeps; the one that was not used for longest goes."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of the backward pass at one place."""

    pending: Mapping[int, Arriving]
    balance: Balance


class ForwardPass:
    """A batch as the network saw it: what each step read, and a `Record` per weighted one.

    Everything is kept by a step's place, so that a layer used twice has two records. given: what
    each step read, (N, …) each; where a kind needs no values, what gets relevance is a stand-in of
    that shape that takes no memory. What else is read, as an index, is kept as it is.
    rectified: what a ReLU made of a sum or batch norm that it alone reads.
    """

    def __init__(self, steps: Sequence[Step], images: Tensor, bounds: Ends | None):
        self.steps, self.bounds = steps, bounds
        self.records: dict[int, Record] = {}
        self.given: dict[int, tuple[Tensor, ...]] = {}
        self.rectified: dict[int, Tensor] = {}
        self._cached: dict[int, Tensor] = {}
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
            if place in relevant and step.operation != CONSTANT:
                _check(step, given, value, len(images))
                self._remember(place, given, ranges)
            if place in pixels and self.bounds is not None:
                ranges[place] = _range(step, values, ranges)
            if place in rectified:
                self._rectify(rectified[place], value)
            for source in step.sources:
                if last[source] == place:
                    values.pop(source, None)
        scores: Tensor = values[len(self.steps) - 1]
        return scores

    def _remember(self, place: int, given: tuple[Tensor, ...], ranges: Mapping[int, Ends]) -> None:
        step = self.steps[place]
        if step.operation.needs_values:
            self.given[place] = given
            for source, value in zip(step.sources, given, strict=True):
                if source in self.records:  # kept for this step: no need to compute it again
                    self.records[source].output = self.channels_first(source, value)
        else:
            signals = len(step.relevant_sources)
            self.given[place] = (*map(_stand_in, given[:signals]), *given[signals:])
        if step.weighted:
            self.records[place] = self._record(place, given[0], ranges)

    def _rectify(self, place: int, value: Tensor) -> None:
        """Keeps ReLU(z) of what is at `place`, if relevance comes to it."""
        if place in self.records:
            self.records[place].rectified = self.channels_first(place, value)
        elif place in self.given:
            self.rectified[place] = value

    def _record(self, place: int, x: Tensor, ranges: Mapping[int, Ends]) -> Record:
        layer = self.steps[place].module
        assert layer is not None
        if self.reads_tokens(place):
            assert isinstance(layer, nn.Linear)
            layer = as_convolution(layer)
        ends = ranges.get(self.steps[place].sources[0], ())
        return Record(
            layer, self.channels_first(place, x), None, *(end[:1].clone() for end in ends)
        )

    def reads_tokens(self, place: int) -> bool:
        """Whether it is a dense layer at each of several places: (N, *places, F)."""
        weights = self.steps[place].operation.weights
        return weights is not None and weights.channels_last and self.given[place][0].ndim > 2

    def channels_first(self, place: int, value: Tensor) -> Tensor:
        """What a layer reads or gives as its record knows it: (N, *places, F) -> (N, F, P, 1)."""
        return value.flatten(1, -2).mT[..., None] if self.reads_tokens(place) else value

    def channels_last(self, place: int, value: Tensor) -> Tensor:
        """The inverse of `channels_first`, for what the layer at `place` reads."""
        if not self.reads_tokens(place):
            return value
        return value[..., 0].mT.reshape(self.given[place][0].shape)

    def cached(self, place: int, compute: Callable[[], Tensor]) -> Tensor:
        """What the step at `place` needs in every backward pass, computed for the first one."""
        if place not in self._cached:
            self._cached[place] = compute()
        return self._cached[place]

    def checkpoint(self, key: Hashable, checkpoint: Checkpoint) -> None:
        """Keeps a checkpoint when its key comes for the second time.

        key: the place, and all rules above it. Most keys of a sweep come only once, and their
        checkpoints would take memory for nothing.
        """
        if hash(key) not in self._seen:
            self._seen.add(hash(key))
            return
        self._checkpoints[key] = checkpoint
        if len(self._checkpoints) > MOST_CHECKPOINTS:
            self.drop_checkpoint()

    def checkpoint_at(self, key: Hashable) -> Checkpoint | None:
        """The checkpoint kept under that key, if there is one; it now counts as used last."""
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
        kept = [self.output, *self._cached.values(), *self.rectified.values()]
        for tensors in self.given.values():
            kept += (tensor for tensor in tensors if isinstance(tensor, Tensor))
        for record in self.records.values():
            kept += record.kept()
        for checkpoint in self._checkpoints.values():
            kept += (arriving.relevance for arriving in checkpoint.pending.values())
        storages = [tensor.untyped_storage() for tensor in kept]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _range_of(images: Tensor, bounds: Ends) -> Ends:
    """The bounds (C,) of a pixel as images (N, C, …) that take no memory."""
    places = (1,) * (images.ndim - 2)
    low, high = (bound.to(images).view(-1, *places).expand_as(images) for bound in bounds)
    return low, high


def _range(step: Step, values: Mapping[int, Any], ranges: Mapping[int, Ends]) -> Ends:
    """Lowest and highest value of a `pixelwise` step."""
    ends = [
        step.run(*(ranges[s][end] if s in ranges else values[s] for s in step.sources))
        for end in (0, 1)
    ]
    return torch.minimum(*ends), torch.maximum(*ends)


def _stand_in(x: Tensor) -> Tensor:
    return x.new_zeros(()).expand(x.shape)


def _check(step: Step, given: tuple[Tensor, ...], value: Any, images: int) -> None:
    """Refuses what would hand relevance of one image to another, or `pass` between shapes."""
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != images:
        raise InputError(
            f"'{step.name}' gives {shape_of(value)} for {images} images; expected a tensor (N, …) "
            "whose first dimension is that of the images everywhere in the network"
        )
    if step.operation.backward is pass_unchanged and given[0].shape != value.shape:
        raise InputError(
            f"'{step.name}': relevance cannot pass unchanged from {shape_of(value)} to "
            f"{shape_of(given[0])}; expected equal shapes, or a function to be registered"
        )


def shape_of(value: Any) -> str:
    """Of a tensor, else the value's type, for messages."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _read_by_relu_alone(steps: Sequence[Step]) -> dict[int, int]:
    """Places of ReLUs that alone read a layer, sum or batch norm, with its place."""
    read_by = readers(steps)
    return {
        place: step.sources[0]
        for place, step in enumerate(steps)
        if step.operation.backward is pass_rectified
        and step.sources[0] >= 0
        and (steps[step.sources[0]].weighted or steps[step.sources[0]].operation in (SUM, AFFINE))
        and read_by[step.sources[0]] == [place]
    }
