"""From a network to its graph: what forward() calls, in order, as steps.

The steps call the model's own modules: their values are the model's.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from lrpsweep.attribution.lrp.graph import Step, needed, reached
from lrpsweep.attribution.lrp.operations.kinds import (
    CALLS,
    NOT_IN_PLACE,
    PARTS,
    SIZES,
    kind_of,
    registered,
)
from lrpsweep.errors import InputError

GLOBAL_POOLS = (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
ONE = (1, (1, 1), [1, 1])
SPATIAL = {2, 3, -1, -2}


def trace(net: nn.Module) -> tuple[Step, ...]:
    """The steps of `net`, in order; the last one gives the class scores.

    Raises InputError that names the first operation for which no relevance rule is known, unless
    all it does is to compute a gate.
    """
    graph, constants = _graph(net)
    network = _Network(net, constants)
    for node in graph.nodes:
        network.take(node)
    steps = network.steps[: network.output + 1]
    for place in sorted(reached(steps)):
        if place in network.unknown:
            raise InputError(network.unknown[place])
    return tuple(needed(steps))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = registered(m) is not None or kind_of(m) is not None
        return known or super().is_leaf_module(m, module_qualified_name)


def _graph(net: nn.Module) -> tuple[fx.Graph, dict[str, Any]]:
    """The traced graph, and tensors made in forward(), which the tracer leaves on the network."""
    before = set(vars(net))
    try:
        graph = _Tracer().trace(net)
    except Exception as error:
        raise InputError(
            f"{type(net).__name__}: its forward pass cannot be traced ({error}). Expected a "
            "network without data-dependent control flow in forward()"
        ) from error
    finally:
        made = {name: vars(net).pop(name) for name in set(vars(net)) - before}
    return graph, made


class _Network:
    """A traced graph on its way to steps.

    places: the step that each node's tensor comes from. spread: how much each step's value knows of
    places in the image: 0 nothing, as a parameter; 1 one value per image, as behind global pooling;
    2 a map. sizes, parts: nodes that are worked out within the steps that need them. unknown:
    messages of steps without a relevance rule, which matter if relevance arrives there.
    """

    def __init__(self, net: nn.Module, constants: dict[str, Any]):
        self.net, self.constants = net, constants
        self.modules = dict(net.named_modules())
        self.steps: list[Step] = []
        self.output = -1
        self.places: dict[fx.Node, int] = {}
        self.spread: list[int] = []
        self.sizes: set[fx.Node] = set()
        self.parts: set[fx.Node] = set()
        self.unknown: dict[int, str] = {}

    def take(self, node: fx.Node) -> None:
        """Adds what one node of the graph does."""
        in_place = self._in_place(node)
        if node.op == "placeholder":
            self.places[node] = -1
        elif node.op == "output":
            self.output = self._output(node)
        elif self._gives_sizes(node):
            self.sizes.add(node)
        elif node.target in PARTS and node.op != "call_module":
            self.parts.add(node)
        elif node.users or in_place:
            self.places[node] = self._add(self._step(node), self._pools_all(node))
            if in_place:  # who reads the overwritten tensor later reads this step's value
                self.places[node.all_input_nodes[0]] = self.places[node]

    def _output(self, node: fx.Node) -> int:
        (scores,) = node.args
        if not isinstance(scores, fx.Node) or scores not in self.places:
            raise InputError(
                f"{type(self.net).__name__}: forward() returns {scores}; expected one tensor "
                "(N, classes)"
            )
        return self.places[scores]

    def _gives_sizes(self, node: fx.Node) -> bool:
        if node.op == "call_method" and node.target in SIZES:
            return True
        if node.op != "call_function":
            return False
        if node.target is getattr:
            return True
        read = node.all_input_nodes
        return bool(read) and all(source in self.sizes for source in read)

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        if node.op == "call_method":
            return _overwrites(str(node.target))
        return node.op == "call_function" and (
            node.target in NOT_IN_PLACE or bool(_arguments(node).get("inplace", False))
        )

    def _add(self, step: Step, pools_all: bool = False) -> int:
        # Of what a step reads besides the signal, shape operations want the sizes alone.
        read = step.sources if step.kind in ("gate", "unknown") else step.heirs
        spread = max((self._spread(source) for source in read), default=0)
        if spread == 0:
            step = replace(step, kind="constant")
        elif step.kind == "constant":
            spread = 0
        self.spread.append(min(spread, 1) if pools_all else spread)
        self.steps.append(step)
        return len(self.steps) - 1

    def _spread(self, place: int) -> int:
        return 2 if place < 0 else self.spread[place]

    def _step(self, node: fx.Node) -> Step:
        if node.op == "get_attr":
            value = self._attribute(str(node.target))
            return Step(str(node.target), "constant", (), lambda: value)
        step = self._module(node) if node.op == "call_module" else self._call(node)
        if step is not None:
            return step
        self.unknown[len(self.steps)] = self._refusal(node)
        return self._plain(node, "unknown")

    def _attribute(self, name: str) -> Any:
        return (
            self.constants[name] if name in self.constants else operator.attrgetter(name)(self.net)
        )

    def _module(self, node: fx.Node) -> Step | None:
        name = str(node.target)
        module = self.modules[name]
        how, kind = registered(module), kind_of(module)
        if how is not None:
            kind = "pass" if how == "pass" else "custom"
            back = None if how == "pass" else how
            return replace(self._plain(node, kind), name=name, module=module, back=back)
        if kind is None or len(self._tensors(node)) != 1 or not _understood(name, module):
            return None
        return replace(self._plain(node, kind), name=name, module=module)

    def _call(self, node: fx.Node) -> Step | None:
        kind = CALLS.get(node.target)
        if kind == "join":
            return self._join(node)
        if kind in ("sum", "difference"):
            return self._sum(node, kind)
        if kind in ("product", "quotient"):
            return self._gate(node, kind)
        if kind is None or not self._supported(node, kind):
            return None
        if kind == "max_pool":
            pool = nn.MaxPool2d(**{k: v for k, v in _arguments(node).items() if k != "input"})
            return Step(node.name, kind, (self.places[self._tensors(node)[0]],), pool, pool)
        return self._plain(node, kind)

    def _supported(self, node: fx.Node, kind: str) -> bool:
        """Whether a call's arguments leave it what its kind says."""
        arguments = _arguments(node)
        if kind in ("identity", "max_pool"):
            return not arguments.get("training") and not arguments.get("return_indices")
        if node.target is F.pad:
            return arguments["mode"] == "constant" and not arguments["value"]
        if node.target in (torch.mean, "mean"):
            return bool(_mean_dims(node)) and _mean_dims(node) <= SPATIAL
        return True

    def _join(self, node: fx.Node) -> Step | None:
        """A concatenation, of channels above all; never of images."""
        parts, dim = _joined(*node.args, **node.kwargs)
        if dim == 0 or not all(part in self.places for part in parts):
            return None
        sources = tuple(self.places[part] for part in parts)
        return Step(node.name, "join", sources, lambda *v: torch.cat(v, dim), dim=dim)

    def _sum(self, node: fx.Node, kind: str) -> Step | None:
        """a + b; a − b is a + (−b)."""
        terms = self._operands(node)
        if terms is None:
            return None
        if kind == "difference":
            negated = Step(f"{node.name}_negated", "pass", (terms[1],), torch.neg)
            terms = (terms[0], self._add(negated))
        return Step(node.name, "sum", terms, torch.add)

    def _gate(self, node: fx.Node, kind: str) -> Step | None:
        """Signal times gate: the factor that knows less of places in the image is the gate."""
        factors = self._operands(node)
        if factors is None:
            return None
        signal, gate = factors
        if kind == "quotient":
            return Step(node.name, "gate", factors, torch.div) if self._spread(gate) == 0 else None
        if self._spread(signal) < self._spread(gate):
            signal, gate = gate, signal
        if self._spread(signal) == self._spread(gate) > 0:
            return None
        return Step(node.name, "gate", (signal, gate), torch.mul)

    def _operands(self, node: fx.Node) -> tuple[int, int] | None:
        """The places of an operator's two operands; numbers become steps of their own."""
        if len(node.args) != 2 or node.kwargs:
            return None
        places = [self._operand(argument) for argument in node.args]
        return None if None in places else (places[0], places[1])  # type: ignore[return-value]

    def _operand(self, argument: Any) -> int | None:
        if isinstance(argument, int | float):
            value = torch.tensor(float(argument), dtype=torch.float64)
            return self._add(Step(str(argument), "constant", (), lambda: value))
        return self.places.get(argument) if isinstance(argument, fx.Node) else None

    def _plain(self, node: fx.Node, kind: str) -> Step:
        """A step that calls what the node calls; the first tensor that it reads is the signal."""
        tensors = self._tensors(node)
        function = self.modules[str(node.target)] if node.op == "call_module" else None
        if function is not None and getattr(function, "inplace", False):
            function = copy.copy(function)
            function.inplace = False
        sources = tuple(self.places[tensor] for tensor in tensors)
        return Step(node.name, kind, sources, Call(node, tuple(tensors), function))

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        """The steps' nodes that a node reads, also by way of sizes and parts."""
        found: dict[fx.Node, None] = {}
        for source in node.all_input_nodes:
            nested = self._tensors(source) if source not in self.places else [source]
            found |= dict.fromkeys(nested)
        return list(found)

    def _pools_all(self, node: fx.Node) -> bool:
        """Whether it leaves one value per channel, however large the image is."""
        if node.op == "call_module":
            return getattr(self.modules[str(node.target)], "output_size", None) in ONE
        if node.target in (torch.mean, "mean"):
            return _mean_dims(node) in ({2, 3}, {-2, -1})
        return node.target in GLOBAL_POOLS and _arguments(node).get("output_size") in ONE

    def _refusal(self, node: fx.Node) -> str:
        what, kind = self._described(node)
        names = [self._named(self.places[tensor]) for tensor in self._tensors(node)]
        gate = "A product needs a gate: a parameter, or one value per channel. "
        return (
            f"{what} (reads {', '.join(names) or 'nothing'}) has no relevance rule. "
            f"{gate if CALLS.get(node.target) == 'product' else ''}"
            f"If relevance may pass through unchanged, say so before: `lrpsweep."
            f'register({kind}, "pass")`; otherwise register a function `(module, inputs, '
            f"relevance) -> relevance of inputs` for {kind}"
        )

    def _named(self, place: int) -> str:
        return "the images" if place < 0 else f"'{self.steps[place].name}'"

    def _described(self, node: fx.Node) -> tuple[str, str]:
        """What a node is, for a message, and the type of module that it is or belongs to."""
        if node.op == "call_module":
            kind = type(self.modules[str(node.target)]).__name__
            return f"layer '{node.target}' of type {kind}", kind
        inside = list(node.meta.get("nn_module_stack", {}).values())
        name, within = inside[-1] if inside else ("", type(self.net))
        kind = getattr(within, "__name__", str(within))
        call = getattr(node.target, "__name__", node.target)
        whose = f"'{name}' of type {kind}" if name else kind
        return f"{call}() in forward() of {whose}", kind


