"""Classifiers of torchvision, with its weights, with weights from a file, or with random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torchvision
from torch import nn
from torchvision.transforms import InterpolationMode

from lrpsweep.errors import InputError, guess
from lrpsweep.models.model import Model, wrap_model
from lrpsweep.models.request import Request
from lrpsweep.models.weights import fill, fixed_randomness, read_state, weights_path
from lrpsweep.study import Preprocess

# What torchvision's ImageNet classifiers are trained with.
IMAGENET = Preprocess(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# They draw their weights as torchvision does only when told to, and those that torchvision trained
# normalise their input once more, in forward().
SELF_NORMALISING = ("googlenet", "inception_v3")


def load_torchvision(request: Request) -> Model:
    """A torchvision classifier by name. `weights`: an enum name (downloaded by torchvision if it
    is not in its cache), a path, or None for random ones, the same every time. `classes`: of a
    network with other outputs than ImageNet's."""
    spec, name = request.spec, str(request.spec.torchvision)
    choices = _weights_of(name)
    preprocess = request.stated_preprocess
    classes = spec.classes or _class_names(choices)
    if spec.weights is None:
        preprocess = preprocess or IMAGENET
        net = _random_net(name, len(classes))
    elif spec.weights in choices:
        _check_no_classes(name, spec.weights, spec.classes)
        preprocess = preprocess or _preprocess_of(name, choices[spec.weights])
        net = _downloaded(name, choices[spec.weights])
    else:
        preprocess, net = _from_file(request, name, spec.weights, choices)
    return wrap_model(net, preprocess, name=name, classes=classes, device=request.device)


def _weights_of(name: str) -> Mapping[str, Any]:
    """The weights that torchvision has for a model, by enum name."""
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise InputError(
            f"model.torchvision: there is no torchvision classifier '{name}'; expected a name such "
            f"as vgg16, resnet18 or squeezenet1_1.{guess(name, names)}"
        )
    members: Mapping[str, Any] = torchvision.models.get_model_weights(name).__members__
    return members


def _class_names(choices: Mapping[str, Any]) -> tuple[str, ...]:
    """ImageNet's names: every classifier of torchvision is trained with these 1,000 outputs."""
    return tuple(next(iter(choices.values())).meta["categories"])


def _random_net(name: str, outputs: int) -> nn.Module:
    """The network with torchvision's own initialisation, from a fixed seed."""
    options = {"init_weights": True} if name in SELF_NORMALISING else {}
    with fixed_randomness():
        net: nn.Module = torchvision.models.get_model(
            name, weights=None, num_classes=outputs, **options
        )
    return net


def _check_no_classes(name: str, weights: str, classes: Sequence[str] | None) -> None:
    if classes is not None:
        raise InputError(
            f"model.classes: found {len(classes)} names, but the weights {weights} of {name} have "
            "ImageNet's 1,000 classes; expected no classes, or the path of the weights that were "
            "trained on these."
        )


def _downloaded(name: str, weights: Any) -> nn.Module:
    """The network as torchvision builds it for these weights."""
    try:
        with fixed_randomness():
            net: nn.Module = torchvision.models.get_model(name, weights=weights, progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"model.weights: the weights {weights.name} of {name} could not be fetched from "
            f"{weights.url} ({error}); expected a network connection, a filled torchvision cache, "
            f"or the path of a weights file."
        ) from error
    return net


def _preprocess_of(name: str, weights: Any) -> Preprocess:
    """The preset that the weights were tested with. Only bilinear resizing can be repeated."""
    preset = weights.transforms()
    if preset.interpolation != InterpolationMode.BILINEAR:
        raise InputError(
            f"model.preprocess: 'auto', but the weights {weights.name} of {name} were tested with "
            f"{preset.interpolation.value} resizing; expected weights with bilinear resizing, or "
            "explicit {resize, crop, mean, std}, which is bilinear."
        )
    return Preprocess(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _from_file(
    request: Request, name: str, given: str, choices: Mapping[str, Any]
) -> tuple[Preprocess, nn.Module]:
    path = weights_path(given, request.base, choices)
    if name in SELF_NORMALISING:
        raise InputError(
            f"model.weights: whether the {name} in '{given}' normalises its input itself "
            "(transform_input) no file tells, and a wrong guess still gives plausible heatmaps; "
            "expected the name of torchvision's weights, or a factory that builds the network."
        )
    preprocess = request.required_preprocess(
        f"the weights file '{given}'",
        f" torchvision's own training used {IMAGENET.model_dump(mode='json')}.",
    )
    classes = request.spec.classes
    net = _random_net(name, len(classes or _class_names(choices)))
    fill(net, read_state(path), f"'{given}'", _about_classes(classes))
    return preprocess, net


def _about_classes(classes: Sequence[str] | None) -> str:
    if classes is None:
        return " Are its classes not ImageNet's 1,000? Then model.classes has to name them."
    return f" model.classes names {len(classes)}."
