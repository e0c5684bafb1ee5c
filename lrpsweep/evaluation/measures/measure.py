"""What a measure is: from what it needs to one score per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lrpsweep.results import Direction

Area = Callable[[np.ndarray], np.ndarray]
"""From curves (N, S + 1) to the area under each, (N,)."""

Explain = Callable[[np.ndarray], np.ndarray]
"""From N images, uint8 (N, H, W, 3), to their heatmaps (N, H, W), for the targets of the N."""


@dataclass(frozen=True)
class Needs:
    """What has to be computed for a measure.

    orders: names of ORDERS, whose perturbation curves it needs. heatmaps: of the images. masks: of
    the object that the explained class is about. method: the method itself, to explain other
    images with it.
    """

    orders: tuple[str, ...] = ()
    heatmaps: bool = False
    masks: bool = False
    method: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known of N images under one candidate; what the measure does not need may be missing.

    curves: (N, S + 1) by order, with the protocol's `area` under them. images: uint8 (N, H, W, 3).
    heatmaps: (N, H, W). masks: bool (N, H, W). explain: the candidate's heatmaps of other images.
    """

    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    area: Area | None = None
    images: np.ndarray | None = None
    heatmaps: np.ndarray | None = None
    masks: np.ndarray | None = None
    explain: Explain | None = None

    def area_of(self, order: str) -> np.ndarray:
        """The area under the curve of that order, (N,)."""
        assert self.area is not None
        return self.area(self.curves[order])


@dataclass(frozen=True)
class Measure:
    """One number per image about heatmaps, and what everybody has to know of it.

    title, formula: as figures and pages write it; unit: 'score', that of the explained score, or
    '' for a plain number. direction: which way is better. score: from what it needs to (N,).
    control: no heatmap changes it, so that it decides nothing. side: all trials record it, whatever
    the objective. chance: what a random order of patches gives, where that is known. guards: what a
    study with this objective guards where it says nothing else, in per cent of each one's range;
    the first measure with guards is the objective of studies that name none.
    """

    name: str
    title: str
    unit: Literal["score", ""]
    direction: Direction
    needs: Needs
    score: Callable[[Evidence], np.ndarray]
    formula: str = ""
    control: bool = False
    side: bool = False
    chance: float | None = None
    guards: tuple[tuple[str, float], ...] = ()

    @property
    def heading(self) -> str:
        """Title and formula."""
        return f"{self.title} = {self.formula}" if self.formula else self.title

    @property
    def sign(self) -> int:
        """1 where low is better, −1 where high is."""
        return 1 if self.direction == "minimize" else -1

    @property
    def aim(self) -> str:
        """Which way is better, in words."""
        if self.control:
            return "a control"
        return "lower is better" if self.direction == "minimize" else "higher is better"
