"""Where images may come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lrpsweep.data.datasets import dataset_groups
from lrpsweep.data.folders import folder_groups
from lrpsweep.data.given import handed_groups
from lrpsweep.data.groups import Group
from lrpsweep.data.tables import table_groups
from lrpsweep.study import DataSpec

Source = Callable[[DataSpec, Path, object | None], list[Group]]

# By the key of `data` in a study; the embedded scenes are drawn, not listed.
SOURCES: Mapping[str, Source] = {
    "folder": lambda spec, base, images: folder_groups(spec, base),
    "csv": lambda spec, base, images: table_groups(spec, base),
    "dataset": lambda spec, base, images: dataset_groups(spec, base),
    "python": lambda spec, base, images: handed_groups(images),
}


def list_groups(spec: DataSpec, base: Path, images: object | None) -> list[Group]:
    """The classes of the data that a study names. Raises InputError."""
    kind = next(kind for kind in SOURCES if getattr(spec, kind) is not None)
    return SOURCES[kind](spec, base, images)
