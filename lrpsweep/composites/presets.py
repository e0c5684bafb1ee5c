"""Composites of the literature, as data: which rule each part of a VGG-like network gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from lrpsweep.composites.block import Block, Composite
from lrpsweep.composites.values import Number
from lrpsweep.errors import InputError, guess

ALL = "convolutions to 1"
DENSE = "dense"


def _to(end: int | str) -> tuple[str]:
    """The convolutions that no earlier block has, up to a thirteenth of their depth, or a depth."""
    return (f"convolutions to {end if isinstance(end, str) else Fraction(end, 13)}",)


@dataclass(frozen=True)
class Preset:
    """A published composite: its blocks, and its hyperparameters with the published values.

    blocks: '$name' in them is one of `hyper`; their layers are parts of a network.
    """

    title: str
    source: str
    hyper: Mapping[str, float]
    blocks: tuple[Block, ...]


PIXEL_BOX = Block("pixel", _to(0), "z_box")
PIXEL_FLAT = Block("pixel", _to(0), "flat")
FLAT_TO_N = Block("flat", _to("depth $n"), "flat")
Z_PLUS = Block("features", (ALL,), "z_plus")
ALPHA2 = Block("features", (ALL,), "alpha_beta", {"alpha": 2.0})
HEAD_ZERO = Block("head", (DENSE,), "zero")
HEAD_EPSILON = Block("head", (DENSE,), "epsilon", {"epsilon": "$epsilon"})

TINY: Mapping[str, float] = {"epsilon": 1e-6}
KOHLBRENNER = "Kohlbrenner et al. 2020"
THESIS = "named without numbers by Bermudez Schettino as a variation of LRP-Decreasing-γ"


def _uniform(rule: str, values: Mapping[str, Number] | None = None) -> tuple[Block, ...]:
    parts = {"features": ALL, "head": DENSE}
    return tuple(Block(name, (part,), rule, values or {}) for name, part in parts.items())


def _decreasing(*gammas: Number) -> tuple[Block, ...]:
    """γ by block of VGG-16; its last block has none."""
    ends = zip({"early": 5, "middle": 8, "late": 11}.items(), gammas, strict=True)
    return (
        PIXEL_BOX,
        *(Block(name, _to(end), "gamma", {"gamma": gamma}) for (name, end), gamma in ends),
        Block("last", (ALL,), "gamma", {"gamma": 0.0}),
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
            Block("lower", _to(7), "gamma", {"gamma": "$gamma"}),
            Block("upper", (ALL,), "epsilon", {"epsilon": "$epsilon"}, {"form": "unsigned"}),
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
            Block("features", (ALL,), "gamma", {"gamma": "$gamma"}, decay="$decay"),
            HEAD_ZERO,
        ),
    ),
    "epsilon_plus": Preset(
        "LRP-EpsilonPlus", f"{KOHLBRENNER}, LRP-CMP α1 without ♭", TINY, (Z_PLUS, HEAD_EPSILON)
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
        (PIXEL_BOX, Block("features", (ALL,), "gamma", {"gamma": "$gamma"}), HEAD_EPSILON),
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
        (Block("features", (ALL,), "flat"), HEAD_ZERO),
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
        "Uniform LRP-z⁺", "Montavon et al. 2017; LRP-αβ with α = 1, β = 0", {}, _uniform("z_plus")
    ),
    "uniform_w_square": Preset("Uniform LRP-w²", "Montavon et al. 2017", {}, _uniform("w_square")),
}


@dataclass(frozen=True)
class FirstRules:
    """The rules that a first study of a network begins with, by what its layers read or give.

    pixels: of layers that read pixels; body: of those between them and the classifier, and of all
    where there are none between; classifier: of the last ones.
    """

    pixels: str = "z_box"
    body: str = "gamma"
    classifier: str = "zero"


FIRST_RULES = FirstRules()


def preset(name: str, given: Mapping[str, float | str] | None = None) -> Composite:
    """A published composite with its hyperparameters filled in: given ones, else the published.

    given: numbers, or '$name' of a searched hyperparameter, which stays as it is. Raises InputError
    when there is no such preset, or no such hyperparameter of it.
    """
    if name not in PRESETS:
        raise InputError(
            f"preset: found '{name}'; expected one of {', '.join(PRESETS)}.{guess(name, PRESETS)}"
        )
    found, given = PRESETS[name], given or {}
    for key in given:
        if key not in found.hyper:
            raise InputError(
                f"preset {name}: found '{key}'; expected one of "
                f"{', '.join(found.hyper) or 'no hyperparameters'}.{guess(key, found.hyper)}"
            )
    known = {**found.hyper, **given}
    return Composite(tuple(block.fill(known) for block in found.blocks))
