"""`lrpsweep status`: how far a study is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lrpsweep.report.words import front_labels, nominated_since
from lrpsweep.results import StudyResults
from lrpsweep.study import StudySpec
from lrpsweep.sweep.study import load_results

SHOWN = {"pruned": "stopped early"}


def study_status(spec: StudySpec, runs_dir: Path) -> dict[str, Any]:
    """How far a study is, from its database alone."""
    results = load_results(spec, runs_dir)
    states = [SHOWN.get(trial.state, trial.state) for trial in results.trials]
    status: dict[str, Any] = {
        "study": results.name,
        "planned": results.planned,
        **{state: states.count(state) for state in dict.fromkeys(("complete", *states))},
        **remarkable(results),
    }
    if results.complete and results.several:
        for place, name in enumerate(results.objectives):
            best = results.ranked(place)[0]
            assert best.result is not None
            status |= {f"best {name}": best.result.mean(name), f"best {name} trial": best.number}
    elif results.complete:
        best = results.ranked()[0]
        assert best.result is not None
        status |= {
            "best trial": best.number,
            f"best {results.objective}": best.result.value,
            "standard error": best.result.stderr,
            **({"on states": len(best.result.states)} if best.result.states else {}),
            **{f"best {name}": value for name, value in best.values.items()},
        }
    found = conclusion(results, validates=bool(spec.data.split.validation))
    going_on = {"going on": f"{results.concluding}; the same command goes on"}
    return status | (going_on if results.concluding else {}) | found


def conclusion(results: StudyResults, *, validates: bool) -> dict[str, str]:
    """Who is nominated and what may be said of it, or what of both is still to be found out.

    Of several objectives, who is on the front. validates: whether the study has validation images.
    """
    nomination, found = results.nomination, results.recommendation
    if results.front is not None:
        members = front_labels(results)
        return {"front": members} if members else {"front": f"none: {results.front.sentence}"}
    if nomination is None and found is None:
        over = sum(trial.state in ("complete", "pruned", "failed") for trial in results.trials)
        what = "front" if results.several else "nominee"
        return {what: "not yet"} if over >= results.planned and results.complete else {}
    if nomination is not None and nomination.nominee is None:
        return {"nominee": f"none: {nomination.sentence}"}
    assert results.nominee is not None
    since = nominated_since(results)
    status = {"nominee": (since or results.nominee).label}
    if found is not None and since is None:
        return status | {"verdict": found.verdict, "statement": found.sentence}
    return status | ({"verdict": "not yet"} if validates else {})


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
