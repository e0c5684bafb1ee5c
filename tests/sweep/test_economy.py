"""Whole sweeps that save work, over stored curves: what they find, and what they notice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from replay import Curves, Worker, plan_of

from lrpsweep.errors import InputError
from lrpsweep.evaluation import looks
from lrpsweep.results import StudyResults
from lrpsweep.study import parse_study
from lrpsweep.sweep import study as sweep_study
from lrpsweep.sweep.execution import Build, Job, JobSource, Work
from lrpsweep.sweep.points import PILOTS
from lrpsweep.sweep.preparation import steps_of
from lrpsweep.sweep.samplers import SAMPLERS
from lrpsweep.sweep.search import Progress, Silent
from lrpsweep.sweep.storage import SCORED_STEPS, open_store
from lrpsweep.sweep.study import Plan, SweepFailedError, run_study
from lrpsweep.sweep.validation import rule_of

LAST, SIDE = 16, 8
HIDDEN = [1, 7, 9, 15]
"""States that no named subset looks at."""
BOTH = "{states: auto, racing: true, lag: 8}"


@dataclass(frozen=True)
class Made:
    """A surface made by hand: how good composites are, (C, N), as different states see it.

    coarse: as the named subsets see it; the hidden states see `quality` and make up for that.
    """

    quality: np.ndarray
    coarse: np.ndarray | None = None

    def curves(self) -> Curves:
        gammas = np.geomspace(0.01, 10, SIDE)
        values = tuple({"early": float(a), "late": float(b)} for a in gammas for b in gammas)
        line = np.linspace(1.0, 0.0, LAST + 1)
        shape = np.minimum(1 - line, line)
        seen = self.quality if self.coarse is None else self.coarse
        gain = seen[..., None] * shape
        if self.coarse is not None:
            lacking = (self.quality - self.coarse) * shape.sum()
            gain[..., HIDDEN] += lacking[..., None] / len(HIDDEN)
        keys = np.arange(gain.size * 2, dtype=np.uint32).reshape(len(values), 2, -1, LAST + 1)
        return Curves(
            values,
            {"morf": line - gain, "lerf": line + gain},
            np.tile(line, (self.quality.shape[1], 1)),
            np.zeros(len(values), bool),
            keys,
        )


def hill(images: int = 16, noise: float = 0.01) -> np.ndarray:
    """Quality (C, N) from 0.1 to 0.5, best at the third gamma below and the sixth above."""
    rng = np.random.default_rng(3)
    a, b = np.divmod(np.arange(SIDE**2), SIDE)
    far = ((a - 2) ** 2 + (b - 5) ** 2) / 50
    return 0.5 - 0.4 * far[:, None] + noise * rng.normal(size=(SIDE**2, images))


class Noting(Worker):
    """Remembers its tasks."""

    def __init__(self, surface: Curves) -> None:
        super().__init__(surface)
        self.tasks: list[Job] = []

    def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        self.tasks.append(dict(task))
        return super().run(task)


def planned(surface: Curves, worker: Worker, economy: str = BOTH, **changes: Any) -> Plan:
    options = {"sampler": "tpe", "seed": 0, "trials": 24} | changes
    return plan_of(surface, worker, economy=economy, **options)


def swept(surface: Curves, folder: Path, economy: str = BOTH, **changes: Any) -> tuple[Any, Any]:
    worker = Noting(surface)
    study = planned(surface, worker, economy, **changes)
    return run_study(study, runs_dir=folder, executor="local"), worker


def rows(surface: Curves, results: StudyResults) -> list[int]:
    return sorted({surface.nearest(trial.values) for trial in results.trials})


def best(surface: Curves, among: list[int], results: StudyResults) -> int:
    """Of the full grid's scores, who would be nominated among these."""
    rule = rule_of(parse_study(results.spec_text, Path("replayed.yaml")))
    tally = surface.ballot().count().of(among)
    return among[tally.order(rule, tally.ranges(rule))[0]]


