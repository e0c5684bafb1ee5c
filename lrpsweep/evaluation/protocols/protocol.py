"""What a protocol is: a named set of evaluation choices that belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lrpsweep.evaluation.measures import Area
from lrpsweep.evaluation.orders import ORDERS, Order
from lrpsweep.evaluation.series import Series, Setting
from lrpsweep.study import EvaluationSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Protocol:
    """What a protocol decides.

    rank: relevance (N, C, H, W) and patch -> relevance of patches (N, P); FloatingPointError if it
    is not finite. counts: for images of height × width, how many patches are perturbed in each
    state, (S + 1,); InputError if the study asks for what cannot be. series: a setting, order
    (n, P), counts and the place of the first of n images in the split -> their states. area: that
    under a curve. schedules, perturbations: the names it knows. second: perturbations for a second
    opinion on finalists, the preferred one first. stepped: the schedules whose number of steps a
    study may choose. own_orders: by name, those that are not the order of that name in ORDERS.
    controls: whether a study may have a control as its objective. independent: whether a state is
    made of the setting, the image, its position and the set of patches that are perturbed, and of
    nothing else: then no worker makes and scores it twice.
    """

    name: str
    rank: Callable[[Tensor, int], np.ndarray]
    counts: Callable[[EvaluationSpec, int, int], np.ndarray]
    series: Callable[[Setting, np.ndarray, np.ndarray, int], Series]
    area: Area
    schedules: tuple[str, ...]
    perturbations: Collection[str]
    second: tuple[str, ...]
    stepped: tuple[str, ...] = ()
    own_orders: Mapping[str, Order] = field(default_factory=dict)
    controls: bool = False
    independent: bool = False

    def order(self, name: str) -> Order:
        """The order of that name. Raises InputError that lists those there are."""
        return self.own_orders.get(name) or ORDERS.find(name)

    def other_perturbation(self, perturbation: str) -> str:
        """The perturbation that gives a second opinion beside this one."""
        return next(name for name in self.second if name != perturbation)
