"""Where studies lie, and where the paths in them lead."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lrpsweep.errors import InputError, guess

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def bundled_studies() -> dict[str, Path]:
    """Name to file of the studies that come with the package."""
    package = Path(__file__).parent.parent
    # An installed package holds them inside; a checkout has them beside it.
    folder = next(
        (f for f in (package / "studies", package.parent / "studies") if f.is_dir()), None
    )
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_study(name_or_path: str, runs_dir: Path) -> Path:
    """The file of a study given as a YAML path, a bundled name or a name in the runs folder.

    Raises InputError that lists the names there are.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise InputError(f"{path}: found no such file; expected a study in YAML.")
        return path
    bundled = bundled_studies()
    if name_or_path in bundled:
        return bundled[name_or_path]
    ran = {p.parent.name: p for p in sorted(Path(runs_dir).glob("*/study.yaml"))}
    if name_or_path in ran:
        return ran[name_or_path]
    found = f"In {runs_dir}: {', '.join(ran)}. " if ran else ""
    raise InputError(
        f"{name_or_path}: found no such study; expected a YAML path, a bundled name or a name in "
        f"the runs folder. Bundled: {', '.join(bundled)}. {found}"
        f"{guess(name_or_path, [*bundled, *ran]).strip()}".rstrip()
    )


def resolve_path(text: str, base: Path) -> Path:
    """The path that a study's text means: ${VAR} expanded, relative ones starting from `base`.

    Raises InputError when a variable is not set.
    """
    expanded = _VARIABLE.sub(lambda match: _variable(text, match[1]), text)
    return Path(base) / Path(expanded).expanduser()


def _variable(text: str, name: str) -> str:
    if name not in os.environ:
        raise InputError(
            f"path '{text}': the environment variable {name} is not set; "
            f"expected `export {name}=...` before the command."
        )
    return os.environ[name]
