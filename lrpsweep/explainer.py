"""LRP as a library: a network, images, and a composite by whatever name it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrpsweep.attribution import RULES, UNEXPLAINED, Engine, Explanation, LayerInfo, LayerRule
from lrpsweep.composites import Composite, preset, select_layers
from lrpsweep.composites.file import check_composite, composite_of, read_composite
from lrpsweep.errors import InputError, WorkError, guess

Wanted = str | Path | Composite | Mapping[str, Any]
"""A composite: a preset's name, the path of a composite.json, that file's content, a preset with
parameters, or rules by type or name of layers."""


class Explainer:
    """Explains a network's class scores by layer-wise relevance propagation.

    net: in eval mode, on the device and in the precision of the images; it is never changed, and
    may change between calls. bounds: (low, high), each (C,), of a normalised pixel, for z_box.
    unexplained: the largest part of a score that may get lost to rounding, or to a registered
    function that conserves nothing; None: any.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        bounds: tuple[Tensor, Tensor] | None = None,
        unexplained: float | None = UNEXPLAINED,
    ) -> None:
        self.engine = Engine(net, bounds)
        self.unexplained = unexplained

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The network's layers as it is now: their names and types, and which have weights."""
        self.engine.refresh()
        return self.engine.layers

    def __call__(
        self, images: Tensor, targets: Tensor, composite: Wanted, *, at: str | None = None
    ) -> Explanation:
        """Relevance of `images` (N, C, *spatial) for the logits `targets` (N,), or (N, T).

        composite: see `resolve`. at: the name of a layer, of whose output the relevance is wanted
        instead of the images'; where a batch norm was merged into the layer, of the batch norm's
        output. What bias and stabilizer took is that of the whole network then, too. Raises
        InputError for what does not fit the network, and WorkError when the relevance does not sum
        up to the score.
        """
        self.engine.check_batch(images, targets)
        rules = resolve(composite, self.engine.layers)
        if at is None:
            found = self.engine.attribute(images, targets, rules)
        else:
            found = self._inner(images, targets, rules, at)
        self._check_sum(found)
        return found

    def forget(self) -> None:
        """Has the network read anew by the next call; needed after `weight.data.mul_(…)` alone."""
        self.engine.forget()

    def _inner(
        self, images: Tensor, targets: Tensor, rules: Mapping[str, LayerRule], at: str
    ) -> Explanation:
        names = {name: s.name for s in self.engine.steps for name in (s.name, *s.merged)}
        if not isinstance(at, str) or at not in names:
            raise InputError(
                f"at: the network has no layer '{at}' that computes something; expected one of "
                f"{', '.join(names)}.{guess(str(at), names)}"
            )
        seen: list[Tensor] = []

        def watch(name: str, arriving: Tensor, lower: Sequence[Tensor]) -> None:
            if name == names[at]:
                seen.append(arriving)

        found = self.engine.attribute(images, targets, rules, watch=watch)
        count = 1 if targets.ndim == 1 else targets.shape[1]
        if len(seen) != count:
            raise InputError(
                f"at: '{at}' gets relevance {len(seen) // count} times in a forward pass; expected "
                "a layer that is used once, and not for a gate alone"
            )
        return replace(found, relevance=seen[0] if targets.ndim == 1 else torch.stack(seen, 1))

    def _check_sum(self, found: Explanation) -> None:
        if self.unexplained is None:
            return
        wrong = ~(found.unexplained.abs() <= self.unexplained * found.score.abs())
        if bool(wrong.any()):
            place = tuple(wrong.nonzero()[0].tolist())
            images = int(wrong.view(len(wrong), -1).any(1).sum())
            raise WorkError(
                f"relevance does not sum up to the score in {images} of {len(wrong)} images: of "
                f"{float(found.score[place]):.3g} for image {place[0]}, "
                f"{float(found.unexplained[place]):.3g} is unexplained. Expected a composite that "
                "is stable on this network; Explainer(net, unexplained=…), or --unexplained, "
                "allows more"
            )


