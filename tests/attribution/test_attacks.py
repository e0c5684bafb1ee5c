"""Cases in which an honest user gets a wrong heatmap, a false refusal or a bare exception.

Every test here failed when it was written; its docstring says what happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrpsweep
from lrpsweep.attribution.lrp.rules import RULES, Rule
from lrpsweep.errors import InputError

ZERO = {"rule": "zero", "stabilizer": 0}
TARGETS = torch.tensor([0, 1, 2, 1])


class Net(nn.Module):
    """conv → ReLU → `middle` → flatten → linear, on images (N, 3, size, size), in float64."""

    def __init__(self, middle: Callable[[Any, Tensor], Tensor], size: int = 8, **parts: Any):
        super().__init__()
        torch.manual_seed(0)
        self.middle = middle
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        features = middle(self, F.relu(self.conv(torch.zeros(1, 3, size, size)))).flatten(1)
        self.linear = nn.Linear(features.shape[1], 3)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.middle(self, F.relu(self.conv(x))).flatten(1))


def images(size: int = 8) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(4, 3, size, size, dtype=torch.float64)


def gradient_x_input(net: nn.Module, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, TARGETS[:, None]).sum().backward()
    assert leaf.grad is not None
    return leaf.grad * x


def explained(net: nn.Module, x: Tensor) -> Tensor:
    explainer = lrpsweep.Explainer(net)
    return explainer(x, TARGETS, {"Conv2d": ZERO, "Linear": ZERO}).relevance


@pytest.mark.parametrize(
    "index",
    [torch.tensor([3, 1, 0]), torch.tensor([0, 1, 2]), torch.tensor(2)],
    ids=["permuted", "first", "scalar"],
)
def test_channels_chosen_by_a_tensor_get_their_relevance(index: Tensor) -> None:
    """Silently wrong: the index is kept as a stand-in of zeros, so that all goes to channel 0.

    Errors of 1 to 50 against gradient × input, with an unexplained rest of 2e-16: what the wrong
    transpose loses is booked as the stabilizer's.
    """
    net = Net(lambda net, x: x[:, net.index], index=index)
    torch.testing.assert_close(explained(net, images()), gradient_x_input(net, images()))


@pytest.mark.parametrize(
    "middle",
    [lambda net, x: x.narrow(1, net.start, 2), lambda net, x: x[:, x.mean((0, 2, 3)).argmax()]],
    ids=["narrow", "computed"],
)
def test_channels_chosen_by_a_computed_number_get_their_relevance(middle: Any) -> None:
    """Silently wrong for the same reason, by 5 and by 1000; an error would be right, too."""
    net = Net(middle, start=torch.tensor(2))
    torch.testing.assert_close(explained(net, images()), gradient_x_input(net, images()))


def test_channels_chosen_by_a_mask_get_their_relevance() -> None:
    """A bare RuntimeError of torch.func.vjp: the mask is kept as a stand-in of zeros."""
    net = Net(lambda net, x: x[:, net.mask], mask=torch.tensor([True, False, True, True]))
    torch.testing.assert_close(explained(net, images()), gradient_x_input(net, images()))


@pytest.mark.parametrize(
    "middle",
    [
        lambda net, x: F.max_pool2d(x.sum(1), 3, 1, 1),
        lambda net, x: F.max_pool2d(x.sum(1), 2),
        lambda net, x: F.adaptive_max_pool2d(x.sum(1), 3),
        lambda net, x: F.max_pool1d(x.flatten(1), 2),
    ],
    ids=["2d-same-size", "2d", "2d-adaptive", "1d"],
)
def test_a_max_pool_without_a_dimension_of_channels_is_right(middle: Any) -> None:
    """The pool's dimensions are taken from its input's: (N, H, W) is pooled back as lines.

    Silently wrong by 1.6 where the shape stays, and else a bare RuntimeError.
    """
    net = Net(middle)
    torch.testing.assert_close(
        explained(net, images()), gradient_x_input(net, images()), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    "middle", [lambda net, x: x.reshape(len(x), -1), lambda net, x: x.view(int(x.shape[0]), -1)]
)
def test_the_number_of_images_may_be_read_as_a_number(middle: Any) -> None:
    """A false refusal: traced with one image, so that `len(x)` is 'another branch' for four."""
    net = Net(middle)
    torch.testing.assert_close(explained(net, images()), gradient_x_input(net, images()))


@pytest.mark.parametrize(
    "test",
    [lambda x: x.dim() == 4, lambda x: x.shape[1] == 4, lambda x: not x.is_cuda],
    ids=["dim", "channels", "device"],
)
def test_a_network_that_tests_its_input_may_be_made_for_any_size(test: Any) -> None:
    """A false refusal: `Explainer(net)` knows 224, 64, 32, 28, 299, 16 and 8 pixels, not 20.

    The advice, 'images of a usual shape or an example of them', cannot be followed there: the
    class takes no example.
    """

    def middle(net: Any, x: Tensor) -> Tensor:
        assert test(x)
        return x

    net = Net(middle, size=20)
    torch.testing.assert_close(explained(net, images(20)), gradient_x_input(net, images(20)))


def test_a_layer_that_computes_something_else_since_the_last_call_is_noticed() -> None:
    """Silently wrong by 1.3: the steps call the replaced forward(), the backward pass is the old.

    The scores agree with the network's, and relevance is conserved, so that no check sees it.
    """
    net = Net(lambda net, x: net.pool(x), pool=nn.MaxPool2d(2))
    explainer, rules = lrpsweep.Explainer(net), {"Conv2d": ZERO, "Linear": ZERO}
    explainer(images(), TARGETS, rules)
    net.pool.forward = lambda x: F.avg_pool2d(x, 2)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="pool"):
        explainer(images(), TARGETS, rules)


def test_averages_are_explained_in_inference_mode() -> None:
    """A bare RuntimeError: the pool's transpose asks autograd, which inference mode forbids."""
    net = Net(lambda net, x: F.avg_pool2d(x, 2))
    expected = explained(net, images())
    with torch.inference_mode():
        found = explained(net, images())
    torch.testing.assert_close(found, expected)


