"""What a network may consist of: a table of operations, each with its backward function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any, Literal

from torch import Tensor, nn

from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.operations import (
    activation,
    arithmetic,
    convolution,
    linear,
    normalisation,
    pooling,
    shape,
)
from lrpsweep.attribution.lrp.operations.operation import (
    Operation,
    Propagation,
    Weights,
    check_shapes,
    computes_as,
    has_weights,
    settings_of,
)
from lrpsweep.errors import InputError
from lrpsweep.registry import Registration, Registry

Backward = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | tuple[Tensor, ...]]

OPERATIONS: Registry[Operation] = Registry(
    "operation",
    (
        *(convolution.CONVOLUTION, convolution.TRANSPOSED, linear.LINEAR, normalisation.AFFINE),
        *(activation.RELU, activation.PASS, activation.CLAMPED, normalisation.NORMALISATION),
        *(activation.IDENTITY, pooling.MAX_POOL, pooling.AVERAGE, pooling.REDUCTION),
        *(pooling.INTERPOLATION, shape.ROUTE, shape.PADDING, shape.REPETITION, arithmetic.JOIN),
        *(arithmetic.STACK, arithmetic.SUM, arithmetic.DIFFERENCE, arithmetic.GATE),
        *(arithmetic.PRODUCT, arithmetic.QUOTIENT, arithmetic.CONSTANT, arithmetic.UNKNOWN),
    ),
)
"""Every operation by name. Of several that know a module or call, the last one counts."""


def known_operation(module: nn.Module) -> Operation | None:
    """The operation that a module is; None where a subclass computes something else."""
    for operation in _last_first():
        known = any(computes_as(module, known) for known in operation.modules)
        if known and operation.takes(settings_of(module)):
            return operation
    return None


def find_operation(module: nn.Module) -> Operation | None:
    """The operation that a module is, for its relevance.

    Raises InputError where what was registered would take a layer's weights out of account.
    """
    operation = known_operation(module)
    if operation is not None:
        _check_weights(operation, module)
    return operation


def find_call(call: Any, settings: Mapping[str, Any]) -> Operation | None:
    """The operation of a function, or of a tensor's method or attribute by its name."""
    return next((o for o in _last_first() if call in o.calls and o.takes(settings)), None)


def _last_first() -> Iterator[Operation]:
    return reversed(tuple(OPERATIONS.values()))


def weights_of(layer: nn.Module) -> Weights | None:
    """What a layer with weights computes; None of all others."""
    operation = known_operation(layer)
    return None if operation is None else operation.weights


def register(
    module_type: type[nn.Module], how: Literal["pass"] | Backward, *, loses_weights: bool = False
) -> Registration:
    """Says how relevance goes back through a type of module that lrpsweep does not know.

    how: 'pass' leaves it unchanged, for modules whose output has the shape of their input; or a
    function `(module, inputs, relevance) -> relevance of inputs`, where inputs is the tuple of
    tensors that the module read, (N, …) each, and relevance has the shape of its output. It
    returns a tensor, or a tuple of as many as there are inputs. It is called without gradients
    (use `torch.enable_grad` to differentiate); what it does not conserve is reported as the
    explanation's unexplained rest. Registering a type again, or one that lrpsweep knows, replaces
    what it does until the registration is undone, by `undo()` or at the end of a `with` block.

    loses_weights: to pass relevance by a module that has weights: they have no say in it then, and
    no rule. Raises InputError for such a type without it.
    """
    if not (isinstance(module_type, type) and issubclass(module_type, nn.Module)):
        raise InputError(f"register: {module_type!r} is no module type; expected a class")
    if how != "pass" and not callable(how):
        raise InputError(
            f"register: {how!r} for {module_type.__name__}; expected 'pass' or a function "
            "(module, inputs, relevance) -> relevance of inputs"
        )
    name = _free_name(module_type.__name__)
    if how != "pass":
        title = "relevance goes on as registered"
        given = Registered(how)
        return OPERATIONS.register(
            Operation(name, (module_type,), backward=given, title=title, all_sources=True)
        )
    if not loses_weights and issubclass(module_type, _with_weights()):
        raise InputError(f"register: 'pass' for {module_type.__name__}, {_LOSS}")
    passing = replace(activation.PASS, name=name, modules=(module_type,), calls=())
    return OPERATIONS.register(replace(passing, weightless=not loses_weights))


_LOSS = (
    "which has weights: relevance would pass them by, and no rule would see them. Expected a "
    "function (module, inputs, relevance) -> relevance of inputs, or, if that is meant, "
    "loses_weights=True"
)


def _with_weights() -> tuple[type[nn.Module], ...]:
    return tuple(kind for o in OPERATIONS.values() if o.weights is not None for kind in o.modules)


def _check_weights(operation: Operation, module: nn.Module) -> None:
    """Of what was registered as 'pass' for a type of which nobody knew that it has weights."""
    if operation.weightless and has_weights(module):
        kind = type(module).__name__
        raise InputError(f"{kind} is registered as 'pass', {_LOSS}")


def _free_name(wanted: str) -> str:
    numbered = (f"{wanted} {n}" for n in count(2))
    return next(name for name in chain([wanted], numbered) if name not in OPERATIONS)


@dataclass(frozen=True)
class Registered:
    """A backward pass by a function that was registered for a type of module."""

    function: Backward

    def __call__(self, propagation: Propagation) -> list[Arriving]:
        """What the function says goes to each input. Raises InputError for other shapes."""
        step, inputs = propagation.step, propagation.given
        assert step.module is not None
        found = self.function(step.module, inputs, propagation.relevance)
        lower = found if isinstance(found, tuple) else (found,)
        what = f"layer '{step.name}' of type {type(step.module).__name__}: the registered function"
        check_shapes(what, lower, inputs)
        return [Arriving(r) for r in lower]
