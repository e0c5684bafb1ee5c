"""A folder with one sub-folder of images for each class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lrpsweep.data.files import SUFFIXES, file_item
from lrpsweep.data.groups import Group, Item
from lrpsweep.data.labels import Labels, assign_labels
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, resolve_path


def folder_groups(spec: DataSpec, base: Path) -> list[Group]:
    """A group for each sub-folder of `data.folder`."""
    return _groups(resolve_path(str(spec.folder), base))


def list_classes(
    folder: Path, labels: Labels, wanted: Sequence[str] | None, classes: Sequence[str]
) -> dict[Path, int]:
    """Class index of each sub-folder, by name, as `assign_labels` has it. Raises InputError."""
    assigned = assign_labels(_groups(folder), labels, wanted, classes)
    return {folder / group.name: label for group, label in assigned}


def _groups(folder: Path) -> list[Group]:
    if not folder.is_dir():
        raise InputError(f"data.folder: there is no folder '{folder}'; expected one with images")
    found = [
        path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")
    ]
    if not found:
        raise InputError(
            f"data.folder: '{folder}' has no sub-folders; expected one for each class, with its "
            "images in it"
        )
    return [
        Group(path.name, f"sub-folder '{path.name}'", partial(_items, folder, path))
        for path in found
    ]


def _items(folder: Path, place: Path) -> list[Item]:
    return [
        file_item(path.relative_to(folder).as_posix(), path) for path in list_files(folder, place)
    ]


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
