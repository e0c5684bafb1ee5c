"""Relevance from the output to the images, under one set of rules.

The rules of a sweep's trials often agree in their upper groups of layers. The relevance that
arrives below those depends on them alone, so it is kept with the batch, and the next trial that
agrees begins there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from lrpsweep.attribution.lrp.balance import Account, Arriving, Balance, per_image
from lrpsweep.attribution.lrp.forward import Checkpoint, ForwardPass
from lrpsweep.attribution.lrp.operations.arithmetic import CONSTANT
from lrpsweep.attribution.lrp.operations.operation import Propagation, check_shapes
from lrpsweep.attribution.lrp.rules import RULES, LayerRule

Watch = Callable[[str, Tensor, Sequence[Tensor]], None]


@dataclass(frozen=True)
class BackwardPass:
    """One backward pass through a batch's network.

    rules: of every step that takes one, by place, with all of their settings. stabilizer: of
    averages and sums. watch: called for each step with its name, the relevance of its output, and
    that of its inputs.
    """

    forward: ForwardPass
    rules: Mapping[int, LayerRule]
    stabilizer: float
    watch: Watch | None = None

    def propagate(self, start: Tensor, balance: Balance, *, keep: bool) -> Tensor:
        """Relevance (N, classes) of the output -> (N, C, *spatial) of the images.

        keep: whether the relevance that arrives at each group of layers is kept for passes whose
        upper groups have the same rules.
        """
        begins = dict(self._begins())
        checkpoints = dict(self._checkpoints(start, begins)) if keep else {}
        last = len(self.forward.steps) - 1
        place, pending = self._resume(checkpoints, balance) or (last, {last: Arriving(start)})
        account = None
        for now in range(place, -1, -1):
            if now in begins or account is None:
                unspent = [arriving.relevance for arriving in pending.values()]
                if account is not None:
                    account.close(unspent)
                    if now in checkpoints:
                        self.forward.checkpoint(
                            checkpoints[now], Checkpoint(dict(pending), balance.copy())
                        )
                account = Account(begins[now], unspent, balance)
            arriving = pending.pop(now, None)
            if arriving is not None:
                self._pass_on(now, arriving, pending, balance)
        assert account is not None
        account.close([pending[-1].relevance])
        return pending[-1].relevance

    def _begins(self) -> Iterator[tuple[int, str]]:
        """The places where a group begins, with its name; the uppermost begins at the output."""
        group = None
        for place in sorted(self.forward.records, reverse=True):
            found = self.rules[place].group
            if found != group:
                yield (len(self.forward.steps) - 1 if group is None else place), found
            group = found

    def _resume(
        self, checkpoints: Mapping[int, Hashable], balance: Balance
    ) -> tuple[int, dict[int, Arriving]] | None:
        """The lowest place with a kept checkpoint, and the relevance pending there."""
        for place in sorted(checkpoints):
            checkpoint = self.forward.checkpoint_at(checkpoints[place])
            if checkpoint is not None:
                balance.take(checkpoint.balance)
                return place, dict(checkpoint.pending)
        return None

    def _checkpoints(
        self, start: Tensor, begins: Mapping[int, str]
    ) -> Iterator[tuple[int, Hashable]]:
        """The places where a lower group begins, with all that decides what arrives there."""
        above: list[Hashable] = [start.cpu().numpy().tobytes(), self.stabilizer]
        for place in sorted(self.rules, reverse=True):
            if place in begins and len(above) > 2:
                yield place, tuple(above)
            rule = self.rules[place]
            above.append((place, rule.group, rule.rule, tuple(sorted(rule.settings.items()))))

    def _pass_on(
        self, place: int, arriving: Arriving, pending: dict[int, Arriving], balance: Balance
    ) -> None:
        step = self.forward.steps[place]
        if step.operation == CONSTANT:  # a parameter or number that was added: it is a bias
            balance.bias += per_image(arriving.relevance)
            return
        lower = (self._weighted if step.weighted else self._unweighted)(place, arriving, balance)
        if self.watch is not None:
            self.watch(step.name, arriving.relevance, [part.relevance for part in lower])
        for source, part in zip(step.relevant_sources, lower, strict=True):
            before = pending.get(source)
            pending[source] = part if before is None else _both(before, part)

    def _weighted(self, place: int, arriving: Arriving, balance: Balance) -> list[Arriving]:
        """By the layer's rule, (N, *out) -> (N, *in)."""
        forward, chosen = self.forward, self.rules[place]
        arriving = Arriving(forward.channels_first(place, arriving.relevance), arriving.rectified)
        rule = RULES[chosen.rule]
        record = forward.records[place]
        lower = rule.function(record, arriving, balance, **chosen.settings)
        check_shapes(
            f"layer '{forward.steps[place].name}': the rule {rule.name}", [lower], [record.x]
        )
        return [Arriving(forward.channels_last(place, lower), rule.keeps_support)]

    def _unweighted(self, place: int, arriving: Arriving, balance: Balance) -> list[Arriving]:
        """By the operation's rule, if it takes one, else by its kind."""
        propagation = Propagation(self.forward, place, arriving, balance, self.stabilizer)
        chosen = self.rules.get(place)
        if chosen is None:
            backward = propagation.step.operation.backward
            assert backward is not None
            return backward(propagation)
        lower: list[Arriving] = RULES[chosen.rule].function(propagation, **chosen.settings)
        what = f"'{propagation.step.name}': the rule {chosen.rule}"
        check_shapes(what, [part.relevance for part in lower], propagation.inputs)
        return lower


def _both(one: Arriving, other: Arriving) -> Arriving:
    return Arriving(one.relevance + other.relevance, one.rectified and other.rectified)
