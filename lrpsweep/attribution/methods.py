"""Methods: ways from a network, images and targets to relevance. LRP with a composite is one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lrpsweep.attribution.lrp.engine import Explainer, Explanation
from lrpsweep.registry import Registry


@dataclass(frozen=True)
class Method:
    """explain: engine, images, targets, settings and a key for what may be kept -> explanation.

    exported: it is tuned, nominated and exported: LRP alone.
    """

    name: str
    title: str
    explain: Callable[[Explainer, Tensor, Tensor, Mapping[str, Any], Hashable], Explanation]
    exported: bool = False


def _lrp(
    engine: Explainer, images: Tensor, targets: Tensor, settings: Mapping[str, Any], key: Hashable
) -> Explanation:
    return engine.attribute(images, targets, settings["composite"], key=key)


METHODS: Registry[Method] = Registry("method", (Method("lrp", "LRP", _lrp, exported=True),))
