"""Runs lrp-pf-auc 0.1.6, in a virtual environment that has it: see `environment.py`.

    python package.py request.npz answer.npz

The request holds images (N, 3, H, W), normalised as ImageNet's, targets (N,), and the network: its
name and its weights' file. What else it holds says what to do: `flip` or `explain`.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable

import numpy as np
import pf.core
import torch
import torchvision
from lrp import core, norm, rules
from pf.objectives.constants import PixelFlippingObjectives
from pf.perturbation_modes.constants import PerturbModes
from pf.perturbation_modes.random.random_number_generators import UniformRNG
from safetensors.torch import load_file

from lrpsweep.models.scenes import ScenesNet

OBJECTIVES = {
    "morf": PixelFlippingObjectives.MoRF,
    "lerf": PixelFlippingObjectives.LRF,
    "random": PixelFlippingObjectives.RANDOM,
}


def load_network(name: str, weights: str) -> torch.nn.Module:
    net = ScenesNet() if name == "scenes" else torchvision.models.get_model(name, weights=None)
    net.load_state_dict(load_file(weights))
    return net.eval().requires_grad_(False)


def flip(
    net: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    relevance: torch.Tensor,
    patch: int,
    order: str,
    perturbation: str,
    seed: int,
) -> dict[str, np.ndarray]:
    """curves: (N, S + 1). auc: that of their mean."""
    torch.manual_seed(seed)
    random = perturbation == "uniform"
    flipping = pf.core.PixelFlipping(
        perturbation_steps=images.shape[-1] // patch + 1,
        perturbation_size=patch,
        perturb_mode=PerturbModes.RANDOM if random else PerturbModes.INPAINTING,
        sort_objective=OBJECTIVES[order],
        ran_num_gen=UniformRNG(seed) if random else None,
    )

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        return net(pixels).gather(1, targets[:, None])[:, 0]

    flipping(images, relevance, forward)
    curves = flipping.class_prediction_scores_n.numpy()
    return {"curves": curves, "auc": np.array(flipping.calculate_auc_score())}


def explain(
    net: torch.nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    layers: list[dict[str, object]],
    exact_forward: bool = False,
    own_winners: bool = False,
) -> dict[str, np.ndarray]:
    """relevance: (N, 3, H, W). logits: (N, classes). winners: how many of max-pooling differ.

    The package alters what a layer puts out, by its stabilizer; exact_forward: not so. own_winners:
    max-pooling passes on what is largest in the network as it was.
    """
    lrp = core.LRP(net)
    winners = _winners(net, images)
    if own_winners:
        for name, indices in winners.items():
            lrp.model.set_submodule(name, _Pick(indices))
    lrp.convert_layers([_rule(layer, images) for layer in layers])
    altered = rules.LrpRule.forward_mod_gradient
    if exact_forward:
        rules.LrpRule.forward_mod_gradient = _exactly(altered)
    try:
        relevance = lrp.relevance(images.clone(), label_idx_n=targets)
        found = _winners(lrp.model, images)
        logits = lrp.model(images)
    finally:
        rules.LrpRule.forward_mod_gradient = altered
    return {
        "relevance": relevance.numpy(),
        "logits": logits.detach().numpy(),
        "winners": np.array(sum(int((found[n] != winners[n]).sum()) for n in found)),
    }


def _winners(net: torch.nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Where each maximum comes from, by the name of the layer."""
    found: dict[str, torch.Tensor] = {}
    hooks = []
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.MaxPool2d):
            asking = copy.copy(layer)
            asking.return_indices = True

            def ask(_, given, name=name, asking=asking):
                found[name] = asking.forward(given[0].detach())[1]

            hooks.append(layer.register_forward_pre_hook(ask))
    net(images)
    for hook in hooks:
        hook.remove()
    return found


class _Pick(torch.nn.Module):
    """Max-pooling whose winners are given."""

    def __init__(self, winners: torch.Tensor) -> None:
        super().__init__()
        self.winners = winners

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).gather(2, self.winners.flatten(2)).view(self.winners.shape)


def _rule(layer: dict[str, object], images: torch.Tensor) -> tuple[list[str], type, dict]:
    names, name = [layer["layer"]], layer["rule"]
    if name == "z_box":
        pixels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, *images.shape[2:])
        low, high = norm.ImageNetNorm.normalize(pixels).to(images.dtype)
        batch = (len(images), -1, -1, -1)
        bounds = {"low": low.expand(batch).clone(), "high": high.expand(batch).clone()}
        return names, rules.LrpZBoxRule, bounds
    known = {
        "zero": rules.LrpZeroRule,
        "epsilon": rules.LrpEpsilonRule,
        "gamma": rules.LrpGammaRule,
    }
    hyper = {key: layer[key] for key in ("epsilon", "gamma") if key in layer}
    return names, known[str(name)], hyper


def _exactly(altered: Callable) -> Callable:
    """The same gradient, but the layer's own output."""

    def forward(self: object, z: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        value = altered(self, z, output)
        return output.detach() + (value - value.detach())

    return forward


def main(request: str, answer: str) -> None:
    torch.set_num_threads(1)
    with np.load(request) as asked:
        given = {name: asked[name] for name in asked.files}
    about = json.loads(str(given.pop("about")))
    net = load_network(about["network"], about["weights"])
    net.to(torch.from_numpy(given["images"]).dtype)
    tensors = {name: torch.from_numpy(value) for name, value in given.items()}
    answers = {
        f"{name}/{part}": value
        for name, options in about["flip"].items()
        for part, value in flip(net, **tensors, **options).items()
    }
    tensors.pop("relevance", None)
    answers |= {
        f"{name}/{part}": value
        for name, options in about["explain"].items()
        for part, value in explain(net, **tensors, **options).items()
    }
    np.savez(answer, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
