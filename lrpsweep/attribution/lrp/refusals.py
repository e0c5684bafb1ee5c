"""Messages for layers, functions and outputs without a relevance rule, with advice."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from lrpsweep.attribution.lrp.calls import arguments, called
from lrpsweep.attribution.lrp.operations import find_call
from lrpsweep.attribution.lrp.operations.arithmetic import PRODUCT
from lrpsweep.attribution.lrp.operations.operation import has_weights


def refused_layer(name: str, module: nn.Module, reads: int) -> tuple[str, str]:
    """What it is, and what to do about it: relevance cannot just pass by weights.

    reads: how many tensors it reads.
    """
    kind = type(module).__name__
    what = f"layer '{name}' of type {kind}"
    if reads > 1:
        return what, f"It reads several tensors. {_function_for(kind)}"
    if has_weights(module):
        return what, f"It has weights. {_function_for(kind)}"
    if "pool" in kind.lower():
        return what, f"It pools. {_function_for(kind)}"
    return what, _pass_or_function(kind)


def refused_call(node: fx.Node, name: str, within: nn.Module) -> tuple[str, str]:
    """What it is, and what to do about it: a module without weights can be registered whole.

    name: that of the module `within` whose forward() makes the call; '': the network itself.
    """
    kind, call = type(within).__name__, str(getattr(node.target, "__name__", node.target))
    if called(node) != node.target:
        call = called(node)[1:]
    whose = f"'{name}' of type {kind}" if name else kind
    product = find_call(called(node), arguments(node)) == PRODUCT
    gate = "A product needs a gate: a parameter, or one value per channel. " if product else ""
    what = f"{call}() in forward() of {whose}"
    if name and not has_weights(within):
        return what, gate + _pass_or_function(kind)
    reads_weights = not gate and any(read.op == "get_attr" for read in node.all_input_nodes)
    if name and reads_weights and not any(within.children()):
        return what, f"It has weights. {_function_for(kind)}"
    advice = _function_for if reads_weights else _pass_or_function
    return what, (
        f"{gate}Put it into a module of its own: a class whose forward() computes {call}() and "
        f"nothing else, called by forward() of {kind}. {advice('that class')}"
    )


def described(output: Any) -> str:
    """What forward() returns."""
    if isinstance(output, dict):
        return f"a dict of {', '.join(map(repr, output))}"
    if isinstance(output, tuple | list):
        return f"a {'tuple' if isinstance(output, tuple) else 'list'} of {len(output)}"
    return str(output)


def _function_for(kind: str) -> str:
    return (
        f"Register a function for it before: `lrpsweep.register({kind}, function)`, with "
        "function(module, inputs, relevance) -> relevance of inputs"
    )


def _pass_or_function(kind: str) -> str:
    return (
        "If relevance may pass through unchanged, say so before: `lrpsweep.register("
        f'{kind}, "pass")`; otherwise register a function `(module, inputs, relevance) -> '
        f"relevance of inputs` for {kind}"
    )
