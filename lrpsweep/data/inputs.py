"""The images of a study, and how they are divided into those tuned on and those kept back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice
from pathlib import Path

import numpy as np

from lrpsweep.data.groups import Labelled, Listed, deal, in_turns, order_by_content
from lrpsweep.data.labels import assign_labels
from lrpsweep.data.pinned import (
    NOTHING,
    PARTS,
    Marks,
    PartName,
    Pinned,
    check_counts,
    check_present,
    check_unchanged,
    mark_of,
)
from lrpsweep.data.scenes import CLASSES, SIZE, draw_scenes
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
    """Images to search on, those that the best of the search are compared on, and those that are
    only looked at once both are over."""

    search: Inputs
    selection: Inputs
    validation: Inputs

    @property
    def parts(self) -> dict[PartName, Inputs]:
        """All three, by name."""
        return {"search": self.search, "selection": self.selection, "validation": self.validation}


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
    by_content: bool = False,
    pinned: Pinned | None = None,
) -> Split:
    """The images that a study names; the same ones for the same spec. The parts are disjoint.

    classes: the model's, to give labels their meaning. Relative paths start from `base`. images:
    what `data.python` stands for. keep: needed when misclassified images are left out, and asked
    about images in the order in which they are dealt until all parts are full. by_content: whether
    that order comes from the seed and the images' contents, so that further files keep the order
    of the others; or from the seed and the sorted names. pinned: what a study ordered by content
    has begun on: it stays, and only validation images are dealt. Raises InputError that names
    field, file or class.
    """
    if spec.misclassified == "leave_out" and keep is None:
        raise ValueError("misclassified images can only be left out by a `keep`")
    if pinned is not None and not by_content:
        raise ValueError("images are pinned where they are ordered by content only")
    if images is not None and spec.python is None:
        raise InputError(
            "data: images are handed over, but the study names others; expected "
            "`data: {python: NAME, …}` in the study, or no images"
        )
    begun = pinned or NOTHING
    if pinned is not None:
        check_counts(spec.split, pinned)
    if spec.embedded is not None:
        return _scenes(spec.split, preprocess, classes, keep, begun)
    groups = _listed(spec, classes, base, images)
    held = _held(groups, begun)
    _check_enough(spec.split, groups)
    if by_content:
        dealt = _continued(groups, spec.split.seed, begun)
    else:
        dealt = deal([members for _, members in groups], spec.split.seed)
    samples = _read(chain(held, dealt), preprocess)
    return _divided(spec.split, samples, keep, begun)


def _scenes(
    split: SplitSpec,
    preprocess: Preprocess,
    classes: Sequence[str],
    keep: Keep | None,
    pinned: Pinned,
) -> Split:
    sizes = {preprocess.resize, preprocess.crop}
    if not sizes <= {None, SIZE} or tuple(classes) != CLASSES:
        raise InputError(
            f"data.embedded: the scenes have {SIZE} × {SIZE} pixels and the classes "
            f"{', '.join(CLASSES[:2])}, …; expected `model: {{embedded: scenes}}` with them"
        )
    parts = {}
    for part in PARTS:
        marks = () if part == "validation" else pinned.of(part)  # more of them are drawn behind
        samples = _scenes_again(split, part, marks) if marks else _scenes_of(split, part, keep)
        parts[part] = _inputs(samples, (SIZE, SIZE, 3))
    return Split(**parts)


def _scenes_of(split: SplitSpec, part: PartName, keep: Keep | None) -> list[_Sample]:
    count: int = getattr(split, part)
    return _taken(_drawn(part, split.seed, count), count, keep, split)


def _scenes_again(split: SplitSpec, part: PartName, marks: Marks) -> list[_Sample]:
    """The scenes that a study has begun on. Raises InputError when they are no longer drawn."""
    names = {name for name, _ in marks}
    drawn = (s for s in _drawn(part, split.seed, len(marks)) if s.id in names)
    found = {sample.id: sample for sample in islice(drawn, len(names))}
    check_present(marks, found)
    samples = [found[name] for name, _ in marks]
    check_unchanged(marks, [sample.image for sample in samples])
    return samples


def _drawn(part: PartName, seed: int, count: int) -> Iterator[_Sample]:
    for index in range(count * SCENES_A_PLACE):
        (scene,) = draw_scenes(part, seed, [index])
        yield _Sample(
            f"scenes/{part}/{seed}/{index}", scene.image, scene.label, scene.box, scene.mask
        )


def _listed(
    spec: DataSpec, classes: Sequence[str], base: Path, images: object | None
) -> list[Listed]:
    """The classes in use by name, each with its pictures."""
    labels = "index" if spec.python is not None else spec.labels
    groups: list[Listed] = []
    assigned = assign_labels(list_groups(spec, base, images), labels, spec.classes, classes)
    for group, label in assigned:
        members = [(item, label) for item in group.items()]
        if not members:
            raise InputError(
                f"data: the {group.title} has no images; expected some, or `data.classes` "
                "without it"
            )
        groups.append((group.name, members))
    return groups


def _held(groups: Sequence[Listed], pinned: Pinned) -> list[Labelled]:
    """The pictures that a study has begun on. Raises InputError when one is gone."""
    known = {item.id: (item, label) for _, members in groups for item, label in members}
    check_present(pinned.marks, known)
    return [known[name] for name, _ in pinned.marks]


def _asked(split: SplitSpec) -> str:
    return (
        f"{split.search} search, {split.selection} selection and {split.validation} validation "
        "images"
    )


def _check_enough(split: SplitSpec, groups: Sequence[Listed]) -> None:
    found = sum(len(members) for _, members in groups)
    if found < split.search + split.selection + split.validation:
        raise InputError(
            f"data.split: {_asked(split)} are asked for, but the data has {found} in the "
            f"{len(groups)} classes in use; expected at most {found} in all"
        )


def _continued(groups: Sequence[Listed], seed: int, pinned: Pinned) -> list[Labelled]:
    """The pictures that a study has not begun on, in the order in which they follow.

    Each class goes on with the turn after those of its pinned pictures: as long as no file is
    added, they come as they would have come without any pinned. Those that the study was validated
    on come first.
    """
    names = {name for name, _ in pinned.marks}
    ordered = order_by_content(groups, seed)
    others = [[member for member in group if member[0].id not in names] for group in ordered]
    ahead = [len(group) - len(rest) for group, rest in zip(ordered, others, strict=True)]
    dealt = in_turns(others, ahead)
    before = {name: place for place, (name, _) in enumerate(pinned.validation)}
    return sorted(dealt, key=lambda member: before.get(member[0].id, len(before)))


def _divided(
    split: SplitSpec, samples: Iterator[_Sample], keep: Keep | None, pinned: Pinned
) -> Split:
    """The pinned ones, with which the samples begin, and as many as are needed after them."""
    held = list(islice(samples, len(pinned.marks)))
    check_unchanged(pinned.marks, [sample.image for sample in held])
    count = split.search + split.selection + split.validation
    taken = [*held, *_taken(samples, count - len(held), keep, split)]
    shape, first = taken[0].image.shape, split.search + split.selection
    divided = Split(
        search=_inputs(taken[: split.search], shape),
        selection=_inputs(taken[split.search : first], shape),
        validation=_inputs(taken[first:], shape),
    )
    _check_disjoint(divided)
    return divided


def _read(dealt: Iterable[Labelled], preprocess: Preprocess) -> Iterator[_Sample]:
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


def _taken(
    samples: Iterator[_Sample], count: int, keep: Keep | None, split: SplitSpec
) -> list[_Sample]:
    """The first `count` samples that may be used. Raises InputError when there are fewer.

    split: how many are asked for, for the error.
    """
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
                f"{count} are needed (data.split: {_asked(split)}); expected smaller parts, more "
                "images, or 'keep'"
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
        tuple(mark_of(image) for image in images),
        np.array(boxes, np.float64) if boxes else None,
        np.array(masks, bool) if masks else None,
    )


def _check_disjoint(split: Split) -> None:
    """The same picture under two names would validate a composite on what it was tuned on."""
    for former, later in combinations(PARTS, 2):
        before, after = split.parts[former], split.parts[later]
        names = dict(zip(before.hashes, before.ids, strict=True))
        for mark, name in zip(after.hashes, after.ids, strict=True):
            if mark in names:
                raise InputError(
                    f"data: {later} image '{name}' has the same pixels as {former} image "
                    f"'{names[mark]}'; expected different images: remove one of them, or choose "
                    "another data.split.seed"
                )