def test_a_max_pool_by_function_takes_a_rule_by_its_name() -> None:
    """A false refusal: the engine and `layer.pools` know 'max_pool2d', the Explainer does not."""
    net = Net(lambda net, x: F.max_pool2d(x, 2))
    explainer = lrpsweep.Explainer(net)
    assert explainer.layers[0].pools == ("max_pool2d",)
    rules = {"Conv2d": "zero", "Linear": "zero", "max_pool2d": "sum"}
    found = explainer(images(), TARGETS, rules)
    winner = explainer(images(), TARGETS, {"Conv2d": "zero", "Linear": "zero"})
    assert not torch.allclose(found.relevance, winner.relevance)


class Projection(nn.Module):
    """A dense layer whose weights are no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.randn(256, 256, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix


def test_weights_in_a_buffer_are_weights_to_advice_and_registration() -> None:
    """Silently wrong by 17 after the advice given: `lrpsweep.register(Projection, "pass")`."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), Projection())
    net = net.append(nn.Linear(256, 3)).double().eval()
    with pytest.raises(InputError) as refused:
        lrpsweep.Explainer(net)
    assert '"pass"' not in str(refused.value)
    with lrpsweep.register(Projection, "pass"), pytest.raises(InputError, match="weights"):
        explained(net, images())


@pytest.mark.parametrize(
    "wrong",
    [lambda r: r.sum((1, 2, 3)), lambda r: r.sum((1, 2, 3), keepdim=True), lambda r: None],
    ids=["per-image", "broadcast", "nothing"],
)
def test_a_rule_from_outside_has_to_give_the_shape_of_the_input(wrong: Any) -> None:
    """Silently wrong: an Explanation with relevance of shape (4,); AttributeError for None."""
    net = Net(lambda net, x: x)
    entry = Rule("toy", lambda record, arriving, balance: wrong(arriving.relevance), "a toy")
    with RULES.register(entry), pytest.raises(InputError, match="toy"):
        lrpsweep.Explainer(net)(images(), TARGETS, {"Conv2d": "toy", "Linear": "zero"})


@pytest.mark.parametrize("net", [nn.Identity(), None, nn.Linear, lambda x: x])
def test_what_is_no_network_with_weights_is_refused(net: Any) -> None:
    """Bare exceptions: IndexError for `nn.Identity()`, AttributeError or TypeError for others."""
    with pytest.raises(InputError):
        lrpsweep.Explainer(net)


