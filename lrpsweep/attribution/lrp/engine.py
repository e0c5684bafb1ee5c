"""The engine: one forward pass per batch, then relevance under as many rules as one likes.

What belongs to the batch (every layer's input, z, z⁺) is recorded once and kept, within a bound,
so that further rules cost little more than one transposed convolution per layer, and nothing for
the groups of layers from the output down that get the same as before.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from lrpsweep.attribution.lrp.assignment import assign_rules
from lrpsweep.attribution.lrp.backward import BackwardPass, Watch
from lrpsweep.attribution.lrp.balance import Balance, per_image
from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.explanation import Explanation
from lrpsweep.attribution.lrp.forward import ForwardPass, shape_of
from lrpsweep.attribution.lrp.graph import Step
from lrpsweep.attribution.lrp.layers import LayerInfo, describe_layers
from lrpsweep.attribution.lrp.operations import OPERATIONS
from lrpsweep.attribution.lrp.operations.activation import IDENTITY
from lrpsweep.attribution.lrp.operations.normalisation import AFFINE
from lrpsweep.attribution.lrp.operations.operation import FORWARD
from lrpsweep.attribution.lrp.rules import RULES, LayerRule
from lrpsweep.attribution.lrp.tracing import UnknownShapeError, find_hooks, trace_shape, unwrapped
from lrpsweep.errors import InputError

PLAIN = frozenset((bool, int, float, str, type(None)))
"""Types of a module's settings, as its mode, of which a change has the network read anew."""

