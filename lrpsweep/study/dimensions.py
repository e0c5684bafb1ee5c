"""The kinds of range a hyperparameter can be searched over: each knows all about itself."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag

from lrpsweep.composites.values import HUGE, as_number, rounded, same_value
from lrpsweep.results import Axis
from lrpsweep.study.frozen import Frozen, expected


def _scalar(value: Any) -> float | int | str | bool:
    """A number, a word, or true or false; NaN and infinity are none of these ('inf' is a word)."""
    if not isinstance(value, bool | int | float | str):
        raise expected("a number, a word, true or false")
    if isinstance(value, int | float) and not abs(value) < HUGE:
        raise expected("a finite number, or 'inf'")
    return value


Scalar = Annotated[float | int | str | bool, PlainValidator(_scalar)]
End = Annotated[float, Field(gt=-HUGE, lt=HUGE)]
WholeEnd = Annotated[int, Field(ge=-(10**9), le=10**9)]
Count = int
MOST_POINTS = 1000
Points = Annotated[int, Field(ge=2, le=MOST_POINTS)]


@dataclass(frozen=True)
class Distribution:
    """What a sampler draws from, as plain data: the class of it and the arguments it takes."""

    kind: Literal["categorical", "int", "float"]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a range: its field, what was found there, and what was expected."""

    field: str
    found: object
    expected: str


class Dimension(Frozen):
    """Where the value of one hyperparameter comes from.

    A sampler proposes a parameter, the composite gets the value that it stands for: `decode` and
    `encode` translate. kind: the key that it has in a study file. free: whether a sampler has a say
    in it. continuous: whether it holds all numbers between its ends.
    """

    kind: ClassVar[str]
    free: ClassVar[bool] = True
    continuous: ClassVar[bool] = False

    @property
    def listed(self) -> tuple[Any, ...]:
        """The values, where each one is written down in the study; () for a range."""
        return ()

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The values that can be out of bounds: if these are allowed, all are."""
        return self.listed

    @property
    def lowest(self) -> Any:
        """The parameter at the lower end, or of the first choice."""
        return self.grid()[0]

    @property
    def distribution(self) -> Distribution:
        """What a sampler draws parameters from."""
        return Distribution("categorical", {"choices": self.listed})

    def decode(self, parameter: Any) -> Any:
        """The value that the composite gets for a parameter."""
        return parameter

    def encode(self, value: Any) -> Any:
        """The parameter that stands for a value of this range."""
        return next(own for own in self.listed if same_value(own, value))

    def contains(self, value: Any) -> bool:
        """Whether `decode` can give this value; the last digits do not count."""
        return any(same_value(own, value) for own in self.listed)

    def grid(self) -> list[Any]:
        """The parameters of a grid, in order, both ends included."""
        return list(self.listed)

    def place(self, parameter: Any) -> Any:
        """The point of the range that a stored parameter means.

        Another processor may have computed its last digits otherwise.
        """
        return parameter

    def every(self) -> Sequence[Any] | None:
        """All parameters, where there are finitely many."""
        return self.listed or None

    def tried(self, depth: bool) -> Sequence[Any]:
        """Parameters to check a composite with. depth: whether they are depths of a network."""
        return self.listed or (depth and self.every()) or (self.lowest,)

    def among(self, numbers: Iterable[float], depth: bool) -> list[Any]:
        """The values to look for a published composite at. numbers: those that one may have."""
        return list(self.listed or (depth and self.every()) or filter(self.contains, numbers))

    def axis(self, name: str) -> Axis:
        """How it is drawn."""
        return Axis(name, categories=tuple(map(str, self.listed)))

    def thinned(self, most: Count) -> Dimension:
        """The same range, with a grid of at most so many points where it is a range of numbers."""
        return self

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the range by itself."""
        yield from ()

    def text(self) -> dict[str, Any]:
        """As it stands in a study file."""
        return self.model_dump(exclude_none=True)

    def lacks_points(self) -> bool:
        """Whether a grid has to be told how many points it has here."""
        return False


