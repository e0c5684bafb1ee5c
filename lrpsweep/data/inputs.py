"""The images of a study, and how they are divided into those tuned on and those kept back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lrpsweep.data.files import read_image
from lrpsweep.data.folders import choose_files, list_classes
from lrpsweep.data.scenes import CLASSES, SIZE, Part, draw_scenes
from lrpsweep.errors import InputError
from lrpsweep.spec import DataSpec, Preprocess, SplitSpec, resolve_path


@dataclass(frozen=True)
class Inputs:
    """N images as the model sees them before normalisation.

    images: uint8 (N, H, W, 3); labels: int64 (N,), class indices of the model, -1 where unknown;
    ids: unique and the same on every machine; hashes: sha256 of each image's pixels. boxes: (N, 4)
    x0, y0, x1, y1 in pixels, x1 and y1 exclusive; masks: bool (N, H, W), the object's pixels; None
    where nobody knows them.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]
    hashes: tuple[str, ...]
    boxes: np.ndarray | None = None
    masks: np.ndarray | None = None


@dataclass(frozen=True)
class Split:
    """Images to search on, and images that are only looked at once the search is over."""

    search: Inputs
    validation: Inputs


def load_inputs(
    spec: DataSpec, preprocess: Preprocess, classes: Sequence[str], base: Path
) -> Split:
    """The images that a study names; the same ones for the same spec. The parts are disjoint.

    classes: the model's, to give labels their meaning. Relative paths start from `base`. Raises
    InputError that names field, file or class.
    """
    if spec.embedded is not None:
        return _scenes(spec.split, preprocess, classes)
    folder = resolve_path(str(spec.folder), base)
    return _folder(spec, folder, preprocess, classes)


def _scenes(split: SplitSpec, preprocess: Preprocess, classes: Sequence[str]) -> Split:
    sizes = {preprocess.resize, preprocess.crop}
    if not sizes <= {None, SIZE} or tuple(classes) != CLASSES:
        raise InputError(
            f"data.embedded: the scenes have {SIZE} × {SIZE} pixels and the classes "
            f"{', '.join(CLASSES[:2])}, …; expected `model: {{embedded: scenes}}` with them"
        )
    return Split(
        _scene_inputs("search", split.seed, split.search),
        _scene_inputs("validation", split.seed, split.validation),
    )


def _scene_inputs(part: Part, seed: int, count: int) -> Inputs:
    scenes = draw_scenes(part, seed, range(count))
    images = np.array([s.image for s in scenes], np.uint8).reshape(count, SIZE, SIZE, 3)
    return Inputs(
        images,
        np.array([s.label for s in scenes], np.int64),
        tuple(f"scenes/{part}/{seed}/{index}" for index in range(count)),
        _hashes(images),
        np.array([s.box for s in scenes], np.float64).reshape(count, 4),
        np.array([s.mask for s in scenes], bool).reshape(count, SIZE, SIZE),
    )


def _folder(spec: DataSpec, folder: Path, preprocess: Preprocess, classes: Sequence[str]) -> Split:
    by_class = list_classes(folder, spec.labels, spec.classes, classes)
    search, validation = choose_files(folder, by_class, spec.split)
    split = Split(
        _file_inputs(folder, search, preprocess), _file_inputs(folder, validation, preprocess)
    )
    _check_disjoint(split)
    return split


def _file_inputs(folder: Path, files: Sequence[tuple[Path, int]], preprocess: Preprocess) -> Inputs:
    images = [read_image(path, preprocess) for path, _ in files]
    for image, (path, _) in zip(images, files, strict=True):
        if image.shape != images[0].shape:
            raise InputError(
                f"{path}: has {image.shape[1]} × {image.shape[0]} pixels, {files[0][0]} has "
                f"{images[0].shape[1]} × {images[0].shape[0]}; expected one size, or "
                "model.preprocess.crop"
            )
    stacked = np.stack(images) if images else np.zeros((0, *_no_image(preprocess)), np.uint8)
    return Inputs(
        stacked,
        np.array([label for _, label in files], np.int64),
        tuple(path.relative_to(folder).as_posix() for path, _ in files),
        _hashes(stacked),
    )


def _no_image(preprocess: Preprocess) -> tuple[int, int, int]:
    """Shape of the images that a part without images would have."""
    return (preprocess.crop or 0, preprocess.crop or 0, 3)


def _hashes(images: np.ndarray) -> tuple[str, ...]:
    return tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images)


def _check_disjoint(split: Split) -> None:
    """The same picture under two names would validate a composite on what it was tuned on."""
    searched = dict(zip(split.search.hashes, split.search.ids, strict=True))
    for mark, name in zip(split.validation.hashes, split.validation.ids, strict=True):
        if mark in searched:
            raise InputError(
                f"data.folder: validation image '{name}' has the same pixels as search image "
                f"'{searched[mark]}'; expected different images: remove one of them"
            )
