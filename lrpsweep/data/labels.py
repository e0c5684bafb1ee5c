"""How the classes of the data become classes of the model: by what they are called, never by
their position in a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from lrpsweep.data.groups import Group
from lrpsweep.errors import InputError, guess

Labels = str | Mapping[str, int | str] | None
UNKNOWN = -1
MOST_NAMES = 6
_WNIDS = Path(__file__).with_name("imagenet_wnids.txt")


def assign_labels(
    groups: Sequence[Group],
    labels: Labels,
    wanted: Sequence[str] | None,
    classes: Sequence[str],
) -> list[tuple[Group, int]]:
    """The groups to use, each with its class index of the model; -1 when `labels` is None.

    wanted: names of the groups to use, None for all; classes: the model's, empty when nobody knows
    them. Raises InputError for a group that is missing or that no class of the model fits.
    """
    names = {group.name: group for group in groups}
    for name in wanted or ():
        if name not in names:
            raise InputError(
                f"data.classes: the data has no class '{name}'; expected some of its "
                f"{len(names)} classes: {_some(names)}.{guess(name, names)}"
            )
    used = [group for group in groups if wanted is None or group.name in wanted]
    assigned = [(group, _label(group, labels, classes)) for group in used]
    for name in labels if isinstance(labels, Mapping) else ():
        if name not in names:
            raise InputError(
                f"data.labels: the data has no class '{name}', which the map names; expected its "
                f"classes: {_some(names)}.{guess(name, names)}"
            )
    return assigned


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:MOST_NAMES]) + (", …" if len(shown) > MOST_NAMES else "")


def _label(group: Group, labels: Labels, classes: Sequence[str]) -> int:
    match labels:
        case None:
            return UNKNOWN
        case "index":
            return _index(group, group.name if group.index is None else group.index, classes)
        case "name":
            return _named(group, group.name, classes)
        case "wnid":
            return _wnid(group, classes)
        case str():
            raise ValueError(f"no way of labelling is called '{labels}'")
    if group.name not in labels:
        raise InputError(
            f"data.labels: no class is given for the {group.title}; expected a line "
            f"`{group.name}: CLASS`, or `data.classes` without it.{guess(group.name, labels)}"
        )
    target = labels[group.name]
    if isinstance(target, str):
        return _named(group, target, classes)
    return _index(group, target, classes)


def _index(group: Group, target: int | str, classes: Sequence[str]) -> int:
    text = str(target)
    index = int(text) if text.isascii() and text.isdigit() else UNKNOWN
    if index == UNKNOWN or (classes and index >= len(classes)):
        most = f"0 to {len(classes) - 1}" if classes else "0 or more"
        raise InputError(
            f"{group.field}: the {group.title} stands for class {text}; expected a class index of "
            f"the model, {most}"
        )
    return index


def _named(group: Group, target: str, classes: Sequence[str]) -> int:
    """Index of the class with that name; an underscore may stand for a blank."""
    fitting = [i for i, c in enumerate(classes) if target in (c, c.replace(" ", "_"))]
    if len(fitting) != 1:
        found = "several classes" if fitting else "no class"
        raise InputError(
            f"data.labels: the {group.title}: the model has {found} named '{target}'"
            f"{f' ({fitting})' if fitting else ''}; expected the name of one class, or a map from "
            f"the data's classes to class indices.{'' if fitting else guess(target, classes)}"
        )
    return fitting[0]


def _wnid(group: Group, classes: Sequence[str]) -> int:
    wnids = imagenet_wnids()
    if classes and len(classes) != len(wnids):
        raise InputError(
            f"data.labels: found 'wnid', which is for the {len(wnids):,} classes of ImageNet, but "
            f"the model has {len(classes)}; expected 'index', 'name' or a map"
        )
    name = group.wnid or group.name
    if name not in wnids:
        raise InputError(
            f"data.labels: the {group.title}: '{name}' is none of the {len(wnids):,} WordNet ids "
            f"of ImageNet's classes; expected one such as n01440764.{guess(name, wnids)}"
        )
    return wnids[name]


@cache
def imagenet_wnids() -> Mapping[str, int]:
    """Class index of each WordNet id of ILSVRC 2012."""
    lines = _WNIDS.read_text(encoding="utf-8").splitlines()
    return {line: i for i, line in enumerate(line for line in lines if not line.startswith("#"))}
