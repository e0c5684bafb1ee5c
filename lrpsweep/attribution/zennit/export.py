"""A composite for zennit: as plain values, as a Python file, and how equal its relevance is.

zennit hooks rules onto modules. What a forward pass computes between its modules becomes modules
there too, by name; what zennit's rules cannot express is refused.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata, resources, util
from pprint import pformat
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx, nn

from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.engine import POOLING_STABILIZER, Explainer
from lrpsweep.attribution.lrp.graph import Step, reached
from lrpsweep.attribution.lrp.tracing import Call, trace
from lrpsweep.errors import InputError

if TYPE_CHECKING:
    from lrpsweep.composites.block import Block, Composite

NATIVE = ("winner", "route", "join")
"""Steps through which relevance goes as gradients do."""

Bounds = tuple[Tensor, Tensor]


def zennit_data(net: nn.Module, composite: Composite, bounds: Bounds) -> dict[str, Any]:
    """What `zennit_loader.build_composite` builds from: plain values, by layer name.

    bounds: (low, high), each (C,), of a normalised pixel. Raises InputError that names the block
    and its option, or the layer, that zennit's rules cannot express.
    """
    traced = trace(net)
    steps = canonize(traced)
    for block in composite.blocks:
        _check_block(block)
    _check_boxes(steps, composite)
    _check_used_once(traced)
    network: dict[str, Any] = {
        "unchanged": [],
        "shared": [],
        "calls": {"unchanged": [], "shared": [], "sum": []},
        "merged": _merged(traced, steps),
        "leaves": _leaves(traced),
        "stabilizer": POOLING_STABILIZER,
        "bounds": {"low": bounds[0].tolist(), "high": bounds[1].tolist()},
    }
    modules = dict(net.named_modules())
    for place in sorted(reached(steps)):
        step = steps[place]
        if step.kind == "weighted" or step.kind in NATIVE:
            continue
        how = _how(step)
        if step.module is not None and modules.get(step.name) is step.module:
            network[how].append(step.name)
        else:
            _check_call(step)
            network["calls"][how].append(step.name)
    network |= {how: list(dict.fromkeys(network[how])) for how in ("unchanged", "shared")}
    return {"blocks": [block.to_json() for block in composite.blocks], "network": network}


def _how(step: Step) -> str:
    """What zennit does with the relevance of a step without weights."""
    known = {
        "relu": "unchanged",
        "pass": "unchanged",
        "average": "shared",
        "affine": "shared",
        "sum": "sum",
    }
    if step.kind in known:
        return known[step.kind]
    what = {
        "constant": "is a constant that is added",
        "gate": "multiplies with a gate, or normalises pixels",
        "custom": "has a function of its own that was registered",
    }
    raise _refusal(f"'{step.name}' {what[step.kind]}")


def _refusal(what: str) -> InputError:
    return InputError(f"zennit: {what}; zennit has no rule for that")


def _check_call(step: Step) -> None:
    """Of sums, and of functions whose first argument is the tensor."""
    if step.kind == "sum":
        return
    node = step.run.node if isinstance(step.run, Call) else None
    if node is None or not isinstance(node.args[0] if node.args else None, fx.Node):
        raise _refusal(f"'{step.name}' in forward() does not take its tensor first")


def _check_used_once(steps: Sequence[Step]) -> None:
    """Rules with a state of their own: zennit's hooks know the last use of a module alone."""
    uses = Counter(s.name for s in steps if s.kind in ("weighted", "affine", "average"))
    for name, count in uses.items():
        if count > 1:
            raise _refusal(f"layer '{name}' is used {count} times")


def _merged(traced: Sequence[Step], steps: Sequence[Step]) -> list[list[Any]]:
    """Lists [[layer], batch norm that is merged into it], in order."""
    norms = {step.name: step for step in traced if step.kind == "affine"}
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
    while place >= 0 and traced[place].kind in ("affine", "identity"):
        place = traced[place].sources[0]
    return traced[place].name if place >= 0 else None


def _leaves(traced: Sequence[Step]) -> list[str]:
    """Modules that torch.fx would look into if it was not told to."""
    tracer = fx.Tracer()
    modules = {step.name: step.module for step in traced if step.module is not None}
    return [name for name, module in modules.items() if not tracer.is_leaf_module(module, name)]


def _check_block(block: Block) -> None:
    where, hyper, options = f"composite.{block.name}", block.numbers, block.options
    if options.get("pooling") == "sum":
        raise InputError(f"{where}.pooling: sum; zennit gives relevance to the winner alone")
    if math.isinf(hyper.get("gamma", 0)):
        raise InputError(f"{where}.gamma: inf; zennit's Gamma takes finite numbers")
    if options.get("bias") == "kept" and hyper["gamma"] > 0:
        raise InputError(f"{where}.bias: kept; zennit's Gamma scales the bias or drops it")


def _check_boxes(steps: Sequence[Step], composite: Composite) -> None:
    blocks = composite.by_layer()
    for step in steps:
        block = blocks.get(step.name)
        if block is None or block.rule != "z_box" or block.bounds is not None:
            continue
        if step.kind == "weighted" and step.sources != (-1,):
            raise InputError(
                f"composite.{block.name}.rule: z_box on '{step.name}', which reads pixels that "
                "forward() has changed; zennit wants their bounds, as low and high"
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

Heatmaps (N, H, W) of normalised images (N, 3, H, W) for classes (N,), of a network in eval mode:

    heatmaps = explain(net, images, targets).sum(1)
"""

_FUNCTIONS = '''

DATA: dict[str, Any] = DATA_HERE


def composite() -> NameMapComposite:
    """For `zennit.attribution.Gradient(model=net, composite=composite())`."""
    return build_composite(DATA)


def explain(net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Relevance (N, C, H, W) of images for the logits `targets` (N,); heatmaps are its sum(1)."""
    return explain_with(DATA, net, images, targets)
'''


def certify(
    net: nn.Module, composite: Composite, bounds: Bounds, images: Tensor, targets: Tensor
) -> dict[str, Any] | None:
    """How far zennit's relevance of these images is from lrpsweep's, in float64.

    `largest_relative_difference`: the largest |ΔR| by the largest |R|; `not_expressible` in its
    place where zennit has no rule. None where zennit is not installed.
    """
    if util.find_spec("zennit") is None:
        return None
    against = {"against": f"zennit {metadata.version('zennit')}"}
    try:
        data = zennit_data(net, composite, bounds)
    except InputError as error:
        return against | {"not_expressible": str(error)}
    return against | {
        "images": len(images),
        "largest_relative_difference": _difference(net, composite, data, images, targets),
    }


def _difference(
    net: nn.Module, composite: Composite, data: Mapping[str, Any], images: Tensor, targets: Tensor
) -> float:
    """Image by image: float64 takes memory enough.

    In one memory format: in plain areas the values that a max pool compares are equal but for their
    rounding, which differs from format to format, and another winner gets all the relevance.
    """
    from lrpsweep.attribution.zennit.loader import explain_with

    net, images = copy.deepcopy(net).double(), images.double().contiguous()
    low, high = (images.new_tensor(data["network"]["bounds"][end]) for end in ("low", "high"))
    explainer = Explainer(net, (low, high))
    largest, apart = 0.0, 0.0
    for i in range(len(images)):
        image, target = images[i : i + 1], targets[i : i + 1]
        ours = explainer.attribute(image, target, composite).relevance
        theirs = explain_with(data, net, image, target)
        largest = max(largest, float(ours.abs().max()))
        apart = max(apart, float((ours - theirs).abs().max()))
    return apart / largest if largest else apart