def nominee(surface: Curves, results: StudyResults) -> int:
    assert results.nomination is not None
    assert results.nomination.nominee is not None
    return surface.nearest(results.nomination.nominee.values)


def test_an_honest_surface_is_searched_on_a_few_states_and_a_few_images(tmp_path: Path) -> None:
    surface = Made(hill(noise=0.001)).curves()
    results, worker = swept(surface, tmp_path)
    pilot, rest = worker.tasks[:PILOTS], worker.tasks[PILOTS:]
    assert all(task["coarse"] and task["rows"] == [0, 8] and "steps" not in task for task in pilot)
    trials = [task for task in rest if "split" not in task]
    assert all(task["steps"] == [0, 4, 8, 12, 16] for task in trials)
    assert ["race" in task for task in trials] == [False] * PILOTS + [True] * (len(trials) - PILOTS)
    assert nominee(surface, results) == best(surface, rows(surface, results), results)
    assert len(results.full) == 5
    assert {len(one.scores) for one in results.full.values()} == {16}
    assert all(not one.states for one in results.full.values())


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3))])
@pytest.mark.parametrize("what", ["reversed", pytest.param("unrelated", marks=pytest.mark.long)])
def test_where_some_states_mislead_the_pilot_notices_and_all_are_looked_at(
    tmp_path: Path, what: str, seed: int
) -> None:
    quality = hill()
    wrong = {"reversed": 0.6 - quality, "unrelated": np.random.default_rng(1).permutation(quality)}
    surface = Made(quality, wrong[what]).curves()
    results, worker = swept(surface, tmp_path, "{states: auto, lag: 8}", seed=seed)
    assert not any("steps" in task for task in worker.tasks)
    assert not results.full  # they are in full from the beginning
    assert nominee(surface, results) == best(surface, rows(surface, results), results)


def test_where_listed_states_mislead_more_and_more_finalists_are_looked_at(tmp_path: Path) -> None:
    """Nobody asks a pilot; the better are found in every further round, up to the last."""
    quality = hill(noise=0.001)
    surface = Made(quality, 0.6 - quality).curves()
    results, _ = swept(surface, tmp_path, "{states: [0, 4, 8, 12, 16], lag: 8}", trials=17)
    tried = rows(surface, results)
    assert nominee(surface, results) == best(surface, tried, results)
    assert len(results.full) == len(tried)
    honest, _ = swept(Made(quality).curves(), tmp_path / "b", "{states: [0, 8, 16]}", trials=17)
    assert len(honest.full) == 5


def misled(agreeing: bool) -> Curves:
    """The first eight of 32 images find the best composites bad, the others as much better."""
    quality = hill(32, noise=0.001)
    gain = np.full(32, 0.1)
    gain[:8] = -0.3 if agreeing else [-0.9, -0.9, -0.9, -0.3, 0.0, 0.0, 0.3, 0.3]
    good = quality.mean(1) > np.quantile(quality.mean(1), 0.9)
    return Made(quality + good[:, None] * gain).curves()


@pytest.mark.parametrize(
    "agreeing",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.xfail(strict=True, reason="no complete trial shows it"),
        ),
    ],
)
def test_where_the_first_images_mislead_the_best_is_found_all_the_same(
    tmp_path: Path, agreeing: bool
) -> None:
    surface = misled(agreeing)
    results, _ = swept(surface, tmp_path, "{racing: true, lag: 4}", trials=40, seed=2)
    assert nominee(surface, results) == best(surface, rows(surface, results), results)


def record(results: StudyResults) -> list[tuple[Any, ...]]:
    return [(trial.values, trial.state, trial.pruned, trial.same_as) for trial in results.trials]


@dataclass
class Scattered:
    """Workers of any speed, in this process; `after` so many outcomes, the driver is stopped."""

    workers: int = 4
    after: int | None = None
    chance: random.Random = field(default_factory=random.SystemRandom)

    def run(self, source: JobSource, build: Build) -> bool:
        work, running, ended = Work(build), list[Job](), 0
        while not source.finished:
            while len(running) < self.workers and (task := source.next()) is not None:
                running.append(task)
            if not running:
                continue  # the last stage had nothing to hand out
            if ended == self.after:
                raise InterruptedError
            task = running.pop(self.chance.randrange(len(running)))
            source.done(task, work(task))
            ended += 1
        return True


