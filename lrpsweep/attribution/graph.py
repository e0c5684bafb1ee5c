"""The network's forward pass as a list of steps, each with what it reads.

Tracing finds the order of the layers and the plain functions between them, so that relevance can
be sent back step by step. The steps call the model's own modules: their values are the model's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from lrpsweep.errors import InputError

ELEMENTWISE = (nn.ReLU, nn.Dropout, nn.Dropout2d, nn.Identity)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
WEIGHTED = (nn.Conv2d, nn.Linear)
RELU_CALLS = {F.relu, torch.relu, "relu", "relu_"}
RESHAPE_CALLS = {torch.flatten, "flatten", "view", "reshape"}
SIZE_CALLS = {"size", getattr, operator.getitem}
JOIN_CALLS = {torch.cat, torch.concat, torch.concatenate}


@dataclass(frozen=True)
class Step:
    """One operation: `run(*values) -> value` on what the steps `sources` gave (-1: the images)."""

    name: str
    kind: str
    sources: tuple[int, ...]
    run: Callable[..., Tensor]
    module: nn.Module | None = None
    dim: int = 1

    @property
    def source(self) -> int:
        """The only source."""
        (source,) = self.sources
        return source


def trace(net: nn.Module) -> tuple[Step, ...]:
    """The steps of `net`, in order.

    Raises InputError that names the first operation for which no relevance rule is known.
    """
    try:
        graph = fx.Tracer().trace(net)
    except Exception as error:
        raise InputError(
            f"{type(net).__name__}: its forward pass cannot be traced ({error}). Expected a "
            "network without data-dependent control flow in forward()"
        ) from error
    modules = dict(net.named_modules())
    places: dict[fx.Node, int] = {}
    steps: list[Step] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            places[node] = -1
        elif node.op == "output":
            return tuple(steps[: _output(net, node, places) + 1])
        elif node.op != "get_attr" and node.target not in SIZE_CALLS:
            places[node] = len(steps)
            steps.append(_step(node, modules, places))
            _check_used_once(steps)
    raise AssertionError("a traced graph ends with its output")


def _output(net: nn.Module, node: fx.Node, places: dict[fx.Node, int]) -> int:
    """The place of the step that gives the class scores; what comes after it is not needed."""
    (scores,) = node.args
    if not isinstance(scores, fx.Node) or scores not in places:
        raise InputError(
            f"{type(net).__name__}: forward() returns {scores}; expected one tensor (N, classes)"
        )
    return places[scores]


def _step(node: fx.Node, modules: dict[str, nn.Module], places: dict[fx.Node, int]) -> Step:
    if node.target in JOIN_CALLS:
        return _join(node, places)
    read = [argument for argument in node.all_input_nodes if argument in places]
    if len(read) != 1 or node.args[:1] != (read[0],):
        raise _unsupported(node, f"{node.op} '{node.target}'")
    source = (places[read[0]],)
    if node.op == "call_module":
        return _module_step(node, modules[str(node.target)], source)
    if node.target in RELU_CALLS:
        return Step(node.name, "relu", source, F.relu)
    if node.target in RESHAPE_CALLS and _flattens(node):
        return Step(node.name, "reshape", source, lambda value: torch.flatten(value, 1))
    raise _unsupported(node, f"{node.op} '{node.target}'")


def _join(node: fx.Node, places: dict[fx.Node, int]) -> Step:
    """A concatenation, of channels above all."""
    parts, dim = _joined(*node.args, **node.kwargs)
    if dim == 0 or not all(part in places for part in parts):
        raise _unsupported(node, f"{node.op} '{node.name}' along dimension {dim}")
    sources = tuple(places[part] for part in parts)
    return Step(node.name, "join", sources, lambda *v: torch.cat(v, dim), dim=dim)


def _joined(tensors: Any, dim: Any = 0, axis: Any = None) -> tuple[list[fx.Node], int]:
    return list(tensors), dim if axis is None else axis


def _check_used_once(steps: list[Step]) -> None:
    last = steps[-1]
    if last.kind == "weighted" and any(step.name == last.name for step in steps[:-1]):
        raise InputError(
            f"layer '{last.name}' is used more than once in forward(), which has no relevance rule "
            "yet; expected every layer with weights to be used once"
        )


def _flattens(node: fx.Node) -> bool:
    """Whether a reshaping call keeps the batch and flattens the rest."""
    if node.target in (torch.flatten, "flatten"):
        return (*node.args[1:], *node.kwargs.values()) == (1,)
    return len(node.args) == 3 and node.args[2:] == (-1,)


def _module_step(node: fx.Node, module: nn.Module, source: tuple[int]) -> Step:
    name = str(node.target)
    if isinstance(module, nn.ReLU):  # never in place: the layer below keeps its own output
        return Step(name, "relu", source, F.relu, module)
    if isinstance(module, ELEMENTWISE):
        return Step(name, "pass", source, module, module)
    if isinstance(module, nn.Flatten):
        return Step(name, "reshape", source, module, module)
    if isinstance(module, POOLS):
        kind = "winner" if isinstance(module, nn.MaxPool2d) else "average"
        return Step(name, kind, source, module, module)
    if isinstance(module, WEIGHTED):
        _check_padding(name, module)
        return Step(name, "weighted", source, module, module)
    raise _unsupported(node, f"layer '{name}' of type {type(module).__name__}")


def _check_padding(name: str, module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d) and (
        module.padding_mode != "zeros" or isinstance(module.padding, str)
    ):
        raise InputError(
            f"layer '{name}': padding {module.padding!r} with mode '{module.padding_mode}' has no "
            "relevance rule; expected zero padding given as numbers"
        )


def _unsupported(node: fx.Node, what: str) -> InputError:
    supported = (*WEIGHTED, nn.ReLU, *POOLS, nn.Flatten, nn.Dropout)
    kinds = ", ".join(kind.__name__ for kind in supported)
    inputs = [str(argument) for argument in node.all_input_nodes]
    return InputError(
        f"{what} (reads {', '.join(inputs) or 'nothing'}) has no relevance rule. Supported: "
        f"{kinds}, and relu, flatten, cat in forward()"
    )


def run(steps: tuple[Step, ...], images: Tensor) -> list[Tensor]:
    """Every step's value, in order; the last one is the model's output, bit for bit."""
    values: list[Tensor] = []
    for step in steps:
        values.append(step.run(*read(step, values, images)))
    return values


def read(step: Step, values: list[Tensor], images: Tensor) -> tuple[Tensor, ...]:
    """What a step reads, of every step's values."""
    return tuple(values[source] if source >= 0 else images for source in step.sources)


def depths(steps: Sequence[Step]) -> dict[str, int]:
    """By name, how many layers with weights lie on the longest way from the images to each one."""
    at = {-1: 0}
    found: dict[str, int] = {}
    for place, step in enumerate(steps):
        at[place] = max(at[source] for source in step.sources) + (step.kind == "weighted")
        if step.kind == "weighted":
            found[step.name] = at[place]
    return found