def test_a_network_without_classes_is_refused() -> None:
    """A bare IndexError of `amax`, for an output (N, 0)."""
    net = nn.Sequential(Net(lambda net, x: x), Without())
    with pytest.raises(InputError, match="classes"):
        explained(net, images())


class Without(nn.Module):
    """Scores of no class at all."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :0]


@pytest.mark.parametrize(
    "composite",
    [
        None,
        3,
        [],
        {"preset": 3},
        {"Conv2d": {"rule": "epsilon", "epsilon": 10**400}, "Linear": ZERO},
    ],
    ids=["nothing", "number", "list", "preset", "overflow"],
)
def test_what_is_no_composite_is_refused(composite: Any) -> None:
    """Bare exceptions: TypeError of pathlib and difflib, OverflowError of float()."""
    with pytest.raises(InputError, match="composite"):
        lrpsweep.Explainer(Net(lambda net, x: x))(images(), TARGETS, composite)


def test_a_layer_that_is_no_name_is_refused() -> None:
    """A bare TypeError of difflib, for `at=3`."""
    explainer: Any = lrpsweep.Explainer(Net(lambda net, x: x))
    with pytest.raises(InputError, match="at:"):
        explainer(images(), TARGETS, {"Conv2d": ZERO, "Linear": ZERO}, at=3)


class Absolute(nn.Module):
    """A layer that lrpsweep does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def test_an_explainer_follows_what_is_registered_anew() -> None:
    """Silently wrong: the function of the first registration is kept, for good.

    Neither undoing it, nor another one, nor the end of the `with` block changes what a living
    explainer does: the state that is compared knows the network alone.
    """
    net = Net(lambda net, x: net.absolute(x), absolute=Absolute())
    rules = {"Conv2d": ZERO, "Linear": ZERO}
    with lrpsweep.register(Absolute, lambda module, inputs, relevance: relevance):
        explainer = lrpsweep.Explainer(net, unexplained=None)
        once = explainer(images(), TARGETS, rules).relevance
    with lrpsweep.register(Absolute, lambda module, inputs, relevance: 2 * relevance):
        torch.testing.assert_close(explainer(images(), TARGETS, rules).relevance, 2 * once)
    with pytest.raises(InputError, match="absolute"):
        explainer(images(), TARGETS, rules)


@pytest.mark.parametrize(
    "layers",
    [(nn.Linear(6, 6), nn.BatchNorm1d(6)), (nn.BatchNorm1d(6), nn.Linear(6, 6))],
    ids=["behind", "before"],
)
def test_a_batch_norm_of_as_many_tokens_as_features_stays(layers: Any) -> None:
    """A false refusal, by a blame of overwritten tensors: (N, T, C) with T = C of no usual shape.

    How many dimensions the batch norm reads is worked out for usual shapes alone, and without it
    the batch norm is merged into the features of the dense layer.
    """
    torch.manual_seed(0)
    net = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).double().eval()
    norm = next(layer for layer in net if isinstance(layer, nn.BatchNorm1d))
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(4, 6, 6, dtype=torch.float64)
    found = lrpsweep.Explainer(net)(x, TARGETS, {"Linear": ZERO}).relevance
    torch.testing.assert_close(found, gradient_x_input(net, x), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(
    "bounds",
    [
        (torch.ones(3), torch.zeros(3)),
        (torch.zeros(2), torch.ones(2)),
        (torch.full((3,), float("nan")), torch.ones(3)),
        (0.0, 1.0),
        "x",
    ],
    ids=["swapped", "channels", "nan", "numbers", "word"],
)
def test_bounds_of_pixels_are_checked(bounds: Any) -> None:
    """Silently accepted where low lies above high; a bare RuntimeError or AttributeError else."""
    net = Net(lambda net, x: x)
    with pytest.raises(InputError, match="bounds"):
        lrpsweep.Explainer(net, bounds=bounds)(
            images(), TARGETS, {"Conv2d": "z_box", "Linear": "zero"}
        )


def test_a_composite_that_needs_bounds_asks_for_them() -> None:
    """A message that is not true: 'z_box on conv, which does not read the images'.

    It does; what is missing is Explainer(net, bounds=…), which no word of the advice names. The
    advice for others, low and high, cannot be followed in a preset.
    """
    with pytest.raises(InputError, match=r"bounds="):
        lrpsweep.Explainer(Net(lambda net, x: x))(images(), TARGETS, "decreasing_gamma")
