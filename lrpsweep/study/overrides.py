"""`--set path.to.key=value`: changes to a study before it is checked."""

from __future__ import annotations

from typing import Any

import yaml

from lrpsweep.errors import InputError, guess
from lrpsweep.study.yaml_text import read_yaml


def override(raw: Any, text: str) -> Any:
    """A copy of the raw study with one 'path.to.key=value' applied.

    The value is YAML. Blocks are reached by name or index (composite.early.gamma=0.1), names with
    dots as they are. Raises InputError that names the override.
    """
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise InputError(f"--set {text}: found no '='; expected path.to.key=value.")
    try:
        return _replaced(raw, path.strip(), read_yaml(value))
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"--set {text}: the value is no YAML: {problem}.") from None
    except LookupError as error:
        raise InputError(f"--set {text}: {error.args[0]}") from None


def _replaced(raw: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    if isinstance(raw, tuple):
        return _in_sequence(raw, path, value)
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise LookupError(f"found no key '{path}': there is a plain value in its place.")
    key, rest = _split(raw, path)
    return {**raw, key: _replaced(raw.get(key), rest, value)}


def _split(keys: dict[str, Any], path: str) -> tuple[str, str]:
    """First key and the rest; a known key may hold dots itself."""
    words = path.split(".")
    for n in range(len(words), 1, -1):
        if ".".join(words[:n]) in keys:
            return ".".join(words[:n]), ".".join(words[n:])
    return words[0], ".".join(words[1:])


def _in_sequence(raw: tuple[Any, ...], path: str, value: Any) -> tuple[Any, ...]:
    key, _, rest = path.partition(".")
    names = [item.get("block") if isinstance(item, dict) else None for item in raw]
    if key in names:
        index = names.index(key)
    elif key.isdecimal() and int(key) < len(raw):
        index = int(key)
    else:
        known = [str(name) for name in names if name is not None]
        allowed = f"one of {', '.join(known)}" if known else f"an index below {len(raw)}"
        raise LookupError(f"found no '{key}'; expected {allowed}.{guess(key, known)}")
    return (*raw[:index], _replaced(raw[index], rest, value), *raw[index + 1 :])
