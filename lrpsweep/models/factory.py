"""Networks that a function of the user builds: the one place where a study imports code."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from torch import nn

from lrpsweep.errors import InputError, guess
from lrpsweep.models.model import Model, wrap_model
from lrpsweep.models.request import Request
from lrpsweep.models.weights import fill, fixed_randomness, read_state, weights_path

MOST_NAMES = 10
LONGEST = 300


def load_factory(request: Request) -> Model:
    """The network that `package.module:function` returns, with weights from a file if one is named.

    The module is looked for in the study's folder, then in the current one; both stay on sys.path:
    what the network imports later is found there too. Raises InputError without `allow_code`, and
    for all that goes wrong in the function, with the place in the user's code.
    """
    spec, factory = request.spec, str(request.spec.factory)
    folder = request.base.resolve()
    if not request.allow_code:
        raise InputError(
            f"model.factory: the study runs code: {factory}, looked for in {folder}, in the "
            "current folder and among the installed packages; expected --allow-code, from "
            "somebody who trusts it."
        )
    preprocess = request.required_preprocess(f"the factory {factory}")
    net = _built(factory, folder)
    if spec.weights is not None:
        state = read_state(weights_path(spec.weights, request.base))
        fill(net, state, f"'{spec.weights}'")
    return wrap_model(
        net, preprocess, name=factory, classes=spec.classes or (), device=request.device
    )


def _built(factory: str, folder: Path) -> nn.Module:
    module_name, _, name = factory.partition(":")
    _put_first(str(Path.cwd()))  # a study that was run lies in a folder of its own
    _put_first(str(folder))
    function = _function(_imported(module_name, folder), name)
    _check_no_arguments(factory, function)
    try:
        with fixed_randomness():
            net = function()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"model.factory: {factory} raised {_story(error)}; expected it to return a network."
        ) from error
    if not isinstance(net, nn.Module):
        raise InputError(
            f"model.factory: {factory} returned {_kind(net)}; expected a network, a "
            "torch.nn.Module."
        )
    return net


def _put_first(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def _imported(name: str, folder: Path) -> ModuleType:
    _check_origin(name.partition(".")[0], folder)
    importlib.invalidate_caches()
    try:
        with fixed_randomness():
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # A module that the user's code looks for in vain is no misspelt factory.
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise InputError(_no_module(str(error.name), folder)) from error
        raise InputError(
            f"model.factory: importing '{name}' raised {_story(error)}; expected a module that "
            "can be imported."
        ) from error


def _no_module(name: str, folder: Path) -> str:
    parent, _, last = name.rpartition(".")
    if not parent:
        place, places = f"'{folder}' or among the installed packages", [str(folder)]
    else:
        places = [str(path) for path in getattr(sys.modules.get(parent), "__path__", ())]
        place = f"the package '{parent}'" if places else f"'{parent}', which is not a package"
    found = sorted(module.name for module in pkgutil.iter_modules(places))
    return (
        f"model.factory: there is no module '{name}' in {place}; {_expected(found, 'module')}."
        f"{guess(last, found)}"
    )


def _expected(names: Iterable[str], what: str) -> str:
    shown = list(names)
    more = ", …" if len(shown) > MOST_NAMES else ""
    listed = ", ".join(shown[:MOST_NAMES]) + more if shown else "none"
    return f"expected a {what} that is there: {listed}"


def _check_origin(top: str, folder: Path) -> None:
    """Raises InputError when a module of the same name was imported from elsewhere before."""
    own = [p for p in (folder / top / "__init__.py", folder / f"{top}.py") if p.exists()]
    if top not in sys.modules or not own:
        return
    used = getattr(sys.modules[top], "__file__", None)
    if used is None or not os.path.exists(used) or not os.path.samefile(used, own[0]):
        raise InputError(
            f"model.factory: '{top}' is not '{own[0]}' but {used or 'a part of Python'}, which was "
            "imported before; expected a name that no other module has, or a new Python process."
        )


def _function(module: ModuleType, name: str) -> Callable[..., object]:
    function: object = getattr(module, name, None)
    place = f"{module.__name__} ({getattr(module, '__file__', None) or 'no file'})"
    if function is None:
        found = [key for key, value in vars(module).items() if _offered(key, value, module)]
        raise InputError(
            f"model.factory: there is no function '{name}' in {place}; "
            f"{_expected(found, 'function')}.{guess(name, found)}"
        )
    if not callable(function):
        raise InputError(
            f"model.factory: '{name}' in {place} is {_kind(function)}; expected a function that "
            "returns a network."
        )
    return function


def _offered(name: str, value: object, module: ModuleType) -> bool:
    own = getattr(value, "__module__", None) == module.__name__
    return own and callable(value) and not name.startswith("_")


def _check_no_arguments(factory: str, function: Callable[..., object]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some callables that are built in do not tell
        return
    try:
        signature.bind()
    except TypeError as error:
        raise InputError(
            f"model.factory: {factory}{signature} cannot be called without arguments ({error}); "
            "expected a function that needs none."
        ) from error


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _story(error: BaseException) -> str:
    """Exception, message, and the innermost place in the user's code."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    text = " ".join(str(error).split())[:LONGEST]
    frames = [
        (frame.f_code.co_filename, f"line {line}, in {frame.f_code.co_name}")
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    users = [frame for frame in frames if _is_users(frame[0])]
    place = ", ".join((users or frames)[-1])
    return f"{type(error).__name__}{': ' if text else ''}{text} ({place})"


def _is_users(file: str) -> bool:
    """Neither this file, nor Python's own, nor that of an installed package."""
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    python = path.is_relative_to(sysconfig.get_path("stdlib")) or file.startswith("<frozen")
    return not (installed or python or file == __file__)
