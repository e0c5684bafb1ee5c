"""Using a recommended composite: load the JSON, explain images, get heatmaps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrpsweep.attribution import UNEXPLAINED
from lrpsweep.composites import Composite
from lrpsweep.composites.file import composite_of, read_composite
from lrpsweep.data import read_image
from lrpsweep.errors import InputError
from lrpsweep.explainer import Explainer
from lrpsweep.models import Model, load_model, wrap_model
from lrpsweep.study import FACTORY, ModelSpec, Preprocess
from lrpsweep.trial.candidates import check_layers


@dataclass(frozen=True)
class TunedExplainer:
    """A model with its recommended composite."""

    model: Model
    composite: Composite
    explainer: Explainer

    def read(self, paths: Sequence[str | Path]) -> Tensor:
        """Image files as the model's input, (N, 3, H, W), preprocessed as in the study."""
        return self.model.normalize(np.stack([self.pixels(path) for path in paths]))

    def pixels(self, path: str | Path) -> np.ndarray:
        """An image file as the model sees it before normalisation, uint8 (H, W, 3)."""
        return read_image(Path(path), self.model.preprocess)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """The class with the highest logit, (N,)."""
        classes: Tensor = self.model.net(images).argmax(1)
        return classes

    def explain(self, images: Tensor, targets: Tensor | None = None) -> Tensor:
        """Heatmaps (N, H, W) of normalised images (N, 3, H, W), in units of the class logit.

        targets: (N,), the classes to explain; the predicted ones when None.
        """
        wanted = self.predict(images) if targets is None else targets.to(images.device)
        return self.explainer(images, wanted, self.composite).heatmaps


def load_composite(
    path: str | Path,
    net: nn.Module | None = None,
    *,
    model: str | None = None,
    weights: str | None = None,
    device: str = "cpu",
    other_weights: bool = False,
    allow_code: bool = False,
    unexplained: float | None = UNEXPLAINED,
) -> TunedExplainer:
    """Loads a composite.json and the model it was tuned on.

    net: your model, of which a copy is explained in eval mode; else `model` ('scenes', a
    torchvision name, or a factory 'module:function', which wants `allow_code`) and `weights` (an
    enum name or a file), by default those that the file names. unexplained: as `Explainer` has it.
    Raises InputError when a layer of the composite is not in the model, or when its weights are not
    those it was tuned on, unless `other_weights`.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device: 'cuda' was asked for, but this machine has no usable GPU.")
    path = Path(path)
    document = read_composite(path)
    tuned_on = document["model"]
    if net is not None:
        found = wrap_model(net, _preprocess(tuned_on), name=type(net).__name__)
    else:
        spec = _model_spec(path, tuned_on, model, weights)
        found = load_model(spec, device, Path(), allow_code=allow_code)
    composite = composite_of(document)
    check_layers(path, found, composite)
    if found.fingerprint != tuned_on["fingerprint"] and not other_weights:
        raise InputError(
            f"{path}: model.fingerprint: the composite was tuned on {tuned_on['architecture']} "
            f"with weights {tuned_on['fingerprint'][:12]}…, the given {found.name} has "
            f"{found.fingerprint[:12]}…; expected the same weights and preprocessing, or "
            "permission to use others (--other-weights)."
        )
    explainer = Explainer(found.net, bounds=found.pixel_bounds, unexplained=unexplained)
    explainer.engine.check(composite.rules(explainer.layers))
    return TunedExplainer(found, composite, explainer)


def _model_spec(
    path: Path, document: Mapping[str, Any], model: str | None, weights: str | None
) -> ModelSpec:
    """The model that the file names, or the given one: 'scenes', a factory, a torchvision name."""
    source, preprocess = document["source"], _preprocess(document)
    name = model or next((source[f] for f in _NAMED if source.get(f)), None)
    if name is None:
        raise InputError(
            f"{path}: model.source: the network was handed over in Python; expected "
            "lrpsweep.load_composite(path, network), or --model."
        )
    if name == "scenes":
        if weights is not None:
            raise InputError(f"--weights {weights}: the embedded network has weights of its own.")
        return ModelSpec(embedded="scenes")
    chosen = weights if weights is not None else source.get("weights")
    is_file = chosen is not None and bool(Path(chosen).suffix)
    if is_file and weights is None:
        raise InputError(
            f"{path}: model.source.weights: tuned on the file '{chosen}', which is not looked for; "
            "expected --weights PATH."
        )
    is_factory = ":" in name
    if is_factory and not FACTORY.fullmatch(name):
        raise InputError(f"--model {name}: expected package.module:function for a factory.")
    is_enum = chosen is not None and not is_file
    return ModelSpec(
        factory=name if is_factory else None,
        torchvision=None if is_factory else name,
        weights=chosen,
        classes=None if is_enum else tuple(document["classes"]) or None,
        preprocess=preprocess,
    )


_NAMED = ("embedded", "torchvision", "factory")


def _preprocess(document: Mapping[str, Any]) -> Preprocess:
    return Preprocess.model_validate_json(json.dumps(document["preprocess"]))