POOLING_STABILIZER = 1e-6
"""Of the denominators in averages and sums, as in zennit's `Norm`."""


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32 within: on a GPU, torch otherwise computes float32 convolutions with 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class Engine:
    """LRP under any rules, for one network.

    net: in eval mode, on the device and in the precision of the images; it is never changed. Its
    own modules compute the forward pass, but for layers that a batch norm was merged into: those
    are copies. A network whose weights, modules or settings have changed since the last call is
    read anew. bounds: (low, high), each (C,), of a normalised pixel, for z_box. cache_bytes: how
    much memory forward passes may keep between calls. example: images of the shape that will come,
    for a forward() that takes no usual one; without it, the first images tell.
    """

    def __init__(
        self,
        net: nn.Module,
        bounds: tuple[Tensor, Tensor] | None = None,
        cache_bytes: int = 0,
        example: Tensor | None = None,
    ):
        if not isinstance(net, nn.Module):
            raise InputError(f"net: found {net!r}; expected a torch.nn.Module")
        if bounds is not None:
            _check_bounds(bounds)
        self.net = unwrapped(net)
        self.bounds = bounds
        self.cache_bytes = cache_bytes
        self._forwards: dict[Hashable, ForwardPass] = {}
        self._compared: set[Hashable] = set()
        self.steps: tuple[Step, ...] = ()
        self._state: tuple[object, ...] = ()
        self._shape: torch.Size | None = None
        self._by_shape = False
        with suppress(UnknownShapeError):  # the first images tell
            self._read(example)

    def _read(self, images: Tensor | None) -> None:
        """Traces the network as it is now, for images of this shape."""
        steps, self._by_shape = trace_shape(self.net, images)
        _check_mode(steps)
        self.steps = canonize(steps)
        self._state = _state(self.net)
        self._shape = None if images is None else images.shape

    def refresh(self, images: Tensor | None = None) -> None:
        """Reads the network anew if it has changed, and forgets what was computed before.

        Where forward() tests sizes, it is also read anew for images of another shape, and for
        those of other dimensions always.
        """
        if _state(self.net) != self._state:
            self.forget()
            self._read(self._example() if images is None else images)
        elif images is not None and self._reads_otherwise(images.shape):
            self._read(images)

    def _reads_otherwise(self, shape: torch.Size) -> bool:
        """Whether images of that shape may be computed by other steps."""
        if self._by_shape:
            return shape != self._shape
        return self._shape is not None and len(shape) != len(self._shape)

    def _example(self) -> Tensor | None:
        """Images of the shape that the network was read for last."""
        like = next(self.net.parameters(), torch.empty(0))
        return None if self._shape is None else like.new_empty(self._shape)

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The network's layers as it was read last: names, types, and which have weights."""
        return describe_layers(self.net, self.steps)

    @torch.no_grad()
    @full_precision()
    def attribute(
        self,
        images: Tensor,
        targets: Tensor,
        rules: Mapping[str, LayerRule],
        key: Hashable = None,
        watch: Watch | None = None,
    ) -> Explanation:
        """Explains the logits `targets` of `images` (N, C, *spatial).

        targets: (N,), or (N, T) for T explanations of each image from one forward pass. rules: of
        every layer with weights, and of max pools that shall not give to the winner, by name. key:
        names the batch; a batch with a known key must hold the same images as before, and is
        compared with the network only once. watch: is told of every step, which then is taken anew.
        Raises InputError for images, targets or rules that do not fit the network, and when the
        network computes something else than its layers one by one.
        """
        self.check_batch(images, targets)
        resolved = assign_rules(self.steps, rules, pixels_bounded=self.bounds is not None)
        forward = self._forward(images, key)
        self.check_classes(targets, forward.output)
        keep = key is not None and watch is None
        columns = targets.long().to(images.device).view(len(images), -1).unbind(1)
        found = [self._explain(forward, column, resolved, watch, keep=keep) for column in columns]
        if key is not None:
            self._keep(key, forward)
        return found[0] if targets.ndim == 1 else Explanation.stacked(found)

    def _explain(
        self,
        forward: ForwardPass,
        targets: Tensor,
        rules: Mapping[int, LayerRule],
        watch: Watch | None,
        *,
        keep: bool,
    ) -> Explanation:
        """targets: (N,). rules: by place. keep: as `BackwardPass.propagate` has it."""
        balance = Balance.empty(len(targets), forward.output)
        score = forward.output.gather(1, targets[:, None])
        start = torch.zeros_like(forward.output).scatter_(1, targets[:, None], score)
        backward = BackwardPass(forward, rules, POOLING_STABILIZER, watch)
        relevance = backward.propagate(start, balance, keep=keep)
        score = score[:, 0].double()
        rest = score - per_image(relevance) - balance.bias - balance.stabilizer
        return Explanation(relevance, score, balance.bias, balance.stabilizer, rest, balance.blocks)

    def check(self, rules: Mapping[str, LayerRule]) -> None:
        """Raises InputError when a layer has no rule, a rule no layer, or one is not for it."""
        self.refresh()
        assign_rules(self.steps, rules, pixels_bounded=self.bounds is not None)

    def check_batch(self, images: Tensor, targets: Tensor) -> None:
        """Raises InputError for images or targets that the network cannot take as they are.

        Before, the network is read anew if it has changed, which may be refused as well.
        """
        self._check_images(images)
        self.refresh(images)
        _check_targets(targets, len(images))

    def check_classes(self, targets: Tensor, scores: Tensor) -> None:
        """Raises InputError for targets that the scores (N, classes) do not have."""
        wrong = targets[(targets < 0) | (targets >= scores.shape[1])]
        if wrong.numel():
            raise InputError(
                f"targets: the model has no class {int(wrong[0])}; expected 0 to "
                f"{scores.shape[1] - 1}"
            )

    def _check_images(self, images: Tensor) -> None:
        if not isinstance(images, Tensor) or images.ndim < 2 or not len(images):
            raise InputError(
                f"images: found {shape_of(images)}; expected a tensor (N, C, *spatial)"
            )
        channels = {len(bound) for bound in self.bounds or ()} - {1}
        if channels - {images.shape[1]}:
            raise InputError(
                f"bounds: found those of {max(channels)} channels; expected one number, or "
                f"{images.shape[1]}, one for each channel of the images"
            )
        weight = next((p for p in self.net.parameters() if p.is_floating_point()), images)
        if (images.dtype, images.device) != (weight.dtype, weight.device):
            raise InputError(
                f"images: found {images.dtype} on {images.device}; expected what the network's "
                f"weights are, {weight.dtype} on {weight.device}"
            )

    def _forward(self, images: Tensor, key: Hashable) -> ForwardPass:
        """The batch's forward pass: the kept one, or a new one that equals the network's own."""
        kept = self._forwards.get(key)
        if kept is not None:
            return kept
        expected = None if key in self._compared else self.scores(images)
        forward = ForwardPass(self.steps, images, self.bounds)
        if expected is not None:
            self._compare(expected, forward.output)
        if key is not None:
            self._compared.add(key)
        return forward

    def scores(self, images: Tensor) -> Tensor:
        """The network's own class scores, (N, classes). Raises InputError when it cannot."""
        try:
            scores = self.net(images.clone())
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
                raise
            raise InputError(
                f"images: the network fails on images of shape {tuple(images.shape)} ({error}); "
                "expected the shape that it is made for"
            ) from error
        fitting = isinstance(scores, Tensor) and scores.ndim == 2 and len(scores) == len(images)
        if not isinstance(scores, Tensor) or not fitting or not scores.shape[1]:
            hint = ""
            if isinstance(scores, Tensor) and scores.ndim > 2 and set(scores.shape[2:]) == {1}:
                hint = ". Flatten them: torch.nn.Sequential(net, torch.nn.Flatten())"
            raise InputError(
                f"{type(self.net).__name__} gives {shape_of(scores)} for {len(images)} images; "
                f"expected class scores (N, classes){hint}"
            )
        return scores

    def _compare(self, expected: Tensor, found: Tensor) -> None:
        """Refuses a network whose steps do not compute what the network computes.

        The last guard against explaining something else: a forward pass may do what its trace does
        not show, as a tensor overwritten under two names. What differs is measured image by image,
        by its largest score; one without any, by the batch's.
        """
        name = type(self.net).__name__
        wrong = f"{name}: its forward pass does more than can be traced: its output"
        advice = (
            "Expected a network without tensors that are overwritten while they are used "
            "elsewhere; after a change of weights through `.data`, call `forget()`"
        )
        if found.shape != expected.shape:
            raise InputError(
                f"{wrong} is {shape_of(expected)}, that of its layers one by one "
                f"{shape_of(found)}. {advice}"
            )
        precision = torch.finfo(found.dtype).eps ** 0.5
        largest = expected.abs().amax(1, keepdim=True)
        allowed = 10 * precision * largest.clamp(min=precision * float(largest.max()))
        apart = (found - expected).abs()
        same = (apart <= allowed) | (found.isnan() & expected.isnan()) | (found == expected)
        if not bool(same.all()):
            raise InputError(
                f"{wrong} differs by {float(apart.max()):.3g} from that of its layers one by one, "
                f"in {int((~same).any(1).sum())} of {len(found)} images. {advice}"
            )

    def _keep(self, key: Hashable, forward: ForwardPass) -> None:
        """Keeps the pass if the bound allows; asked again after each use, since passes grow."""
        self._forwards.pop(key, None)
        left = self.cache_bytes - self.kept_bytes()
        while forward.kept_bytes() > left and forward.drop_checkpoint():
            pass
        if forward.kept_bytes() <= left:
            self._forwards[key] = forward

    def forget(self) -> None:
        """Drops all that was computed from weights and images; the next call computes it anew.

        Changed weights are noticed without it, unless they were written through `.data`, which
        torch does not count as a change.
        """
        self._forwards.clear()
        self._compared.clear()
        self._state = ()

    def kept_bytes(self) -> int:
        """Memory that the kept forward passes take."""
        return sum(forward.kept_bytes() for forward in self._forwards.values())


