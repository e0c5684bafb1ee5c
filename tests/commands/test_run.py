"""What a finished run says on the console."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lrpsweep.commands.run import outcome_lines
from lrpsweep.results import StudyResults, TrialRecord

COUNTS = {"states": 1000, "known": 250, "forwards": 768}


def counted(trial: TrialRecord) -> TrialRecord:
    """With what it took; the first trial's result is also given to the second."""
    assert trial.result is not None
    owner = 0 if trial.number == 1 else None
    return replace(trial, result=replace(trial.result, counts=COUNTS), same_as=owner)


def test_it_says_how_many_states_had_been_scored_before(study: StudyResults) -> None:
    before = outcome_lines(study, Path("runs"))
    assert not any("states" in line for line in before)
    counts = [counted(trial) for trial in study.trials[:3]]
    lines = outcome_lines(replace(study, trials=(*counts, *study.trials[3:])), Path("runs"))
    assert [line for line in lines if line not in before][-1] == (
        "25% of the trials' 2,000 perturbed states had been scored before and were not scored "
        "again."
    )
