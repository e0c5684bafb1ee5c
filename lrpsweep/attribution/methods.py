"""The methods by which images get relevance: LRP under a composite's rules is one of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrpsweep.attribution.lrp.balance import per_image
from lrpsweep.attribution.lrp.engine import Engine, full_precision
from lrpsweep.attribution.lrp.explanation import Explanation
from lrpsweep.attribution.lrp.rules import Parameter
from lrpsweep.registry import Registry


@dataclass(frozen=True)
class Method:
    """A method by its name in a study.

    explain: (engine, images, targets, settings, key) -> explanation of the logits `targets`, (N,)
    or (N, T), of images (N, C, *spatial). The engine knows the network; it has checked nothing yet.
    key: names the batch, as in `Engine.attribute`. parameters: the numbers that `settings` hold.
    exported: whether its settings are a composite, which is nominated and exported.
    """

    name: str
    title: str
    explain: Callable[[Engine, Tensor, Tensor, Mapping[str, Any], Hashable], Explanation]
    parameters: tuple[Parameter, ...] = ()
    exported: bool = False

    def resolve(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with the parameters' defaults. Raises InputError for one without a value."""
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        resolved = defaults | dict(settings)
        for parameter in self.parameters:
            parameter.check(resolved[parameter.name], f"method {self.name}")
        return resolved


def lrp(
    engine: Engine, images: Tensor, targets: Tensor, settings: Mapping[str, Any], key: Hashable
) -> Explanation:
    """Layer-wise relevance propagation (Bach et al. 2015). settings: the rule of every layer."""
    return engine.attribute(images, targets, settings, key)


def gradient_x_input(
    engine: Engine, images: Tensor, targets: Tensor, settings: Mapping[str, Any], key: Hashable
) -> Explanation:
    """R_j = x_j ∂f/∂x_j, by autograd on the network itself. Source: Shrikumar et al. 2016.

    It conserves the score on networks of ReLUs without biases alone; the rest is `unexplained`.
    """
    engine.check_batch(images, targets)
    with torch.inference_mode(False), torch.enable_grad(), full_precision():
        leaf = images.detach().clone().requires_grad_()
        scores = engine.scores(leaf)
        engine.check_classes(targets, scores)
        columns = targets.to(images.device, torch.long, copy=True).view(len(images), -1)
        chosen = scores.gather(1, columns)
        found = [
            _explanation(score.detach(), images * _gradient(score, leaf))
            for score in chosen.unbind(1)
        ]
    return found[0] if targets.ndim == 1 else Explanation.stacked(found)


def _gradient(score: Tensor, leaf: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(score.sum(), leaf, retain_graph=True)
    return gradient


def _explanation(score: Tensor, relevance: Tensor) -> Explanation:
    """Of scores (N,), with nothing accounted for but the relevance."""
    score, nothing = score.double(), torch.zeros_like(score, dtype=torch.float64)
    rest = score - per_image(relevance)
    return Explanation(relevance, score, nothing, nothing.clone(), rest, {})


METHODS: Registry[Method] = Registry(
    "method",
    (
        Method("lrp", "LRP", lrp, exported=True),
        Method("gradient_x_input", "gradient × input", gradient_x_input),
    ),
)
"""Every method that a study may name."""
