"""A composite for zennit: as plain values, as a Python file, and how equal its relevance is.

zennit hooks rules onto modules. What a forward pass computes between its modules becomes modules
there too, by name; what zennit's rules cannot express is refused.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from importlib import metadata, resources, util
from pprint import pformat
from typing import Any

from torch import Tensor, fx, nn

from lrpsweep.attribution.lrp.assignment import assign_rules, field_of
from lrpsweep.attribution.lrp.calls import Call
from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.engine import POOLING_STABILIZER, Engine
from lrpsweep.attribution.lrp.forward import Ends
from lrpsweep.attribution.lrp.graph import Step, reached
from lrpsweep.attribution.lrp.operations.activation import IDENTITY
from lrpsweep.attribution.lrp.operations.arithmetic import CONSTANT, GATE, SUM
from lrpsweep.attribution.lrp.operations.normalisation import AFFINE
from lrpsweep.attribution.lrp.rules import RULES, LayerRule, canonical
from lrpsweep.attribution.lrp.tracing import trace
from lrpsweep.errors import InputError

NATIVE = "native"
"""What operations are called through which relevance goes as gradients do."""


def zennit_data(net: nn.Module, rules: Mapping[str, LayerRule], bounds: Ends) -> dict[str, Any]:
    """What `loader.build_composite` builds from: plain values, by layer name.

    rules: of every layer, by name. bounds: (low, high), each (C,), of a normalised pixel. Raises
    InputError that names the group and its setting, or the layer, that zennit's rules cannot
    express.
    """
    traced = trace(net)
    steps = canonize(traced)
    blocks = _blocks(steps, assign_rules(steps, rules, pixels_bounded=True), bounds)
    _check_used_once(traced)
    network: dict[str, Any] = {
        "unchanged": [],
        "shared": [],
        "calls": {"unchanged": [], "shared": [], "sum": []},
        "merged": _merged(traced, steps),
        "leaves": _leaves(traced),
        "stabilizer": POOLING_STABILIZER,
    }
    modules = dict(net.named_modules())
    for place in sorted(reached(steps)):
        step = steps[place]
        if step.weighted or step.operation.zennit == NATIVE:
            continue
        how = _how(step)
        if step.module is not None and modules.get(step.name) is step.module:
            network[how].append(step.name)
        else:
            _check_call(step)
            network["calls"][how].append(step.name)
    network |= {how: list(dict.fromkeys(network[how])) for how in ("unchanged", "shared")}
    return {"blocks": blocks, "network": network}


def _how(step: Step) -> str:
    """What zennit does with the relevance of a step without weights."""
    if step.operation.zennit:
        return step.operation.zennit
    what = {
        CONSTANT.name: "is a constant that is added",
        GATE.name: "multiplies with a gate, or normalises pixels",
    }
    own = "has a function of its own that was registered"
    raise _refusal(f"'{step.name}' {what.get(step.kind, own)}")


def _refusal(what: str) -> InputError:
    return InputError(f"zennit: {what}; zennit has no rule for that")


def _check_call(step: Step) -> None:
    """Of sums, and of functions whose first argument is the tensor."""
    if step.operation == SUM:
        return
    node = step.run.node if isinstance(step.run, Call) else None
    if node is None or not isinstance(node.args[0] if node.args else None, fx.Node):
        raise _refusal(f"'{step.name}' in forward() does not take its tensor first")


def _check_used_once(steps: Sequence[Step]) -> None:
    """Rules with a state of their own: zennit's hooks know the last use of a module alone."""
    uses = Counter(s.name for s in steps if s.weighted or s.operation.zennit == "shared")
    for name, count in uses.items():
        if count > 1:
            raise _refusal(f"layer '{name}' is used {count} times")


def _merged(traced: Sequence[Step], steps: Sequence[Step]) -> list[list[Any]]:
    """Lists [[layer], batch norm that is merged into it], in order."""
    norms = {step.name: step for step in traced if step.operation == AFFINE}
    found = []
    for step in steps:
        for name in step.merged:
            if _layer_before(traced, norms[name]) != step.name:
                raise _refusal(f"the batch norm '{name}' is not right behind '{step.name}'")
            if getattr(norms[name].module, "weight", None) is None:
                raise _refusal(f"the batch norm '{name}' has no weights")
            found.append([[step.name], name])
    return found


def _layer_before(traced: Sequence[Step], norm: Step) -> str | None:
    place = norm.sources[0]
    while place >= 0 and traced[place].operation in (AFFINE, IDENTITY):
        place = traced[place].sources[0]
    return traced[place].name if place >= 0 else None


def _leaves(traced: Sequence[Step]) -> list[str]:
    """Modules that torch.fx would look into if it was not told to."""
    tracer = fx.Tracer()
    modules = {step.name: step.module for step in traced if step.module is not None}
    return [name for name, module in modules.items() if not tracer.is_leaf_module(module, name)]