@pytest.fixture
def scattered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the workers of all further local runs."""

    def set_up(**options: Any) -> None:
        @contextlib.contextmanager
        def local() -> Iterator[Scattered]:
            yield Scattered(**options)

        monkeypatch.setattr(sweep_study, "local_executor", local)

    return set_up


def in_pieces(study: Plan, folder: Path) -> tuple[StudyResults, int]:
    """The study, begun anew after each stop, and how often it was."""
    stops = 0
    while True:
        try:
            return run_study(study, runs_dir=folder, executor="local"), stops
        except InterruptedError:
            stops += 1


DOTTED = Made(hill(noise=0.03)).curves()


def small(sampler: str, lag: int, worker: Worker, points: int = 5) -> Plan:
    """Of a grid of 25 points; others have 24 trials."""
    trials = None if sampler == "grid" else 24
    economy = f"{{states: auto, racing: true, lag: {lag}}}"
    study = plan_of(DOTTED, worker, sampler=sampler, seed=1, economy=economy, trials=trials)
    changes = [f"search.{name}.points={points}" for name in study.spec.search]
    return replace(study, spec=parse_study(study.spec.text, study.spec.path, changes))


QUICK = ("tpe", "cmaes")
"""Those that are looked at by default: the one learns from results, the other from its notes."""


@dataclass(frozen=True)
class Ended:
    """A study that was run in one go, and what its worker was asked."""

    folder: Path
    results: StudyResults
    tasks: list[Job]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """With all means, and some trials pruned."""
    folder, worker = tmp_path_factory.mktemp("ended"), Noting(DOTTED)
    results = run_study(small("random", 4, worker), runs_dir=folder, executor="local")
    assert any(trial.pruned for trial in results.trials)
    return Ended(folder, results, worker.tasks)


@pytest.mark.parametrize(
    "sampler",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in SAMPLERS],
)
def test_trials_races_and_nominee_are_the_same_on_any_workers_and_through_stops(
    tmp_path: Path, scattered: Callable[..., None], sampler: str
) -> None:
    """One worker in one go; and four of any speed, stopped after every eleven outcomes."""
    lag = 8 if sampler in ("tpe", "gp") else 4
    study = small(sampler, lag, Worker(DOTTED))
    straight = run_study(study, runs_dir=tmp_path / "one", executor="local")
    scattered(after=11)
    resumed, stops = in_pieces(study, tmp_path / "four")
    assert stops >= 3
    assert record(resumed) == record(straight)
    assert resumed.nomination == straight.nomination
    states = [trial.state for trial in straight.trials]
    assert {"complete", "pruned"} == set(states)
    if sampler != "grid":
        assert set(states[:PILOTS]) == {"complete"}
    assert straight.full.keys() == resumed.full.keys() != set()


def test_nothing_is_computed_twice_however_often_a_study_is_stopped(
    tmp_path: Path, ended: Ended, scattered: Callable[..., None]
) -> None:
    """In the pilot, in the search, and among the finalists."""
    scattered(workers=1, after=6)
    worker = Noting(DOTTED)
    resumed, stops = in_pieces(small("random", 4, worker), tmp_path)
    assert stops == (len(ended.tasks) - 1) // 6
    assert worker.tasks == ended.tasks
    assert resumed.nomination == ended.results.nomination
    kinds = [task.get("split", "trial") for task in ended.tasks]
    assert kinds.index("trial") == PILOTS + 1  # and a random order, to race with
    assert kinds[-6:] == ["search"] * 6  # five finalists and a random order, in full


class Dying(Worker):
    """Kills its process at the so manyth task."""

    left = 22

    def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(task)


KILLED = """
import sys
from pathlib import Path
from test_economy import DOTTED, Dying, run_study, small

