"""Sequences of (image, label), as torch's data sets are."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Subset

from lrpsweep.data.files import pixel_digest, prepare_image
from lrpsweep.data.groups import Item
from lrpsweep.errors import InputError

# Where data sets keep the labels of all their images, which spares decoding the images for them.
_LABELS = ("targets", "labels", "_labels")
_SAMPLES = ("samples", "_samples")


class Pairs(Protocol):
    """len() of them, each an (image, label)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def items_by_label(pairs: Pairs, field: str, prefix: str) -> dict[int, list[Item]]:
    """The images by label, both in ascending order. Unless the pairs keep a list of their labels,
    every image is fetched once for its label.

    field: of the study, for errors; prefix: what ids start with. Reading an item raises InputError
    unless it is a picture or uint8 pixels (H, W, 3) or (3, H, W).
    """
    labels = _kept_labels(pairs)
    if labels is None:
        labels = [_pair(pairs, index, field)[1] for index in range(len(pairs))]
    found: dict[int, list[Item]] = {}
    for index, label in enumerate(labels):
        item = _item(f"{prefix}/{index}", partial(_fetched, pairs, index, label, field))
        found.setdefault(label, []).append(item)
    return dict(sorted(found.items()))


def _item(name: str, fetch: Callable[[], Image.Image]) -> Item:
    """A picture that is fetched anew whenever it is read, or its digest is taken."""
    return Item(
        name,
        lambda preprocess: prepare_image(name, fetch(), preprocess),
        lambda: pixel_digest(name, fetch()),
    )


def _kept_labels(pairs: Any) -> list[int] | None:
    """The labels without the images; None when they are not to be found in the known places."""
    if isinstance(pairs, Subset):
        inner = _kept_labels(pairs.dataset)
        return None if inner is None else [inner[i] for i in pairs.indices]
    if getattr(pairs, "target_transform", None) is not None:
        return None
    for name in (*_LABELS, *_SAMPLES):
        kept = getattr(pairs, name, None)
        if kept is not None:
            try:
                if name in _SAMPLES:
                    kept = [sample[1] for sample in kept]
                labels = [operator.index(label) for label in kept]
            except (TypeError, IndexError, KeyError):
                continue
            if len(labels) == len(pairs):
                return labels
    return None


def _pair(pairs: Pairs, index: int, field: str) -> tuple[Any, int]:
    expected = "expected (image, label), the label a whole number"
    try:
        pair = pairs[index]
    except InputError:
        raise
    except Exception as error:  # anybody's code
        raise InputError(
            f"{field}: image {index} cannot be fetched ({type(error).__name__}: {error}); "
            f"{expected}"
        ) from error
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"{field}: entry {index} is of type {_type(pair)}; {expected}")
    try:
        return pair[0], operator.index(pair[1])
    except TypeError as error:
        raise InputError(
            f"{field}: the label of image {index} is of type {_type(pair[1])}; {expected}"
        ) from error


def _type(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _fetched(pairs: Pairs, index: int, label: int, field: str) -> Image.Image:
    image, found = _pair(pairs, index, field)
    if found != label:
        raise InputError(
            f"{field}: image {index} comes with label {found}, but stands with {label} in the data "
            "set's list of labels; expected one label"
        )
    return _picture(f"{field}: image {index}", image)


def _picture(place: str, image: object) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, Tensor):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"{place} is of type {type(image).__name__}; expected a PIL image, or an array or "
            "tensor of pixels"
        )
    if image.dtype != np.uint8:
        raise InputError(
            f"{place} holds {image.dtype}; expected uint8: pixels from 0 to 255, not yet "
            "normalised (lrpsweep resizes, crops and normalises by model.preprocess, and perturbs "
            "the pixels). Leave out ToTensor and Normalize."
        )
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        image = image.transpose(1, 2, 0)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"{place} has shape {image.shape}; expected (H, W, 3) or (3, H, W)")
    return Image.fromarray(np.ascontiguousarray(image))
