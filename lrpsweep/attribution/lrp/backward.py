"""Relevance on its way from the output to the images, under one composite.

Composites of a sweep often agree in their upper blocks. What arrives at the first block that is
not the same depends on those alone, so it is kept with the batch and taken up there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from lrpsweep.attribution.lrp.balance import Account, Balance, per_image
from lrpsweep.attribution.lrp.forward import Checkpoint, ForwardPass
from lrpsweep.attribution.lrp.operations.relevance import BACKWARD, Propagation
from lrpsweep.attribution.lrp.rules import RULES, Arriving

if TYPE_CHECKING:
    from lrpsweep.composites.block import Block

Watch = Callable[[str, Tensor, Sequence[Tensor]], None]


@dataclass(frozen=True)
class BackwardPass:
    """The way down through a batch's network.

    rules: the block of every layer, by name. summed: places of the max pools that share relevance
    instead of giving it to the winner. stabilizer: of averages and sums. watch: told, step by step,
    the step's name, what arrives and what it passes on.
    """

    forward: ForwardPass
    rules: Mapping[str, Block]
    summed: frozenset[int]
    stabilizer: float
    watch: Watch | None = None

    def propagate(self, start: Tensor, balance: Balance, *, keep: bool) -> Tensor:
        """Relevance (N, classes) at the output -> (N, C, H, W) at the images.

        keep: whether what arrives at each block is kept for composites with the same upper blocks.
        """
        begins = dict(self._begins())
        checkpoints = dict(self._checkpoints(start, begins)) if keep else {}
        place, pending = self._taken_up(checkpoints, balance)
        if pending is None:
            place, pending = (
                len(self.forward.steps) - 1,
                {len(self.forward.steps) - 1: Arriving(start)},
            )
        account = None
        for now in range(place, -1, -1):
            if now in begins or account is None:
                on_its_way = [arriving.relevance for arriving in pending.values()]
                if account is not None:
                    account.close(on_its_way)
                    if now in checkpoints:
                        self.forward.checkpoint(
                            checkpoints[now], Checkpoint(dict(pending), balance.copy())
                        )
                account = Account(begins[now], on_its_way, balance)
            arriving = pending.pop(now, None)
            if arriving is not None:
                self._pass_on(now, arriving, pending, balance)
        assert account is not None
        account.close([pending[-1].relevance])
        return pending[-1].relevance

    def _begins(self) -> Iterator[tuple[int, str]]:
        """The places where a block begins, with its name; the uppermost begins at the output."""
        block = None
        for place in sorted(self.forward.records, reverse=True):
            found = self.rules[self.forward.steps[place].name]
            if found is not block:
                yield (len(self.forward.steps) - 1 if block is None else place), found.name
            block = found

    def _taken_up(
        self, checkpoints: Mapping[int, Hashable], balance: Balance
    ) -> tuple[int, dict[int, Arriving] | None]:
        """The lowest place that was checkpoint_at at before, and what was pending there."""
        for place in sorted(checkpoints):
            checkpoint = self.forward.checkpoint_at(checkpoints[place])
            if checkpoint is not None:
                balance.take(checkpoint.balance)
                return place, dict(checkpoint.pending)
        return -1, None

    def _checkpoints(
        self, start: Tensor, begins: Mapping[int, str]
    ) -> Iterator[tuple[int, Hashable]]:
        """The places where a lower block begins, with all that decides what arrives there."""
        above: list[Hashable] = [start.cpu().numpy().tobytes(), self.stabilizer]
        for place in sorted(self.forward.records, reverse=True):
            if place in begins and len(above) > 2:
                yield place, (tuple(above), frozenset(p for p in self.summed if p > place))
            block = self.rules[self.forward.steps[place].name]
            above.append((place, block.name, block.rule, tuple(sorted(block.arguments.items()))))

    def _pass_on(
        self, place: int, arriving: Arriving, pending: dict[int, Arriving], balance: Balance
    ) -> None:
        step = self.forward.steps[place]
        if step.kind == "constant":  # a parameter or number that was added: a bias by another name
            balance.bias += per_image(arriving.relevance)
            return
        if step.kind == "weighted":
            lower = [self._weighted(place, arriving, balance)]
        else:
            propagation = Propagation(self.forward, place, arriving, balance, self.stabilizer)
            lower = BACKWARD["sum_pool" if place in self.summed else step.kind](propagation)
        if self.watch is not None:
            self.watch(step.name, arriving.relevance, [part.relevance for part in lower])
        for source, part in zip(step.heirs, lower, strict=True):
            before = pending.get(source)
            pending[source] = part if before is None else _both(before, part)

    def _weighted(self, place: int, arriving: Arriving, balance: Balance) -> Arriving:
        """By the block's rule, (N, *out) -> (N, *in)."""
        forward, block = self.forward, self.rules[self.forward.steps[place].name]
        arriving = Arriving(forward.channels_first(place, arriving.relevance), arriving.rectified)
        rule = RULES[block.rule]
        lower = rule.function(forward.records[place], arriving, balance, **block.arguments)
        return Arriving(forward.channels_last(place, lower), rule.keeps_support)


def _both(one: Arriving, other: Arriving) -> Arriving:
    return Arriving(one.relevance + other.relevance, one.rectified and other.rectified)
