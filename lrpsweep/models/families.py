"""Where models come from: one line for each family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lrpsweep.errors import InputError
from lrpsweep.models.model import Model
from lrpsweep.models.scenes import load_scenes
from lrpsweep.models.torchvision import load_torchvision
from lrpsweep.spec import ModelSpec

# The key is the field of `model:` in the study file that names a model of the family.
FAMILIES: dict[str, Callable[[ModelSpec, str, Path], Model]] = {
    "embedded": load_scenes,
    "torchvision": load_torchvision,
}


def load_model(spec: ModelSpec, device: str, base: Path) -> Model:
    """The model that a study names, in eval mode on `device`; relative paths start from `base`.

    Reads safetensors, or tensors only from PyTorch files: no code is run. Raises InputError that
    names the field of the study.
    """
    for family, load in FAMILIES.items():
        if getattr(spec, family) is not None:
            return load(spec, device, base)
    raise InputError(f"model: names no model; expected one of {', '.join(FAMILIES)}")
