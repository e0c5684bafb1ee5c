"""The images of a study, and how they are divided into those tuned on and those kept back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lrpsweep.data.groups import Item, deal
from lrpsweep.data.labels import assign_labels
from lrpsweep.data.scenes import CLASSES, SIZE, Part, draw_scenes
from lrpsweep.data.sources import list_groups
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, Preprocess, SplitSpec

Keep = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Images uint8 (n, H, W, 3) and their labels (n,) -> bool (n,): which of them may be used."""

LEAST_LOOK, MOST_LOOK = 16, 256  # images that Keep is asked about at once
SCENES_A_PLACE = 20  # scenes looked at, at most, for each one asked for


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


@dataclass(frozen=True)
class _Sample:
    """One image that has been read."""

    id: str
    image: np.ndarray
    label: int
    box: tuple[int, int, int, int] | None = None
    mask: np.ndarray | None = None


def load_inputs(
    spec: DataSpec,
    preprocess: Preprocess,
    classes: Sequence[str],
    base: Path,
    *,
    images: object | None = None,
    keep: Keep | None = None,
) -> Split:
    """The images that a study names; the same ones for the same spec. The parts are disjoint.

    classes: the model's, to give labels their meaning. Relative paths start from `base`. images:
    what `data.python` stands for. keep: needed when misclassified images are left out, and asked
    about images in the order in which they are dealt until both parts are full. Raises InputError
    that names field, file or class.
    """
    if spec.misclassified == "leave_out" and keep is None:
        raise ValueError("misclassified images can only be left out by a `keep`")
    if images is not None and spec.python is None:
        raise InputError(
            "data: images are handed over, but the study names others; expected "
            "`data: {python: NAME, …}` in the study, or no images"
        )
    if spec.embedded is not None:
        return _scenes(spec.split, preprocess, classes, keep)
    return _dealt(spec, preprocess, classes, base, images, keep)


def _scenes(
    split: SplitSpec, preprocess: Preprocess, classes: Sequence[str], keep: Keep | None
) -> Split:
    sizes = {preprocess.resize, preprocess.crop}
    if not sizes <= {None, SIZE} or tuple(classes) != CLASSES:
        raise InputError(
            f"data.embedded: the scenes have {SIZE} × {SIZE} pixels and the classes "
            f"{', '.join(CLASSES[:2])}, …; expected `model: {{embedded: scenes}}` with them"
        )
    search = _taken(_drawn("search", split.seed, split.search), split.search, keep)
    validation = _taken(_drawn("validation", split.seed, split.validation), split.validation, keep)
    return Split(_inputs(search, (SIZE, SIZE, 3)), _inputs(validation, (SIZE, SIZE, 3)))


def _drawn(part: Part, seed: int, count: int) -> Iterator[_Sample]:
    for index in range(count * SCENES_A_PLACE):
        (scene,) = draw_scenes(part, seed, [index])
        yield _Sample(
            f"scenes/{part}/{seed}/{index}", scene.image, scene.label, scene.box, scene.mask
        )


def _dealt(
    spec: DataSpec,
    preprocess: Preprocess,
    classes: Sequence[str],
    base: Path,
    images: object | None,
    keep: Keep | None,
) -> Split:
    labels = "index" if spec.python is not None else spec.labels
    assigned = assign_labels(list_groups(spec, base, images), labels, spec.classes, classes)
    groups = []
    for group, label in assigned:
        groups.append([(item, label) for item in group.items()])
        if not groups[-1]:
            raise InputError(
                f"data: the {group.title} has no images; expected some, or `data.classes` "
                "without it"
            )
    dealt = deal(groups, spec.split.seed)
    needed = _needed(spec.split, len(dealt), len(groups))
    samples = _taken(_read(dealt, preprocess), needed, keep)
    shape = samples[0].image.shape
    split = Split(
        _inputs(samples[: spec.split.search], shape), _inputs(samples[spec.split.search :], shape)
    )
    _check_disjoint(split)
    return split


def _needed(split: SplitSpec, found: int, groups: int) -> int:
    needed = split.search + split.validation
    if found < needed:
        raise InputError(
            f"data.split: {split.search} search and {split.validation} validation images are asked "
            f"for, but the data has {found} in the {groups} classes in use; expected at most "
            f"{found} in all"
        )
    return needed


def _read(dealt: Iterable[tuple[Item, int]], preprocess: Preprocess) -> Iterator[_Sample]:
    """The images as they are asked for. Raises InputError when their sizes differ."""
    first: _Sample | None = None
    for item, label in dealt:
        sample = _Sample(item.id, item.read(preprocess), label)
        first = first or sample
        if sample.image.shape != first.image.shape:
            raise InputError(
                f"data: image '{sample.id}' has {_size(sample.image)} pixels, '{first.id}' has "
                f"{_size(first.image)}; expected one size, or model.preprocess.crop"
            )
        yield sample


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} × {image.shape[0]}"


def _taken(samples: Iterator[_Sample], count: int, keep: Keep | None) -> list[_Sample]:
    """The first `count` samples that may be used. Raises InputError when there are fewer."""
    if keep is None:
        return list(islice(samples, count))
    taken: list[_Sample] = []
    looked = 0
    while len(taken) < count:
        some = list(islice(samples, min(MOST_LOOK, max(LEAST_LOOK, count - len(taken)))))
        if not some:
            raise InputError(
                f"data.misclassified: of the {looked} images there are to look at, "
                f"{looked - len(taken)} are misclassified and left out; {len(taken)} remain, where "
                f"data.split asks for {count}; expected smaller parts, more images, or 'keep'"
            )
        looked += len(some)
        labels = np.array([sample.label for sample in some], np.int64)
        good = keep(np.stack([sample.image for sample in some]), labels)
        taken += [sample for sample, usable in zip(some, good, strict=True) if usable]
    return taken[:count]


def _inputs(samples: Sequence[_Sample], shape: tuple[int, ...]) -> Inputs:
    """shape: of one image, for when there are none."""
    count = len(samples)
    images = np.array([s.image for s in samples], np.uint8).reshape(count, *shape)
    boxes = [s.box for s in samples if s.box is not None]
    masks = [s.mask for s in samples if s.mask is not None]
    return Inputs(
        images,
        np.array([s.label for s in samples], np.int64),
        tuple(s.id for s in samples),
        tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
        np.array(boxes, np.float64) if boxes else None,
        np.array(masks, bool) if masks else None,
    )


def _check_disjoint(split: Split) -> None:
    """The same picture under two names would validate a composite on what it was tuned on."""
    searched = dict(zip(split.search.hashes, split.search.ids, strict=True))
    for mark, name in zip(split.validation.hashes, split.validation.ids, strict=True):
        if mark in searched:
            raise InputError(
                f"data: validation image '{name}' has the same pixels as search image "
                f"'{searched[mark]}'; expected different images: remove one of them, or choose "
                "another data.split.seed"
            )
