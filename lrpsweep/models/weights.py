"""Weights from files: tensors alone are read, and what does not fit is told by name and shape."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lrpsweep.errors import InputError, guess
from lrpsweep.study import resolve_path

RANDOM_SEED = 0
SUFFIXES = (".safetensors", ".pt", ".pth")
MOST_SHOWN = 3
_FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)")


@contextmanager
def fixed_randomness() -> Iterator[None]:
    """Random weights drawn in here are the same every time; torch's generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        yield


def weights_path(given: str, base: Path, names: Iterable[str] = ()) -> Path:
    """The file that `model.weights` means. names: what it may hold instead of a path.

    Raises InputError when it is neither, or when there is no such file.
    """
    path = resolve_path(given, base)
    allowed = ", ".join([*names, "null", f"or the path of a {', '.join(SUFFIXES)} file"])
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"model.weights: found '{given}'; expected {allowed}.{guess(given, names)}"
        )
    if not path.is_file():
        raise InputError(f"model.weights: there is no file '{path}'; expected {allowed}.")
    return path


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name from a safetensors file or a PyTorch state dict; nothing else is read."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)  # type: ignore[no-any-return]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd protocols: read or refused, as comes out below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise InputError(
            f"model.weights: {path} cannot be read as tensors ({_reason(error)}); expected a "
            "safetensors file, or a PyTorch state dict: torch.save(model.state_dict(), path)."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(
            f"model.weights: {path} holds {_content(state)}; expected a state dict, that is "
            f"tensors by name and nothing else.{_inner_state(state)}"
        )
    return {str(name): value for name, value in state.items()}


def _reason(error: Exception) -> str:
    """Torch's own text advises to run the code in the file: only what the file holds is told."""
    forbidden = _FORBIDDEN.search(str(error))
    if isinstance(error, pickle.UnpicklingError) and forbidden:
        return f"it holds an object of {forbidden[1]}, which is code"
    return str(error).split("\n")[0].split(". ")[0][:200] or type(error).__name__


def _content(state: Any) -> str:
    if not isinstance(state, Mapping):
        return f"a {type(state).__name__}"
    return f"the keys {_some([repr(key) for key in state])}"


def _inner_state(state: Any) -> str:
    """Where in a checkpoint the state dict is, if that is plain to see."""
    if not isinstance(state, Mapping):
        return ""
    for key, value in state.items():
        if isinstance(value, Mapping) and value and isinstance(next(iter(value.values())), Tensor):
            return f" This is a checkpoint: save what is under {key!r} alone."
    return ""


def fill(net: nn.Module, state: Mapping[str, Tensor], source: str, advice: str = "") -> None:
    """Copies the tensors into the network.

    Raises InputError unless names and shapes agree. advice: said when nothing but shapes differs.
    """
    wanted = net.state_dict()
    # Counts training batches; evaluation does without, and old files lack it.
    needed = [key for key in wanted if not key.endswith("num_batches_tracked")]
    names = [
        *(f"'{key}' is missing" for key in needed if key not in state),
        *(f"'{key}' is unknown" for key in state if key not in wanted),
    ]
    shapes = [
        f"'{key}' has shape {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if names or shapes:
        raise InputError(
            f"model.weights: {source} does not fit the model: {_some([*names, *shapes])}; "
            f"expected the {len(wanted)} tensors of the network."
            f"{_about_prefix(state, needed, wanted) if names else advice}"
        )
    net.load_state_dict(state, strict=False)


def _some(parts: Collection[str]) -> str:
    more = f", and {len(parts) - MOST_SHOWN} more" if len(parts) > MOST_SHOWN else ""
    return ", ".join(list(parts)[:MOST_SHOWN]) + more


def _about_prefix(state: Collection[str], needed: Collection[str], wanted: Collection[str]) -> str:
    """Says so when the names would be the same but for how they begin."""
    if prefix := _prefix(needed, state):
        return (
            f" All its names begin with '{prefix}', which the network's do not. Save it as "
            f"{{name.removeprefix('{prefix}'): tensor for name, tensor in state.items()}}."
        )
    if prefix := _prefix(state, wanted):
        return (
            f" The network's names begin with '{prefix}', which the file's do not. Save it as "
            f"{{'{prefix}' + name: tensor for name, tensor in state.items()}}."
        )
    return ""


def _prefix(short: Collection[str], long: Collection[str]) -> str:
    """What stands before every short name among the long ones; '' when there is no such thing."""
    first = next(iter(short), "")
    for name in long:
        prefix = name.removesuffix(first)
        if first and prefix not in ("", name) and all(prefix + other in long for other in short):
            return prefix if all(other.startswith(prefix) for other in long) else ""
    return ""
