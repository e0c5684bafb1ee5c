"""lrpsweep: the most faithful LRP composite for your network and your images."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrpsweep.errors import InputError, WorkError

if TYPE_CHECKING:
    from lrpsweep.attribution import register
    from lrpsweep.commands.explain import TunedExplainer, load_composite
    from lrpsweep.commands.run import run
    from lrpsweep.explainer import Explainer
    from lrpsweep.study import load_study

__version__ = "0.1.0"
__all__ = [
    "Explainer",
    "InputError",
    "TunedExplainer",
    "WorkError",
    "load_composite",
    "load_study",
    "register",
    "run",
]

_ROOMS = {
    "Explainer": "explainer",
    "TunedExplainer": "commands.explain",
    "load_composite": "commands.explain",
    "load_study": "study",
    "register": "attribution",
    "run": "commands.run",
}


def __getattr__(name: str) -> Any:
    """Torch is imported with the first use, so that the command line answers at once."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'lrpsweep' has no attribute '{name}'")
    return getattr(import_module(f"lrpsweep.{_ROOMS[name]}"), name)
