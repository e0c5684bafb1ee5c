from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_text import study

from lrpsweep.errors import InputError
from lrpsweep.results import Axis
from lrpsweep.study import (
    Choice,
    Fixed,
    Int,
    Linear,
    Log,
    Space,
    axes,
    decode,
    encode,
    grid,
)


def bound(composite, values):
    return composite.bind(values).blocks


positive = st.floats(1e-9, 1e9)
ends = st.tuples(positive, positive).filter(lambda e: e[0] < e[1] * 0.999).map(tuple)
logs = st.builds(Log, log=ends, zero=st.booleans(), points=st.integers(3, 20))
linears = st.builds(
    Linear,
    linear=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).filter(lambda e: e[0] < e[1]),
    points=st.integers(2, 20),
)
ints = st.builds(
    Int, int=st.tuples(st.integers(-50, 0), st.integers(1, 50)), points=st.none() | st.just(2)
)
choices = st.builds(Choice, choice=st.just((0.5, "inf", 3)))
dimensions = logs | linears | ints | choices


def proposals(dimension):
    """What a sampler may propose on this axis."""
    if isinstance(dimension, Choice):
        return st.sampled_from(dimension.choice)
    low, high = dimension.bounds
    return st.integers(low, high) if isinstance(dimension, Int) else st.floats(low, high)


@given(st.data(), dimensions)
def test_values_survive_encoding(data, dimension):
    search = {"a": dimension}
    values = decode(search, {"a": data.draw(proposals(dimension))})
    assert decode(search, encode(search, values)) == values


@given(st.data(), logs | linears)
def test_decoding_keeps_the_order(data, dimension):
    search = {"a": dimension}
    low, high = sorted(data.draw(st.tuples(proposals(dimension), proposals(dimension))))
    assert decode(search, {"a": low})["a"] <= decode(search, {"a": high})["a"]


@given(logs | linears | ints)
def test_the_grid_has_both_ends_and_nothing_outside(dimension):
    points = grid({"a": dimension})["a"]
    low, high = dimension.bounds
    assert points[0] == low
    assert points[-1] == high
    assert points == sorted(set(points))
    count = dimension.points or high - low + 1
    assert len(points) == count


@given(ends)
def test_zero_lies_a_tenth_of_the_range_below_it(pair):
    low, high = pair
    log = Log(log=pair, zero=True, points=3)
    bottom, top = log.bounds
    assert top == high
    assert math.log(low / bottom) == pytest.approx(0.1 * math.log(high / low), abs=1e-9)
    decoded = [decode({"a": log}, {"a": p})["a"] for p in grid({"a": log})["a"]]
    assert decoded == [0.0, low, high]
    assert encode({"a": log}, {"a": 0.0}) == {"a": bottom}
    assert decode({"a": log}, {"a": low * (1 - 1e-9)})["a"] == 0.0


def test_without_zero_the_lower_end_is_the_lower_end():
    assert Log(log=(0.5, 2.0)).bounds == (0.5, 2.0)


def test_experiment_140_of_the_thesis():
    gamma = Log(log=(1e-4, 1.0), zero=True, points=16)
    search = {"gamma1": gamma, "gamma2": gamma}
    experiments = list(itertools.product(*grid(search).values()))
    assert len(experiments) == 256
    values = decode(search, dict(zip(search, experiments[140], strict=True)))
    assert divmod(140, 16) == (8, 12)
    assert values == pytest.approx({"gamma1": 0.01, "gamma2": 0.13895}, rel=1e-4)
    in_thesis = [0.0, *np.logspace(-4, 0, 15)]
    decoded = [decode(search, {"gamma1": p, "gamma2": p})["gamma1"] for p in grid(search)["gamma1"]]
    assert decoded == pytest.approx(in_thesis, rel=1e-12)


