"""Every sampler: what it proposes depends on seed, number and history alone, and never repeats."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import optuna
import pytest

from lrpsweep.composites import Block, Composite
from lrpsweep.study import Choice, Fixed, Int, Linear, Log, Space, decode
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.samplers.mirror import distributions
from lrpsweep.sweep.samplers.sampler import (
    Asked,
    count_points,
    first_new,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)

SEARCH: dict[str, Any] = {
    "gamma": Log(log=(1e-3, 1.0), zero=True, points=4),
    "share": Linear(linear=(0.0, 1.0), points=3),
    "depth": Int(int=(1, 3)),
    "rule": Choice(choice=("gamma", "z_plus")),
    "epsilon": Fixed(fixed=0.25),
}


def space(search: dict[str, Any]) -> Space:
    """One in which every name is active, as γ of a block of its own or as its rule."""
    return Space(
        search,
        Composite(
            tuple(
                Block(name, (), "gamma", {"gamma": f"${name}"})
                if name != "rule"
                else Block(name, (), "$rule", {"gamma": 0.5})
                for name in search
            )
        ),
    )


CONDITIONAL = Space(
    {
        "a": Linear(linear=(0.0, 1.0), points=3),
        "rule": Choice(choice=("gamma", "epsilon", "zero")),
        "g": Linear(linear=(0.0, 1.0), points=3),
        "e": Int(int=(1, 2)),
    },
    Composite(
        (
            Block("early", (), "$rule", {"gamma": "$g", "epsilon": "$e"}),
            Block("late", (), "gamma", {"gamma": "$a"}),
        )
    ),
)
NAMES = {"gamma": {"a", "rule", "g"}, "epsilon": {"a", "rule", "e"}, "zero": {"a", "rule"}}


def loss(params: dict[str, Any]) -> float:
    values = decode(SEARCH, params)
    return (values["gamma"] - 0.1) ** 2 + values["share"] ** 2 + values["depth"]


def ask(name: str, count: int, history: Sequence[Asked] = (), seed: int = 3) -> list[Asked]:
    """A fresh sampler goes on from a history, as after a kill."""
    proposals = SAMPLERS[name].proposals(space(SEARCH), seed, ("minimize",))
    trials = list(history)
    for _ in range(count):
        seen = {space(SEARCH).key(trial.params) for trial in trials}
        params = first_new(space(SEARCH), proposals(trials), seen)
        trials.append(Asked(params, "complete", (loss(params),)))
    return trials


def test_the_space_leaves_fixed_values_out_and_includes_both_ends() -> None:
    drawn = distributions(SEARCH)
    assert list(drawn) == ["gamma", "share", "depth", "rule"]
    gamma = drawn["gamma"]
    assert isinstance(gamma, optuna.distributions.FloatDistribution)
    assert (gamma.low, gamma.high, gamma.log) == (pytest.approx(1e-3 * 1e-3**0.1), 1.0, True)
    assert drawn["depth"] == optuna.distributions.IntDistribution(1, 3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_that_starts_anew_goes_on_as_if_nothing_had_happened(name: str) -> None:
    straight = ask(name, 20)
    assert ask(name, 13, history=ask(name, 7)) == straight


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_point_is_proposed_twice(name: str) -> None:
    points = [space(SEARCH).key(trial.params) for trial in ask(name, 30)]
    assert len(set(points)) == 30


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_another_seed_proposes_other_points(name: str) -> None:
    assert ask(name, 5)[0] != ask(name, 5, seed=4)[0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_proposal_lies_in_the_space(name: str) -> None:
    drawn = distributions(SEARCH)
    for trial in ask(name, 15):
        assert trial.params.keys() == drawn.keys()
        for parameter, value in trial.params.items():
            assert drawn[parameter]._contains(drawn[parameter].to_internal_repr(value))


def test_the_first_parameter_is_the_outer_loop_of_the_grid() -> None:
    search = {
        "a": Log(log=(1e-4, 1.0), zero=True, points=16),
        "b": Log(log=(1e-4, 1.0), zero=True, points=16),
    }
    points = [decode(search, params) for params in space(search).grid()]
    assert len(points) == 256
    assert points[0] == {"a": 0.0, "b": 0.0}
    # Experiment 140 of the thesis: indices (8, 12).
    assert points[140] == pytest.approx({"a": 0.01, "b": 0.13895}, rel=1e-4)


def test_two_points_that_both_mean_zero_are_the_same_point() -> None:
    search = {"gamma": Log(log=(1e-3, 1.0), zero=True)}
    proposals = [{"gamma": 6e-4}, {"gamma": 0.5}]
    assert first_new(space(search), proposals, {space(search).key({"gamma": 7e-4})}) == {
        "gamma": 0.5
    }


def test_tpe_looks_where_the_good_trials_were() -> None:
    search = {"x": Linear(linear=(0.0, 1.0))}
    proposals = SAMPLERS["tpe"].proposals(space(search), 0, ("minimize",))
    trials: list[Asked] = []
    for _ in range(40):
        params = first_new(
            space(search), proposals(trials), {space(search).key(t.params) for t in trials}
        )
        trials.append(Asked(params, "complete", ((params["x"] - 0.7) ** 2,)))
    distances = [abs(trial.params["x"] - 0.7) for trial in trials]
    assert statistics.median(distances[20:]) < statistics.median(distances[:10]) / 1.5


PLANE = {name: Linear(linear=(0.0, 1.0)) for name in "xy"}


def distances(name: str, seed: int) -> list[float]:
    """From the optimum, of thirty trials."""
    proposals = SAMPLERS[name].proposals(space(PLANE), seed, ("minimize",))
    trials: list[Asked] = []
    for _ in range(30):
        params = next(iter(proposals(trials)))
        value = (params["x"] - 0.3) ** 2 + (params["y"] - 0.1) ** 2
        trials.append(Asked(params, "complete", (value,)))
    return [math.sqrt(trial.values[0]) for trial in trials]


@pytest.mark.parametrize(("name", "seeds"), [("tpe", 8), ("gp", 2), ("cmaes", 8), ("nsga2", 20)])
def test_a_sampler_that_learns_comes_nearer_to_the_optimum_than_chance(
    name: str, seeds: int
) -> None:
    """Caught: CMA-ES and NSGA-II that forget what they noted are no better than chance."""

    def mean(sampler: str) -> float:
        return statistics.mean(d for seed in range(seeds) for d in distances(sampler, seed)[20:])

    assert mean(name) < 0.9 * mean("random")


def test_the_points_of_qmc_are_one_in_each_part_of_the_space() -> None:
    proposals = SAMPLERS["qmc"].proposals(space(PLANE), 0, ("minimize",))
    points: list[Any] = []
    for _ in range(16):
        points.append(next(iter(proposals([Asked(point) for point in points]))))
    assert len({(int(4 * point["x"]), int(4 * point["y"])) for point in points}) == 16


def test_running_and_failed_trials_do_not_break_a_proposal() -> None:
    history = [
        *ask("tpe", 12),
        Asked(space(SEARCH).grid()[0]),
        Asked(space(SEARCH).grid()[1], "failed"),
    ]
    assert len(ask("tpe", 1, history=history)) == 15


def test_an_optimum_at_zero_does_not_hold_tpe_up() -> None:
    """Caught: hundreds of questions for one new point, when all of TPE's answers meant zero."""
    search = {name: Log(log=(1e-3, 1.0), zero=True) for name in ("a", "b")}
    proposals = SAMPLERS["tpe"].proposals(space(search), 0, ("minimize",))
    trials: list[Asked] = []
    for _ in range(60):
        seen = {space(search).key(trial.params) for trial in trials}
        asked = list(itertools.islice(proposals(trials), 10))
        params = first_new(space(search), asked, seen)
        assert space(search).key(params) not in seen
        trials.append(Asked(params, "complete", (sum(decode(search, params).values()),)))


