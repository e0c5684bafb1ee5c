"""Passwords stay out of everything that is kept: database, report, tracking server."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
_IN_ADDRESS = re.compile(r"(://[^:/@\s]*):.+@", re.DOTALL)
_IN_QUERY = re.compile(r"([?&]\w*(?:pass|token|secret)\w*=)[^&\s]+", re.IGNORECASE)


def masked(value: Any) -> Any:
    """The raw values with '***' for each password in a URL: scheme://user:***@host/name."""
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(masked(inner) for inner in value)
    if not isinstance(value, str):
        return value
    return _IN_QUERY.sub(rf"\1{MASK}", _IN_ADDRESS.sub(rf"\1:{MASK}@", value))


def is_masked(url: str) -> bool:
    """Whether its password was left out."""
    return url == masked(url) and MASK in url
