"""Composites of the literature, as data: which rule each part of a VGG-like network gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from lrpsweep.composites.rules import STABILIZER, reference

Number = float | str | tuple[float | str, ...]
"""A number, '$name' of a hyperparameter of the preset, or a tuple: the product of those."""

FIRST = Fraction(0)
ALL = Fraction(1)


@dataclass(frozen=True)
class Span:
    """The layers of a Part whose end is known: up to a share of the depth, a depth, or the head."""

    until: Fraction | int | None


@dataclass(frozen=True)
class Part:
    """The rule of one part of a network, counted from the input.

    until: the part holds the convolutions not taken by an earlier part, in forward order, up to
    this share of their depth; FIRST: the first convolution alone; a whole number, or '$name' of a
    hyperparameter that is one: up to this depth; None: the head, that is all dense layers and the
    last layer with weights.
    hyper: what the rule takes, and `decay` as in a block. options: named variants of the rule,
    where they are not the usual ones.
    """

    block: str
    until: Fraction | int | str | None
    rule: str
    hyper: Mapping[str, Number] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A published composite: its parts, and its hyperparameters with the published values."""

    title: str
    source: str
    hyper: Mapping[str, float]
    parts: tuple[Part, ...]


PIXEL_BOX = Part("pixel", FIRST, "z_box")
PIXEL_FLAT = Part("pixel", FIRST, "flat")
FLAT_TO_N = Part("flat", "$n", "flat")
Z_PLUS = Part("features", ALL, "z_plus")
ALPHA2 = Part("features", ALL, "alpha_beta", {"alpha": 2.0})
HEAD_ZERO = Part("head", None, "zero")
HEAD_EPSILON = Part("head", None, "epsilon", {"epsilon": "$epsilon"})

TINY: Mapping[str, float] = {"epsilon": 1e-6}
KOHLBRENNER = "Kohlbrenner et al. 2020"
THESIS = "named without numbers by Bermudez Schettino as a variation of LRP-Decreasing-γ"


def _uniform(rule: str, hyper: Mapping[str, Number] | None = None) -> tuple[Part, ...]:
    return tuple(
        Part(block, until, rule, hyper or {})
        for block, until in (("features", ALL), ("head", None))
    )


def _decreasing(*gammas: Number) -> tuple[Part, ...]:
    """γ by block of VGG-16; its last block has none."""
    ends = {"early": Fraction(5, 13), "middle": Fraction(8, 13), "late": Fraction(11, 13)}
    parts = zip(ends.items(), gammas, strict=True)
    return (
        PIXEL_BOX,
        *(Part(block, end, "gamma", {"gamma": gamma}) for (block, end), gamma in parts),
        Part("last", ALL, "gamma", {"gamma": 0.0}),
        HEAD_ZERO,
    )


