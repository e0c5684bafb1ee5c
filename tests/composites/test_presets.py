from __future__ import annotations

import math
from fractions import Fraction

import pytest
from study_text import study

from lrpsweep.composites import PRESETS, find_rule, preset
from lrpsweep.composites.selectors import part_end
from lrpsweep.errors import InputError

VGG16_CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
"""Leaf indices of torchvision's VGG-16."""


def leaves(name):
    """Block to the leaf indices of its convolutions, for VGG-16."""
    found, first = {}, 0
    for block in preset(name).blocks:
        end = part_end(block.layers[0])
        if end is not None:
            share = isinstance(end, Fraction)
            last = max(1, round(end * len(VGG16_CONVOLUTIONS))) if share else end
            found[block.name] = VGG16_CONVOLUTIONS[first:last]
            first = last
    return found


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("tutorial", {"pixel": (0, 0), "lower": (1, 16), "upper": (17, 30)}),
        (
            "decreasing_gamma",
            {
                "pixel": (0, 0),
                "early": (2, 10),
                "middle": (11, 17),
                "late": (18, 24),
                "last": (25, 31),
            },
        ),
    ],
)
def test_shares_are_the_leaf_ranges_of_the_literature(name, ranges):
    expected = {
        block: [leaf for leaf in VGG16_CONVOLUTIONS if first <= leaf <= last]
        for block, (first, last) in ranges.items()
    }
    assert leaves(name) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_a_whole_composite(name):
    blocks = preset(name).bind({}).blocks
    assert sum(len(convolutions) for convolutions in leaves(name).values()) == 13
    assert [block.name for block in blocks if block.layers == ("dense",)] == ["head"]
    assert len({block.name for block in blocks}) == len(blocks)
    for block in blocks:
        rule = find_rule(block.rule, name)
        assert set(block.values) == {p.name for p in rule.parameters}
        assert all(p.allows(block.numbers[p.name]) for p in rule.parameters)
        variants = {option.name: option.values[1:] for option in rule.options}
        assert all(value in variants[option] for option, value in block.options.items())
        assert 0 <= (block.decay or 1) <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_each_hyperparameter_of_a_preset_reaches_a_block(name):
    for hyper, published in PRESETS[name].hyper.items():
        choice = f"search.g={{choice: [1, {published}]}}"
        spec = study(f"composite={{preset: {name}, {hyper}: $g}}", choice)
        assert spec.composite.bind({"g": published}) == preset(name).bind({})
        assert spec.composite.bind({"g": published}) != spec.composite.bind({"g": 1})


def gammas(name, **hyper):
    blocks = preset(name, hyper).bind({}).blocks
    return [(b.values["gamma"], b.decay or 1) for b in blocks if b.rule == "gamma"]


def test_variations_of_decreasing_gamma():
    assert gammas("decreasing_gamma") == [(0.5, 1), (0.25, 1), (0.1, 1), (0, 1)]
    assert gammas("decreasing_gamma_halved", gamma=2) == [(2, 1), (1, 1), (0.5, 1), (0, 1)]
    by_ten = gammas("decreasing_gamma_factor", gamma=1, decay=0.1)
    assert by_ten == [(1, 1), (pytest.approx(0.1), 1), (pytest.approx(0.01), 1), (0, 1)]
    assert gammas("decreasing_gamma_halved", gamma="inf")[:2] == [(math.inf, 1)] * 2
    assert gammas("decreasing_gamma_exponential") == [(0.5, 0.8)]


def test_flat_reaches_as_far_as_it_is_told():
    far = {n: preset("cmp_alpha2_flat_n", {"n": n}).blocks[0] for n in (0.0, 2.0)}
    assert [part_end(block.layers[0]) for block in far.values()] == [0, 2]
    assert far[2.0].rule == "flat"
    assert leaves("cmp_alpha1_flat")["pixel"] == leaves("tutorial")["pixel"] == [0]
    assert leaves("cmp_alpha1_flat_n")["flat"] == [0, 2, 5]
    assert leaves("lrp_cam") == {"features": VGG16_CONVOLUTIONS}


def test_the_tutorials_source_says_how_epsilon_departs_from_it():
    assert "ε is absolute here" in PRESETS["tutorial"].source


def test_a_preset_that_is_not_there_is_refused_with_a_guess():
    with pytest.raises(InputError, match=r"preset: found 'tutorail'; .* Did you mean 'tutorial'"):
        preset("tutorail")
    with pytest.raises(InputError, match=r"preset tutorial: found 'gama'; expected one of gamma"):
        preset("tutorial", {"gama": 1.0})


@pytest.mark.parametrize("depth", [2.5, -1, float("inf"), "inf", "deep"])
def test_a_depth_that_is_no_whole_number_is_refused(depth):
    with pytest.raises(InputError, match=rf"depth \$n': found {depth!r}; .* whole number of at le"):
        preset("cmp_alpha1_flat_n", {"n": depth})
