"""What a rule is, with its parameters and options, and what one layer gets of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lrpsweep.attribution.lrp.operations.operation import WEIGHTED
from lrpsweep.errors import InputError, guess
from lrpsweep.registry import find_registry

Settings = Mapping[str, Any]
"""What a rule's function is called with, by name: floats, words, and `bounds`."""


@dataclass(frozen=True)
class Parameter:
    """A number that a rule takes.

    low, high: the range of finite values, both included; infinite: whether inf is one more value.
    default: its value where none is given; None: one has to be given. decays: whether a block may
    have it decay with depth.
    """

    name: str
    low: float = 0.0
    high: float = math.inf
    infinite: bool = False
    default: float | None = None
    decays: bool = False

    def allows(self, value: object) -> bool:
        """Whether the parameter may have this value: a number in its range, or 'inf'."""
        if isinstance(value, str):
            return self.infinite and value == "inf"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        most = min(self.high, sys.float_info.max)
        return self.infinite if value == math.inf else self.low <= value <= most

    @property
    def requirement(self) -> str:
        """What `allows` asks for, in words."""
        if math.isfinite(self.high):
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a number of at least {self.low:g}{', or inf' if self.infinite else ''}"

    def check(self, value: Any, place: str) -> float:
        """The value as a number. Raises InputError, which begins with `place`, for a wrong one."""
        if not self.allows(value):
            raise _refusal(self, value, place)
        return float(value)


@dataclass(frozen=True)
class Option:
    """A choice between named variants of a rule, the usual one first.

    mixes_images: the variants under which an image's relevance depends on the batch it is in.
    """

    name: str
    values: tuple[str, ...]
    mixes_images: tuple[str, ...] = ()

    @property
    def usual(self) -> str:
        """The variant that it has where none is given."""
        return self.values[0]

    def allows(self, value: object) -> bool:
        """Whether it is one of the variants."""
        return value in self.values

    @property
    def requirement(self) -> str:
        """What `allows` asks for, in words."""
        return f"one of {', '.join(self.values)}"

    def check(self, value: Any, place: str) -> str:
        """The value as a word. Raises InputError, which begins with `place`, for a wrong one."""
        if not self.allows(value):
            raise _refusal(self, value, place, guess(str(value), self.values))
        return str(value)


def _refusal(setting: Parameter | Option, value: object, place: str, near: str = "") -> InputError:
    found = "missing" if value is None else f"found {value!r}"
    return InputError(f"{place}.{setting.name}: {found}; expected {setting.requirement}.{near}")


@dataclass(frozen=True)
class LayerRule:
    """What one layer gets: a rule by name with its settings, resolved to numbers and words.

    settings: arguments of the rule's function; what is not said has the rule's default. group:
    layers of one group are accounted for together, as the blocks of a composite are.
    """

    rule: str
    settings: Settings = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule by its name in a study, and all that a study, a table or an export has to know of it.

    function: of a layer with weights, (record, arriving, balance, **settings) -> relevance of the
    layer's input, (N, *in); of another operation, (propagation, **settings) -> the `Arriving` of
    each of its inputs. Settings are the rule's parameters, options and, if `bounded`, bounds.
    title: as papers write it. keeps_support: whether an input of 0 gets no relevance: what passes a
    ReLU is 0 wherever the ReLU is. on: the kind of operation that the rule is for. pooling: whether
    the option `pooling` of a block means it, for the max pools that read its layers. refusal: what
    is wrong with a module for which the rule cannot be, None: nothing. same_as: the other rule that
    does the same under these settings, if there is one. zennit: the settings as zennit's rule, for
    `zennit.loader.build_rule`, None: no rule of zennit's is needed; raises InputError for settings
    that zennit lacks.
    """

    name: str
    function: Callable[..., Any]
    title: str
    parameters: tuple[Parameter, ...] = ()
    options: tuple[Option, ...] = ()
    keeps_support: bool = False
    bounded: bool = False
    on: str = WEIGHTED
    pooling: bool = False
    refusal: Callable[[nn.Module], str | None] | None = None
    same_as: Callable[[Settings], LayerRule | None] | None = None
    zennit: Callable[[Settings], Mapping[str, Any] | None] | None = None

    @property
    def for_weights(self) -> bool:
        """Whether it is for layers with weights."""
        return self.on == WEIGHTED

    @property
    def choices(self) -> tuple[Option, ...]:
        """What a block may choose: the options, and the rule of max pools that read its layers."""
        pools = tuple(rule.name for rule in find_registry("rule").values() if rule.pooling)
        return (*self.options, *([Option("pooling", pools)] if self.for_weights else []))

    def resolve(self, given: Settings, place: str) -> Settings:
        """All of its settings: what is not given has its default.

        place: where the rule stands, for messages. `stabilize` 'none' is a stabilizer of 0. Raises
        InputError for a setting that there is not, and for a value that it may not have.
        """
        known = [*(p.name for p in self.parameters), *(o.name for o in self.options)]
        known += ["bounds"] if self.bounded else []
        for name in given:
            if name not in known:
                raise InputError(
                    f"{place}.{name}: the rule {self.name} has no such setting; expected one of "
                    f"{', '.join(known) or 'none'}.{guess(name, known)}"
                )
        found: dict[str, Any] = {
            **{p.name: p.check(given.get(p.name, p.default), place) for p in self.parameters},
            **{o.name: o.check(given.get(o.name, o.usual), place) for o in self.options},
            **({"bounds": given["bounds"]} if "bounds" in given else {}),
        }
        if found.get("stabilize") == "none":
            found |= {"stabilize": "signed", "stabilizer": 0.0}
        return found
