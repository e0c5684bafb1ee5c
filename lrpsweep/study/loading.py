"""From a YAML file to a StudySpec, or to one InputError that names every problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lrpsweep.errors import InputError, guess
from lrpsweep.study.blocks import parse_composite
from lrpsweep.study.checks import problems_between
from lrpsweep.study.fields import StudyFile, StudySpec
from lrpsweep.study.finding import bundled_studies
from lrpsweep.study.overrides import override
from lrpsweep.study.problems import problems_of, raise_problems, shown
from lrpsweep.study.secrets import masked
from lrpsweep.study.writing import dump
from lrpsweep.study.yaml_text import MAX_CHARACTERS, read_yaml

EXTENDS = "extends"


def load_study(path: Path | str, overrides: Sequence[str] = ()) -> StudySpec:
    """The study in a YAML file, checked as far as that goes without its model and images.

    A study that `extends` another one, of its folder or bundled, has that one's entries where it
    has none of its own. overrides: 'path.to.key=value', applied in order before anything is
    checked. Raises InputError with a paragraph for each problem.
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
    given = _raw(text, source)
    raw = extended = _extended(given, path)
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
    composite, _ = parse_composite(study.composite, study.search)
    kept = masked(raw)
    if overrides or kept != raw or extended is not given:
        text = f"# {source}{_changes(overrides)}\n" + dump(kept)
    return StudySpec(**{**dict(study), "composite": composite}, path=path, text=text)


def _extended(raw: Any, path: Path, above: tuple[Path, ...] = ()) -> Any:
    """The study with what it has from the one that it `extends`: whole entries, never parts."""
    if not isinstance(raw, dict) or EXTENDS not in raw:
        return raw
    name, own = raw[EXTENDS], {key: value for key, value in raw.items() if key != EXTENDS}
    beside = {p.stem: p for p in sorted(path.parent.glob("*.yaml")) if p.name != path.name}
    known = {**bundled_studies(), **beside}
    if not isinstance(name, str) or name not in known:
        raise InputError(
            f"{path}: {EXTENDS}: found {shown(name)}; expected the name of a study beside this "
            f"file or of a bundled one: {', '.join(known)}.{guess(str(name), known)}"
        )
    if "name" not in own:
        raise InputError(f"{path}: name: missing; expected one, since '{name}' is another study.")
    base = known[name]
    if base in above:
        raise InputError(f"{path}: {EXTENDS}: '{name}' extends this study; expected no circle.")
    inherited = _extended(_raw(_text(base), str(base)), base, (*above, path))
    if not isinstance(inherited, dict):
        raise InputError(f"{base}: found no keys; expected a study, starting with 'version: 1'.")
    return {**inherited, **own}


def _changes(overrides: Sequence[str]) -> str:
    said = " ".join(masked(tuple(overrides)))
    return "" if not overrides else f", with --set {' '.join(said.split())}"


def _raw(text: str, source: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        problem = getattr(error, "problem", None) or str(error).replace("\n", " ")
        raise InputError(f"{source}: {place}{problem}.") from None
