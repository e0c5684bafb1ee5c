"""What a rule is, with its parameters and options, and what one layer gets of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lrpsweep.attribution.lrp.operations.operation import WEIGHTED

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

    def allows(self, value: float) -> bool:
        """Whether the parameter may have this value."""
        most = min(self.high, sys.float_info.max)
        return self.infinite if value == math.inf else self.low <= value <= most

    @property
    def requirement(self) -> str:
        """What `allows` asks for, in words."""
        if math.isfinite(self.high):
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a number of at least {self.low:g}{', or inf' if self.infinite else ''}"


@dataclass(frozen=True)
class Option:
    """A choice between named variants of a rule, the usual one first.

    mixes_images: the variants under which an image's relevance depends on the batch it is in.
    """

    name: str
    values: tuple[str, ...]
    mixes_images: tuple[str, ...] = ()


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
