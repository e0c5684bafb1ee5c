"""YAML that holds plain values only: no code, no tags, no aliases, no duplicate keys.

Scalars mean what they mean in YAML 1.2's core schema, so that 1e-4 is a number, `no` and `on` are
words, and 010 is ten. Sequences become tuples.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 20

_INT = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class _Loader(yaml.BaseLoader):
    """Composes nodes; refuses what a plain file does not need, before it is built."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _problem("an anchor or alias; expected every value written out", event)
        if getattr(event, "tag", None) is not None:
            raise _problem(f"the tag '{event.tag}'; expected a plain value", event)
        if self.depth >= MAX_DEPTH:
            raise _problem(f"more than {MAX_DEPTH} levels of nesting", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(text: str) -> Any:
    """The value that a YAML text stands for. Raises yaml.YAMLError with the place."""
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"more than {MAX_CHARACTERS} characters")
    node = yaml.compose(text, _Loader)
    return None if node is None else _value(node)


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return tuple(_value(item) for item in node.value)
    return _scalar(node) if node.style is None else node.value  # type: ignore[attr-defined]


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _problem("a key that is not a word", key)
        if key.value in found:
            raise _problem(f"the key '{key.value}' twice", key)
        found[key.value] = _value(value)
    return found


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        try:
            return int(text)
        except ValueError:
            raise _problem(f"a number of {len(text)} digits", node) from None
    return float(text) if NUMBER.fullmatch(text) else text


def _problem(what: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"found {what}", problem_mark=place.start_mark)
