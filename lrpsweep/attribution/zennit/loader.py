"""A composite of lrpsweep's as one of zennit's, by layer name. Needs torch and zennit alone.

`lrpsweep export --format zennit` writes this file with the composite and what zennit has to know of
the network in front of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from zennit import rules
from zennit.attribution import Gradient
from zennit.canonizers import Canonizer, NamedMergeBatchNorm
from zennit.composites import NameMapComposite
from zennit.core import Hook, stabilize
from zennit.layer import Sum

ADDED = "zennit_"
"""The names of added modules begin so."""


def explain_with(
    data: Mapping[str, Any], net: nn.Module, images: Tensor, targets: Tensor
) -> Tensor:
    """Relevance (N, C, …) of images for the logits `targets` (N,); heatmaps are its sum(1)."""

    def start(scores: Tensor) -> Tensor:
        chosen = scores.detach().gather(1, targets[:, None])
        return torch.zeros_like(scores).scatter_(1, targets[:, None], chosen)

    with Gradient(model=net, composite=build_composite(data)) as attributor:
        relevance: Tensor = attributor(images.detach().clone(), start)[1]
    return relevance.detach()


def build_composite(data: Mapping[str, Any]) -> NameMapComposite:
    """The zennit composite, for a network in eval mode."""
    network = data["network"]
    calls = {kind: [ADDED + name for name in names] for kind, names in network["calls"].items()}
    name_map = [
        *((block["layers"], build_rule(block["zennit"])) for block in data["blocks"]),
        (network["unchanged"] + calls["unchanged"], rules.Pass()),
        (network["shared"] + calls["shared"] + calls["sum"], rules.Norm(network["stabilizer"])),
    ]
    canonizers: list[Canonizer] = [MergeBatchNorms(network["merged"])]
    if any(calls.values()):
        canonizers.append(CallsAsModules(network["calls"], network["leaves"]))
    return NameMapComposite(name_map, canonizers)


def build_rule(data: Mapping[str, Any]) -> Hook:
    """The rule of zennit's class `class`: with `arguments` as they are, `channels` as tensors.

    `channels`: one value for all channels or one for each, of `places` dimensions behind them.
    `denominator`: the argument that stabilizes, as steps (name of STEPS, number).
    """
    places = (1,) * data.get("places", 0)
    channels = {
        name: torch.tensor(values, dtype=torch.float64).view(1, -1, *places)
        for name, values in data.get("channels", {}).items()
    }
    denominators = {name: _denominator(steps) for name, steps in data["denominator"].items()}
    return getattr(rules, data["class"])(**data["arguments"], **channels, **denominators)


STEPS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "signed": stabilize,
    "unsigned": lambda z, number: z + number,
    "clip": lambda z, number: stabilize(z, number, clip=True),
    "rms": lambda z, number: stabilize(z, number, norm_scale=True),
    "rms_batch": lambda z, number: z + number * z.square().mean().sqrt() + 1e-9,
}
"""What may be done to z, with a number, before relevance is divided by it."""


def _denominator(steps: list[list[Any]]) -> Callable[[Tensor], Tensor]:
    """z after all steps; what is 0 all the same passes nothing on."""

    def denominator(z: Tensor) -> Tensor:
        for name, number in steps:
            z = STEPS[name](z, number)
        return z.masked_fill(z == 0, math.inf)

    return denominator


class MergeBatchNorms(NamedMergeBatchNorm):  # type: ignore[misc]
    """Merges exactly: zennit alone leaves a division by (1 + eps)^½ behind."""

    @staticmethod
    def merge_batch_norm(modules: list[nn.Module], batch_norm: Any) -> None:
        """Leaves a batch norm that computes nothing; `remove` puts back what it was."""
        NamedMergeBatchNorm.merge_batch_norm(modules, batch_norm)
        batch_norm.running_var.data -= batch_norm.eps


class CallsAsModules(Canonizer):  # type: ignore[misc]
    """Gives sums and functions that forward() calls a module each, for rules to be attached to.

    calls: by kind, their names in the graph that torch.fx traces. leaves: names of modules that are
    not looked into, besides those of torch.
    """

    def __init__(self, calls: Mapping[str, list[str]], leaves: list[str]):
        self.calls, self.leaves = calls, leaves
        self.net: Any = None

    def apply(self, root_module: nn.Module) -> list[Canonizer]:
        """Changes the network's forward() until `remove`."""
        instance = self.copy()
        instance.register(root_module)
        return [instance]

    def register(self, net: nn.Module) -> None:
        """As `apply`, of one network."""
        graph = LeafTracer(self.leaves).trace(net)
        nodes = {node.name: node for node in graph.nodes}
        for name in self._names():
            node = nodes[name]
            module = Sum() if name in self.calls["sum"] else CalledModule(node)
            net.add_module(ADDED + name, module)
            with graph.inserting_before(node):
                read = node.args[0]
                if not isinstance(module, CalledModule):
                    read = graph.call_function(_stacked, node.args)
                elif module.sizes:
                    graph.call_function(module.remember, tuple(module.sizes))
                new = graph.call_module(ADDED + name, (read,))
            node.replace_all_uses_with(new)
            graph.erase_node(node)
        net.forward = fx.GraphModule(net, graph).forward
        self.net = net

    def remove(self) -> None:
        """The network as it was."""
        del self.net.forward
        for name in self._names():
            delattr(self.net, ADDED + name)

    def copy(self) -> CallsAsModules:
        """One of the same, for a network of its own."""
        return CallsAsModules(self.calls, self.leaves)

    def _names(self) -> list[str]:
        return [name for names in self.calls.values() for name in names]


class CalledModule(nn.Module):
    """A function or method of one tensor, which comes first, and of sizes and settings.

    zennit calls modules with the tensor alone, so that sizes are told apart from it.
    """

    def __init__(self, node: fx.Node):
        super().__init__()
        self.target, self.settings, self.named = node.target, node.args[1:], node.kwargs
        self.sizes = node.all_input_nodes[1:]
        self.last: dict[fx.Node, Any] = {}

    def remember(self, *sizes: Any) -> None:
        """The sizes of this forward pass."""
        self.last = dict(zip(self.sizes, sizes, strict=True))

    def forward(self, x: Tensor) -> Any:
        """What the call gives."""
        function = getattr(Tensor, self.target) if isinstance(self.target, str) else self.target
        settings, named = fx.node.map_arg((self.settings, self.named), self.last.__getitem__)
        return function(x, *settings, **named)


def _stacked(one: Tensor, other: Tensor) -> Tensor:
    """Both terms of a sum, (…, 2)."""
    terms = torch.broadcast_tensors(one, other)  # type: ignore[no-untyped-call]
    return torch.stack(terms, -1)


class LeafTracer(fx.Tracer):
    """Traces with more modules that are not looked into."""

    def __init__(self, leaves: list[str]):
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Those of torch, and the given ones."""
        return module_qualified_name in self.leaves or super().is_leaf_module(
            m, module_qualified_name
        )
