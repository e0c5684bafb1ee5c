"""How far a study is, after its search."""

from dataclasses import replace
from pathlib import Path

import pytest
from fabricated import LITERATURE, concluded_study, fabricate_study, raced_study

from lrpsweep.commands.run import outcome_lines
from lrpsweep.commands.status import conclusion
from lrpsweep.results import Contender, StudyResults


@pytest.fixture(scope="module")
def concluded() -> StudyResults:
    return concluded_study()


def test_nominee_verdict_and_statement_are_told(concluded: StudyResults) -> None:
    assert concluded.recommendation is not None
    assert conclusion(concluded, validates=True) == {
        "nominee": "trial 39",
        "verdict": "better",
        "statement": concluded.recommendation.sentence,
    }


def test_a_published_nominee_is_told_by_its_name() -> None:
    study = concluded_study({**LITERATURE, "epsilon_gamma_box": 1.2}, validated=1.2)
    assert conclusion(study, validates=True)["nominee"] == "epsilon_gamma_box"


def test_a_nominee_without_a_statement_waits_for_it_where_there_are_images() -> None:
    study = concluded_study(validated=None)
    assert conclusion(study, validates=True) == {"nominee": "trial 39", "verdict": "not yet"}
    assert conclusion(study, validates=False) == {"nominee": "trial 39"}


def test_a_statement_about_an_earlier_nominee_does_not_count(concluded: StudyResults) -> None:
    assert concluded.nomination is not None
    other = Contender("epsilon_plus", published="epsilon_plus")
    later = replace(concluded, nomination=replace(concluded.nomination, nominee=other))
    assert conclusion(later, validates=True) == {"nominee": "epsilon_plus", "verdict": "not yet"}


def test_nothing_recommended_says_why() -> None:
    told = conclusion(concluded_study(chance=0.6), validates=True)
    assert list(told) == ["nominee"]
    assert told["nominee"].startswith("none: None of the 51 candidates may be nominated")


def test_a_search_that_goes_on_has_no_nominee() -> None:
    over = fabricate_study(recommendation=None)
    assert conclusion(over, validates=True) == {"nominee": "not yet"}
    assert conclusion(replace(over, planned=60), validates=True) == {}


def test_stopped_trials_are_over() -> None:
    raced = raced_study(["early.gamma", "late.gamma"])
    assert conclusion(raced, validates=True) == {"nominee": "not yet"}


def test_the_console_counts_stopped_trials_apart_from_failed_ones(tmp_path: Path) -> None:
    """They were once counted as failed."""
    raced = raced_study(["early.gamma", "late.gamma"])
    lines = outcome_lines(raced, tmp_path)
    assert "60 trials, 14 complete, 44 stopped early, 2 failed." in lines
    assert "2 trials failed; `lrpsweep report` says why." in lines


def test_results_of_earlier_versions_have_nominee_and_verdict(study: StudyResults) -> None:
    told = conclusion(study, validates=True)
    assert (told["nominee"], told["verdict"]) == ("trial 39", "not better")
