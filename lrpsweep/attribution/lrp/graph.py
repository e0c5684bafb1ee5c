"""The network's forward pass as a graph: a list of steps, each with what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from lrpsweep.attribution.lrp.calls import Call
from lrpsweep.attribution.lrp.operations.arithmetic import CONSTANT, GATE, SUM
from lrpsweep.attribution.lrp.operations.operation import Operation, Weights, settings_of


@dataclass(frozen=True)
class Step:
    """One operation: `run(*values) -> value` on what the steps `sources` gave (-1: the images).

    dim: along which a join concatenates. merged: names of the batch norms that this layer's weights
    have taken in. ndim: of what a batch norm reads, where that is known.
    """

    name: str
    operation: Operation
    sources: tuple[int, ...]
    run: Callable[..., Any]
    module: nn.Module | None = None
    dim: int = 1
    merged: tuple[str, ...] = ()
    ndim: int | None = None

    @property
    def kind(self) -> str:
        """The kind of its operation: 'weighted' for every layer with weights."""
        return self.operation.kind

    @property
    def layer(self) -> tuple[nn.Module, Weights]:
        """Of a layer with weights: its module, and how it computes."""
        assert self.module is not None
        assert self.operation.weights is not None
        return self.module, self.operation.weights

    @property
    def weighted(self) -> bool:
        """Whether it is a layer with weights, for which a composite has a rule."""
        return self.operation.weights is not None

    def settings(self, given: Sequence[Any]) -> dict[str, Any]:
        """A module's attributes, or a call's arguments by name for what it has read."""
        if isinstance(self.run, Call) and self.run.module is None:
            return self.run.arguments(*given)
        assert self.module is not None
        return settings_of(self.module)

    @property
    def relevant_sources(self) -> tuple[int, ...]:
        """The sources that relevance goes to: not to gates, sizes or parameters."""
        if self.operation == CONSTANT:
            return ()
        return self.sources if self.operation.all_sources else self.sources[:1]


def run(steps: Sequence[Step], images: Tensor) -> list[Any]:
    """Every step's value, in order; the last one is the model's output."""
    values: list[Any] = []
    for step in steps:
        values.append(step.run(*(values[i] if i >= 0 else images for i in step.sources)))
    return values


def reached(steps: Sequence[Step]) -> set[int]:
    """Places that relevance comes to from the last step, the class scores."""
    return _closure(steps, {len(steps) - 1}, lambda step: step.relevant_sources)


def _closure(
    steps: Sequence[Step], found: set[int], below: Callable[[Step], Sequence[int]]
) -> set[int]:
    for place in range(len(steps) - 1, -1, -1):
        if place in found:
            found.update(source for source in below(steps[place]) if source >= 0)
    return found


def readers(steps: Sequence[Step]) -> dict[int, list[int]]:
    """By place, which steps read it, as often as they do."""
    found: dict[int, list[int]] = {place: [] for place in range(-1, len(steps))}
    for place, step in enumerate(steps):
        for source in step.sources:
            found[source].append(place)
    return found


def without(steps: Sequence[Step], gone: set[int]) -> list[Step]:
    """The graph where those who read a step of `gone` read that step's first source instead."""
    moved = {-1: -1}
    kept: list[Step] = []
    for place, step in enumerate(steps):
        if place in gone:
            moved[place] = moved[step.sources[0]]
        else:
            moved[place] = len(kept)
            kept.append(replace(step, sources=tuple(moved[source] for source in step.sources)))
    return kept


def needed(steps: Sequence[Step]) -> list[Step]:
    """The graph without steps that the last one does not depend on."""
    wanted = _closure(steps, {len(steps) - 1}, lambda step: step.sources)
    renumbered = {-1: -1} | {place: i for i, place in enumerate(sorted(wanted))}
    return [
        replace(step, sources=tuple(renumbered[source] for source in step.sources))
        for place, step in enumerate(steps)
        if place in wanted
    ]


def pixelwise(steps: Sequence[Step]) -> set[int]:
    """Places whose values are pixels, moved, or scaled and shifted by constants; −1 is one."""
    found, constants = {-1}, set[int]()
    for place, step in enumerate(steps):
        varying = [source for source in step.sources if source not in constants]
        if not varying:
            constants.add(place)
        elif found.issuperset(varying) and (
            step.operation.moves or (step.operation in (GATE, SUM) and len(varying) == 1)
        ):
            found.add(place)
    return found


def averaged(steps: Sequence[Step]) -> set[int]:
    """Places whose values an average pooling reads, at once or in the end."""
    found: set[int] = set()
    for place in range(len(steps) - 1, -1, -1):
        if steps[place].operation.averages or place in found:
            found.update(steps[place].relevant_sources)
    return found


def layer_below(steps: Sequence[Step]) -> list[int]:
    """By place, the layer with weights whose output the step gives on: its place, or −1 for none.

    A layer gives its own; where several come together, the last one counts.
    """
    below: list[int] = []
    for place, step in enumerate(steps):
        sources = [below[source] if source >= 0 else -1 for source in step.relevant_sources]
        below.append(place if step.weighted else max(sources, default=-1))
    return below


def depths(steps: Sequence[Step]) -> dict[str, int]:
    """By name, how many layers with weights lie on the longest path from the images to each one.

    Only layers that relevance comes to. A layer used twice has the depth of its last use.
    """
    at = {-1: 0}
    found: dict[str, int] = {}
    relevant = reached(steps)
    for place, step in enumerate(steps):
        at[place] = max((at[source] for source in step.relevant_sources), default=0)
        if step.weighted and place in relevant:
            at[place] += 1
            found[step.name] = max(at[place], found.get(step.name, 0))
    return found
