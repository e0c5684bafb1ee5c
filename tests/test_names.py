"""One word, one thing: no two classes, and no class and alias, of the package share a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import lrpsweep

PACKAGE = Path(lrpsweep.__file__).parent
ROOMS = (
    "study",
    "composites",
    "evaluation",
    "trial",
    "sweep",
    "report",
    "commands",
    "models",
    "data",
)


def named_types(module: ast.Module) -> list[str]:
    """Classes at any depth, and aliases: capitalised names that a module binds to a type."""
    classes = [node.name for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    aliases = [
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id[:1].isupper() and not target.id.isupper()
    ]
    return classes + aliases


def test_no_type_has_the_name_of_another() -> None:
    homes = defaultdict(list)
    rooms = (path for room in ROOMS for path in (PACKAGE / room).rglob("*.py"))
    for path in sorted([*PACKAGE.glob("*.py"), *rooms]):
        for name in named_types(ast.parse(path.read_text(encoding="utf-8"))):
            homes[name].append(str(path.relative_to(PACKAGE)))
    shared = {name: places for name, places in homes.items() if len(places) > 1}
    assert shared == {}
