"""From a YAML file to a StudySpec, or to one InputError that names every problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lrpsweep.errors import InputError
from lrpsweep.spec.checks import problems_between
from lrpsweep.spec.overrides import override
from lrpsweep.spec.problems import problems_of, raise_problems
from lrpsweep.spec.secrets import masked
from lrpsweep.spec.study import StudyFile, StudySpec
from lrpsweep.spec.writing import dump
from lrpsweep.spec.yaml_text import MAX_CHARACTERS, read_yaml


def load_study(path: Path | str, overrides: Sequence[str] = ()) -> StudySpec:
    """The study in a YAML file, checked as far as that goes without its model and images.

    overrides: 'path.to.key=value', applied in order before anything is checked. Raises InputError
    with a paragraph for each problem.
    """
    path = Path(path)
    return parse_study(_text(path), path, overrides)


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: found no such file; expected a study in YAML.")
    if path.stat().st_size > MAX_CHARACTERS:
        raise InputError(f"{path}: found more than {MAX_CHARACTERS} bytes; expected a study.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}; expected text in UTF-8.") from None


def parse_study(text: str, path: Path, overrides: Sequence[str] = ()) -> StudySpec:
    """As `load_study`, for a text that is already read; `path` says where relative paths start."""
    source = str(path)
    raw = _raw(text, source)
    for change in overrides:
        raw = override(raw, change)
    if not isinstance(raw, dict):
        raise InputError(f"{source}: found no keys; expected a study, starting with 'version: 1'.")
    try:
        study = StudyFile.model_validate(raw)
    except ValidationError as error:
        raise_problems(source, problems_of(error), raw, overrides)
        raise
    raise_problems(source, problems_between(study), raw, overrides)
    kept = masked(raw)
    if overrides or kept != raw:
        text = f"# {source}{_changes(overrides)}\n" + dump(kept)
    return StudySpec(**dict(study), path=path, text=text)


def _changes(overrides: Sequence[str]) -> str:
    return "" if not overrides else f", with --set {' '.join(masked(tuple(overrides)))}"


def _raw(text: str, source: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        problem = getattr(error, "problem", None) or str(error).replace("\n", " ")
        raise InputError(f"{source}: {place}{problem}.") from None
