"""From a network to its graph: what forward() calls, in order, as steps.

The steps call the model's own modules: their values are the model's. Where a layer's weights are
computed from others (weight norm, spectral norm, pruning) or it pads by anything but zeros, a copy
with the weights in effect stands for it.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import module as modules_of_torch
from torchvision.ops import FrozenBatchNorm2d

from lrpsweep.attribution.lrp.calls import Call, arguments, called, overwrites_input
from lrpsweep.attribution.lrp.graph import Step, needed, reached
from lrpsweep.attribution.lrp.operations import find_call, find_operation
from lrpsweep.attribution.lrp.operations.activation import PASS
from lrpsweep.attribution.lrp.operations.arithmetic import (
    CONSTANT,
    DIFFERENCE,
    GATE,
    JOIN,
    PRODUCT,
    QUOTIENT,
    STACK,
    SUM,
    UNKNOWN,
)
from lrpsweep.attribution.lrp.operations.convolution import (
    cropped,
    padded_by_numbers,
    padded_outside,
)
from lrpsweep.attribution.lrp.operations.normalisation import AFFINE, from_call
from lrpsweep.attribution.lrp.operations.operation import Operation, effective, settings_of
from lrpsweep.attribution.lrp.operations.pooling import AVERAGE, MAX_POOL, REDUCTION, pools_all
from lrpsweep.attribution.lrp.operations.shape import PADDING, PARTS, ROUTE, SIZES
from lrpsweep.attribution.lrp.refusals import described, refused_call, refused_layer
from lrpsweep.attribution.lrp.shape_tracer import ShapeTracer
from lrpsweep.errors import InputError


def trace(net: nn.Module, example: Tensor | None = None) -> tuple[Step, ...]:
    """The steps of `net`, in order; the last one gives the class scores.

    example: images (N, C, …), whose shape decides the branches that depend on sizes; a usual shape
    where none are given. Raises InputError that names the first operation for which no relevance
    rule is known, unless all it does is to compute a gate; a hook that may change values; and a
    network without weights.
    """
    return trace_shape(net, example)[0]


def trace_shape(net: nn.Module, example: Tensor | None) -> tuple[tuple[Step, ...], bool]:
    """As `trace`; and whether the steps may be others for images of another shape."""
    net = unwrapped(net)
    hooks = find_hooks(net)
    if hooks:
        raise InputError(
            f"{type(net).__name__}: forward hooks on {', '.join(hooks)}; expected a network "
            "without hooks that change values. Remove them: `handle.remove()`"
        )
    tracer = ShapeTracer(net, example)
    try:
        return _traced(net, tracer), tracer.by_shape
    except InputError as error:
        if example is None and tracer.by_shape:
            raise UnknownShapeError(
                f"{error}. That was without images: give some of the network's shape first"
            ) from error
        raise


class UnknownShapeError(InputError):
    """A network that cannot be traced without images of the shape it is made for."""


def _traced(net: nn.Module, tracer: ShapeTracer) -> tuple[Step, ...]:
    graph, constants = _graph(net, tracer)
    network = _Network(net, constants, tracer)
    for node in graph.nodes:
        network.take(node)
    steps = network.steps[: network.output + 1]
    relevant = reached(steps)
    for place in sorted(relevant):
        if place in network.unknown:
            raise InputError(network.unknown[place])
    if not any(steps[place].weighted for place in relevant if place >= 0):
        raise InputError(
            f"{type(net).__name__}: no layer with weights lies between images and class scores; "
            "expected at least one, for a composite to have a rule for"
        )
    return tuple(needed(steps))


def unwrapped(net: nn.Module) -> nn.Module:
    """The network itself, without what distributes it over devices."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(net, wrappers):
        net = net.module
    return net


def find_hooks(net: nn.Module) -> list[str]:
    """The modules with hooks that may change what the network computes, by name; cheap.

    'every module' stands for hooks on all of torch's. Hooks that compute a layer's weights, as
    `torch.nn.utils.weight_norm` leaves them, are none of these.
    """
    everywhere = modules_of_torch._global_forward_hooks, modules_of_torch._global_forward_pre_hooks
    found = ["every module"] if any(everywhere) else []
    for name, module in net.named_modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if any(not _computes_weights(hook) for hook in hooks):
            found.append(f"'{name}'" if name else "the network itself")
    return found


