"""A CSV table with the path and the class of each image."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lrpsweep.data.files import file_item
from lrpsweep.data.groups import Group, Item
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, resolve_path

COLUMNS = ("path", "class")


@dataclass(frozen=True)
class Row:
    """line: where it ends in the table; path: as written there."""

    line: int
    path: str
    name: str


def table_groups(spec: DataSpec, base: Path) -> list[Group]:
    """A group for each class of `data.csv`, by name.

    The table is UTF-8 with a header; columns other than `path` and `class` mean nothing. Raises
    InputError with the line, also for a file that is missing, named twice or outside the root.
    """
    table = resolve_path(str(spec.csv), base)
    root = table.parent if spec.root is None else resolve_path(spec.root, base)
    if not root.is_dir():
        raise InputError(
            f"data.root: there is no folder '{root}'; expected the one that the paths of "
            f"'{table.name}' start from"
        )
    rows = _rows(table)
    _check_files(table, root, rows)
    by_class: dict[str, list[Row]] = {}
    for row in rows:
        by_class.setdefault(row.name, []).append(row)
    return [
        Group(
            name,
            f"class '{name}' ({table.name}, line {found[0].line})",
            partial(_items, root, found),
        )
        for name, found in sorted(by_class.items())
    ]


def _items(root: Path, rows: list[Row]) -> list[Item]:
    return [file_item(row.path, root / row.path) for row in rows]


def _rows(table: Path) -> list[Row]:
    if not table.is_file():
        raise InputError(f"data.csv: there is no file '{table}'; expected a table of images")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            rows = list(_cells(table, reader))
    except UnicodeDecodeError as error:
        raise InputError(f"data.csv: '{table}' is not UTF-8 ({error}); expected UTF-8") from error
    if not rows:
        raise InputError(f"data.csv: '{table}' has no rows; expected one for each image")
    return rows


def _cells(table: Path, reader: csv._reader) -> Iterator[Row]:  # type: ignore[name-defined]
    try:
        header = [cell.strip() for cell in next(reader, [])]
        path, name = (_column(table, header, column) for column in COLUMNS)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"data.csv: {table}, line {reader.line_num}: has {len(cells)} cells, the "
                    f"header has {len(header)}; expected as many (quote a path that has commas)"
                )
            yield _row(table, reader.line_num, cells[path].strip(), cells[name].strip())
    except csv.Error as error:
        raise InputError(
            f"data.csv: {table}, line {reader.line_num}: {error}; expected comma-separated values"
        ) from error


def _column(table: Path, header: list[str], column: str) -> int:
    if header.count(column) != 1:
        raise InputError(
            f"data.csv: {table}, line 1: found the columns {', '.join(header) or '(none)'}; "
            f"expected '{column}' once, and a comma between columns"
        )
    return header.index(column)


def _row(table: Path, line: int, path: str, name: str) -> Row:
    for column, cell in zip(COLUMNS, (path, name), strict=True):
        if not cell:
            raise InputError(
                f"data.csv: {table}, line {line}: column '{column}' is empty; expected a {column}"
            )
    return Row(line, path, name)


def _check_files(table: Path, root: Path, rows: list[Row]) -> None:
    inside = root.resolve()
    lines: dict[Path, int] = {}
    for row in rows:
        place = f"data.csv: {table}, line {row.line}: '{row.path}'"
        if Path(row.path).is_absolute():
            raise InputError(f"{place} is absolute; expected a path that starts from '{root}'")
        file = _resolved(root / row.path, place)
        if not file.is_relative_to(inside):
            raise InputError(f"{place} leads out of '{root}'; expected images inside it")
        if not file.is_file():
            raise InputError(
                f"{place} is no file in '{root}'; expected an image (data.root says where the "
                "paths start)"
            )
        if file in lines:
            raise InputError(
                f"{place} is the same file as in line {lines[file]}; expected every image once"
            )
        lines[file] = row.line


def _resolved(path: Path, place: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
        raise InputError(f"{place} cannot be followed ({error}); expected an image") from error
