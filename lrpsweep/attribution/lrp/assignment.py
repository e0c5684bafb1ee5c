"""Which rule each step of a network gets, checked against the step and the rules' table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from lrpsweep.attribution.lrp.graph import Step, pixelwise, reached
from lrpsweep.attribution.lrp.rules import RULES, LayerRule, default_rule, resolve
from lrpsweep.errors import InputError, guess


def assign_rules(
    steps: Sequence[Step], rules: Mapping[str, LayerRule], *, pixels_bounded: bool
) -> dict[int, LayerRule]:
    """The rules, with all of their settings, of the steps that take one and get relevance.

    steps: of the canonized network. rules: by name of a layer or max pool. pixels_bounded: whether
    lowest and highest pixel are known. Returns them by place in `steps`. Raises InputError for a
    layer without a rule, a rule without a layer, and a rule that is not for its layer.
    """
    kinds = {rule.on for rule in RULES.values()}
    names = {step.name for step in steps if step.kind in kinds}
    for name in rules:
        if name not in names:
            raise InputError(
                f"composite: no layer '{name}' takes a rule; expected names of layers with "
                f"weights, or of max pools.{guess(name, names)}"
            )
    places = sorted(place for place in reached(steps) if steps[place].kind in kinds)
    found = {place: _rule_of(steps[place], rules) for place in places}
    pixels = pixelwise(steps)
    for place, rule in found.items():
        if RULES[rule.rule].bounded:
            _check_bounds(steps[place], rule, pixels, pixels_bounded=pixels_bounded)
    return found


def _rule_of(step: Step, rules: Mapping[str, LayerRule]) -> LayerRule:
    given = rules.get(step.name) or default_rule(step.kind)
    if given is None:
        raise InputError(f"composite: layer '{step.name}' is in no block")
    where = field_of(step, given)
    resolved = resolve(given, where)
    rule = RULES[resolved.rule]
    if rule.on != step.kind:
        fitting = ", ".join(other.name for other in RULES.values() if other.on == step.kind)
        raise InputError(
            f"{where}.rule: {rule.name} on '{step.name}', which is of kind {step.kind}; expected "
            f"one of {fitting}"
        )
    refused = rule.refusal(step.module) if rule.refusal and step.module else None
    if refused is not None:
        raise InputError(f"{where}.rule: {rule.name} on '{step.name}', {refused}")
    return resolved


def field_of(step: Step, rule: LayerRule) -> str:
    """Where a composite says the step's rule, for messages."""
    return f"composite.{rule.group or step.name}"


def _check_bounds(step: Step, rule: LayerRule, pixels: set[int], *, pixels_bounded: bool) -> None:
    """pixels: the places of pixels. pixels_bounded: whether their bounds are known."""
    where, bounds = field_of(step, rule), rule.settings.get("bounds")
    if bounds is None:
        if step.sources[0] not in pixels:
            raise InputError(
                f"{where}.rule: {rule.rule} on '{step.name}', which does not read the images; "
                f"expected {rule.rule} on layers that read pixels, whose bounds are known, or the "
                "bounds of what it reads as low and high"
            )
        if not pixels_bounded:
            raise InputError(
                f"{where}.rule: {rule.rule} on '{step.name}' needs the lowest and highest value of "
                "a pixel; expected those of each channel, Explainer(net, bounds=(low, high))"
            )
        return
    layer, weights = step.layer
    reads = weights.reads(layer)
    for name, bound in zip(("low", "high"), bounds, strict=True):
        if len(bound) not in (1, reads):
            raise InputError(
                f"{where}.{name}: {len(bound)} numbers; expected one, or {reads}, one for each "
                f"channel that '{step.name}' reads"
            )
    low, high = (torch.tensor(bound, dtype=torch.float64) for bound in bounds)
    if not bool((low < high).all()):
        raise InputError(
            f"{where}.low: found low {list(bounds[0])} and high {list(bounds[1])}; expected each "
            "low one below its high one"
        )
