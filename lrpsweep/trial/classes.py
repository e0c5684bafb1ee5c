"""A network's classes: how many, which it predicts, and which is explained for each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lrpsweep.data import Inputs
from lrpsweep.errors import InputError, guess
from lrpsweep.models import Model
from lrpsweep.study import StudySpec


def explained_classes(spec: StudySpec, model: Model, inputs: Inputs, count: int) -> np.ndarray:
    """The class explained for each image, (N,). count: how many classes there are."""
    target = spec.data.target
    if target == "prediction":
        return predictions(model, inputs.images, spec.run.batch)
    if target == "label":
        wrong = np.flatnonzero((inputs.labels < 0) | (inputs.labels >= count))
        if len(wrong):
            raise InputError(
                f"data.labels: image '{inputs.ids[wrong[0]]}' has class "
                f"{inputs.labels[wrong[0]]}; expected 0 to {count - 1}, the model's classes"
            )
        return inputs.labels
    return np.full(len(inputs.labels), _class_index(target, model.classes, count))


def _class_index(target: int | str, classes: Sequence[str], count: int) -> int:
    if isinstance(target, int) and 0 <= target < count:
        return target
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    raise InputError(
        f"data.target: the model has no class {target!r}; expected 'label', 'prediction', an "
        f"index from 0 to {count - 1}, or a class name.{guess(str(target), classes)}"
    )


@torch.no_grad()
def count_classes(model: Model) -> int:
    """How many classes the network tells apart, seen from what it says of a black image."""
    height, width = model.input_size
    try:
        output = model.net(model.normalize(np.zeros((2, height, width, 3), np.uint8)))
    except Exception as error:
        raise InputError(
            f"model: {model.name} fails on an image of {height} × {width} pixels "
            f"({type(error).__name__}: {str(error)[:300]}); expected a network that takes "
            f"(N, 3, {height}, {width}), the size that model.preprocess asks for"
        ) from error
    is_tensor = isinstance(output, torch.Tensor)
    if not is_tensor or output.ndim != 2 or len(output) != 2:
        shape = f"the shape {tuple(output.shape)}" if is_tensor else f"type {type(output).__name__}"
        raise InputError(
            f"model: the output of {model.name} for two images has {shape}; expected class scores "
            "of the shape (2, classes)"
        )
    if not bool(output.isfinite().all()):
        raise InputError(
            f"model: the scores of {model.name} for a black image are NaN or infinite; expected "
            "numbers: are these the weights of a trained network?"
        )
    count = int(output.shape[1])
    if model.classes and len(model.classes) != count:
        raise InputError(
            f"model.classes: {len(model.classes)} names, but {model.name} has {count} outputs; "
            "expected a name for each output, in order"
        )
    return count


@torch.no_grad()
def predictions(model: Model, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """The class with the highest logit, (N,)."""
    found = [
        model.net(model.normalize(images[i : i + batch])).argmax(1).cpu().numpy()
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
