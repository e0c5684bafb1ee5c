"""Every sampler: what it proposes depends on seed, number and history alone, and never repeats."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import optuna
import pytest

from lrpsweep.spec import Choice, Fixed, Int, Linear, Log, decode
from lrpsweep.sweep.samplers import (
    SAMPLERS,
    Asked,
    distributions,
    first_new,
    grid_points,
    key,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)

SEARCH: dict[str, Any] = {
    "gamma": Log(log=(1e-3, 1.0), zero=True, points=4),
    "share": Linear(linear=(0.0, 1.0), points=3),
    "depth": Int(int=(1, 3)),
    "rule": Choice(choice=("gamma", "z_plus")),
    "epsilon": Fixed(fixed=0.25),
}


def loss(params: dict[str, Any]) -> float:
    values = decode(SEARCH, params)
    return (values["gamma"] - 0.1) ** 2 + values["share"] ** 2 + values["depth"]


def ask(name: str, count: int, history: Sequence[Asked] = (), seed: int = 3) -> list[Asked]:
    """A fresh sampler goes on from a history, as after a kill."""
    proposals = SAMPLERS[name](SEARCH, seed, "minimize")
    trials = list(history)
    for _ in range(count):
        seen = {key(SEARCH, trial.params) for trial in trials}
        params = first_new(SEARCH, proposals(trials), seen)
        trials.append(Asked(params, "complete", loss(params)))
    return trials


def test_the_space_leaves_fixed_values_out_and_includes_both_ends() -> None:
    space = distributions(SEARCH)
    assert list(space) == ["gamma", "share", "depth", "rule"]
    gamma = space["gamma"]
    assert isinstance(gamma, optuna.distributions.FloatDistribution)
    assert (gamma.low, gamma.high, gamma.log) == (pytest.approx(1e-3 * 1e-3**0.1), 1.0, True)
    assert space["depth"] == optuna.distributions.IntDistribution(1, 3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_that_starts_anew_goes_on_as_if_nothing_had_happened(name: str) -> None:
    straight = ask(name, 20)
    assert ask(name, 13, history=ask(name, 7)) == straight


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_point_is_proposed_twice(name: str) -> None:
    points = [key(SEARCH, trial.params) for trial in ask(name, 30)]
    assert len(set(points)) == 30


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_another_seed_proposes_other_points(name: str) -> None:
    assert ask(name, 5)[0] != ask(name, 5, seed=4)[0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_proposal_lies_in_the_space(name: str) -> None:
    space = distributions(SEARCH)
    for trial in ask(name, 15):
        assert trial.params.keys() == space.keys()
        for parameter, value in trial.params.items():
            assert space[parameter]._contains(space[parameter].to_internal_repr(value))


def test_the_first_parameter_is_the_outer_loop_of_the_grid() -> None:
    search = {
        "a": Log(log=(1e-4, 1.0), zero=True, points=16),
        "b": Log(log=(1e-4, 1.0), zero=True, points=16),
    }
    points = [decode(search, params) for params in grid_points(search)]
    assert len(points) == 256
    assert points[0] == {"a": 0.0, "b": 0.0}
    # Experiment 140 of the thesis: indices (8, 12).
    assert points[140] == pytest.approx({"a": 0.01, "b": 0.13895}, rel=1e-4)


def test_two_points_that_both_mean_zero_are_the_same_point() -> None:
    search = {"gamma": Log(log=(1e-3, 1.0), zero=True)}
    proposals = [{"gamma": 6e-4}, {"gamma": 0.5}]
    assert first_new(search, proposals, {key(search, {"gamma": 7e-4})}) == {"gamma": 0.5}


def test_tpe_looks_where_the_good_trials_were() -> None:
    search = {"x": Linear(linear=(0.0, 1.0))}
    proposals = SAMPLERS["tpe"](search, 0, "minimize")
    trials: list[Asked] = []
    for _ in range(40):
        params = first_new(search, proposals(trials), {key(search, t.params) for t in trials})
        trials.append(Asked(params, "complete", (params["x"] - 0.7) ** 2))
    distances = [abs(trial.params["x"] - 0.7) for trial in trials]
    assert statistics.median(distances[20:]) < statistics.median(distances[:10]) / 1.5


def test_running_and_failed_trials_do_not_break_a_proposal() -> None:
    history = [
        *ask("tpe", 12),
        Asked(grid_points(SEARCH)[0]),
        Asked(grid_points(SEARCH)[1], "failed"),
    ]
    assert len(ask("tpe", 1, history=history)) == 15


def test_an_optimum_at_zero_does_not_hold_tpe_up() -> None:
    """Caught: hundreds of questions for one new point, when all of TPE's answers meant zero."""
    search = {name: Log(log=(1e-3, 1.0), zero=True) for name in ("a", "b")}
    proposals = SAMPLERS["tpe"](search, 0, "minimize")
    trials: list[Asked] = []
    for _ in range(60):
        seen = {key(search, trial.params) for trial in trials}
        asked = list(itertools.islice(proposals(trials), 10))
        params = first_new(search, asked, seen)
        assert key(search, params) not in seen
        trials.append(Asked(params, "complete", sum(decode(search, params).values())))
