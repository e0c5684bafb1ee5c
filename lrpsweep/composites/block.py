"""Blocks and composites: as a study writes them, with values bound, and placed on a network.

One class of each goes all the way. A study's block has selectors and may have '$name' for what is
searched; `bind` replaces the names by values; `place` replaces the selectors by layers of a network
and gives every depth its decayed value. What comes of that is what a network is explained with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lrpsweep.composites.selectors import (
    assign_layers,
    assign_parts,
    bind_depths,
    depth_names,
    is_part,
    layers_of,
    part_end,
)
from lrpsweep.composites.values import Bounds, Number, names_in, reference, rounded
from lrpsweep.errors import InputError
from lrpsweep.registry import find_registry

if TYPE_CHECKING:
    from lrpsweep.attribution import LayerInfo
    from lrpsweep.attribution.lrp.rules import LayerRule, Rule

POOLING = "pooling"
"""The option of a block that is for the max pools that read its layers: their rule."""

NO_STABILIZER = "none"
"""The value of the option `stabilize` that means a stabilizer of 0."""


def find_rule(name: str, place: str) -> Rule:
    """The rule of that name. Raises InputError that lists the rules there are."""
    rule: Rule = find_registry("rule").find(name, place)
    return rule


@dataclass(frozen=True)
class Block:
    """Layers that share one rule.

    layers: selectors (see `composites.selectors`), one part of a published composite, or, of a
    placed block, names. rule: a name of RULES. values: its parameters; those that it has not are
    at their defaults. options: named variants of the rule, where they are not the usual ones, and
    `pooling`. decay: what a decaying parameter is multiplied by from one depth of the block to the
    next. bounds: of a bounded rule, in units of the layers' input; None: those of a pixel. moving:
    whether a depth of `layers` was searched: such a block takes its layers before others do, and
    may be left with none. Until it is bound, rule, values, options, decay and depths may be
    '$name'.
    """

    name: str
    layers: tuple[str, ...]
    rule: str
    values: Mapping[str, Number] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds | None = None
    decay: Number | None = None
    moving: bool = False

    @property
    def depths(self) -> tuple[str, ...]:
        """The searched names that stand for a depth of the network."""
        return depth_names(self.layers)

    @property
    def published(self) -> bool:
        """Whether it is for a part of a network, as blocks of published composites are."""
        return any(map(is_part, self.layers))

    def names(self, values: Mapping[str, Any]) -> Iterator[str]:
        """The searched names that the block depends on, given the values of some.

        In the order in which they are to be asked for. Which ones follow a searched rule, or a
        searched `stabilize`, hangs on its value: without it, they end there.
        """
        yield from names_in(self.rule)
        if any(name not in values for name in names_in(self.rule)):
            return
        rule = self._rule(values)
        words = self._words(rule)
        for word in words.values():
            yield from names_in(word)
        stabilize = words.get("stabilize")
        if any(name not in values for name in names_in(stabilize)):
            return
        without = _value(stabilize, values) == NO_STABILIZER
        for parameter in rule.parameters:
            if not (without and parameter.name == "stabilizer"):
                yield from names_in(self.values.get(parameter.name))
        if _decaying(rule):
            yield from names_in(self.decay)
        yield from self.depths

    def bind(self, values: Mapping[str, Any]) -> Block:
        """The block with every '$name' replaced by its value, and what its rule takes alone.

        Raises KeyError for a name without a value, InputError as `Rule.resolve` does.
        """
        rule = self._rule(values)
        words = {option: _value(word, values) for option, word in self._words(rule).items()}
        pooling = words.pop(POOLING, None)
        given = {p.name: self.values[p.name] for p in rule.parameters if p.name in self.values}
        if words.get("stabilize") == NO_STABILIZER:
            given.pop("stabilizer", None)  # whose name may have no value: see `names`
        numbers = {name: _number(value, values) for name, value in given.items()}
        settings = rule.resolve({**numbers, **words}, f"composite.{self.name}")
        chosen = {**settings, POOLING: pooling}
        decaying = self.decay is not None and _decaying(rule)
        decay = _number(self.decay, values) if decaying else 1.0
        return Block(
            self.name,
            tuple(bind_depths(selector, values) for selector in self.layers),
            rule.name,
            {parameter.name: settings[parameter.name] for parameter in rule.parameters},
            {o.name: chosen[o.name] for o in rule.choices if chosen[o.name] not in (None, o.usual)},
            self.bounds if rule.bounded else None,
            None if decay == 1 else decay,
            self.moving or (bool(self.depths) and not self.published),
        )

    def _rule(self, values: Mapping[str, Any]) -> Rule:
        return find_rule(_value(self.rule, values), f"composite.{self.name}.rule")

    def _words(self, rule: Rule) -> dict[str, str]:
        """The block's options that the rule takes, or the pools do."""
        return {o.name: self.options[o.name] for o in rule.choices if o.name in self.options}

    def fill(self, known: Mapping[str, float | str]) -> Block:
        """The block with names replaced by numbers, or by names of a study: '$name' again."""
        return replace(
            self,
            layers=tuple(bind_depths(selector, known) for selector in self.layers),
            values={name: _value(value, known) for name, value in self.values.items()},
            decay=_value(self.decay, known),
        )

    def place(self, names: Sequence[str], layers: Sequence[LayerInfo]) -> Iterator[Block]:
        """The block on layers of a network, or one for each of their depths where it decays.

        Depths at which the block has no layer do not count. An infinite value stays infinite. On no
        layers, there is no block.
        """
        if not names:
            return
        block = replace(self, layers=tuple(names), decay=None, moving=False)
        if self.decay is None:
            yield block
            return
        depth = {layer.name: layer.depth for layer in layers}
        decaying, decay = _decaying(self._rule({})), _number(self.decay, {})
        for power, now in enumerate(sorted({depth[name] for name in names})):
            own = {p: _decayed(_number(self.values[p], {}), decay, power) for p in decaying}
            yield replace(
                block,
                name=f"{self.name}.{power + 1}",
                layers=tuple(name for name in names if depth[name] == now),
                values={**self.values, **own},
            )

    @property
    def numbers(self) -> dict[str, float]:
        """The values of a bound block."""
        return {name: _number(value, {}) for name, value in self.values.items()}

    @property
    def arguments(self) -> dict[str, Any]:
        """What the rule of a bound block is called with."""
        bounds = {} if self.bounds is None else {"bounds": self.bounds}
        options = {o: v for o, v in self.options.items() if o != POOLING}
        return {**self.numbers, **options, **bounds}

    def to_json(self) -> dict[str, Any]:
        """A placed block as a composite.json has it: plain values, infinity as 'inf'."""
        low, high = self.bounds or ((), ())
        return {
            "block": self.name,
            "layers": list(self.layers),
            "rule": self.rule,
            "hyperparameters": {k: "inf" if math.isinf(v) else v for k, v in self.numbers.items()},
            **({"options": dict(self.options)} if self.options else {}),
            **({"bounds": {"low": list(low), "high": list(high)}} if self.bounds else {}),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Block:
        """The inverse of `to_json`, for values that were checked (see `composites.file`)."""
        bounds = found.get("bounds")
        return cls(
            found["block"],
            tuple(found["layers"]),
            found["rule"],
            {name: _number(value, {}) for name, value in found["hyperparameters"].items()},
            dict(found.get("options") or {}),
            bounds=bounds and (tuple(map(float, bounds["low"])), tuple(map(float, bounds["high"]))),
        )


def _value(given: Any, values: Mapping[str, Any]) -> Any:
    """What was given, or the value of the searched name that it stands for; in tuples, of each."""
    if isinstance(given, tuple):
        return tuple(_value(factor, values) for factor in given)
    name = reference(given)
    return given if name is None else values[name]


def _number(given: Any, values: Mapping[str, Any]) -> float:
    """A number, a searched one, or the product of several; 'inf' is infinite."""
    found = _value(given, values)
    return math.prod(map(float, found if isinstance(found, tuple) else (found,)))


def _decaying(rule: Rule) -> list[str]:
    return [parameter.name for parameter in rule.parameters if parameter.decays]


def _decayed(value: float, decay: float, power: int) -> float:
    return value if math.isinf(value) else rounded(value * decay**power)


@dataclass(frozen=True)
class Composite:
    """Blocks in order; placed on a network, every layer with weights is in exactly one."""

    blocks: tuple[Block, ...]

    @property
    def depths(self) -> tuple[str, ...]:
        """The searched names that stand for a depth of the network."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block.depths))

    def names(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The searched names that it depends on, given the values of some; see `Block.names`."""
        found: dict[str, None] = {}
        for block in self.blocks:
            named = dict.fromkeys(block.names(values))
            found |= named
            if any(name not in values for name in named):
                break
        return tuple(found)

    def independent(self) -> tuple[Composite, ...]:
        """Its blocks one by one; but those of a published composite share their hyperparameters."""
        if any(block.published for block in self.blocks):
            return (self,)
        return tuple(Composite((block,)) for block in self.blocks)

    def bind(self, values: Mapping[str, Any]) -> Composite:
        """With every '$name' replaced by its value. Unknown names raise KeyError."""
        return Composite(tuple(block.bind(values) for block in self.blocks))

    def place(self, layers: Sequence[LayerInfo]) -> Composite:
        """Bound blocks with their layers in a network; those with none are left out.

        Raises InputError, which names the block, when a selector means nothing, two blocks overlap,
        or a layer with weights is in none.
        """
        names = self._placed(layers)
        return Composite(
            tuple(
                placed
                for block in self.blocks
                for placed in block.place(names.get(block.name, ()), layers)
            )
        )

    def _placed(self, layers: Sequence[LayerInfo]) -> dict[str, tuple[str, ...]]:
        """The layers of each block."""
        rules = {block.name: block._rule({}) for block in self.blocks}
        weighted = [block for block in self.blocks if rules[block.name].for_weights]
        others = {
            block.name: layers_of(layers, block.name, block.layers, rules[block.name].on)
            for block in self.blocks
            if not rules[block.name].for_weights
        }
        if any(block.published for block in weighted):
            ends = {block.name: part_end(block.layers[0]) for block in weighted}
            return assign_parts(layers, ends) | others
        moving = [block.name for block in weighted if block.moving]
        return assign_layers(layers, {b.name: b.layers for b in weighted}, moving) | others

    def by_layer(self) -> dict[str, Block]:
        """The block of every layer, by the layer's name.

        Raises InputError when a layer is in two blocks.
        """
        found: dict[str, Block] = {}
        for block in self.blocks:
            for layer in block.layers:
                if layer in found:
                    raise InputError(
                        f"composite.{block.name}.layers: layer '{layer}' is in block "
                        f"'{found[layer].name}' already; expected every layer in one block"
                    )
                found[layer] = block
        return found

    def rules(self, layers: Sequence[LayerInfo]) -> dict[str, LayerRule]:
        """What the engine gets for a placed composite: a rule by the layer's or max pool's name.

        A max pool has the rule that its own block gives it, else the `pooling` of the block whose
        layer it reads, if any. Raises InputError when a layer is in two blocks.
        """
        from lrpsweep.attribution.lrp.rules import LayerRule

        blocks = self.by_layer()
        pools = {
            pool: LayerRule(block.options[POOLING], {}, block.name)
            for layer in layers
            if (block := blocks.get(layer.name)) is not None and POOLING in block.options
            for pool in layer.pools
        }
        own = {
            name: LayerRule(block.rule, block.arguments, block.name)
            for name, block in blocks.items()
        }
        return pools | own
