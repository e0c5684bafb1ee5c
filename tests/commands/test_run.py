"""What a finished run says on the console."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lrpsweep.commands.run import outcome_lines
from lrpsweep.results import Economy, StudyResults


def test_it_says_what_the_search_saved_and_what_that_cost(study: StudyResults) -> None:
    before = outcome_lines(study, Path("runs"))
    assert not any("passed" in line for line in before)
    whole = replace(study, economy=Economy(forwards=700, plain=1000, known=0.25))
    assert [line for line in outcome_lines(whole, Path("runs")) if line not in before] == [
        "The search passed 700 images through the network, 70% of the 1,000 that all states of all "
        "images had been; 25% of the states it looked at had been scored before."
    ]
    some = Economy(forwards=100, plain=1000, subset="quarters", steps=(0, 2, 4), error=0.3)
    result = study.trials[1].result
    assert result is not None
    full = {"trial 1": result, "trial 2": result}
    said = outcome_lines(replace(study, economy=some, full=full), Path("runs"))
    assert (
        "Trials were scored on 3 states, quarters (error 0.30 standard errors); 2 candidates on "
        "all of them, and only these were nominated from."
    ) in said
