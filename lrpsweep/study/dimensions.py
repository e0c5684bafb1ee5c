"""The kinds of range a hyperparameter can be searched over."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag
from pydantic_core import PydanticCustomError

from lrpsweep.composites.rules import HUGE
from lrpsweep.study.frozen import Frozen


def _scalar(value: Any) -> float | int | str | bool:
    """A number, a word, or true or false; NaN and infinity are none of these ('inf' is a word)."""
    if not isinstance(value, bool | int | float | str):
        raise PydanticCustomError("scalar", "Input should be a number, a word, true or false")
    if isinstance(value, int | float) and not abs(value) < HUGE:
        raise PydanticCustomError("scalar", "Input should be a finite number, or 'inf'")
    return value


Scalar = Annotated[float | int | str | bool, PlainValidator(_scalar)]
End = Annotated[float, Field(gt=-HUGE, lt=HUGE)]
WholeEnd = Annotated[int, Field(ge=-(10**9), le=10**9)]
MOST_POINTS = 1000
Points = Annotated[int, Field(ge=2, le=MOST_POINTS)]


class Log(Frozen):
    """Logarithmic, both ends included; with `zero`, 0 is one more value below the lower end."""

    log: tuple[End, End]
    zero: bool = False
    points: Points | None = None


class Linear(Frozen):
    """Evenly spread, both ends included."""

    linear: tuple[End, End]
    points: Points | None = None


class Int(Frozen):
    """Whole numbers, both ends included; the grid takes all of them unless `points` says less."""

    int: tuple[WholeEnd, WholeEnd]
    points: Points | None = None


class Choice(Frozen):
    """One of a few values, without an order."""

    choice: tuple[Scalar, ...]


class Fixed(Frozen):
    """A single value; a plain scalar in the file means the same."""

    fixed: Scalar


KINDS: dict[str, type[Frozen]] = {
    "log": Log,
    "linear": Linear,
    "int": Int,
    "choice": Choice,
    "fixed": Fixed,
}


def _kind(value: Any) -> str | None:
    if isinstance(value, Frozen):
        return next(f"<{k}>" for k, cls in KINDS.items() if isinstance(value, cls))
    found = [k for k in KINDS if isinstance(value, dict) and k in value]
    return f"<{found[0]}>" if len(found) == 1 else None


def _wrap(value: Any) -> Any:
    return {"fixed": value} if isinstance(value, bool | int | float | str) else value


Dimension = Annotated[
    Annotated[Log, Tag("<log>")]
    | Annotated[Linear, Tag("<linear>")]
    | Annotated[Int, Tag("<int>")]
    | Annotated[Choice, Tag("<choice>")]
    | Annotated[Fixed, Tag("<fixed>")],
    Discriminator(
        _kind,
        custom_error_type="dimension",
        custom_error_message=f"Input should be a number or a range with one of {', '.join(KINDS)}",
    ),
    BeforeValidator(_wrap),
]


def extremes(dimension: Dimension) -> tuple[Any, ...]:
    """The values of a range that can be out of bounds: if these are allowed, all are."""
    match dimension:
        case Fixed(fixed=value):
            return (value,)
        case Choice(choice=choice):
            return choice
        case Log(log=ends, zero=zero):
            return (0.0, *ends) if zero else ends
        case Linear(linear=ends):
            return ends
        case Int(int=whole):
            return whole