def resolve(composite: Wanted, layers: Sequence[LayerInfo]) -> dict[str, LayerRule]:
    """The rule of every layer, by its name, that a composite means in a network.

    composite: the name of a preset, alone or as `{"preset": name, parameter: number, …}`; the path
    of a composite.json, or its content; a `Composite`; or rules by type or name of layers,
    `{"Conv2d": "z_plus", "features.0": {"rule": "epsilon", "epsilon": 0.1}}`, where a name counts
    before a type, and else the last one counts. Raises InputError that says what is wrong.
    """
    if isinstance(composite, Composite):
        return composite.rules(layers)
    if isinstance(composite, str) and not composite.endswith(".json"):
        composite = {"preset": composite}
    if isinstance(composite, str | Path):
        return composite_of(read_composite(Path(composite))).rules(layers)
    if not isinstance(composite, Mapping):
        raise InputError(
            f"composite: found {composite!r}; expected a preset's name, the path of a "
            "composite.json or its content, a Composite, or rules by type or name of layers"
        )
    if "preset" in composite:
        return _published(composite, layers)
    if "blocks" in composite:
        check_composite(composite, "composite")
        return composite_of(composite).rules(layers)
    return _by_selector(composite, layers)


def _published(composite: Mapping[str, Any], layers: Sequence[LayerInfo]) -> dict[str, LayerRule]:
    name, given = composite["preset"], {k: v for k, v in composite.items() if k != "preset"}
    if not isinstance(name, str):
        raise InputError(f"composite.preset: found {name!r}; expected a preset's name")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"composite.{key}: found {value!r}; expected a number")
    try:
        found = preset(name, given)
    except InputError as error:
        raise InputError(f"composite: {error}") from error
    return found.bind({}).place(layers).rules(layers)


def _by_selector(rules: Mapping[str, Any], layers: Sequence[LayerInfo]) -> dict[str, LayerRule]:
    types = {layer.kind for layer in layers}
    found: dict[str, LayerRule] = {}
    for selector, given in sorted(rules.items(), key=lambda item: item[0] not in types):
        rule = _layer_rule(selector, given)
        kind = RULES.find(rule.rule, f"composite.{selector}").on
        named = [layer for layer in layers if layer.name == selector]
        chosen = named or select_layers(layers, selector)
        names = [layer.name for layer in chosen if layer.handling == kind]
        if not names:
            kinds = sorted({layer.handling or "nothing" for layer in chosen})
            raise InputError(
                f"composite.{selector}: the rule {rule.rule} is for layers of kind {kind}; those "
                f"that '{selector}' selects are of kind {', '.join(kinds)}"
            )
        found |= dict.fromkeys(names, rule)
    return found


def _layer_rule(selector: str, given: Any) -> LayerRule:
    """From a rule's name, a mapping with it and its settings, or as it is."""
    if isinstance(given, LayerRule):
        return given
    if isinstance(given, str):
        return LayerRule(given, group=selector)
    if not isinstance(given, Mapping) or not isinstance(given.get("rule"), str):
        raise InputError(
            f"composite.{selector}: found {given!r}; expected a rule's name, or a mapping with "
            "'rule' and its settings"
        )
    settings = {key: value for key, value in given.items() if key not in ("rule", "low", "high")}
    if "low" in given or "high" in given:
        settings["bounds"] = tuple(_bound(selector, end, given.get(end)) for end in ("low", "high"))
    return LayerRule(given["rule"], settings, selector)


def _bound(selector: str, end: str, given: Any) -> tuple[float, ...]:
    """One number for all channels, or one for each."""
    values = tuple(given) if isinstance(given, Sequence) else (given,)
    if not values or not all(isinstance(value, int | float) for value in values):
        raise InputError(
            f"composite.{selector}.{end}: found {given!r}; expected a number, or one per channel"
        )
    return tuple(map(float, values))
