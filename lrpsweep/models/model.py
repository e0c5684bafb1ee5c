"""A network ready to be explained, and the fingerprint that tells it from every other."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import UninitializedParameter

from lrpsweep.errors import InputError
from lrpsweep.study import Preprocess

# Parts of a layer's description that change no result: work in place, addresses in memory.
_NO_MATTER = re.compile(r"(, )?inplace=(True|False)| at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Model:
    """A network with frozen parameters in eval mode, on its device.

    classes: a name for each output, or empty when nobody knows them. fingerprint: sha256 over
    layers, weights and preprocessing.
    """

    net: nn.Module
    name: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    fingerprint: str

    def normalize(self, pixels: np.ndarray | Tensor) -> Tensor:
        """Pixels (N, H, W, 3) from 0 to 255 -> float32 (N, 3, H, W) on the network's device.

        pixels: uint8, or float32, and left as they are. The channels stay innermost in memory:
        convolutions on a CPU are up to twice as fast so.
        """
        images = torch.as_tensor(pixels, device=self._device).permute(0, 3, 1, 2)
        mean, std = self._statistics
        return images.to(torch.float32, copy=True).div_(255).sub_(mean).div_(std)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input. Raises InputError when preprocessing fixes none."""
        size = _crop(self.preprocess)
        return size, size

    @property
    def pixel_bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest normalised pixel, (3,) each: black and white."""
        black_and_white = torch.tensor([[[[0] * 3, [255] * 3]]], dtype=torch.uint8)
        low, high = self.normalize(black_and_white)[0, :, 0].unbind(1)
        return low, high

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    @property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        values = torch.tensor(
            [self.preprocess.mean, self.preprocess.std], dtype=torch.float32, device=self._device
        )
        return values[0].view(3, 1, 1), values[1].view(3, 1, 1)


def wrap_model(
    net: nn.Module,
    preprocess: Preprocess,
    *,
    name: str,
    classes: Sequence[str] = (),
    device: str | torch.device | None = None,
) -> Model:
    """A copy of the network in eval mode, with frozen parameters, and its fingerprint.

    The given network stays as it is. device: where the copy shall run; where the network is when
    None. Raises InputError for a network that has no parameters, or others than float32, or that
    cannot be copied.
    """
    _check_parameters(net, name)
    net = _copied(net, name).eval().requires_grad_(False)
    marks = fingerprint(net, preprocess)
    return Model(net.to(device), name, tuple(classes), preprocess, marks)


def _check_parameters(net: nn.Module, name: str) -> None:
    parameters = dict(net.named_parameters())
    if not parameters:
        raise InputError(f"model: {name} has no parameters; expected a network with weights.")
    for key, parameter in parameters.items():
        if isinstance(parameter, UninitializedParameter):
            raise InputError(
                f"model: '{key}' of {name} has no shape yet; expected a network that has seen an "
                "image before, as lazy layers take their shape from it."
            )
        if parameter.dtype != torch.float32:
            raise InputError(
                f"model: '{key}' of {name} is {parameter.dtype}; expected torch.float32 in all "
                "parameters, as network.float() makes them."
            )


def _copied(net: nn.Module, name: str) -> nn.Module:
    try:
        return copy.deepcopy(net)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"model: {name} cannot be copied ({error}); expected a network that copy.deepcopy "
            "takes, with nothing in it that belongs to one process."
        ) from error


def fingerprint(net: nn.Module, preprocess: Preprocess) -> str:
    """sha256 over each layer's name and settings, each tensor of the state, and preprocessing.

    Does not depend on the device, nor on what changes no result: dropout, and work in place. What
    a network's own `forward` does between its layers is not seen.
    """
    digest = hashlib.sha256()
    for name, module in net.named_modules():
        if not any(module.children()) and not isinstance(module, _DropoutNd):
            digest.update(f"{name} {_NO_MATTER.sub('', repr(module))}\n".encode())
    for name, value in net.state_dict().items():
        stored = value.detach().cpu().contiguous()
        digest.update(f"{name} {stored.dtype} {tuple(stored.shape)}\n".encode())
        digest.update(stored.flatten().view(torch.uint8).numpy().tobytes())
    digest.update(json.dumps(preprocess.model_dump(mode="json"), sort_keys=True).encode())
    return digest.hexdigest()


def _crop(preprocess: Preprocess) -> int:
    if preprocess.crop is None:
        raise InputError(
            "model.preprocess.crop: missing; expected the number of pixels of the model's square "
            "input, since nothing else says how large it is"
        )
    return preprocess.crop
