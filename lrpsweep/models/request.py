"""What a family of models is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lrpsweep.errors import InputError
from lrpsweep.study import ModelSpec, Preprocess


@dataclass(frozen=True)
class Request:
    """What the study says of its model, and what only the caller can hand over or allow.

    base: the folder that relative paths start from. net: the network of `model.python`.
    allow_code: whether the study may import the code of `model.factory`.
    """

    spec: ModelSpec
    device: str
    base: Path
    net: nn.Module | None = None
    allow_code: bool = False

    @property
    def stated_preprocess(self) -> Preprocess | None:
        """What the study says, None for 'auto'. Raises InputError when the input size is open."""
        stated = self.spec.preprocess
        if isinstance(stated, str):
            return None
        if stated.crop is None:
            raise InputError(
                "model.preprocess.crop: missing; expected the pixels of the model's square input"
            )
        return stated

    def required_preprocess(self, source: str, advice: str = "") -> Preprocess:
        """As `stated_preprocess`; raises InputError for 'auto', which `source` cannot answer."""
        stated = self.stated_preprocess
        if stated is None:
            raise InputError(
                f"model.preprocess: 'auto', but {source} does not say how its images were "
                "prepared; expected {resize, crop, mean, std} as in its training: a wrong "
                f"normalisation still gives plausible heatmaps.{advice}"
            )
        return stated
