"""lrpsweep: the most faithful LRP composite for your network and your images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrpsweep.explain import TunedExplainer, load_composite

__version__ = "0.1.0"
__all__ = ["TunedExplainer", "load_composite"]


def __getattr__(name: str) -> Any:
    """Torch is imported with the first use, so that the command line answers at once."""
    if name not in __all__:
        raise AttributeError(f"module 'lrpsweep' has no attribute '{name}'")
    from lrpsweep import explain

    return getattr(explain, name)
