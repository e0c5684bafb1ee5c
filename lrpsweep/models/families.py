"""Where models come from: one line for each family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from lrpsweep.errors import InputError
from lrpsweep.models.factory import load_factory
from lrpsweep.models.model import Model
from lrpsweep.models.python import load_python
from lrpsweep.models.request import Request
from lrpsweep.models.scenes import load_scenes
from lrpsweep.models.torchvision import load_torchvision
from lrpsweep.study import ModelSpec

# The key is the field of `model:` in the study file that names a model of the family.
FAMILIES: dict[str, Callable[[Request], Model]] = {
    "embedded": load_scenes,
    "torchvision": load_torchvision,
    "factory": load_factory,
    "python": load_python,
}


def load_model(
    spec: ModelSpec,
    device: str,
    base: Path,
    *,
    net: nn.Module | None = None,
    allow_code: bool = False,
) -> Model:
    """The model that a study names, in eval mode on `device`; relative paths start from `base`.

    net: the network that `model.python` stands for. allow_code: whether the code of
    `model.factory` may be imported; nothing else runs code, as files are read for tensors only.
    Raises InputError that names the field of the study.
    """
    for family, load in FAMILIES.items():
        if getattr(spec, family) is not None:
            _check_handed_over(family, spec, net)
            return load(Request(spec, device, base, net, allow_code))
    raise InputError(f"model: names no model; expected one of {', '.join(FAMILIES)}")


def _check_handed_over(family: str, spec: ModelSpec, net: nn.Module | None) -> None:
    if net is not None and family != "python":
        raise InputError(
            f"model.{family}: the study names {getattr(spec, family)}, but a network was handed "
            "over in Python too; expected `python: NAME` in its place, or no network."
        )