def _state(net: nn.Module) -> tuple[object, ...]:
    """Equal as long as modules, weights, settings, hooks and what is registered stay the same.

    A weight's version counts the changes in place that autograd knows of.
    """
    modules = tuple(net.named_modules())
    settings = tuple([v for v in vars(m).values() if type(v) in PLAIN] for _, m in modules)
    computes = tuple((type(m), *map(vars(m).get, FORWARD)) for _, m in modules)
    tensors = (*net.named_parameters(), *net.named_buffers())
    versions = tuple(
        (name, t.data_ptr(), 0 if t.is_inference() else t._version) for name, t in tensors
    )
    changes = OPERATIONS.changes, RULES.changes
    return modules, settings, computes, versions, tuple(find_hooks(net)), changes


def _check_bounds(bounds: Any) -> None:
    paired = isinstance(bounds, tuple | list) and len(bounds) == 2
    if not paired or not all(isinstance(end, Tensor) and end.ndim == 1 for end in bounds):
        raise InputError(f"bounds: found {bounds!r}; expected two tensors (C,), low and high")
    low, high = bounds
    if len({len(low), len(high)} - {1}) > 1 or not bool((low < high).all()):
        raise InputError(
            f"bounds: found low {low.tolist()} and high {high.tolist()}; expected as many of both, "
            "each low one below its high one"
        )


def _check_targets(targets: Tensor, images: int) -> None:
    whole = isinstance(targets, Tensor) and targets.dtype in (
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    )
    if not whole or targets.ndim not in (1, 2) or len(targets) != images or not targets.numel():
        found = repr(targets)
        if isinstance(targets, Tensor):
            found = f"{targets.dtype} of shape {tuple(targets.shape)}"
        raise InputError(
            f"targets: found {found}; expected a tensor of whole numbers, ({images},) or "
            f"({images}, T), classes of the images"
        )


def _check_mode(steps: Sequence[Step]) -> None:
    for step in steps:
        module = step.module if step.operation in (AFFINE, IDENTITY) else None
        if module is not None and module.training:
            raise InputError(
                f"layer '{step.name}' of type {type(module).__name__} is in training mode; "
                "expected a network in eval mode: call `net.eval()` first"
            )