def wander(name: str, count: int) -> list[Asked]:
    """Trials of a space in which `zero` is the best rule, if `a` is low."""
    proposals = SAMPLERS[name].proposals(CONDITIONAL, 1, ("minimize",))
    trials: list[Asked] = []
    for _ in range(count):
        seen = {CONDITIONAL.key(trial.params) for trial in trials}
        params = first_new(CONDITIONAL, proposals(trials), seen)
        worse = {"zero": 0.0, "gamma": 0.5, "epsilon": 1.0}[params["rule"]]
        trials.append(Asked(params, "complete", (params["a"] + worse + params.get("g", 0.0),)))
    return trials


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "gp", "nsga2"])
def test_a_point_has_the_names_that_its_composite_depends_on(name: str) -> None:
    trials = wander(name, 30)
    assert {trial.params["rule"] for trial in trials} == set(NAMES)
    for trial in trials:
        assert trial.params.keys() == NAMES[trial.params["rule"]]
        assert CONDITIONAL.needed(trial.params | {"g": 0.3, "e": 1}).keys() == trial.params.keys()


def test_a_conditional_grid_has_every_point_once_in_the_order_of_the_space() -> None:
    points = CONDITIONAL.grid()
    assert len(points) == 3 * (3 + 2 + 1)
    assert [p["a"] for p in points] == sorted(p["a"] for p in points)
    assert [(p["rule"], p.get("g", p.get("e"))) for p in points[:6]] == [
        ("gamma", 0.0),
        ("gamma", 0.5),
        ("gamma", 1.0),
        ("epsilon", 1),
        ("epsilon", 2),
        ("zero", None),
    ]