class NumberRange(Dimension):
    """Numbers between two ends, both included. drawn: the kind of its distribution."""

    drawn: ClassVar[Literal["int", "float"]] = "float"
    logarithmic: ClassVar[bool] = False

    if TYPE_CHECKING:
        points: Points | None

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest value, as they are written; 0 of a logarithmic one is below them."""
        ends: tuple[float, float] = getattr(self, self.kind)
        return ends

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest parameter that a sampler may propose; both included."""
        return self.ends

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Both ends."""
        return self.ends

    @property
    def lowest(self) -> Any:
        """The lower end, also where there is no grid."""
        return self.bounds[0]

    @property
    def distribution(self) -> Distribution:
        """Evenly spread numbers, or logarithms."""
        low, high = self.bounds
        log = {"log": True} if self.logarithmic else {}
        return Distribution(self.drawn, {"low": low, "high": high, **log})

    def place(self, parameter: Any) -> Any:
        """The point of the grid, or the end, whose number is the same; else the parameter."""
        low, high = self.bounds
        marks = self.grid() if self.points else sorted({low, *self.ends})
        at = bisect(marks, parameter)
        near = marks[max(0, at - 1) : at + 1]
        size = 0.0 if self.logarithmic else high - low
        return next((mark for mark in near if same_value(mark, parameter, size)), parameter)

    def decode(self, parameter: Any) -> Any:
        """The number itself."""
        return float(self.place(parameter))

    def encode(self, value: Any) -> Any:
        """The number itself, or the end that it is, or the point of the grid."""
        return self.place(float(value))

    def contains(self, value: Any) -> bool:
        """Whether the number lies between the ends, or is one of them but for its last digits."""
        number, (low, high) = as_number(value), self.ends
        return number is not None and (
            low <= number <= high or same_value(number, low) or same_value(number, high)
        )

    def grid(self) -> list[Any]:
        """As many as `points` says, or all if there are finitely many."""
        if self.points is not None:
            return list(self._spread(self.points))
        numbers = self.every()
        if numbers is None:
            raise ValueError(f"{self} has no points")
        return list(numbers)

    @abstractmethod
    def _spread(self, count: Count) -> Sequence[Any]:
        """So many points from end to end."""

    def thinned(self, most: Count) -> Dimension:
        """The same range, with a grid of at most so many points."""
        points = min(self.points or most, most, len(self.every() or range(most)))
        return self.model_copy(update={"points": points})

    def faults(self) -> Iterator[Fault]:
        """Ends that are not in order."""
        if not self.ends[0] < self.ends[1]:
            yield Fault(self.kind, self.ends, "low < high")

    def lacks_points(self) -> bool:
        """Whether no number of points is given, and there are too many numbers for a grid."""
        numbers = self.every()
        return self.points is None and (numbers is None or len(numbers) > MOST_POINTS)


class Log(NumberRange):
    """Logarithmic, both ends included; with `zero`, 0 is one more value below the lower end.

    Zero is what lies below the lower end, down to a tenth of the range's decades; a grid has it at
    the bottom of that, and `points` counts it.
    """

    kind: ClassVar[str] = "log"
    continuous: ClassVar[bool] = True
    logarithmic: ClassVar[bool] = True

    log: tuple[End, End]
    zero: bool = False
    points: Points | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends; with zero, the bottom of what means zero and the upper end."""
        low, high = self.log
        return (rounded(low * (low / high) ** 0.1) if self.zero else low), high

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Both ends, and zero."""
        return (0.0, *self.log) if self.zero else self.log

    def decode(self, parameter: Any) -> Any:
        """The number itself; 0 for what lies below the lower end."""
        number = super().decode(parameter)
        return 0.0 if self.zero and number < self.log[0] else number

    def encode(self, value: Any) -> Any:
        """The number itself, or the end that it is; the bottom of the range for 0."""
        return self.bounds[0] if value == 0 else super().encode(value)

    def contains(self, value: Any) -> bool:
        """Whether it is 0, if that is one of the values, or lies between the ends."""
        return (self.zero and as_number(value) == 0) or super().contains(value)

    def _spread(self, count: Count) -> Sequence[Any]:
        zeros = [self.bounds[0]] if self.zero else []
        return [*zeros, *_logarithmic(*self.log, count - len(zeros))]

    def axis(self, name: str) -> Axis:
        """Logarithmic, with zero where it is drawn."""
        return Axis(name, log=True, zero_at=self.bounds[0] if self.zero else None)

    def faults(self) -> Iterator[Fault]:
        """Ends that are not above zero and in order; too few points for both and zero."""
        if not 0 < self.log[0] < self.log[1]:
            yield Fault("log", self.log, "0 < low < high (zero: true adds 0)")
        elif self.zero and self.points == 2:
            yield Fault("points", self.points, "at least 3: zero and both ends")


@lru_cache(maxsize=1024)
def _logarithmic(low: float, high: float, count: int) -> tuple[float, ...]:
    """The ends as they are written, and rounded points between them."""
    inner = (rounded(low * (high / low) ** (i / (count - 1))) for i in range(1, count - 1))
    return (low, *inner, high)


class Linear(NumberRange):
    """Evenly spread, both ends included."""

    kind: ClassVar[str] = "linear"
    continuous: ClassVar[bool] = True

    linear: tuple[End, End]
    points: Points | None = None

    def _spread(self, count: Count) -> Sequence[Any]:
        return _linear(*self.linear, count)


@lru_cache(maxsize=1024)
def _linear(low: float, high: float, count: int) -> tuple[float, ...]:
    """The ends as they are written, and between them points rounded by the size of the range."""
    inner = np.linspace(low, high, count).tolist()[1:-1]
    return (low, *(rounded(number, high - low) for number in inner), high)


class Int(NumberRange):
    """Whole numbers, both ends included; the grid takes all of them unless `points` says less."""

    kind: ClassVar[str] = "int"
    drawn: ClassVar[Literal["int", "float"]] = "int"

    int: tuple[WholeEnd, WholeEnd]
    points: Points | None = None

    def decode(self, parameter: Any) -> Any:
        """The whole number."""
        return round(parameter)

    def encode(self, value: Any) -> Any:
        """The whole number."""
        return round(value)

    def contains(self, value: Any) -> bool:
        """Whether it is a whole number between the ends."""
        return super().contains(value) and value == round(value)

    def _spread(self, count: Count) -> Sequence[Any]:
        return [round(number) for number in np.linspace(*self.int, count).tolist()]

    def every(self) -> Sequence[Any]:
        """All whole numbers of the range."""
        return range(self.int[0], self.int[1] + 1)

    def faults(self) -> Iterator[Fault]:
        """Ends that are not in order; more points than there are numbers."""
        yield from super().faults()
        numbers = len(self.every())
        if 1 < numbers < (self.points or 0):
            most = f"at most {numbers}, the whole numbers in the range"
            yield Fault("points", self.points, most)


class Choice(Dimension):
    """One of a few values, without an order."""

    kind: ClassVar[str] = "choice"

    choice: tuple[Scalar, ...]

    @property
    def listed(self) -> tuple[Any, ...]:
        """All values."""
        return self.choice

    def faults(self) -> Iterator[Fault]:
        """Too few values, or one twice."""
        if len(self.choice) < 2:
            yield Fault("choice", self.choice, "at least 2 values")
        elif len(set(map(str, self.choice))) < len(self.choice):
            yield Fault("choice", self.choice, "every value once")


class Fixed(Dimension):
    """A single value; a plain scalar in the file means the same."""

    kind: ClassVar[str] = "fixed"
    free: ClassVar[bool] = False

    fixed: Scalar

    @property
    def listed(self) -> tuple[Any, ...]:
        """The value."""
        return (self.fixed,)

    def decode(self, parameter: Any) -> Any:
        """The value, whatever is proposed."""
        return self.fixed


KINDS: dict[str, type[Dimension]] = {kind.kind: kind for kind in (Log, Linear, Int, Choice, Fixed)}


def _kind(value: Any) -> str | None:
    if isinstance(value, Dimension):
        return f"<{value.kind}>"
    found = [k for k in KINDS if isinstance(value, dict) and k in value]
    return f"<{found[0]}>" if len(found) == 1 else None


def _wrap(value: Any) -> Any:
    return {"fixed": value} if isinstance(value, bool | int | float | str) else value


AnyDimension = Annotated[
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
"""A range as a study file may have it."""