def test_fixed_names_are_given_but_not_asked_for():
    search = {"a": Fixed(fixed=0.5), "b": Linear(linear=(0.0, 1.0), points=2)}
    assert grid(search) == {"b": [0.0, 1.0]}
    assert decode(search, {"b": 1}) == {"a": 0.5, "b": 1.0}
    assert encode(search, {"a": 0.5, "b": 0.25}) == {"b": 0.25}
    assert [axis.name for axis in axes(search)] == ["b"]


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Log(log=(0.1, 1.0)), 0.0),
        (Log(log=(0.1, 1.0), zero=True), 0.05),
        (Log(log=(0.1, 1.0), zero=True), 1.5),
        (Log(log=(0.1, 1.0), zero=True), -0.1),
        (Log(log=(0.1, 1.0)), float("inf")),
        (Log(log=(0.1, 1.0)), "inf"),
        (Linear(linear=(0.0, 1.0)), float("nan")),
        (Int(int=(0, 3)), 1.5),
        (Int(int=(0, 3)), float("inf")),
        (Int(int=(0, 3)), 4),
        (Choice(choice=(1, 2)), 3),
        (Fixed(fixed=1), 2),
    ],
)
def test_values_outside_the_space_are_refused(dimension, value):
    with pytest.raises(InputError, match=r"search\.a: .* lies outside"):
        encode({"a": dimension}, {"a": value})


def conditional():
    return study(
        "search={rule: {choice: [gamma, epsilon, zero]}, s: {choice: [signed, none]}, "
        "g: {linear: [0, 1], points: 2}, e: {linear: [0, 1], points: 2}, "
        "t: {linear: [0, 1], points: 2}}",
        "composite=[{block: default, rule: $rule, gamma: $g, epsilon: $e, stabilize: $s, "
        "stabilizer: $t}]",
    )


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"rule": "gamma", "s": "signed", "g": 0.1, "t": 0.2, "e": 5}, ("rule", "s", "g", "t")),
        ({"rule": "gamma", "s": "none", "g": 0.1}, ("rule", "s", "g")),
        ({"rule": "epsilon", "e": 0.1, "t": 0.2}, ("rule", "e", "t")),
        ({"rule": "zero", "s": "none"}, ("rule", "s")),
    ],
)
def test_a_name_is_active_where_the_composite_depends_on_it(values, names):
    spec = conditional()
    assert {*spec.composite.names(values)} == {*names}


def test_what_is_active_and_has_no_value_is_asked_for_in_turn():
    spec, values, asked = conditional(), {}, []
    for value in ("gamma", "signed", 0.1, 0.2):
        asked.append(Space(spec.search, spec.composite).lacking(values))
        values[asked[-1]] = value
    assert asked == ["rule", "s", "g", "t"]


def test_names_without_a_value_stay_without_one():
    search = {"a": Choice(choice=(1, 2)), "b": Int(int=(0, 3))}
    assert decode(search, {"b": 2}) == encode(search, {"b": 2}) == {"b": 2}


def test_axes_say_how_they_are_drawn():
    log = Log(log=(0.01, 1.0), zero=True)
    found = axes({"a": log, "b": Int(int=(0, 3)), "c": Choice(choice=("z_plus", 1))})
    assert found == (
        Axis("a", log=True, zero_at=log.bounds[0]),
        Axis("b"),
        Axis("c", categories=("z_plus", "1")),
    )


def test_names_are_replaced_by_their_values():
    blocks = bound(study().composite, {"g": 0.5})
    assert [b.name for b in blocks] == ["pixel", "early", "default"]
    assert blocks[1].layers == ("features.1..features.9",)
    assert blocks[1].values == {"gamma": 0.5, "stabilizer": 1e-6}
    assert blocks[2].values == {"stabilizer": 1e-6}


def test_infinite_gamma_is_a_word_in_files_and_a_number_in_composites():
    spec = study("search.g={choice: [0, inf]}")
    assert bound(spec.composite, {"g": "inf"})[1].values["gamma"] == math.inf
    assert bound(study("search.g={choice: [0, 1]}").composite, {"g": 0})[1].values["gamma"] == 0


def test_a_searched_rule_gets_its_own_hyperparameters_only():
    spec = study(
        "search.r={choice: [gamma, epsilon, z_plus]}",
        "composite.early.rule=$r",
        "composite.early.epsilon=0.1",
    )
    found = {
        rule: set(bound(spec.composite, {"g": 1.0, "r": rule})[1].values) - {"stabilizer"}
        for rule in ("gamma", "epsilon", "z_plus")
    }
    assert found == {"gamma": {"gamma"}, "epsilon": {"epsilon"}, "z_plus": set()}