def test_the_points_of_a_conditional_space_are_counted_where_there_are_finitely_many() -> None:
    assert count_points(CONDITIONAL, 50) == 50
    whole = Space(
        {**CONDITIONAL.search, "a": Int(int=(0, 1)), "g": Int(int=(0, 4))}, CONDITIONAL.composite
    )
    assert len(list(whole.every())) == count_points(whole, 50) == 2 * (5 + 2 + 1)
    assert count_points(whole, 3) == 3


def test_tpe_learns_a_conditional_space() -> None:
    rules = [trial.params["rule"] for trial in wander("tpe", 40)[20:]]
    assert rules.count("zero") > len(rules) / 2


def test_tpe_avoids_what_exceeds_a_constraint() -> None:
    search = {"x": Linear(linear=(0.0, 1.0))}

    def median(bound: float) -> float:
        """Of the later points, when low is good but too low is not allowed."""
        proposals = SAMPLERS["tpe"].proposals(space(search), 0, ("minimize",))
        trials: list[Asked] = []
        for _ in range(40):
            params = first_new(
                space(search), proposals(trials), {space(search).key(t.params) for t in trials}
            )
            trials.append(Asked(params))
            next(iter(proposals(trials)))  # while it runs
            excess = {"hot_spot": bound - params["x"]}
            trials[-1] = Asked(params, "complete", (params["x"],), excess)
        return statistics.median(trial.params["x"] for trial in trials[20:])

    assert median(0.0) < 0.3
    assert 0.55 < median(0.6) < 0.9


def test_a_known_composite_is_the_last_resort_but_one() -> None:
    search = {"x": Int(int=(0, 9))}
    proposals = [{"x": n} for n in range(4)]

    def known(params: dict[str, Any]) -> bool:
        return params["x"] < 3

    def seen(*numbers: int) -> set[tuple[Any, ...]]:
        return {space(search).key({"x": n}) for n in numbers}

    assert first_new(space(search), proposals, seen(0), known) == {"x": 3}
    assert first_new(space(search), proposals, seen(0, 3), known) == {"x": 1}
    assert first_new(space(search), proposals, seen(0, 1, 2, 3), known) == {"x": 3}


def dominated_area(name: str, seed: int) -> float:
    """By 80 trials, up to (1, 1); the best points lie on the line from 0.3 to 0.8 of four axes."""
    place = space({f"x{n}": Linear(linear=(0.0, 1.0), points=100) for n in range(4)})
    proposals = SAMPLERS[name].proposals(place, seed, ("minimize", "maximize"))
    trials: list[Asked] = []
    for _ in range(80):
        params = next(iter(proposals(trials)))
        near, far = (sum((x - best) ** 2 for x in params.values()) for best in (0.3, 0.8))
        trials.append(Asked(params, "complete", (near, -far)))
    area, low = 0.0, 1.0
    for near, gain in sorted(trial.values for trial in trials if trial.values):
        area += max(0.0, 1 - near) * max(0.0, low + gain)
        low = min(low, -gain)
    return area


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_those_that_learn_find_more_of_a_front_than_chance(name: str) -> None:
    """Both directions count: one of the objectives is to be high."""
    learned, drawn = ([dominated_area(one, seed) for seed in range(4)] for one in (name, "random"))
    assert statistics.median(learned) > statistics.median(drawn) + 0.01
    assert statistics.median(learned) > 0.69


@pytest.mark.parametrize("name", [name for name, one in SAMPLERS.items() if one.several])
def test_of_several_objectives_the_same_history_gives_the_same_proposals(name: str) -> None:
    """One that saw every trial end, and one that begins after them all, as after a kill."""
    first = SAMPLERS[name].proposals(space(SEARCH), 5, ("minimize", "maximize"))
    trials: list[Asked] = []
    for number in range(14):
        params = next(iter(itertools.islice(first(trials), number if name == "grid" else 0, None)))
        trials.append(Asked(params, "complete", (loss(params), float(params["depth"]))))
    later = SAMPLERS[name].proposals(space(SEARCH), 5, ("minimize", "maximize"))
    assert next(iter(first(trials))) == next(iter(later(trials)))