class Call:
    """What a node calls, on its tensors' values; never in place: the values below are needed."""

    def __init__(self, node: fx.Node, tensors: Sequence[fx.Node], module: nn.Module | None):
        self.node, self.tensors, self.module = node, tensors, module

    def __call__(self, *values: Tensor) -> Any:
        """The node's value for `values` of its tensors."""
        known: dict[fx.Node, Any] = dict(zip(self.tensors, values, strict=True))
        return self._value(self.node, known)

    def _value(self, node: fx.Node, known: dict[fx.Node, Any]) -> Any:
        """Also that of a size or of parts, which are no steps."""
        if node in known:
            return known[node]
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: self._value(n, known))
        if node.op == "call_module":
            assert self.module is not None
            return self.module(*args, **kwargs)
        if node.op == "call_method":
            method = str(node.target)
            return getattr(args[0], method.rstrip("_") if _overwrites(method) else method)(
                *args[1:], **kwargs
            )
        if "inplace" in _arguments(node):
            bound = inspect.signature(node.target).bind(*args, **kwargs)  # type: ignore[arg-type]
            return node.target(**bound.arguments | {"inplace": False})  # type: ignore[operator]
        return NOT_IN_PLACE.get(node.target, node.target)(*args, **kwargs)


def _overwrites(method: str) -> bool:
    return method.endswith("_") and not method.endswith("__")


def _arguments(node: fx.Node) -> dict[str, Any]:
    """A call's arguments by name, defaults included; none for functions without a signature."""
    if node.op != "call_function":
        return {}
    described = F.max_pool2d_with_indices if node.target is F.max_pool2d else node.target
    try:
        bound = inspect.signature(described).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)


def _mean_dims(node: fx.Node) -> set[Any]:
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else ())
    return set(dims) if isinstance(dims, list | tuple) else {dims}


def _joined(tensors: Any, dim: Any = 0, axis: Any = None) -> tuple[Any, int]:
    return tensors, dim if axis is None else axis


def _understood(name: str, module: nn.Module) -> bool:
    """Whether a module of a known type is set up as its kind says."""
    kind = kind_of(module)
    if kind == "affine" and getattr(module, "running_mean", None) is None:
        return False  # it normalises with the batch's own statistics: images would mix
    if isinstance(module, nn.Conv2d) and (
        module.padding_mode != "zeros" or isinstance(module.padding, str)
    ):
        raise InputError(
            f"layer '{name}': padding {module.padding!r} with mode '{module.padding_mode}' has no "
            "relevance rule; expected zero padding given as numbers"
        )
    return not getattr(module, "return_indices", False)
