"""One word, one thing, in one place: classes and aliases, and the names that studies may say."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import lrpsweep
from lrpsweep.registry import HOMES, find_registry

PACKAGE = Path(lrpsweep.__file__).parent
MODULES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
PRESETS = "composites/presets.py"
"""Published composites are data: they name rules as studies do."""

OTHER_THINGS = {
    "study/identity.py": {"epsilon", "gamma"},  # parameters, in the order of stored hashes
    "study/writing.py": {"epsilon", "gamma"},  # parameters that `init` proposes ranges for
    "attribution/zennit/translation.py": {"epsilon", "gamma"},  # parameters
    "attribution/lrp/operations/__init__.py": {"pass"},  # the word of `lrpsweep.register`
    "attribution/lrp/operations/activation.py": {"pass"},  # the operation beside the rule
    "attribution/lrp/rules.py": {"pass", "sum"},  # the rules beside the operations
    "attribution/lrp/operations/arithmetic.py": {"constant"},  # no perturbation
    "attribution/lrp/operations/pooling.py": {"mean", "sum", "padding"},  # methods, an argument
    "attribution/lrp/operations/operation.py": {"padding"},  # a layer's attribute
    "attribution/lrp/operations/convolution.py": {"padding"},
    "attribution/lrp/tracing.py": {"padding"},
    "attribution/lrp/calls.py": {"mean", "sum", "padding", "max_pool"},  # words of signatures
    "attribution/zennit/export.py": {"sum"},  # how zennit treats a step
    "attribution/zennit/loader.py": {"sum"},
    "attribution/lrp/layers.py": {"gate"},  # what becomes of a layer that only feeds a gate
    "commands/blocks.py": {"gate"},
    "commands/describe.py": {"unknown"},  # a label
    "registry.py": {"unknown"},  # a version
    "commands/composite_json.py": {"difference", "mean"},  # keys of composite.json
    "study/__init__.py": {"difference", "grid", "identity"},  # functions
    "sweep/storage.py": {"identity", "pass"},  # a fact about a study; a part of 'password'
    "sweep/study.py": {"identity"},
    "sweep/samplers/random.py": {"random"},  # the sampler beside the order
    "composites/selectors.py": {"default"},  # the block that takes what others leave
    "evaluation/patches.py": {"linear"},  # the schedule
    "evaluation/protocols/default.py": {"linear"},
    "study/dimensions.py": {"linear"},  # the kind of range
    "report/mlflow.py": {"hot_spot"},  # what is known of every trial, whatever is measured
    "results.py": {"hot_spot"},
    "trial/trial.py": {"hot_spot"},
    "commands/picture.py": {"logit"},  # the unit of relevance
}
"""Where a name of a registry stands for something else: a word may mean two things in two rooms,
but nobody tells entries of a registry apart by their names outside of its table."""


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
    for path, module in MODULES.items():
        for name in named_types(module):
            homes[name].append(path)
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def words(module: ast.Module) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    expressions = (node for node in ast.walk(module) if isinstance(node, ast.Expr))
    texts = {id(node.value) for node in expressions}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node.value


WORDS = {path: set(words(module)) for path, module in MODULES.items() if path != PRESETS}


@pytest.mark.parametrize("kind", HOMES)
def test_a_name_is_spelled_in_one_module(kind: str) -> None:
    for name in find_registry(kind):
        homes = [p for p, said in WORDS.items() if name in said]
        own = [path for path in homes if name not in OTHER_THINGS.get(path, ())]
        assert len(own) <= 1, f"the {kind} '{name}' is spelled in {', '.join(own)}"
        assert homes


def test_no_exception_is_left_over() -> None:
    names = {name for kind in HOMES for name in find_registry(kind)}
    for path, others in OTHER_THINGS.items():
        assert others <= WORDS[path] & names, f"{path}: {others - WORDS[path]}"
