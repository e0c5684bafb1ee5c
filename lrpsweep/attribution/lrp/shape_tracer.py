"""What forward() learns of an image's shape: tracing with control flow that depends on sizes."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from lrpsweep.attribution.lrp.calls import evaluate
from lrpsweep.attribution.lrp.operations import known_operation
from lrpsweep.errors import InputError

USUAL_HEIGHTS = (224, 64, 32, 28, 299, 16, 8)
"""Heights of an image that are tried where none is given."""


class ShapeTracer(fx.Tracer):
    """Traces a forward pass whose branches depend on shapes, as those of `example` decide.

    example: images, of which the shape alone counts; None: the first of some usual shapes that the
    network takes. by_shape: whether a branch, a loop or a number was decided by it, or could
    not be. Values are
    never looked at: what depends on them cannot be traced.
    """

    def __init__(self, net: nn.Module, example: Tensor | None) -> None:
        super().__init__()
        self.net, self.example = net, example
        self.by_shape = False
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._values: dict[fx.Node, Any] = {}
        self._evaluating = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Also what an operation is known for."""
        return known_operation(m) is not None or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A stand-in for the node's value that knows its length, and its number if it is one."""
        return _Known(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Which branch is taken."""
        return bool(self.decided(obj.node))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """As many parts as there are."""
        sized: Any = obj
        return iter([sized[i] for i in range(len(sized))])

    def decided(self, node: fx.Node) -> Any:
        """The value that a branch depends on."""
        value = self.value(node)
        if isinstance(value, Tensor):
            raise InputError(self._unknown(node))
        self.by_shape = True
        return value

    def value(self, node: fx.Node) -> Any:
        """What the node gives, tensors as their shapes alone. Raises InputError if none knows."""
        with self._shapes_alone():
            for one in self.graph.nodes:
                if one not in self._values:
                    with contextlib.suppress(Exception):
                        self._values[one] = self._evaluate(one)
        if node not in self._values:
            self.by_shape = True
            raise InputError(self._unknown(node))
        return self._values[node]

    @staticmethod
    def _unknown(node: fx.Node) -> str:
        return (
            f"'{node.name}' depends on the images' values, or on a shape that is not known; "
            "expected branches by sizes alone, of images that the network takes"
        )

    @contextlib.contextmanager
    def _shapes_alone(self) -> Iterator[None]:
        before, self._evaluating = self._evaluating, True
        log = logging.getLogger("torch._subclasses.fake_tensor")  # of shapes that do not fit
        silent, log.disabled = log.disabled, True
        try:
            with self._mode, torch.no_grad():
                yield
        finally:
            self._evaluating, log.disabled = before, silent

    def _evaluate(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._images()
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.net)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: self._values[n])
        if node.op == "call_module":
            return self.net.get_submodule(str(node.target))(*args, **kwargs)
        return evaluate(node, args, kwargs)

    def _images(self) -> Tensor:
        if self.example is not None:
            return self._mode.from_tensor(self.example)
        channels, n = _reads(self.net)
        shapes = ((2, channels, *(height,) * n) for height in USUAL_HEIGHTS)
        like = next(self.net.parameters(), torch.zeros(()))
        for shape in shapes:
            with contextlib.suppress(Exception):
                images = torch.empty(shape, dtype=like.dtype, device=like.device)
                with contextlib.suppress(DataDependentOutputException):  # a branch: it fits so far
                    self.net(images)
                return images
        raise InputError("none of the usual shapes of images is the network's")

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """While shapes are worked out, modules compute them."""
        if self._evaluating:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        """While shapes are worked out, parameters are themselves."""
        if self._evaluating:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def _reads(net: nn.Module) -> tuple[int, int]:
    """Channels and dimensions of the images that the network may read: of its first convolution."""
    for module in net.modules():
        operation = known_operation(module)
        kernel = getattr(module, "kernel_size", None)
        if operation is not None and operation.weights is not None and isinstance(kernel, tuple):
            return operation.weights.reads(module), len(kernel)
    return 3, 2


class _Sized:
    """What forward() may ask a traced value for: how long it is, and which number."""

    tracer: ShapeTracer
    node: fx.Node

    def __len__(self) -> int:
        length = self.tracer.create_proxy("call_function", len, (self,), {})
        return int(self.tracer.decided(length.node))

    def __int__(self) -> int:
        return int(self.tracer.decided(self.node))

    def __float__(self) -> float:
        return float(self.tracer.decided(self.node))

    def __getattr__(self, name: str) -> Any:
        proxy: Any = self
        return _KnownAttribute(proxy, name)


class _Known(_Sized, fx.Proxy):
    """A traced value."""

    tracer: ShapeTracer
    node: fx.Node


class _KnownAttribute(_Sized, fx.proxy.Attribute):
    """An attribute of a traced value, as its shape; its node is made when it is asked for."""

    tracer: ShapeTracer