PRESETS: Mapping[str, Preset] = {
    "tutorial": Preset(
        "LRP-Tutorial",
        "Montavon et al. 2019, tutorial code: z^B on leaf 0 of VGG-16, γ on 1–16, ε on 17–30; ε is "
        "absolute here and unsigned, as in Bermudez Schettino's code, where the tutorial has it "
        "multiplied by the root mean square of z; max pools give to the winner, where the tutorial "
        "puts average pools in their place",
        {"gamma": 0.25, "epsilon": 0.25},
        (
            PIXEL_BOX,
            Part("lower", Fraction(7, 13), "gamma", {"gamma": "$gamma"}),
            Part("upper", ALL, "epsilon", {"epsilon": "$epsilon"}, {"form": "unsigned"}),
            HEAD_ZERO,
        ),
    ),
    "decreasing_gamma": Preset(
        "LRP-Decreasing-γ",
        "Eberle et al. 2020: γ on leaves 2–10, 11–17, 18–24 and 25–31 of VGG-16",
        {"gamma1": 0.5, "gamma2": 0.25, "gamma3": 0.1},
        _decreasing("$gamma1", "$gamma2", "$gamma3"),
    ),
    "decreasing_gamma_halved": Preset(
        "LRP-Decreasing-γ (halved)",
        f"γ halved from block to block: {THESIS}; 0.5 as in Eberle et al. 2020",
        {"gamma": 0.5},
        _decreasing("$gamma", ("$gamma", 0.5), ("$gamma", 0.25)),
    ),
    "decreasing_gamma_factor": Preset(
        "LRP-Decreasing-γ (by a factor)",
        f"γ multiplied by `decay` (divided by 1/decay) from block to block: {THESIS}; 0.4 is what "
        "Eberle et al. 2020 have between 0.25 and 0.1",
        {"gamma": 0.5, "decay": 0.4},
        _decreasing("$gamma", ("$gamma", "$decay"), ("$gamma", "$decay", "$decay")),
    ),
    "decreasing_gamma_exponential": Preset(
        "LRP-Decreasing-γ (exponential)",
        f"γ·decay^depth, on all convolutions but the first: {THESIS}; 0.8 halves γ in three "
        "layers, which is a block of VGG-16",
        {"gamma": 0.5, "decay": 0.8},
        (
            PIXEL_BOX,
            Part("features", ALL, "gamma", {"gamma": "$gamma", "decay": "$decay"}),
            HEAD_ZERO,
        ),
    ),
    "epsilon_plus": Preset(
        "LRP-EpsilonPlus",
        f"{KOHLBRENNER}, LRP-CMP α1 without ♭",
        TINY,
        (Z_PLUS, HEAD_EPSILON),
    ),
    "epsilon_plus_flat": Preset(
        "LRP-EpsilonPlusFlat",
        f"{KOHLBRENNER}, LRP-CMP α1+♭",
        TINY,
        (PIXEL_FLAT, Z_PLUS, HEAD_EPSILON),
    ),
    "epsilon_alpha2_beta1": Preset(
        "LRP-EpsilonAlpha2Beta1",
        f"{KOHLBRENNER}, LRP-CMP α2 without ♭",
        TINY,
        (ALPHA2, HEAD_EPSILON),
    ),
    "epsilon_alpha2_beta1_flat": Preset(
        "LRP-EpsilonAlpha2Beta1Flat",
        f"{KOHLBRENNER}, LRP-CMP α2+♭",
        TINY,
        (PIXEL_FLAT, ALPHA2, HEAD_EPSILON),
    ),
    "epsilon_gamma_box": Preset(
        "LRP-EpsilonGammaBox",
        "Montavon et al. 2019, with γ on all convolutions but the first",
        {"gamma": 0.25, "epsilon": 1e-6},
        (
            PIXEL_BOX,
            Part("features", ALL, "gamma", {"gamma": "$gamma"}),
            HEAD_EPSILON,
        ),
    ),
    "cmp_alpha1": Preset("LRP-CMP α1", KOHLBRENNER, {}, (Z_PLUS, HEAD_ZERO)),
    "cmp_alpha1_flat": Preset("LRP-CMP α1+♭", KOHLBRENNER, {}, (PIXEL_FLAT, Z_PLUS, HEAD_ZERO)),
    "cmp_alpha1_flat_n": Preset(
        "LRP-CMP α1+♭ on n layers",
        f"{KOHLBRENNER}: ♭ on the first n convolutions, three in its Fig. 1",
        {"n": 3},
        (FLAT_TO_N, Z_PLUS, HEAD_ZERO),
    ),
    "cmp_alpha2": Preset("LRP-CMP α2", KOHLBRENNER, {}, (ALPHA2, HEAD_ZERO)),
    "cmp_alpha2_flat": Preset("LRP-CMP α2+♭", KOHLBRENNER, {}, (PIXEL_FLAT, ALPHA2, HEAD_ZERO)),
    "cmp_alpha2_flat_n": Preset(
        "LRP-CMP α2+♭ on n layers",
        f"{KOHLBRENNER}: ♭ on the first n convolutions, three in its Fig. 1",
        {"n": 3},
        (FLAT_TO_N, ALPHA2, HEAD_ZERO),
    ),
    "lrp_cam": Preset(
        "LRP-CAM",
        f"{KOHLBRENNER}: ♭ on the whole convolutional stack",
        {},
        (Part("features", ALL, "flat"), HEAD_ZERO),
    ),
    "uniform_zero": Preset("Uniform LRP-0", "Bach et al. 2015, eq. 56", {}, _uniform("zero")),
    "uniform_epsilon": Preset(
        "Uniform LRP-ε",
        "Bach et al. 2015, eq. 58; 0.01 as in Samek et al. 2017",
        {"epsilon": 0.01},
        _uniform("epsilon", {"epsilon": "$epsilon"}),
    ),
    "uniform_gamma": Preset(
        "Uniform LRP-γ",
        "Montavon et al. 2019, table 10.1; generalised where an input or output is negative",
        {"gamma": 0.25},
        _uniform("gamma", {"gamma": "$gamma"}),
    ),
    "uniform_alpha_beta": Preset(
        "Uniform LRP-αβ",
        "Bach et al. 2015, eq. 60; α = 2, β = 1 as in Samek et al. 2017",
        {"alpha": 2.0},
        _uniform("alpha_beta", {"alpha": "$alpha"}),
    ),
    "uniform_z_plus": Preset(
        "Uniform LRP-z⁺",
        "Montavon et al. 2017; LRP-αβ with α = 1, β = 0",
        {},
        _uniform("z_plus"),
    ),
    "uniform_w_square": Preset("Uniform LRP-w²", "Montavon et al. 2017", {}, _uniform("w_square")),
}


def preset_parts(name: str, hyper: Mapping[str, float | str]) -> tuple[Part, ...]:
    """The preset's parts with its hyperparameters filled in: given ones, else the published.

    Given values may be '$name' of a searched hyperparameter: they are passed on as they are.
    """
    preset = PRESETS[name]
    known = {**preset.hyper, **hyper}
    return tuple(_filled(part, known) for part in preset.parts)


def _filled(part: Part, known: Mapping[str, float | str]) -> Part:
    def fill(value: float | str) -> float | str:
        name = reference(value)
        return value if name is None else known[name]

    hyper: dict[str, Number] = {
        key: tuple(map(fill, value)) if isinstance(value, tuple) else fill(value)
        for key, value in part.hyper.items()
    }
    until = fill(part.until) if isinstance(part.until, str) else part.until
    return replace(
        part,
        until=int(until) if isinstance(until, float) else until,
        hyper={**hyper, "stabilizer": STABILIZER},
    )