def _computes_weights(hook: Any) -> bool:
    known = ("torch.nn.utils.weight_norm", "torch.nn.utils.spectral_norm", "torch.nn.utils.prune")
    return type(hook).__module__ in known


def _graph(net: nn.Module, tracer: fx.Tracer) -> tuple[fx.Graph, dict[str, Any]]:
    """The traced graph, and tensors made in forward(), which the tracer leaves on the network."""
    before = set(vars(net))
    try:
        graph = tracer.trace(net)
    except Exception as error:
        raise InputError(
            f"{type(net).__name__}: its forward pass cannot be traced: {error}. Expected a "
            "network without control flow that depends on the images' values"
        ) from error
    finally:
        made = {name: vars(net).pop(name) for name in set(vars(net)) - before}
    return graph, made


class _Network:
    """A traced graph that is turned into steps.

    places: the step that each node's tensor comes from. spread: how much each step's value knows of
    places in the image: 0 nothing, as a parameter; 1 one value per image, as behind global pooling;
    2 a map. sizes, parts: nodes that are worked out within the steps that need them. unknown:
    messages of steps without a relevance rule, which matter if relevance arrives there.
    """

    def __init__(self, net: nn.Module, constants: dict[str, Any], tracer: ShapeTracer):
        self.net, self.constants, self.tracer = net, constants, tracer
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
                f"{type(self.net).__name__}: forward() returns {described(scores)}; expected one "
                "tensor (N, classes). Wrap the network in a module that returns the scores alone"
            )
        return self.places[scores]

    def _gives_sizes(self, node: fx.Node) -> bool:
        if node.op not in ("call_method", "call_function"):
            return False
        if called(node) in SIZES:
            return True
        read = node.all_input_nodes
        return bool(read) and all(source in self.sizes for source in read)

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        return overwrites_input(node)

    def _add(self, step: Step, pools_all: bool = False) -> int:
        # Of what a step reads besides the signal, shape operations want the sizes alone.
        read = step.sources if step.operation in (GATE, UNKNOWN) else step.relevant_sources
        spread = max((self._spread(source) for source in read), default=0)
        if spread == 0:
            step = replace(step, operation=CONSTANT)
        elif step.operation == CONSTANT:
            spread = 0
        self.spread.append(min(spread, 1) if pools_all else spread)
        self.steps.append(step)
        return len(self.steps) - 1

    def _spread(self, place: int) -> int:
        return 2 if place < 0 else self.spread[place]

    def _step(self, node: fx.Node) -> Step:
        if node.op == "get_attr":
            value = self._attribute(str(node.target))
            return Step(str(node.target), CONSTANT, (), lambda: value)
        step = self._module(node) if node.op == "call_module" else self._call(node)
        if step is not None:
            return step
        self.unknown[len(self.steps)] = self._refusal(node)
        return self._plain(node, UNKNOWN)

    def _attribute(self, name: str) -> Any:
        if name in self.constants:
            return self.constants[name]
        return operator.attrgetter(name)(self.net)

    def _module(self, node: fx.Node) -> Step | None:
        name = str(node.target)
        module = self.modules[name]
        operation = self._operation(name, module)
        if operation is None:
            return None
        if operation.weights is not None:
            return self._layer(node, operation)
        if not operation.all_sources and len(self._tensors(node)) != 1:
            return None
        step = replace(self._plain(node, operation), name=name, module=module)
        return self._with_ndim(node, step) if operation == AFFINE else step

    def _operation(self, name: str, module: nn.Module) -> Operation | None:
        try:
            return find_operation(module)
        except InputError as error:
            raise InputError(f"layer '{name}': {error}") from error

    def _with_ndim(self, node: fx.Node, step: Step) -> Step:
        """Of a batch norm: whether (N, C) or (N, C, L) is read decides what it can merge with."""
        if isinstance(step.module, nn.BatchNorm2d | nn.BatchNorm3d | FrozenBatchNorm2d):
            return step
        try:
            read = self.tracer.value(node.all_input_nodes[0])
        except InputError:
            return step
        return replace(step, ndim=read.ndim)

    def _layer(self, node: fx.Node, operation: Operation) -> Step | None:
        """A layer with weights, on one tensor and with nothing else said."""
        if len(node.args) + len(node.kwargs) != 1 or len(self._tensors(node)) != 1:
            return None
        name = str(node.target)
        layer = effective(self.modules[name])
        source = self.places[self._tensors(node)[0]]
        return self._with_padding(Step(name, operation, (source,), layer, layer))

    def _with_padding(self, step: Step) -> Step:
        """The layer with padding of zeros alone, given as numbers; what is left is a step."""
        layer = step.module
        assert layer is not None
        if getattr(layer, "padding_mode", "zeros") != "zeros":
            layer, pad = padded_outside(layer)
            source = self._add(Step(f"{step.name}.padding", PADDING, step.sources, pad))
            return replace(step, sources=(source,), run=layer, module=layer)
        if not isinstance(getattr(layer, "padding", ()), str):
            return step
        layer, first = padded_by_numbers(layer)
        step = replace(step, run=layer, module=layer)
        if not any(first):
            return step
        crop = partial(cropped, first=first)
        return Step(f"{step.name}.cropped", ROUTE, (self._add(step),), crop)

    def _call(self, node: fx.Node) -> Step | None:
        settings = arguments(node)
        operation = find_call(called(node), settings)
        if operation in (JOIN, STACK):
            return self._join(node, operation, settings)
        if operation in (SUM, DIFFERENCE):
            return self._sum(node, operation)
        if operation in (PRODUCT, QUOTIENT):
            return self._gate(node, operation)
        if operation is None:
            return None
        if operation.weights is not None or operation == AFFINE:
            return self._called_layer(node, operation, settings)
        step = self._plain(node, operation)
        return _with_module(step, node.target, settings) if operation == MAX_POOL else step

    def _called_layer(
        self, node: fx.Node, operation: Operation, settings: dict[str, Any]
    ) -> Step | None:
        """A layer by its function, as F.conv2d(x, self.weight): known by its weight's name."""
        source, weight = settings.pop("input"), settings["weight"]
        values = self._constants(settings)
        if values is None or source not in self.places:
            return None
        sources = (self.places[source],)
        if operation.weights is None:
            norm = from_call(values)
            return self._with_ndim(node, Step(node.name, AFFINE, sources, norm, norm))
        layer = operation.weights.from_call(values)
        stored = isinstance(weight, fx.Node) and weight.op == "get_attr"
        name = str(weight.target).removesuffix(".weight") if stored else node.name
        return self._with_padding(Step(name, operation, sources, layer, layer))

    def _constants(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """A call's arguments where none depends on the images."""
        if not all(self._is_fixed(self.places.get(node, -1)) for node in _nodes(settings)):
            return None
        found: dict[str, Any] = fx.node.map_arg(
            settings, lambda node: self._constant(self.places[node])
        )
        return found

    def _is_fixed(self, place: int) -> bool:
        """Whether a value depends on nothing of the images, be it their shape."""
        return place >= 0 and all(map(self._is_fixed, self.steps[place].sources))

    def _constant(self, place: int) -> Any:
        step = self.steps[place]
        with torch.no_grad():
            return step.run(*(self._constant(source) for source in step.sources))

    def _join(self, node: fx.Node, operation: Operation, settings: dict[str, Any]) -> Step | None:
        """A concatenation, of channels above all; never of images."""
        parts, dim = settings["tensors"], settings.get("axis", settings.get("dim", 0))
        if dim == 0 or not isinstance(dim, int):
            return None
        sources = self._parts(parts) if isinstance(parts, fx.Node) else self._placed(parts)
        if sources is None:
            return None
        if operation == STACK:
            sources = [
                self._add(
                    Step(f"{node.name}_{i}", ROUTE, (source,), partial(torch.unsqueeze, dim=dim))
                )
                for i, source in enumerate(sources)
            ]
        return Step(node.name, JOIN, tuple(sources), lambda *v: torch.cat(v, dim), dim=dim)

    def _placed(self, nodes: Sequence[Any]) -> list[int] | None:
        known = all(isinstance(node, fx.Node) and node in self.places for node in nodes)
        return [self.places[node] for node in nodes] if known else None

    def _parts(self, node: fx.Node) -> list[int] | None:
        """The places of all parts that a split gives, where it is read as a whole."""
        if node not in self.parts:
            return None
        call, sources = self._callable(node)
        return [
            self._add(Step(f"{node.name}_{i}", ROUTE, sources, partial(_part, call, i)))
            for i in range(len(self.tracer.decided(node)))
        ]

    def _sum(self, node: fx.Node, operation: Operation) -> Step | None:
        """a + b; a − b is a + (−b)."""
        terms = self._operands(node)
        if terms is None:
            return None
        if operation == DIFFERENCE:
            negated = Step(f"{node.name}_negated", PASS, (terms[1],), torch.neg)
            terms = (terms[0], self._add(negated))
        return Step(node.name, SUM, terms, torch.add)

    def _gate(self, node: fx.Node, operation: Operation) -> Step | None:
        """Signal times gate: the factor that knows less of places in the image is the gate."""
        factors = self._operands(node)
        if factors is None:
            return None
        signal, gate = factors
        if operation == QUOTIENT:
            return Step(node.name, GATE, factors, torch.div) if self._spread(gate) == 0 else None
        if self._spread(signal) < self._spread(gate):
            signal, gate = gate, signal
        if self._spread(signal) == self._spread(gate) > 0:
            return None
        return Step(node.name, GATE, (signal, gate), torch.mul)

    def _operands(self, node: fx.Node) -> tuple[int, int] | None:
        """The places of an operator's two operands; numbers become steps of their own."""
        if len(node.args) != 2 or node.kwargs:
            return None
        places = [self._operand(argument) for argument in node.args]
        return None if None in places else (places[0], places[1])  # type: ignore[return-value]

    def _operand(self, argument: Any) -> int | None:
        if isinstance(argument, int | float):
            value = torch.tensor(float(argument), dtype=torch.float64)
            return self._add(Step(str(argument), CONSTANT, (), lambda: value))
        if not isinstance(argument, fx.Node):
            return None
        return self._size(argument) if argument in self.sizes else self.places.get(argument)

    def _size(self, node: fx.Node) -> int:
        """A constant that is known when the images are there."""
        call, sources = self._callable(node)
        return self._add(Step(node.name, CONSTANT, sources, partial(_number, call)))

    def _plain(self, node: fx.Node, operation: Operation) -> Step:
        """A step that calls what the node calls; the first tensor that it reads is the signal."""
        call, sources = self._callable(node)
        return Step(node.name, operation, sources, call)

    def _callable(self, node: fx.Node) -> tuple[Call, tuple[int, ...]]:
        """What the node calls, never in place, and the places of the tensors that it reads."""
        module: Any = self.modules[str(node.target)] if node.op == "call_module" else None
        if getattr(module, "inplace", False):
            module = copy.copy(module)
            module.inplace = False
        tensors = self._tensors(node)
        return Call(node, tensors, module), tuple(self.places[tensor] for tensor in tensors)

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        """The steps' nodes that a node reads, also for the sizes and parts that it reads."""
        found: dict[fx.Node, None] = {}
        for source in node.all_input_nodes:
            nested = self._tensors(source) if source not in self.places else [source]
            found |= dict.fromkeys(nested)
        return list(found)

    def _pools_all(self, node: fx.Node) -> bool:
        """Whether it leaves one value per channel, however large the image is."""
        if node.op == "call_module":
            return pools_all(settings_of(self.modules[str(node.target)]))
        return find_call(called(node), arguments(node)) in POOLS and pools_all(arguments(node))

    def _refusal(self, node: fx.Node) -> str:
        names = [self._named(self.places[tensor]) for tensor in self._tensors(node)]
        if node.op == "call_module":
            name = str(node.target)
            what, advice = refused_layer(name, self.modules[name], len(names))
        else:
            inside = list(node.meta.get("nn_module_stack", {}).values())
            name = str(inside[-1][0]) if inside else ""
            what, advice = refused_call(node, name, self.modules[name])
        return f"{what} (reads {', '.join(names) or 'nothing'}) has no relevance rule. {advice}"

    def _named(self, place: int) -> str:
        return "the images" if place < 0 else f"'{self.steps[place].name}'"


POOLS = (AVERAGE, MAX_POOL, REDUCTION)
"""Operations after which a value may know nothing of places in the image any more."""


def _with_module(step: Step, pool: Any, settings: dict[str, Any]) -> Step:
    """A max pool as a module, which also runs it where its sizes are numbers."""
    own = {k: v for k, v in settings.items() if k not in ("input", "return_indices")}
    module = MAX_POOL.modules[MAX_POOL.calls.index(pool)](**own)
    sized = any(_nodes(value) for value in own.values())
    return replace(step, run=step.run if sized else module, module=module)


def _number(call: Call, *values: Tensor) -> Tensor:
    return torch.tensor(float(call(*values)), dtype=torch.float64)


def _part(call: Call, i: int, *values: Tensor) -> Tensor:
    part: Tensor = call(*values)[i]
    return part


def _nodes(value: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg(value, found.append)
    return found
