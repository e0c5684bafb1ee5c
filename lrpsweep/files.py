"""Files are written in one step: a reader never sees half of one."""

from __future__ import annotations

import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes the file, text as UTF-8; an older one stays until the new one is complete.

    Behind a link, what the link leads to is replaced.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
