"""Trials of studies of version 2 score no state twice, and score the same whatever is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrpsweep.evaluation import PROTOCOLS, ScoreCache
from lrpsweep.results import Candidate
from lrpsweep.study import load_study
from lrpsweep.trial.candidates import published, tuned
from lrpsweep.trial.context import Chunk, Context, Task, prepare
from lrpsweep.trial.states import state_keys
from lrpsweep.trial.trial import run_trial

COMPOSITES = (
    tuned({"gamma1": 0.0, "gamma2": 0.25}),
    tuned({"gamma1": 0.1, "gamma2": 0.25}),
    tuned({"gamma1": 1.0, "gamma2": 1.0}),
    published("epsilon_gamma_box"),
    tuned({"gamma1": 0.1, "gamma2": 0.25}),
)
VERSION_2 = ("version=2", "objective=srg")


def prepared(study: Path, *changes: str) -> Context:
    return prepare(load_study(study, [*VERSION_2, *changes]))


def scored(context: Context, candidate: Candidate, **task: Any) -> np.ndarray:
    result = run_trial(context, Task(candidate, objectives=("auc_morf", "auc_lerf"), **task))
    return np.stack([result.measures["auc_morf"], result.measures["auc_lerf"]])


@pytest.mark.parametrize(
    ("batch", "perturbation"), [(1, "uniform"), (5, "telea"), (64, "telea"), (64, "uniform")]
)
def test_scores_are_those_of_workers_that_know_nothing(
    small_study: Path, batch: int, perturbation: str
) -> None:
    """Bit for bit, so that the number of workers and the order of their trials change nothing."""
    changes = f"evaluation={{patch: 8, perturbation: {perturbation}}}", f"run.batch={batch}"
    one, unaware, unfilled = (prepared(small_study, *changes) for _ in range(3))
    unfilled.score_cache = None
    for candidate in COMPOSITES:
        unaware.score_cache = ScoreCache()
        found = scored(one, candidate)
        np.testing.assert_array_equal(found, scored(unaware, candidate))
        np.testing.assert_allclose(found, scored(unfilled, candidate), rtol=1e-5)


class Listed(ScoreCache):
    """A cache whose scores can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.scores: dict[bytes, float] = {}

    def put(self, key: bytes, score: float) -> None:
        super().put(key, score)
        self.scores[key] = score


def test_a_state_alone_gets_the_score_that_it_gets_among_others(small_study: Path) -> None:
    """Bit for bit: a network's last digits depend on the size of its batch."""
    context = prepared(small_study)
    among = context.score_cache = Listed()
    scored(context, COMPOSITES[0])
    for missing in list(among.scores)[1:-1:4]:
        alone = context.score_cache = Listed()
        for key, score in among.scores.items():
            if key != missing:
                alone.put(key, score)
        result = run_trial(context, Task(COMPOSITES[0]))
        assert result.counts["known"] == result.counts["states"] - 1
        assert alone.scores == among.scores


def test_a_composite_that_was_scored_before_passes_nothing_through_the_network(
    small_study: Path,
) -> None:
    context = prepared(small_study)
    first = run_trial(context, Task(COMPOSITES[0]))
    assert first.counts["states"] == 2 * 4 * 5
    assert first.counts["known"] >= 2 * 4  # no order decides the first and the last state
    assert first.counts["forwards"] == 32  # two batches of 16: a CPU takes no larger ones
    net = context.model.net
    context.model = dataclasses.replace(context.model, net=Refusing(net))
    again = run_trial(context, Task(COMPOSITES[0]))
    assert again.counts == {"states": 40, "known": 40, "forwards": 0}
    np.testing.assert_array_equal(again.scores, first.scores)
    with pytest.raises(RuntimeError, match="asked again"):
        run_trial(context, Task(COMPOSITES[0], split="validation"))


