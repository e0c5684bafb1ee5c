"""Composites of the literature, as data: which rule each part of a VGG-like network gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lrpsweep.spec.rules import STABILIZER, reference

FIRST = Fraction(0)
ALL = Fraction(1)


@dataclass(frozen=True)
class Part:
    """The rule of one part of a network, counted from the input.

    until: the part holds the convolutions not taken by an earlier part, in forward order, up to
    this share of their depth; FIRST: the first convolution alone; None: the head, that is all dense
    layers and the last layer with weights.
    hyper: a number, or '$name' of a hyperparameter of the preset. options: named variants of the
    rule, where they are not the usual ones.
    """

    block: str
    until: Fraction | None
    rule: str
    hyper: Mapping[str, float | str]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A published composite: its parts, and its hyperparameters with the published values."""

    title: str
    source: str
    hyper: Mapping[str, float]
    parts: tuple[Part, ...]


PRESETS: Mapping[str, Preset] = {
    "tutorial": Preset(
        "LRP-Tutorial",
        "Montavon et al. 2019, tutorial code: z^B on leaf 0 of VGG-16, γ on 1–16, ε on 17–30; ε is "
        "absolute here and unsigned, as in Bermudez Schettino's code, where the tutorial has it "
        "multiplied by the root mean square of z",
        {"gamma": 0.25, "epsilon": 0.25},
        (
            Part("pixel", FIRST, "z_box", {}),
            Part("lower", Fraction(7, 13), "gamma", {"gamma": "$gamma"}),
            Part("upper", ALL, "epsilon", {"epsilon": "$epsilon"}, {"form": "unsigned"}),
            Part("head", None, "zero", {}),
        ),
    ),
    "decreasing_gamma": Preset(
        "LRP-Decreasing-γ",
        "Eberle et al. 2020: γ on leaves 2–10, 11–17, 18–24 and 25–31 of VGG-16",
        {"gamma1": 0.5, "gamma2": 0.25, "gamma3": 0.1},
        (
            Part("pixel", FIRST, "z_box", {}),
            Part("early", Fraction(5, 13), "gamma", {"gamma": "$gamma1"}),
            Part("middle", Fraction(8, 13), "gamma", {"gamma": "$gamma2"}),
            Part("late", Fraction(11, 13), "gamma", {"gamma": "$gamma3"}),
            Part("last", ALL, "gamma", {"gamma": 0.0}),
            Part("head", None, "zero", {}),
        ),
    ),
    "epsilon_plus": Preset(
        "LRP-EpsilonPlus",
        "Kohlbrenner et al. 2020, LRP-CMP α1 without ♭",
        {"epsilon": 1e-6},
        (
            Part("features", ALL, "z_plus", {}),
            Part("head", None, "epsilon", {"epsilon": "$epsilon"}),
        ),
    ),
    "epsilon_gamma_box": Preset(
        "LRP-EpsilonGammaBox",
        "Montavon et al. 2019, with γ on all convolutions but the first",
        {"gamma": 0.25, "epsilon": 1e-6},
        (
            Part("pixel", FIRST, "z_box", {}),
            Part("features", ALL, "gamma", {"gamma": "$gamma"}),
            Part("head", None, "epsilon", {"epsilon": "$epsilon"}),
        ),
    ),
    "uniform_epsilon": Preset(
        "Uniform LRP-ε",
        "Bach et al. 2015, eq. 58",
        {"epsilon": 1e-6},
        (
            Part("features", ALL, "epsilon", {"epsilon": "$epsilon"}),
            Part("head", None, "epsilon", {"epsilon": "$epsilon"}),
        ),
    ),
}


def preset_parts(name: str, hyper: Mapping[str, float | str]) -> tuple[Part, ...]:
    """The preset's parts with its hyperparameters filled in: given ones, else the published.

    Given values may be '$name' of a searched hyperparameter: they are passed on as they are.
    """
    preset = PRESETS[name]
    known = {**preset.hyper, **hyper}
    return tuple(replace(part, hyper=_filled(part.hyper, known)) for part in preset.parts)


def _filled(
    hyper: Mapping[str, float | str], known: Mapping[str, float | str]
) -> dict[str, float | str]:
    filled = {k: v if (name := reference(v)) is None else known[name] for k, v in hyper.items()}
    return {**filled, "stabilizer": STABILIZER}
