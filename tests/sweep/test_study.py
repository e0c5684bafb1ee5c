"""A study from its first trial to its recommendation, killed, stopped, changed and grown."""

from __future__ import annotations

import math
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quadratic import Build, NotMounted, Uneven, plan, result

from lrpsweep.errors import InputError
from lrpsweep.results import StudyResults, TrialRecord, TrialResult
from lrpsweep.study import Choice, Fixed, Int, Space, load_study, parse_study
from lrpsweep.sweep.execution import Job, Outcome
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.samplers.mirror import distributions
from lrpsweep.sweep.search import Estimate, Progress, Silent, TrialSource
from lrpsweep.sweep.storage import create_store, study_url
from lrpsweep.sweep.study import Plan, SweepFailedError, as_they_are, load_results, run_study


class Noting(Silent):
    def __init__(self) -> None:
        self.estimates: list[Estimate] = []
        self.progress: list[Progress] = []
        self.said: list[str] = []

    def started(self, text: str) -> None:
        self.said.append(text)

    def estimated(self, estimate: Estimate) -> None:
        self.estimates.append(estimate)

    def told(self, record: TrialRecord) -> None:
        pass

    def progressed(self, progress: Progress) -> None:
        self.progress.append(progress)


def points(results: StudyResults) -> list[tuple[Any, ...]]:
    return [tuple(trial.values.values()) for trial in results.trials]


def test_a_study_is_the_same_wherever_it_runs(runs_dir: Path, two_workers: None) -> None:
    """With trials that fail, and with a validation."""
    study = plan(sampler="grid", points=3, build=Build(x0="nan", x1="raise"), baselines=("one",))
    far = run_study(study, runs_dir=runs_dir / "ray")
    here = run_study(study, runs_dir=runs_dir / "local", executor="local")
    assert points(far) == points(here)
    for trial, twin in zip(far.trials, here.trials, strict=True):
        assert (trial.state, trial.reason) == (twin.state, twin.reason)
        if trial.result is not None and twin.result is not None:
            assert trial.result.to_json() == twin.result.to_json()
    assert [trial.state for trial in far.trials].count("complete") == 3
    assert far.recommendation == here.recommendation


