"""`lrpsweep status`: how far a study is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lrpsweep.results import StudyResults
from lrpsweep.study import StudySpec
from lrpsweep.sweep.study import load_results


def study_status(spec: StudySpec, runs_dir: Path) -> dict[str, Any]:
    """How far a study is, from its database alone."""
    results = load_results(spec, runs_dir)
    states = [trial.state for trial in results.trials]
    status: dict[str, Any] = {
        "study": results.name,
        "planned": results.planned,
        **{state: states.count(state) for state in dict.fromkeys(("complete", *states))},
        **remarkable(results),
    }
    if results.complete:
        best = results.ranked()[0]
        assert best.result is not None
        status |= {
            "best trial": best.number,
            f"best {results.objective}": best.result.value,
            "standard error": best.result.stderr,
            **{f"best {name}": value for name, value in best.values.items()},
        }
    if results.recommendation is not None:
        status["verdict"] = results.recommendation.sentence
    return status


def remarkable(results: StudyResults) -> dict[str, int]:
    """How many complete trials are not like others, by what they are."""
    found = {
        "with the result of an equal composite": sum(
            t.same_as is not None for t in results.complete
        ),
        "beyond a bound": sum(bool(t.exceeded) for t in results.complete),
        "unstable": sum(bool(t.result and t.result.unstable) for t in results.complete),
    }
    return {what: count for what, count in found.items() if count}
