"""Which hyperparameters and options a rule takes: names and bounds only, no mathematics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

RULES: Mapping[str, tuple[str, ...]] = {
    "zero": (),
    "epsilon": ("epsilon",),
    "gamma": ("gamma",),
    "alpha_beta": ("alpha",),
    "z_plus": (),
    "z_box": (),
    "w_square": (),
    "flat": (),
    "pass": (),
}
"""Rule to the hyperparameters it needs; all but `pass` also take `stabilizer`. β is α − 1."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "bias": ("scaled", "kept", "dropped"),
    "form": ("signed", "unsigned", "rms", "rms_batch"),
    "stabilize": ("signed", "unsigned", "clip", "none"),
    "pooling": ("winner", "sum"),
}
"""Named variants of a rule, the usual one first; `attribution.lrp.rules` says what they do.

bias: what γ does to the bias in the denominator. form: how ε is added to z. stabilize: how the
stabilizer keeps the denominator from zero; 'none' is a stabilizer of 0. pooling: who gets the
relevance of the max pools that read the block's layers: the largest value, or all by their size.
"""

LOWEST: Mapping[str, float] = {
    "gamma": 0.0,
    "epsilon": 0.0,
    "alpha": 1.0,
    "stabilizer": 0.0,
    "decay": 0.0,
}
"""Smallest sensible value of each number that a block may have. Only γ may be infinite.

decay: what γ is multiplied by from one depth of the block to the next one up; at most 1.
"""

STABILIZER = 1e-6
HUGE = 1e100
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def hyperparameters(rule: str) -> tuple[str, ...]:
    """All that the rule takes."""
    return RULES[rule] if rule == "pass" else (*RULES[rule], "stabilizer")


def extras(rule: str) -> tuple[str, ...]:
    """What a block of the rule may have besides, and a single layer has not."""
    return {"gamma": ("decay",), "z_box": ("low", "high")}.get(rule, ())


def options(rule: str) -> tuple[str, ...]:
    """The options that the rule takes. The stabilizer of `epsilon` is only its smallest ε."""
    own = {"gamma": ("bias", "stabilize"), "epsilon": ("form",), "pass": ()}
    return (*own.get(rule, ("stabilize",)), "pooling")


def reference(value: object) -> str | None:
    """The searched name that '$name' stands for; None for anything else."""
    return value[1:] if isinstance(value, str) and value.startswith("$") else None


def allows(hyper: str, value: object) -> bool:
    """Whether a hyperparameter may take this number; 'inf' is one for γ."""
    if value == "inf":
        value = float("inf")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if hyper == "decay":
        return 0 <= value <= 1
    return value >= LOWEST[hyper] and (value != float("inf") or hyper == "gamma")


def requirement(hyper: str) -> str:
    """What `allows` asks for, in words."""
    if hyper == "decay":
        return "a number from 0 to 1"
    infinite = ", or inf" if hyper == "gamma" else ""
    return f"a number of at least {LOWEST[hyper]:g}{infinite}"


def _hyper(value: Any) -> float | str:
    if value in ("inf", float("inf")):
        return float("inf")
    name = reference(value)
    if name is not None and NAME.fullmatch(name):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
        raise PydanticCustomError("hyper", "Input should be a number, 'inf' or '$name'")
    return float(value) + 0.0  # -0.0 becomes 0.0


Hyper = Annotated[float | str, PlainValidator(_hyper)]
"""A hyperparameter in a study: a float (γ may be inf) or '$name' of a searched one."""
