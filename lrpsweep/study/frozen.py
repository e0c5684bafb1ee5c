"""What all parts of a study have in common: typed, frozen, no unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Word = Annotated[str, StringConstraints(min_length=1)]


class Frozen(BaseModel):
    """A part of a study file: values of exactly the declared types, never changed again."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