def _blocks(
    steps: Sequence[Step], rules: Mapping[int, LayerRule], bounds: Ends
) -> list[dict[str, Any]]:
    """The layers that get the same, with zennit's rule for them as plain values, in order."""
    found: dict[Hashable, dict[str, Any]] = {}
    for place, rule in sorted(rules.items()):
        name, same = steps[place].name, (rule.group, canonical(rule))
        if same not in found:
            found[same] = {"layers": [], "zennit": _in_zennit(steps[place], rule, bounds)}
        elif "bounds" not in rule.settings and RULES[rule.rule].bounded:
            _check_reads_images(steps[place], rule)
        if name not in found[same]["layers"]:
            found[same]["layers"].append(name)
    return [block for block in found.values() if block["zennit"] is not None]


def _in_zennit(step: Step, rule: LayerRule, bounds: Ends) -> Mapping[str, Any] | None:
    entry, where = RULES[rule.rule], field_of(step, rule)
    settings = rule.settings
    if entry.zennit is None:
        raise InputError(f"{where}.rule: {rule.rule} on '{step.name}'; zennit has no rule for that")
    if entry.bounded and "bounds" not in settings:
        _check_reads_images(step, rule)
        settings = {**settings, "bounds": [bound.tolist() for bound in bounds]}
    try:
        data = entry.zennit(settings)
    except InputError as error:
        raise InputError(f"{where}.{error}") from error
    if data is not None and entry.bounded:
        weight: Any = step.layer[0].weight
        return {**data, "places": weight.ndim - 2}
    return data


def _check_reads_images(step: Step, rule: LayerRule) -> None:
    if step.sources != (-1,):
        raise InputError(
            f"{field_of(step, rule)}.rule: {rule.rule} on '{step.name}', which reads "
            "pixels that forward() has changed; zennit wants their bounds, as low and high"
        )


def zennit_source(data: Mapping[str, Any], about: str) -> str:
    """A Python file that needs torch and zennit alone: `composite()`, and `explain(…)` with it.

    data: of `zennit_data`. about: the file's first words.
    """
    folder = resources.files("lrpsweep.attribution.zennit")
    loader = folder.joinpath("loader.py").read_text(encoding="utf-8")
    code = loader[loader.index("from __future__") :]
    literal = pformat(data, width=100, compact=True, sort_dicts=False)
    return f'"""{about}{_USAGE}"""\n\n{code}{_FUNCTIONS.replace("DATA_HERE", literal)}'


_USAGE = """

Heatmaps (N, *spatial) of normalised images (N, C, *spatial), for classes (N,) and a network in eval
mode:

    heatmaps = explain(net, images, targets).sum(1)
"""

_FUNCTIONS = '''

DATA: dict[str, Any] = DATA_HERE


def composite() -> NameMapComposite:
    """For `zennit.attribution.Gradient(model=net, composite=composite())`."""
    return build_composite(DATA)


def explain(net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Relevance (N, C, …) of images for the logits `targets` (N,); heatmaps are its sum(1)."""
    return explain_with(DATA, net, images, targets)
'''


def certify(
    net: nn.Module, rules: Mapping[str, LayerRule], bounds: Ends, images: Tensor, targets: Tensor
) -> dict[str, Any] | None:
    """How far zennit's relevance of these images is from lrpsweep's, in float64.

    `largest_relative_difference`: the largest |ΔR| by the largest |R|; `not_expressible` in its
    place where zennit has no rule. None where zennit is not installed.
    """
    if util.find_spec("zennit") is None:
        return None
    against = {"against": f"zennit {metadata.version('zennit')}"}
    try:
        data = zennit_data(net, rules, bounds)
    except InputError as error:
        return against | {"not_expressible": str(error)}
    return against | {
        "images": len(images),
        "largest_relative_difference": _difference(net, rules, data, bounds, images, targets),
    }


def _difference(
    net: nn.Module,
    rules: Mapping[str, LayerRule],
    data: Mapping[str, Any],
    bounds: Ends,
    images: Tensor,
    targets: Tensor,
) -> float:
    """Image by image: float64 takes memory enough.

    In one memory format: in plain areas the values that a max pool compares are equal but for their
    rounding, which differs from format to format, and another winner gets all the relevance.
    """
    from lrpsweep.attribution.zennit.loader import explain_with

    net, images = copy.deepcopy(net).double(), images.double().contiguous()
    low, high = (bound.to(images) for bound in bounds)
    engine = Engine(net, (low, high))
    largest, apart = 0.0, 0.0
    for i in range(len(images)):
        image, target = images[i : i + 1], targets[i : i + 1]
        ours = engine.attribute(image, target, rules).relevance
        theirs = explain_with(data, net, image, target)
        largest = max(largest, float(ours.abs().max()))
        apart = max(apart, float((ours - theirs).abs().max()))
    return apart / largest if largest else apart