class Refusing(torch.nn.Module):
    """A network that is not to be asked."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("asked again")


@pytest.mark.parametrize("changes", [("version=1",), ("evaluation={protocol: thesis, patch: 16}",)])
def test_nothing_is_kept_where_it_could_change_a_score(
    small_study: Path, changes: tuple[str, ...]
) -> None:
    """Of version 1, the last digits are those of batches as they come; thesis makes chains."""
    context = prepared(small_study, *changes)
    assert context.score_cache is None
    result = run_trial(context, Task(COMPOSITES[0]))
    assert result.counts["known"] == 0
    assert result.counts["states"] == result.counts["forwards"]


def test_a_protocol_of_somebody_else_says_so_itself(small_study: Path) -> None:
    default = PROTOCOLS["default"]
    for independent in (True, False):
        other = dataclasses.replace(default, name="other", independent=independent)
        with PROTOCOLS.register(other):
            context = prepared(small_study, "evaluation={protocol: other, patch: 16}")
            assert (context.score_cache is not None) == independent


def test_when_memory_runs_out_scores_of_the_larger_batches_are_not_used(small_study: Path) -> None:
    context = prepared(small_study, "run.batch=16")
    scored(context, COMPOSITES[0])
    context.shrink()
    assert run_trial(context, Task(COMPOSITES[0])).counts["forwards"] == 32


def test_the_same_picture_at_two_places_has_noise_of_its_own(small_study: Path) -> None:
    context = prepared(small_study, "evaluation={patch: 16, perturbation: uniform}")
    search = context.split.search
    twice = dataclasses.replace(
        search, images=search.images[[0, 0]], hashes=search.hashes[:1] * 2, masks=None
    )
    context.split = dataclasses.replace(context.split, search=twice)
    context.targets = {**context.targets, "search": context.targets["search"][[0, 0]]}
    found = scored(context, COMPOSITES[0])
    context.score_cache = None
    np.testing.assert_allclose(found, scored(context, COMPOSITES[0]), rtol=1e-5)
    assert (found[:, 0] != found[:, 1]).all()


ORDER = np.arange(16.0)[None]
CHUNK = Chunk("search", 1, 2)


def keys(context: Context, ranks: np.ndarray = ORDER, chunk: Chunk = CHUNK) -> list[bytes]:
    setting = context.setting(chunk.split)
    made_of = context.states_made_of(setting, chunk)
    return state_keys(context.protocol, setting, ranks, "morf", chunk.first, made_of)


def test_a_key_knows_which_patches_are_perturbed_and_not_in_which_order(small_study: Path) -> None:
    context = prepared(small_study)
    known = keys(context)
    assert len(known) == len(set(known)) == 5  # none, 1, 4, 9 and all of 16 patches
    swapped = keys(context, ORDER[:, [*range(14), 15, 14]])
    assert [a == b for a, b in zip(known, swapped, strict=True)] == [True, False, True, True, True]
    assert keys(context, -ORDER)[1:4] != known[1:4]
    assert keys(context, -ORDER)[::4] == known[::4]


CHANGES: dict[str, Callable[[Context], None]] = {
    "network": lambda c: replaced(c, "model", fingerprint="another"),
    "device": lambda c: setattr(c, "device", "cuda"),
    "batch": lambda c: setattr(c, "batch", 8),
    "fill": lambda c: setattr(c, "fill", c.fill + 1),
    "class": lambda c: setattr(c, "targets", {"search": c.targets["search"] + 1}),
    "picture": lambda c: replaced(
        c, "split", search=dataclasses.replace(c.split.search, hashes=("x",) * 4)
    ),
}


def replaced(context: Context, field: str, **changes: Any) -> None:
    setattr(context, field, dataclasses.replace(getattr(context, field), **changes))


@pytest.mark.parametrize("what", CHANGES)
def test_a_key_knows_all_that_makes_a_score(small_study: Path, what: str) -> None:
    context = prepared(small_study)
    before = keys(context)
    CHANGES[what](context)
    assert not set(before) & set(keys(context))


@pytest.mark.parametrize(
    "change", ["perturbation: telea", "seed: 1", "score: probability", "schedule: linear"]
)
def test_a_key_knows_how_the_study_evaluates(small_study: Path, change: str) -> None:
    before = keys(prepared(small_study))
    changed = prepared(small_study, f"evaluation={{patch: 16, {change}}}")
    assert not set(before) & set(keys(changed))


def test_a_key_knows_part_and_place_of_an_image(small_study: Path) -> None:
    context = prepared(small_study)
    search = context.split.search
    context.split = dataclasses.replace(context.split, validation=search)
    context.targets = {**context.targets, "validation": context.targets["search"]}
    others = [Chunk("search", 2, 3), Chunk("validation", 1, 2)]
    assert not set(keys(context)) & {key for other in others for key in keys(context, chunk=other)}
