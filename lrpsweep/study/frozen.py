"""What all parts of a study have in common: typed, frozen, no unknown keys."""

from __future__ import annotations

from typing import Annotated, LiteralString

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

Word = Annotated[str, StringConstraints(min_length=1)]


class Frozen(BaseModel):
    """A part of a study file: values of exactly the declared types, never changed again."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def expected(what: str, kind: LiteralString = "value") -> PydanticCustomError:
    """What a field's validator raises: what should stand there; the rest says `problems`."""
    return PydanticCustomError(kind, "Input should be {expected}", {"expected": what})
