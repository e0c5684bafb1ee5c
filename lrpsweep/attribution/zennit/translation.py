"""Settings of LRP's rules as plain values from which `loader.build_rule` builds zennit's rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lrpsweep.attribution.lrp.rule import Settings
from lrpsweep.errors import InputError


def of_class(
    kind: str, *, named: str = "stabilizer", **arguments: Any
) -> Callable[[Settings], dict[str, Any]]:
    """zennit's class of that name, whose denominator is stabilized as the settings say."""
    return lambda settings: {
        "class": kind,
        "arguments": arguments,
        "denominator": {named: [[settings["stabilize"], settings["stabilizer"]]]},
    }


def epsilon(settings: Settings) -> dict[str, Any]:
    """Signed, the larger one of ε and stabilizer; else one after the other."""
    number, form, stabilizer = (settings[name] for name in ("epsilon", "form", "stabilizer"))
    steps = [[form, number], ["signed", stabilizer]]
    if form == "signed":
        steps = [["signed", max(number, stabilizer)]]
    return {"class": "Epsilon", "arguments": {}, "denominator": {"epsilon": steps}}


def gamma(settings: Settings) -> dict[str, Any]:
    """zennit scales the bias or drops it. Raises InputError for γ = inf and a kept bias."""
    number, bias = settings["gamma"], settings["bias"]
    if math.isinf(number):
        raise InputError("gamma: inf; zennit's Gamma takes finite numbers")
    if bias == "kept" and number > 0:
        raise InputError("bias: kept; zennit's Gamma scales the bias or drops it")
    dropped: dict[str, Any] = {"zero_params": ["bias"]} if bias == "dropped" else {}
    return of_class("Gamma", gamma=number, **dropped)(settings)


def alpha_beta(settings: Settings) -> dict[str, Any]:
    """β = α − 1."""
    alpha = settings["alpha"]
    return of_class("AlphaBeta", alpha=alpha, beta=alpha - 1)(settings)


def z_box(settings: Settings) -> dict[str, Any]:
    """With its bounds, by channel."""
    low, high = (list(bound) for bound in settings["bounds"])
    return {**of_class("ZBox")(settings), "channels": {"low": low, "high": high}}


def unchanged(settings: Settings) -> dict[str, Any]:
    """The rule `pass`."""
    return {"class": "Pass", "arguments": {}, "denominator": {}}