def test_a_run_leaves_the_study_and_its_results(runs_dir: Path) -> None:
    study = plan(trials=5)
    results = run_study(study, runs_dir=runs_dir, executor="local")
    assert (runs_dir / "quadratic" / "study.yaml").read_text() == study.spec.text
    assert results.planned == 5
    assert results.direction == "minimize"
    assert [axis.name for axis in results.axes] == ["x", "y"]
    assert results.spec_hash == study.spec_hash
    assert results.provenance["device"] == "cpu"
    best = results.ranked()[0]
    assert best.result is not None
    assert best.result.value == min(t.result.value for t in results.complete if t.result)
    read = load_results(study.spec, runs_dir)
    assert points(read) == points(results)
    assert all(trial.seconds is not None for trial in read.trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_twenty_trials_are_the_same_as_seven_a_kill_and_thirteen(
    drive: Callable[..., Any], runs_dir: Path, sampler: str
) -> None:
    options: dict[str, Any] = {"sampler": sampler, "trials": 20, "points": 5}
    first = drive(seconds=0.1, **options)
    first.wait_for("search 7")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    at_death = load_results(plan(**options).spec, runs_dir)
    done = {trial.number: trial.values for trial in at_death.trials if trial.state == "complete"}
    assert 7 <= len(done) < 20

    resumed = run_study(plan(**options), runs_dir=runs_dir, executor="local")
    straight = run_study(plan(**options), runs_dir=runs_dir / "straight", executor="local")
    assert {trial.state for trial in resumed.trials} == {"complete"}
    assert len(resumed.trials) == len(straight.trials) == (25 if sampler == "grid" else 20)
    assert {trial.number: trial.values for trial in resumed.trials}.items() >= done.items()
    assert len(set(points(resumed))) == len(points(resumed))
    assert points(resumed) == points(straight)


def work(study: Plan, runs_dir: Path, workers: int, trials: int = 20) -> list[dict[str, Any]]:
    """The points of a study after so many trials of workers of any speed; then it is killed."""
    spec, chance = study.spec, random.SystemRandom()
    store = create_store(study_url(None, runs_dir, spec.name, spec.base), spec.name, ("minimize",))
    store.release()
    source = TrialSource(store, spec, {}, "lrp", as_they_are, lambda record, outcome: None)
    running: list[Job] = []
    while not source.finished and len(store.history()) - len(running) < trials:
        while len(running) < workers and (task := source.next()) is not None:
            running.append(task)
        task = running.pop(chance.randrange(len(running)))
        source.done(task, Outcome(study.build()(task)))
    store.close()
    return [dict(trial.params) for trial in source.history]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_a_lag_trials_are_the_same_on_workers_of_any_speed_and_after_a_kill(
    runs_dir: Path, sampler: str
) -> None:
    study = plan(sampler=sampler, trials=20, points=5, economy="{lag: 4}")
    straight = work(study, runs_dir / "one", workers=1, trials=99)
    assert work(study, runs_dir / "four", workers=4, trials=99) == straight
    begun = work(study, runs_dir / "killed", workers=4, trials=7)
    assert begun == straight[: len(begun)]
    assert work(study, runs_dir / "killed", workers=4, trials=99) == straight


@pytest.mark.long
def test_with_a_lag_a_killed_study_goes_on_with_the_same_trials_on_four_workers(
    drive: Callable[..., Any], runs_dir: Path, two_workers: None
) -> None:
    options: dict[str, Any] = {"sampler": "cmaes", "trials": 20, "economy": "{lag: 4}"}
    killed = drive(seconds=0.05, **options)
    killed.wait_for("search 7")
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    four = plan(**options, workers=4, build=Uneven())
    assert 7 <= len(load_results(four.spec, runs_dir).complete) < 20
    resumed = run_study(four, runs_dir=runs_dir)
    straight = run_study(plan(**options), runs_dir=runs_dir / "straight", executor="local")
    assert points(resumed) == points(straight)


def test_a_trial_waits_for_those_that_it_is_proposed_from(runs_dir: Path) -> None:
    """Also where the last of those that may run at once ends first."""
    study = plan(sampler="tpe", trials=9, economy="{lag: 2}")
    store = create_store(
        study_url(None, runs_dir, "quadratic", runs_dir), "quadratic", ("minimize",)
    )
    source = TrialSource(store, study.spec, {}, "lrp", as_they_are, lambda record, outcome: None)

    def take() -> Job:
        task = source.next()
        assert task is not None
        return task

    def finish(task: Job) -> None:
        source.done(task, Outcome(result([0.1, 0.2])))

    finish(take())
    running = [take(), take(), take()]
    assert source.next() is None
    finish(running.pop())
    assert source.next() is None
    finish(running.pop(0))
    running.append(take())
    assert source.next() is None
    assert [trial.state for trial in source.history] == [
        *("complete", "complete", "running", "complete", "running")
    ]
    store.close()


@pytest.mark.parametrize(
    ("workers", "said"), [(4, True), pytest.param(2, False, marks=pytest.mark.long)]
)
def test_workers_that_will_stand_still_are_spoken_of_once_before_the_first_trial(
    runs_dir: Path, two_workers: None, workers: int, said: bool
) -> None:
    observer = Noting()
    study = plan(trials=3, economy="{lag: 2}", workers=workers)
    run_study(study, runs_dir=runs_dir, observer=observer)
    found = [text for text in observer.said if "of the 4 workers will stand still" in text]
    assert found == observer.said[1:2] if said else not found


def test_the_literature_comes_first_and_is_not_run_twice(runs_dir: Path) -> None:
    literature = {
        "tutorial": {"x": 0.25, "y": 0.25},
        "zero": {"x": 0.0, "y": 0.0},
        "zero again": {"x": 0.0, "y": 0.0},
    }
    study = plan(sampler="grid", points=3, literature=literature)
    results = run_study(study, runs_dir=runs_dir, executor="local")
    assert [trial.literature for trial in results.trials[:3]] == ["tutorial", "zero", None]
    assert results.planned == len(results.trials) == 10
    assert len(set(points(results))) == 10


def test_failed_trials_keep_their_reasons_and_the_sweep_goes_on(runs_dir: Path) -> None:
    faults = {"x0": "nan", "x0_25": "inf", "x0_5": "raise", "x0_75": "memory"}
    study = plan(sampler="grid", points=5, build=Build(**faults))
    results = run_study(study, runs_dir=runs_dir, executor="local")
    assert len(results.complete) == 5
    assert {trial.values["x"] for trial in results.complete} == {1.0}
    reasons = {t.values["x"]: t.reason for t in results.trials if t.state == "failed"}
    assert reasons == {
        0.0: "auc_morf is nan",
        0.25: "auc_morf is inf",
        0.5: "ValueError: a bad point",
        0.75: "MemoryError: no room",
    }
    assert {trial.state for trial in results.trials} == {"complete", "failed"}


def test_a_study_without_a_single_result_fails_and_says_why(runs_dir: Path) -> None:
    study = plan(sampler="grid", points=2, build=Build(x0="raise", x1="nan"))
    text = r"all 4 trials failed: ValueError: a bad point \(2\); auc_morf is nan \(2\)"
    for _ in range(2):
        with pytest.raises(SweepFailedError, match=text):
            run_study(study, runs_dir=runs_dir, executor="local")


def test_failed_trials_are_run_anew_on_request_as_new_trials(runs_dir: Path) -> None:
    literature = {"corner": {"x": 0.0, "y": 0.0}}

    def run(build: Build, **options: bool) -> StudyResults:
        study = plan(sampler="grid", points=2, literature=literature, build=build)
        return run_study(study, runs_dir=runs_dir, executor="local", **options)  # type: ignore[arg-type]

    with pytest.raises(SweepFailedError, match="--retry-failed runs them anew"):
        run(Build(x0="raise", x1="raise"))
    half = run(Build(x1="raise"), retry_failed=True)
    assert [trial.state for trial in half.trials] == ["failed"] * 4 + ["complete"] * 2 + [
        "failed"
    ] * 2
    assert points(half)[4:] == points(half)[:4]
    assert half.planned == 8
    assert half.trials[4].literature == "corner"
    whole = run(Build(), retry_failed=True)
    assert [trial.state for trial in whole.trials[8:]] == ["complete"] * 2
    assert points(whole)[8:] == points(half)[6:]
    assert whole.planned == 10
    assert len(run(Build()).trials) == len(run(Build(), retry_failed=True).trials) == 10


def test_a_worker_that_cannot_be_set_up_stops_the_run_and_fails_no_trial(
    runs_dir: Path, executor: Any
) -> None:
    with pytest.raises(SweepFailedError, match="could not be set up: OSError: the images are not"):
        run_study(plan(trials=4, build=NotMounted()), runs_dir=runs_dir, executor=executor)
    stopped = load_results(plan().spec, runs_dir)
    assert {trial.state for trial in stopped.trials} == {"waiting"}
    mounted = run_study(plan(trials=4), runs_dir=runs_dir, executor=executor)
    straight = run_study(plan(trials=4), runs_dir=runs_dir / "straight", executor="local")
    assert [trial.state for trial in mounted.trials] == ["complete"] * 4
    assert points(mounted) == points(straight)


def test_a_changed_study_is_refused_field_by_field(runs_dir: Path) -> None:
    before = run_study(plan(trials=3), runs_dir=runs_dir, executor="local")
    with pytest.raises(InputError) as caught:
        run_study(plan(trials=3, patch=4, seed=1), runs_dir=runs_dir, executor="local")
    assert "evaluation.patch: was 8, is 4; sampler.seed: was 0, is 1" in str(caught.value)
    after = load_results(plan().spec, runs_dir)
    assert points(after) == points(before)
    assert (runs_dir / "quadratic" / "study.yaml").read_text() == plan(trials=3).spec.text


def test_a_database_file_is_found_from_the_study_s_folder(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = plan(trials=2, storage="sqlite:///mine.db")
    spec = study.spec.model_copy(update={"path": tmp_path / "quadratic.yaml"})
    run_study(replace(study, spec=spec), runs_dir=runs_dir, executor="local")
    assert (tmp_path / "mine.db").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    kept = load_study(runs_dir / "quadratic" / "study.yaml")
    assert len(load_results(kept, runs_dir).trials) == 2


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_there_are_no_more_trials_than_points(runs_dir: Path, sampler: str) -> None:
    study = plan(sampler=sampler, trials=50)
    dimensions = {"x": Choice(choice=(0.1, 0.5, 0.9)), "y": Int(int=(-3, 3)), "z": Fixed(fixed=1)}
    spec = study.spec.model_copy(update={"search": dimensions})
    results = run_study(replace(study, spec=spec), runs_dir=runs_dir, executor="local")
    assert results.planned == len(results.trials) == len(set(points(results))) == 21


def test_the_direction_is_that_of_the_objective_when_trials_began(runs_dir: Path) -> None:
    def refuse(*_: Any) -> None:
        raise InterruptedError

    observer = Noting()
    observer.started = refuse  # type: ignore[method-assign]
    low = plan(trials=5, baselines=("one",))
    with pytest.raises(InterruptedError):
        run_study(low, runs_dir=runs_dir, executor="local", observer=observer)
    high = plan(trials=5, baselines=("one",), objective="auc_lerf")
    results = run_study(high, runs_dir=runs_dir, executor="local")
    assert results.direction == "maximize"
    highest = max(results.complete, key=lambda trial: trial.result.value if trial.result else 0)
    assert results.recommendation is not None
    assert results.recommendation.number == highest.number


def test_trials_is_a_total_that_may_grow(runs_dir: Path) -> None:
    ran: list[int] = []
    for trials in (4, 4, 9):
        observer = Noting()
        results = run_study(
            plan(trials=trials), runs_dir=runs_dir, executor="local", observer=observer
        )
        assert len(results.trials) == results.planned == trials
        ran.append(len(observer.progress))
    assert ran == [4, 0, 5]


def test_the_first_trial_says_what_the_rest_will_take(runs_dir: Path) -> None:
    observer = Noting()
    run_study(
        plan(trials=5, build=Build(0.05)),
        runs_dir=runs_dir,
        executor="local",
        observer=observer,
    )
    (estimate,) = observer.estimates
    assert estimate.workers == 1
    assert estimate.seconds >= 0.05
    assert estimate.seconds_left == pytest.approx(estimate.seconds * 4)
    assert estimate.forwards_left == 4 * 7
    assert estimate.memory_bytes == 1000
    assert [progress.done for progress in observer.progress] == [1, 2, 3, 4, 5]
    assert observer.progress[-1].seconds_left == 0
    bests = [progress.best for progress in observer.progress]
    assert bests == sorted(bests, reverse=True)  # type: ignore[type-var]


def test_the_nominee_is_validated_once_and_again_when_trials_grew(runs_dir: Path) -> None:
    first, second, third = Noting(), Noting(), Noting()
    baselines = ("one", "two")
    run_study(
        plan(trials=7, baselines=baselines), runs_dir=runs_dir, executor="local", observer=first
    )
    again = run_study(
        plan(trials=7, baselines=baselines), runs_dir=runs_dir, executor="local", observer=second
    )
    grown = run_study(
        plan(trials=8, baselines=baselines), runs_dir=runs_dir, executor="local", observer=third
    )
    # A random order on the search images; nominee, baselines and a random order on the validation
    # images; nominee and strongest baseline under another perturbation.
    assert [p.stage for p in first.progress] == [
        *["search"] * 7,
        "literature",
        *["validation"] * (4 + 2),
    ]
    assert second.progress == []
    new_nominee = grown.recommendation.number != again.recommendation.number
    assert [p.stage for p in third.progress] == ["search", *["validation"] * (2 * new_nominee)]
    for results in (again, grown):
        found = results.recommendation
        assert found is not None
        assert found.number == results.ranked()[0].number
        assert [c.baseline for c in found.comparisons] == ["one", "two"]
        assert found.validation_images == 4
        assert found.verdict == "undecided"  # too few images


def test_a_baseline_that_failed_is_tried_again_by_the_next_run(runs_dir: Path) -> None:
    baselines = ("one", "two")
    broken = plan(trials=3, baselines=baselines, build=Build(two="raise"))
    first = run_study(broken, runs_dir=runs_dir, executor="local").recommendation
    mended = plan(trials=3, baselines=baselines)
    second = run_study(mended, runs_dir=runs_dir, executor="local").recommendation
    assert first is not None
    assert second is not None
    assert [c.baseline for c in first.comparisons] == ["one"]
    assert [c.baseline for c in second.comparisons] == ["one", "two"]
    assert second.look == 1


def test_without_validation_images_there_is_no_recommendation(runs_dir: Path) -> None:
    results = run_study(plan(trials=3), runs_dir=runs_dir, executor="local")
    assert results.recommendation is None


def at_zero_y_is_nothing(values: Any) -> Any:
    """As γ = 0 on a block makes how deep the block goes mean nothing."""
    return tuple(values.items()) if values["x"] else "zero"


def counted(build: Build) -> list[dict[str, Any]]:
    """The tasks that the build's runner gets from now on."""
    tasks: list[dict[str, Any]] = []
    run = build.run

    def counting(task: dict[str, Any]) -> dict[str, Any]:
        tasks.append(task)
        return run(task)

    build.run = counting  # type: ignore[method-assign]
    return tasks


def test_an_equal_composite_is_answered_from_the_database(runs_dir: Path) -> None:
    observer, build = Noting(), Build()
    tasks = counted(build)
    study = plan(
        sampler="grid", points=3, meaning=at_zero_y_is_nothing, build=build, baselines=("one",)
    )
    results = run_study(study, runs_dir=runs_dir, executor="local", observer=observer)
    assert results.planned == len(results.complete) == 9
    assert [trial.same_as for trial in results.trials] == [None, 0, 0, *[None] * 6]
    assert len([t for t in tasks if "split" not in t]) == 7
    first, second = results.trials[0].result, results.trials[1].result
    assert first is not None
    assert second is not None
    assert second.to_json() == first.to_json() | {"blocks": {}}  # its blocks are others
    assert [trial.values for trial in results.trials[:3]] == [
        {"x": 0.0, "y": y} for y in (0.0, 0.5, 1.0)
    ]
    assert [p.done for p in observer.progress[:9]] == list(range(1, 10))
    found = results.recommendation
    assert found is not None
    labels = [finalist.label for finalist in found.finalists]
    assert not {"trial 1", "trial 2"} & set(labels)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_who_guesses_looks_for_a_new_composite_first(runs_dir: Path, sampler: str) -> None:
    study = plan(sampler=sampler, trials=20, meaning=at_zero_y_is_nothing)
    dimensions = {"x": Choice(choice=(0.0, 0.5, 0.9)), "y": Int(int=(0, 5))}
    spec = study.spec.model_copy(update={"search": dimensions})
    results = run_study(replace(study, spec=spec), runs_dir=runs_dir, executor="local")
    assert results.planned == len(results.complete) == len(set(points(results))) == 18
    assert [trial.same_as is None for trial in results.trials] == [True] * 13 + [False] * 5


def test_equal_composites_wait_for_the_one_that_runs(runs_dir: Path, two_workers: None) -> None:
    """With workers that are faster than the first of them, and after a stop."""
    study = plan(sampler="grid", points=4, meaning=at_zero_y_is_nothing, build=Build(0.05))
    literature = {"first": {"x": 1.0, "y": 1.0}}  # so that the equal ones do not run alone
    study = replace(study, literature=literature)
    results = run_study(study, runs_dir=runs_dir)
    assert len(results.complete) == 16
    assert [trial.same_as for trial in results.trials[:5]] == [None, None, 1, 1, 1]


def test_the_last_trials_may_all_be_equal_to_one_that_still_runs(
    runs_dir: Path, executor: Any
) -> None:
    """When it is done, there is nothing left to hand out, and the validation begins."""

    def meaning(values: Any) -> Any:
        return tuple(values.items()) if values["x"] < 1 else "one"

    study = plan(sampler="grid", points=3, meaning=meaning, build=Build(0.05), baselines=("one",))
    results = run_study(study, runs_dir=runs_dir, executor=executor)
    assert [trial.same_as for trial in results.trials] == [*[None] * 7, 6, 6]
    assert len(results.complete) == 9
    assert results.recommendation is not None


def test_where_the_first_of_equal_composites_fails_the_next_one_is_run(runs_dir: Path) -> None:
    build = Build(x0="raise")
    tasks = counted(build)
    study = plan(sampler="grid", points=3, meaning=at_zero_y_is_nothing, build=build)
    results = run_study(study, runs_dir=runs_dir, executor="local")
    assert [trial.state for trial in results.trials] == ["failed"] * 3 + ["complete"] * 6
    assert len(tasks) == 9


def test_a_stopped_study_goes_on_with_equal_composites(runs_dir: Path) -> None:
    class Stopping(Noting):
        def told(self, record: TrialRecord) -> None:
            if record.number == 1:
                raise InterruptedError

    study = plan(sampler="grid", points=3, meaning=at_zero_y_is_nothing)
    with pytest.raises(InterruptedError):
        run_study(study, runs_dir=runs_dir, executor="local", observer=Stopping())
    resumed = run_study(study, runs_dir=runs_dir, executor="local")
    straight = run_study(study, runs_dir=runs_dir / "straight", executor="local")
    assert [(t.values, t.same_as) for t in resumed.trials] == [
        (t.values, t.same_as) for t in straight.trials
    ]


CONDITIONAL = (
    "[{block: early, layers: 0..5, rule: $rule, gamma: $y}, "
    "{block: default, rule: gamma, gamma: $x}]"
)


def conditional(sampler: str) -> Any:
    """A plan in which y counts only where the rule is gamma."""
    study = plan(sampler=sampler, trials=20)
    changes = ["search.rule={choice: [gamma, zero]}", f"composite={CONDITIONAL}"]
    spec = parse_study(study.spec.text, study.spec.path, changes)
    return replace(study, spec=spec)


@pytest.mark.parametrize(("sampler", "trials"), [("grid", 12), ("random", 20), ("tpe", 20)])
def test_values_and_database_hold_the_names_that_count(
    runs_dir: Path, sampler: str, trials: int
) -> None:
    results = run_study(conditional(sampler), runs_dir=runs_dir, executor="local")
    assert results.planned == len(results.complete) == trials
    names = {"gamma": ["x", "y", "rule"], "zero": ["x", "rule"]}
    assert {trial.values["rule"] for trial in results.trials} == set(names)
    for trial in results.trials:
        assert list(trial.values) == names[trial.values["rule"]]
    again = run_study(conditional(sampler), runs_dir=runs_dir, executor="local")
    assert points(again) == points(results)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_conditional_study_goes_on_as_if_it_had_not_stopped(runs_dir: Path, sampler: str) -> None:
    study = conditional(sampler)
    few = replace(study, spec=study.spec.model_copy(update={"trials": 13}))
    run_study(few, runs_dir=runs_dir, executor="local")
    grown = run_study(study, runs_dir=runs_dir, executor="local")
    straight = run_study(study, runs_dir=runs_dir / "straight", executor="local")
    assert points(grown) == points(straight)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_trials_that_have_all_names_are_taken_over(runs_dir: Path, sampler: str) -> None:
    """As earlier versions stored them, whether their composites depended on the names or not."""
    study = conditional(sampler)
    store = create_store(
        study_url(None, runs_dir, "quadratic", runs_dir), "quadratic", ("minimize",)
    )
    point = {"x": 0.5, "y": 0.5, "rule": "zero"}
    for number in range(2):  # the second is the same composite now
        store.start(point | {"y": 0.25 * number}, distributions(study.spec.search), point)
        store.complete(number, TrialResult.from_json(result([0.1, 0.2])), 1.0)
    store.close()
    results = run_study(study, runs_dir=runs_dir, executor="local")
    found = [tuple(trial.values.items()) for trial in results.trials[2:]]
    assert len(set(found)) == len(found) == results.planned - 2 == 18
    assert (("x", 0.5), ("rule", "zero")) not in found


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_what_exceeds_a_bound_is_marked_and_not_nominated(runs_dir: Path, sampler: str) -> None:
    """The hot spot of a trial is 1 − x; the best x is 0.3."""
    observer = Noting()
    study = plan(
        sampler=sampler, points=5, trials=25, constraints="{hot_spot: 0.5}", baselines=("one",)
    )
    results = run_study(study, runs_dir=runs_dir, executor="local", observer=observer)
    for trial in results.complete:
        assert trial.exceeded == (("hot_spot",) if trial.values["x"] < 0.5 else ())
    assert results.recommendation is not None
    assert results.recommendation.values["x"] >= 0.5
    assert results.recommendation.number == results.ranked()[0].number
    best = results.ranked()[0].result
    assert best is not None
    last = [progress for progress in observer.progress if progress.stage == "search"][-1]
    assert last.best == best.value


@pytest.mark.parametrize(
    ("number", "where"),
    [
        (signal.SIGINT, "ray"),
        (signal.SIGTERM, "local"),
        pytest.param(signal.SIGINT, "local", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, "ray", marks=pytest.mark.long),
    ],
)
def test_a_signal_stops_cleanly_and_the_same_command_goes_on(
    drive: Callable[..., Any], runs_dir: Path, number: int, where: str
) -> None:
    driver = drive(trials=40, seconds=0.3, executor=where)
    driver.wait_for("search 4")
    if number == signal.SIGINT:
        os.killpg(driver.process.pid, number)  # Ctrl-C reaches the workers as well
    else:
        os.kill(driver.process.pid, number)
    said = driver.end()
    assert "SweepInterruptedError: study 'quadratic' was stopped; " in said
    assert "The same command goes on with the rest." in said
    assert "Traceback" not in said
    stopped = load_results(plan(trials=40).spec, runs_dir)
    states = [trial.state for trial in stopped.trials]
    assert "running" not in states
    assert 4 <= states.count("complete") < 40

    resumed = run_study(plan(trials=40), runs_dir=runs_dir, executor="local")
    straight = run_study(plan(trials=40), runs_dir=runs_dir / "straight", executor="local")
    assert points(resumed) == points(straight)
    assert len(resumed.complete) == 40


def test_a_grid_begun_on_another_processor_asks_the_points_that_are_missing(
    runs_dir: Path,
) -> None:
    """Caught: of 26 trials, 22 were different points; four were run twice, four never.

    numpy gives inner points of an axis with another last digit on some processors.
    """
    study = plan(sampler="grid", points=5)
    spec = study.spec
    space = Space(spec.search, spec.composite)
    store = create_store(study_url(None, runs_dir, spec.name, spec.base), spec.name, ("minimize",))
    for number, point in enumerate(space.grid()[:12]):
        params = {name: v if v in (0.0, 1.0) else math.nextafter(v, 1) for name, v in point.items()}
        store.start(params, distributions(spec.search), params)
        store.complete(number, TrialResult.from_json(result([0.1, 0.2])), 0.0)
    store.close()
    results = run_study(study, runs_dir=runs_dir, executor="local")
    assert len(results.trials) == 25
    assert len({tuple(round(v, 9) for v in point) for point in points(results)}) == 25
