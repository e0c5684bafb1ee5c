from __future__ import annotations

import pytest
from study_text import study

from lrpsweep.spec import PRESETS, preset_parts
from lrpsweep.spec.rules import OPTIONS, allows, hyperparameters, options

VGG16_CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
"""Leaf indices of torchvision's VGG-16."""


def leaves(name):
    """Block to the leaf indices of its convolutions, for VGG-16."""
    found, first = {}, 0
    for part in PRESETS[name].parts:
        if part.until is not None:
            last = max(1, round(part.until * len(VGG16_CONVOLUTIONS)))
            found[part.block] = VGG16_CONVOLUTIONS[first:last]
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
    parts = preset_parts(name, {})
    assert sum(len(convolutions) for convolutions in leaves(name).values()) == 13
    assert [part.block for part in parts if part.until is None] == ["head"]
    assert len({part.block for part in parts}) == len(parts)
    for part in parts:
        assert set(part.hyper) == set(hyperparameters(part.rule))
        assert set(part.options) <= set(options(part.rule))
        assert all(value in OPTIONS[option][1:] for option, value in part.options.items())
        assert all(allows(hyper, value) for hyper, value in part.hyper.items())


@pytest.mark.parametrize("name", PRESETS)
def test_each_hyperparameter_of_a_preset_reaches_a_block(name):
    for hyper in PRESETS[name].hyper:
        spec = study(f"composite={{preset: {name}, {hyper}: $g}}")
        parts = preset_parts(spec.composite.preset, spec.composite.hyper)
        assert sum(value == "$g" for part in parts for value in part.hyper.values()) >= 1


def test_the_tutorials_source_says_how_epsilon_departs_from_it():
    assert "ε is absolute here" in PRESETS["tutorial"].source
