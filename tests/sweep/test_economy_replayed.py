"""What saving work costs on two real surfaces, stored curve by curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from replay import Curves, load_curves, replay
from surface import FOLDER

from lrpsweep.results import StudyResults
from lrpsweep.study import parse_study
from lrpsweep.sweep.validation import rule_of

SAVING = "{states: auto, racing: true, lag: 8}"
NAMES = ("embedded", "resnet20")
DRAWS = 95
PLAIN = {"embedded": 33_000, "resnet20": 25_000}
"""About what 40 trials of TPE pass through the network that save nothing."""


def surface(name: str) -> Curves:
    return load_curves(FOLDER / f"{name}-curves.npz")


def behind(whole: Curves, results: StudyResults) -> float:
    """By how many paired standard errors the nominee is behind the best of the study's trials, on
    all states of all images, pruned trials included."""
    assert results.nomination is not None
    if results.nomination.nominee is None:
        return np.inf
    rule = rule_of(parse_study(results.spec_text, Path("replayed.yaml")))
    ballot = whole.ballot()
    tally = ballot.count()
    tried = sorted({whole.nearest(trial.values) for trial in results.trials})
    best = tried[tally.of(tried).order(rule, tally.ranges(rule))[0]]
    chosen = whole.nearest(results.nomination.nominee.values)
    gain = ballot.scores["srg"][best] - ballot.scores["srg"][chosen]
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return float(gain.mean()) / error if error else 0.0


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("resnet20", 0),
        *(pytest.param(name, seed, marks=pytest.mark.long) for name in NAMES for seed in (1, 2, 3)),
    ],
)
def test_a_sweep_finds_the_best_of_its_trials_for_fewer_passes(
    tmp_path: Path, name: str, seed: int
) -> None:
    whole = surface(name)
    results, worker = replay(whole, tmp_path, seed=seed, economy=SAVING)
    assert behind(whole, results) <= 1
    assert worker.passes < 0.75 * PLAIN[name]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_the_best_of_the_trials_is_seldom_lost_on_images_drawn_again(
    tmp_path: Path, name: str
) -> None:
    """By more than one paired standard error: measured 4 of 129 draws on ResNet-20 and 2 of 95 on
    the embedded network, which is more than the 2 % that were hoped for; in none of the same sweeps
    that save nothing. What is asked here is 5 %.

    Against the nominee of the whole grid, whom 40 trials need not meet, both kinds of sweep are
    behind by that much about as often: 49 against 50 of those 129 draws, 6 against 13 of those 95.
    """
    whole, lost = surface(name), []
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, 7])
        images = rng.integers(0, whole.images, whole.images)
        drawn = whole.of(images) if draw else whole
        results, _ = replay(drawn, tmp_path / str(draw), seed=draw, economy=SAVING)
        if behind(drawn, results) > 1:
            lost.append(draw)
    assert len(lost) <= 0.05 * DRAWS