run_study(small("random", 4, Dying(DOTTED)), runs_dir=Path(sys.argv[1]), executor="local")
"""


@pytest.mark.long
def test_a_killed_study_goes_on_with_the_same_races(tmp_path: Path, ended: Ended) -> None:
    path = os.pathsep.join(sys.path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    worker = Noting(DOTTED)
    resumed = run_study(small("random", 4, worker), runs_dir=tmp_path, executor="local")
    assert worker.tasks == ended.tasks[Dying.left - 1 :]
    assert record(resumed) == record(ended.results)
    assert resumed.nomination == ended.results.nomination


def test_a_study_that_has_ended_asks_nothing_of_its_workers(ended: Ended) -> None:
    worker = Noting(DOTTED)
    after = run_study(small("random", 4, worker), runs_dir=ended.folder, executor="local")
    assert worker.tasks == []
    assert record(after) == record(ended.results)


class Following(Silent):
    def __init__(self) -> None:
        self.search: list[Progress] = []

    def progressed(self, progress: Progress) -> None:
        if progress.stage == "search":
            self.search.append(progress)


def bounded(sampler: str, worker: Worker) -> Plan:
    """With a bound that every trial keeps."""
    study = small(sampler, 4, worker)
    spec = parse_study(study.spec.text, study.spec.path, ["constraints={hot_spot: 0.9}"])
    return replace(study, spec=spec)


def test_pruned_trials_count_as_done_and_are_never_the_best_so_far(tmp_path: Path) -> None:
    """Caught: progress ended at 16 of 24 trials."""
    observer = Following()
    study = small("random", 4, Worker(DOTTED))
    results = run_study(study, runs_dir=tmp_path, executor="local", observer=observer)
    assert [progress.done for progress in observer.search] == list(range(1, 25))
    assert observer.search[-1].seconds_left == 0
    assert observer.search[-1].best == max(t.result.value for t in results.complete if t.result)


def test_samplers_are_told_of_bounds_by_pruned_trials_too(tmp_path: Path) -> None:
    """Caught: GP ended the run, as not every trial with a value had as many constraints."""
    study = bounded("gp", Worker(DOTTED))
    short = replace(study, spec=study.spec.model_copy(update={"trials": 22}))
    results = run_study(short, runs_dir=tmp_path, executor="local")
    assert "pruned" in {trial.state for trial in results.trials[:-1]}
    assert {frozenset(trial.constraints) for trial in stored(tmp_path)} == {frozenset({"hot_spot"})}


class Unable(Noting):
    """Cannot score anything in full but a random order."""

    def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        found = super().run(task)
        if "split" in task and not (task["control"] or "steps" in task or "coarse" in task):
            raise MemoryError("too many states")
        return found


def test_where_no_finalist_can_be_scored_in_full_the_reason_is_told(
    tmp_path: Path, ended: Ended
) -> None:
    """Caught: 'need at least one array to stack'. The same command goes on once it is gone."""
    text = "no finalist could be scored on all states: MemoryError: too many states"
    with pytest.raises(SweepFailedError, match=text):
        run_study(small("random", 4, Unable(DOTTED)), runs_dir=tmp_path, executor="local")
    worker = Noting(DOTTED)
    resumed = run_study(small("random", 4, worker), runs_dir=tmp_path, executor="local")
    assert resumed.nomination == ended.results.nomination
    assert len(worker.tasks) == 5


def stored(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """As anybody reads them who knows Optuna alone."""
    url = f"sqlite:///{folder}/replayed/optuna.db"
    return optuna.load_study(study_name="replayed", storage=url).trials


def test_a_pruned_trial_is_stored_as_such_with_estimate_and_partial_scores(ended: Ended) -> None:
    trials, full = stored(ended.folder), DOTTED.ballot().scores["srg"]
    own = [trial for trial in ended.results.trials if trial.same_as is None]
    tasks = [task for task in ended.tasks if "split" not in task]
    for trial, task in zip(own, tasks, strict=True):
        if trial.pruned is None:
            continue
        assert trial.result is None
        assert trial.pruned.images in looks(DOTTED.images)
        kept = trials[trial.number]
        assert kept.state == optuna.trial.TrialState.PRUNED
        assert kept.value == trial.pruned.estimate
        partial = np.array(kept.user_attrs["partial"]["measures"]["srg"])
        theirs = np.array(task["race"]["incumbent"]["srg"])
        difference = np.mean(partial - theirs[: len(partial)])
        assert len(partial) == trial.pruned.images
        assert kept.value == pytest.approx(theirs.mean() + difference)
        row = DOTTED.nearest(trial.values)  # its curves are straight between the states
        np.testing.assert_allclose(partial, full[row, : len(partial)])


def test_a_pruned_trial_is_nobody_s_finalist_and_nobody_s_incumbent(ended: Ended) -> None:
    results = ended.results
    assert results.nomination is not None
    pruned = {f"trial {trial.number}" for trial in results.trials if trial.pruned}
    labels = {one.label for one in results.nomination.finalists}
    assert not pruned & (labels | results.full.keys())
    whole = [t.result.measures["srg"] for t in results.complete if t.result is not None]
    for task in ended.tasks:
        if "race" in task:
            theirs = task["race"]["incumbent"]["srg"]
            assert any(np.array_equal(theirs, one) for one in whole)


def test_a_trial_with_the_composite_of_a_pruned_one_is_pruned_with_its_record(
    tmp_path: Path, scattered: Callable[..., None]
) -> None:
    """All points with the lowest gamma below are one composite; also where a stop is between."""

    def meaning(values: Mapping[str, Any]) -> Any:
        return tuple(values.items()) if values["early"] else "one"

    def study(worker: Worker) -> Plan:
        return replace(small("grid", 4, worker), meaning=meaning)

    straight = run_study(study(Worker(DOTTED)), runs_dir=tmp_path / "one", executor="local")
    scattered(after=7)
    resumed, _ = in_pieces(study(Worker(DOTTED)), tmp_path / "two")
    assert record(resumed) == record(straight)
    twins = [trial for trial in straight.trials if trial.same_as is not None]
    assert len(twins) == 4
    for twin in twins:
        assert twin.same_as is not None
        assert (twin.state, twin.pruned) == (
            straight.trials[twin.same_as].state,
            straight.trials[twin.same_as].pruned,
        )


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_budget_too_small_for_a_pilot_is_refused_before_the_first_trial(
    tmp_path: Path, sampler: str
) -> None:
    worker = Noting(DOTTED)
    study = small(sampler, 4, worker, points=4)
    study = replace(study, spec=study.spec.model_copy(update={"trials": 16}))
    text = "found 16 trials, 0 of them published .* expected at least 17 trials"
    with pytest.raises(InputError, match=text):
        run_study(study, runs_dir=tmp_path, executor="local")
    assert worker.tasks == []


def test_what_was_found_out_is_stored_once_and_read_by_every_later_run(tmp_path: Path) -> None:
    """With seventeen trials, one of which is no pilot."""
    results, _ = swept(DOTTED, tmp_path, sampler="random", trials=17)
    store = open_store(f"sqlite:///{tmp_path}/replayed/optuna.db", "replayed")
    with contextlib.closing(store):
        found = store.get(SCORED_STEPS)
        assert found["subset"] == "quarters"
        assert steps_of(store) == (0, 4, 8, 12, 16)
        assert {*found["errors"]["quarters"]} == {"srg", "auc_morf"}
        store.set(SCORED_STEPS, {"subset": "listed", "steps": [0, 16]})
    grown, worker = swept(DOTTED, tmp_path, sampler="random", trials=18)
    assert len(grown.trials) == len(results.trials) + 1
    trials = [task for task in worker.tasks if "split" not in task]
    assert [task["steps"] for task in trials] == [[0, 16]]
