"""Illustrations as a file: `runs/NAME/heatmaps.npz`."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from lrpsweep.files import write_atomically
from lrpsweep.results import Illustrations


def write_illustrations(illustrations: Illustrations, path: Path) -> None:
    """Keeps them as one .npz file."""
    arrays: dict[str, Any] = {
        f.name: np.asarray(getattr(illustrations, f.name)) for f in fields(illustrations)
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getvalue())


def read_illustrations(path: Path) -> Illustrations | None:
    """What `write_illustrations` kept; None if there is nothing. Unpickles nothing."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        values: dict[str, Any] = {name: kept[name] for name in kept.files}
    for name in ("ids", "grid_names", "grid_rows", "grid_columns"):
        values[name] = tuple(values[name].tolist())
    values["baseline_name"] = str(values["baseline_name"])
    return Illustrations(**values)