def test_options_reach_the_rules_that_take_them_unless_they_are_usual():
    spec = study(
        "search.r={choice: [gamma, epsilon, pass]}",
        "search.b={choice: [scaled, kept]}",
        "composite.early={block: early, layers: 1..9, rule: $r, gamma: $g, epsilon: 0.1, "
        "bias: $b, form: rms, stabilize: clip, pooling: sum}",
    )
    found = {
        (rule, bias): bound(spec.composite, {"g": 1.0, "r": rule, "b": bias})[1]
        for rule in ("gamma", "epsilon", "pass")
        for bias in ("scaled", "kept")
    }
    pooled = {"pooling": "sum"}
    assert found["gamma", "scaled"].options == pooled | {"stabilize": "clip"}
    assert found["gamma", "kept"].options == pooled | {"bias": "kept", "stabilize": "clip"}
    assert found["epsilon", "kept"].options == pooled | {"form": "rms"}
    assert (found["pass", "kept"].options, found["pass", "kept"].values) == (pooled, {})


def test_no_stabilizer_is_one_of_zero():
    block = bound(study("composite.early.stabilize=none").composite, {"g": 1.0})[1]
    assert (block.values["stabilizer"], block.options) == (0.0, {})


def test_a_stabilizer_that_is_not_searched_needs_no_value():
    (block,) = bound(conditional().composite, {"rule": "zero", "s": "none"})
    assert (block.values, block.options) == ({"stabilizer": 0.0}, {})


def test_a_preset_keeps_the_values_of_the_literature():
    spec = study("composite={preset: decreasing_gamma, gamma2: $g}")
    blocks = bound(spec.composite, {"g": 0.75})
    gammas = [b.values["gamma"] for b in blocks if b.rule == "gamma"]
    assert gammas == [0.5, 0.75, 0.1, 0.0]
    assert blocks[-1].layers == ("dense",)


def cascade(**values):
    spec = study(
        "search.l={int: [0, 8]}",
        "composite.early.layers=[0, depth 2..$l]",
        "composite.pixel.layers=features.0",
    )
    return bound(spec.composite, {"g": 0.5, **values})


def test_searched_depths_are_filled_in_and_move_the_block():
    pixel, early, default = cascade(l=5)
    assert early.layers == ("0", "depth 2..5")
    assert (pixel.moving, early.moving, default.moving) == (False, True, False)
    assert not bound(study("composite.early.layers=depth 2..5").composite, {"g": 1})[1].moving
    one = study("search.l={choice: [2, 4]}", "composite.early.layers=depth $l")
    for four in (4, 4.0):
        assert bound(one.composite, {"g": 0.5, "l": four})[1].layers == ("depth 4..4",)
    flat = study("search.g={choice: [1, 2.0]}", "composite={preset: cmp_alpha1_flat_n, n: $g}")
    assert bound(flat.composite, {"g": 2.0})[0].layers == ("convolutions to depth 2",)
    assert one.composite.names({"g": 0.5, "l": 4}) == ("g", "l")


def test_decay_belongs_to_gamma_and_bounds_to_z_box():
    spec = study(
        "search.r={choice: [gamma, z_box]}",
        "search.q={linear: [0.1, 1], points: 2}",
        "composite.early={block: early, layers: 1..9, rule: $r, gamma: $g, decay: $q, low: [-2, "
        "-2, -1.5], high: [2, 2, 2.5]}",
    )
    gamma, box = (
        bound(spec.composite, {"g": 0.5, "q": 0.3, "r": rule})[1] for rule in ("gamma", "z_box")
    )
    assert (gamma.decay, gamma.bounds) == (0.3, None)
    assert (box.decay, box.bounds) == (None, ((-2.0, -2.0, -1.5), (2.0, 2.0, 2.5)))
    assert set(gamma.values) == {"gamma", "stabilizer"}
    assert spec.composite.names({"g": 0.5, "q": 0.3, "r": "z_box"}) == ("r",)
