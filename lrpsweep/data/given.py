"""Images that a program hands over in Python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset

from lrpsweep.data.groups import Group
from lrpsweep.data.pairs import Pairs, items_by_label
from lrpsweep.errors import InputError

_EXPECTED = (
    "expected (images, labels), with uint8 images (N, H, W, 3) or (N, 3, H, W) and labels (N,), or "
    "a sequence or map-style Dataset of (image, label)"
)


def handed_groups(images: object | None) -> list[Group]:
    """A group for each label, named after it; labels are class indices of the model."""
    if images is None:
        raise InputError(
            "data.python: this study's images are handed over in Python: "
            f"lrpsweep.run(study, images=…); {_EXPECTED}"
        )
    by_label = items_by_label(_pairs(images), "data.python", "python")
    if not by_label:
        raise InputError(f"data.python: no images are handed over; {_EXPECTED}")
    return [
        Group(
            name=str(label),
            title=f"label {label} of the images handed over",
            items=partial(list, items),
            field="data.python",
        )
        for label, items in by_label.items()
    ]


def _pairs(images: Any) -> Pairs:
    match images:
        case (np.ndarray() | Tensor() as pixels, labels):
            return _zipped(pixels, labels)
    plain = hasattr(images, "__len__") and hasattr(images, "__getitem__")
    if not plain or isinstance(images, IterableDataset | Mapping | str | np.ndarray | Tensor):
        raise InputError(f"data.python: found {type(images).__name__}; {_EXPECTED}")
    pairs: Pairs = images
    return pairs


def _zipped(pixels: np.ndarray | Tensor, labels: Any) -> list[tuple[Any, Any]]:
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.array(labels)
    if pixels.ndim != 4 or values.shape != (len(pixels),):
        raise InputError(
            f"data.python: the images have shape {tuple(pixels.shape)} and the labels "
            f"{values.shape}; {_EXPECTED}"
        )
    return list(zip(pixels, values, strict=True))
