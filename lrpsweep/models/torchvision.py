"""Classifiers of torchvision, with its weights, with weights from a file, or with random ones."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode

from lrpsweep.errors import InputError, guess
from lrpsweep.models.model import Model, wrap_model
from lrpsweep.spec import ModelSpec, Preprocess, resolve_path

RANDOM_SEED = 0
SUFFIXES = (".safetensors", ".pt", ".pth")
# What torchvision's ImageNet classifiers are trained with.
IMAGENET = Preprocess(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def load_torchvision(spec: ModelSpec, device: str, base: Path) -> Model:
    """A torchvision classifier by name. `weights`: an enum name (downloaded by torchvision if it
    is not in its cache), a path, or None for random ones, the same every time."""
    name = str(spec.torchvision)
    choices = _weights_of(name)
    preprocess: Preprocess | None = None if isinstance(spec.preprocess, str) else spec.preprocess
    if preprocess is not None and preprocess.crop is None:
        raise InputError(
            "model.preprocess.crop: missing; expected the pixels of the model's square input"
        )
    state: Mapping[str, Tensor] | None = None
    if spec.weights is None:
        preprocess = preprocess or IMAGENET
    elif spec.weights in choices:
        preprocess = preprocess or _preprocess_of(name, choices[spec.weights])
        state = _downloaded(name, choices[spec.weights])
    else:
        path = _weights_path(name, spec.weights, choices, base)
        if preprocess is None:
            raise InputError(
                f"model.preprocess: 'auto', but the weights file '{spec.weights}' does not say how "
                "its images were prepared; expected {resize, crop, mean, std}. torchvision's own "
                f"training used {IMAGENET.model_dump(mode='json')}."
            )
        state = read_state(path)
    net = _random_net(name)
    if state is not None:
        _fill(net, state, f"'{spec.weights}'")
    return wrap_model(net, preprocess, name=name, classes=_class_names(choices), device=device)


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


def _random_net(name: str) -> nn.Module:
    """The network with torchvision's own initialisation, from a fixed seed."""
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        net: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return net


def _downloaded(name: str, weights: Any) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"model.weights: the weights {weights.name} of {name} could not be fetched from "
            f"{weights.url} ({error}); expected a network connection, a filled torchvision cache, "
            f"or the path of a weights file."
        ) from error
    return state


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


def _weights_path(name: str, given: str, choices: Mapping[str, Any], base: Path) -> Path:
    path = resolve_path(given, base)
    allowed = f"{', '.join(choices)}, null, or the path of a {', '.join(SUFFIXES)} file"
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"model.weights: {name} has no weights '{given}'; expected {allowed}."
            f"{guess(given, choices)}"
        )
    if not path.is_file():
        raise InputError(f"model.weights: there is no file '{path}'; expected {allowed}.")
    return path


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name from a safetensors file or a PyTorch state dict; nothing else is read."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)  # type: ignore[no-any-return]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd protocols: read or refused, as comes out below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise InputError(
            f"model.weights: {path} cannot be read as tensors ({_first_sentence(error)}); expected "
            "a safetensors file or a PyTorch state dict that holds tensors only."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(
            f"model.weights: {path} holds {type(state).__name__}; expected a state dict, that is "
            "tensors by name. Save `model.state_dict()` alone."
        )
    return state


def _first_sentence(error: Exception) -> str:
    return str(error).split("\n")[0].split(". ")[0][:200] or type(error).__name__


def _fill(net: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copies the tensors into the network. Raises InputError unless names and shapes agree."""
    wanted = net.state_dict()
    # Counts training batches; evaluation does without, and old files lack it.
    needed = {key for key in wanted if not key.endswith("num_batches_tracked")}
    faults = [
        *(f"'{key}' is missing" for key in wanted if key in needed - state.keys()),
        *(f"'{key}' is unknown" for key in state if key not in wanted),
        *(
            f"'{key}' has shape {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ),
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InputError(
            f"model.weights: {source} does not fit the model: {', '.join(faults[:3])}{more}; "
            f"expected the {len(wanted)} tensors of the named architecture."
        )
    net.load_state_dict(state, strict=False)


def _class_names(choices: Mapping[str, Any]) -> tuple[str, ...]:
    """ImageNet's names: every classifier of torchvision is built with these 1,000 outputs."""
    return tuple(next(iter(choices.values())).meta["categories"])
