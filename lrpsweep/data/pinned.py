"""Images that a study has begun on: they stay what they are, whatever is added to the data."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrpsweep.errors import InputError
from lrpsweep.study import SplitSpec

PartName = Literal["search", "selection", "validation"]
PARTS: tuple[PartName, ...] = ("search", "selection", "validation")

Marks = tuple[tuple[str, str], ...]
"""(id, hash) of images in their order, each hash as in `lrpsweep.data.Inputs.hashes`."""


@dataclass(frozen=True)
class Pinned:
    """The search and selection images of a study that has begun, which stay.

    validation: those that it was validated on last, which stay as long as they are there.
    """

    search: Marks
    selection: Marks = ()
    validation: Marks = ()

    @property
    def marks(self) -> Marks:
        """Those of search and selection, in the order in which they are dealt."""
        return self.search + self.selection

    def of(self, part: PartName) -> Marks:
        """Those of one part."""
        parts = {"search": self.search, "selection": self.selection, "validation": self.validation}
        return parts[part]


NOTHING = Pinned(search=())


def mark_of(image: np.ndarray) -> str:
    """SHA-256 of an image's pixels, as hex."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def check_counts(split: SplitSpec, pinned: Pinned) -> None:
    """Raises InputError when the study now asks for more or fewer images than it has begun on."""
    asked: dict[PartName, int] = {"search": split.search, "selection": split.selection}
    for part, found in asked.items():
        begun = len(pinned.of(part))
        if found != begun:
            raise InputError(
                f"data.split.{part}: found {found}, but the study has begun on {begun} {part} "
                f"images; expected {begun}, or a study of another name"
            )


def check_present(marks: Marks, found: Collection[str]) -> None:
    """Raises InputError for the first image that the data no longer has. found: its ids."""
    for name, _ in marks:
        if name not in found:
            raise InputError(
                f"data: image '{name}', which the study has begun on, is gone; expected it where "
                "it was, under its name, or a study of another name"
            )


def check_unchanged(marks: Marks, images: Iterable[np.ndarray]) -> None:
    """Raises InputError for the first image whose pixels are others than when the study began."""
    for (name, mark), image in zip(marks, images, strict=True):
        if mark_of(image) != mark:
            raise InputError(
                f"data: image '{name}', which the study has begun on, has other pixels now; "
                "expected it as it was, prepared by the same model.preprocess, or a study of "
                "another name"
            )
