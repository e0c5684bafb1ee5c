"""A folder with one sub-folder of images for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lrpsweep.data.files import SUFFIXES
from lrpsweep.errors import InputError, guess
from lrpsweep.spec import SplitSpec

Labels = str | Mapping[str, int | str] | None
UNKNOWN = -1


def list_classes(
    folder: Path, labels: Labels, wanted: Sequence[str] | None, classes: Sequence[str]
) -> dict[Path, int]:
    """Class index of each sub-folder, in the order of their names; -1 when `labels` is None.

    wanted: names of the sub-folders to use, None for all. A label never comes from a position in
    the list. Raises InputError for a folder that is missing or that no class of the model fits.
    """
    if not folder.is_dir():
        raise InputError(f"data.folder: there is no folder '{folder}'; expected one with images")
    found = {
        path.name: path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    if not found:
        raise InputError(
            f"data.folder: '{folder}' has no sub-folders; expected one for each class, with its "
            "images in it"
        )
    for name in wanted or ():
        if name not in found:
            raise InputError(
                f"data.classes: '{folder}' has no sub-folder '{name}'; expected names of its "
                f"{len(found)} sub-folders.{guess(name, found)}"
            )
    return {found[name]: _label(name, labels, classes) for name in sorted(wanted or found)}


def _label(name: str, labels: Labels, classes: Sequence[str]) -> int:
    """The class that a sub-folder's name stands for."""
    if labels is None:
        return UNKNOWN
    if labels == "index":
        return _index(name, name, classes)
    if labels == "name":
        return _named(name, name, classes)
    if not isinstance(labels, Mapping) or name not in labels:
        given = labels if isinstance(labels, Mapping) else ()
        raise InputError(
            f"data.labels: no class is given for the sub-folder '{name}'; expected a line "
            f"`{name}: CLASS`, or `data.classes` without it.{guess(name, given)}"
        )
    target = labels[name]
    return (_named if isinstance(target, str) else _index)(name, target, classes)  # type: ignore[arg-type]


def _index(name: str, target: int | str, classes: Sequence[str]) -> int:
    text = str(target)
    index = int(text) if text.isascii() and text.isdigit() else UNKNOWN
    if index == UNKNOWN or (classes and index >= len(classes)):
        most = f"0 to {len(classes) - 1}" if classes else "0 or more"
        raise InputError(
            f"data.labels: sub-folder '{name}' stands for class {text}; expected a class index of "
            f"the model, {most}"
        )
    return index


def _named(name: str, target: str, classes: Sequence[str]) -> int:
    """Index of the class with that name; an underscore may stand for a blank."""
    fitting = [i for i, c in enumerate(classes) if target in (c, c.replace(" ", "_"))]
    if len(fitting) != 1:
        found = "several classes" if fitting else "no class"
        raise InputError(
            f"data.labels: sub-folder '{name}': the model has {found} named '{target}'"
            f"{f' ({fitting})' if fitting else ''}; expected the name of one class, or a map from "
            f"folder names to class indices.{'' if fitting else guess(target, classes)}"
        )
    return fitting[0]


def choose_files(
    folder: Path, by_class: Mapping[Path, int], split: SplitSpec
) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """Files with their labels, to search on and to validate on; disjoint, the same every time.

    Each class's files are shuffled, and the classes then give one file after another in turn, so
    that both parts hold about as many images of each class.
    """
    rng = np.random.default_rng(split.seed)
    shuffled = []
    for place, label in by_class.items():
        files = list_files(folder, place)
        shuffled.append([(files[i], label) for i in rng.permutation(len(files))])
    turns = [shuffled[i] for i in rng.permutation(len(shuffled))]
    dealt = [
        files[turn] for turn in range(max(map(len, turns))) for files in turns if turn < len(files)
    ]
    needed = split.search + split.validation
    if len(dealt) < needed:
        raise InputError(
            f"data.split: {split.search} search and {split.validation} validation images are asked "
            f"for, but '{folder}' has {len(dealt)} in the {len(by_class)} sub-folders in use; "
            f"expected at most {len(dealt)} in all"
        )
    return dealt[: split.search], dealt[split.search : needed]


def list_files(folder: Path, place: Path) -> list[Path]:
    """The images of one sub-folder, by name. Hidden files are left out, all others must be images
    and lie inside `folder`, also when they are links."""
    root = folder.resolve()
    files = []
    for path in sorted(place.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.resolve().is_relative_to(root):
            raise InputError(
                f"{path}: is a link that leads out of '{folder}'; expected images inside it"
            )
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"{path}: is no image; expected files that end in {', '.join(SUFFIXES)}"
            )
        files.append(path)
    return files
