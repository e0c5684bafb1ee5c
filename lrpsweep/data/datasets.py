"""Data sets of torchvision that lie on the disk; nothing is downloaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torchvision

from lrpsweep.data.groups import Group
from lrpsweep.data.pairs import items_by_label
from lrpsweep.errors import InputError, guess
from lrpsweep.study import DataSpec, resolve_path

# What stands elsewhere in a study, or is no plain value.
REFUSED = {
    "root": "data.root says where the data set lies",
    "download": "nothing is downloaded; put the files into data.root",
    "transform": "model.preprocess prepares the images",
    "transforms": "model.preprocess prepares the images",
    "target_transform": "data.labels says how labels become the model's classes",
    "loader": "images are read by the data set's own loader",
}


def dataset_groups(spec: DataSpec, base: Path) -> list[Group]:
    """A group for each class that the data set has images of, in the order of its own labels."""
    name = str(spec.dataset)
    root = resolve_path(str(spec.root), base)
    dataset = _opened(name, _constructor(name), root, spec.options or {})
    by_label = items_by_label(dataset, "data.dataset", f"dataset/{name}")
    if not by_label:
        raise InputError(f"data.dataset: {name} in '{root}' has no images; expected some")
    names = _words(dataset, "classes")
    wnids = _words(dataset, "wnids")
    if spec.labels in ("name", "wnid") and not names:
        raise InputError(
            f"data.labels: found '{spec.labels}', but {name} does not name its classes; expected "
            "'index' or a map from its labels"
        )
    return [
        Group(
            name=names.get(label, str(label)),
            title=f"class '{names.get(label, label)}' of {name}",
            items=partial(list, items),
            index=label,
            wnid=wnids.get(label),
        )
        for label, items in by_label.items()
    ]


def _words(dataset: Any, attribute: str) -> dict[int, str]:
    """A word for each label; of several synonyms, the first."""
    words = getattr(dataset, attribute, None) or ()
    return dict(enumerate(str(w[0] if isinstance(w, tuple | list) else w) for w in words))


def _constructor(name: str) -> Callable[..., Any]:
    sets = torchvision.datasets
    found = getattr(sets, name, None) if name in sets.__all__ else None
    if not (inspect.isclass(found) and issubclass(found, sets.VisionDataset)):
        raise InputError(
            f"data.dataset: torchvision has no data set '{name}'; expected one such as CIFAR10, "
            f"ImageNet or Imagenette.{guess(name, sets.__all__)}"
        )
    return found


def _opened(
    name: str, constructor: Callable[..., Any], root: Path, options: Mapping[str, Any]
) -> Any:
    if not root.is_dir():
        raise InputError(f"data.root: there is no folder '{root}'; expected the one with {name}")
    parameters = inspect.signature(constructor).parameters
    _check_options(name, parameters, options)
    arguments = dict(options)
    if "root" in parameters:
        arguments["root"] = root
    if "download" in parameters:  # some download unless they are told not to
        arguments["download"] = False
    try:
        return constructor(**arguments)
    except Exception as error:  # each data set checks its files in its own way
        raise InputError(
            f"data.dataset: {name} cannot be opened in '{root}' ({type(error).__name__}: {error}); "
            "expected its files there as torchvision lays them out, and the data.options it takes "
            "(nothing is downloaded)"
        ) from error


def _check_options(
    name: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]
) -> None:
    any_goes = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    allowed = [
        key
        for key, parameter in parameters.items()
        if key not in REFUSED and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    for option in options:
        if option in REFUSED:
            raise InputError(f"data.options.{option}: expected nothing: {REFUSED[option]}")
        if option not in allowed and not any_goes:
            raise InputError(
                f"data.options.{option}: {name} has no such option; expected one of "
                f"{', '.join(allowed) or '(none)'}.{guess(option, allowed)}"
            )
