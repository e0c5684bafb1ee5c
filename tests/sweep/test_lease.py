"""One driver at a time, with real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quadratic import plan

from lrpsweep.errors import InputError
from lrpsweep.sweep import lease
from lrpsweep.sweep.storage import Store, create_store, study_url
from lrpsweep.sweep.study import load_results, run_study


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    url = study_url(None, tmp_path, "s", tmp_path)
    return create_store(url, "s", ("minimize",)), create_store(url, "s", ("minimize",))


def test_of_two_drivers_that_swap_at_once_one_succeeds(stores: tuple[Store, Store]) -> None:
    one, two = stores
    assert one.swap_lease(None, '{"a": 1}')
    assert not two.swap_lease(None, '{"b": 1}')
    assert two.swap_lease('{"a": 1}', '{"b": 1}')
    assert not one.swap_lease('{"a": 1}', '{"a": 2}')
    assert one.lease() == '{"b": 1}'


def test_a_lease_is_given_back(stores: tuple[Store, Store]) -> None:
    one, two = stores
    with lease.hold(one):
        assert lease.holder(two) is not None
        with pytest.raises(InputError, match=f"process {os.getpid()} on"), lease.hold(two):
            pass
    assert lease.holder(two) is None
    with lease.hold(two):
        two.set("key", 1)


def test_a_silent_holder_is_taken_over(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    monkeypatch.setattr(lease, "BEAT_SECONDS", 1000.0)
    monkeypatch.setattr(lease, "STALE_SECONDS", -1.0)
    with lease.hold(one):
        with lease.hold(two):
            with pytest.raises(lease.LeaseLostError, match="was taken over by process"):
                one.set("key", 1)
            two.set("key", 2)
        with pytest.raises(lease.LeaseLostError):
            one.set("key", 3)
    assert two.get("key") == 2


def test_a_holder_that_is_alive_goes_on_beating(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with lease.hold(one):
        first = lease.holder(two)
        for _ in range(200):
            now = lease.holder(two)
            assert first is not None
            assert now is not None
            if now.beat > first.beat:
                return
            signal.sigtimedwait([], 0.05)
    raise AssertionError("the heart did not beat")


def test_a_second_run_names_the_first_and_leaves(drive: Callable[..., Any], runs_dir: Path) -> None:
    first = drive(trials=200, seconds=0.05)
    first.wait_for("search 2")
    with pytest.raises(InputError, match=rf"process {first.process.pid} on .*--takeover"):
        run_study(plan(trials=200), runs_dir=runs_dir, executor="local")
    first.wait_for("search 4")  # and the first has not noticed


def test_takeover_stops_the_first_at_its_next_write(
    drive: Callable[..., Any], runs_dir: Path
) -> None:
    first = drive(trials=60, seconds=0.2)
    first.wait_for("search 2")
    results = run_study(plan(trials=60), runs_dir=runs_dir, executor="local", takeover=True)
    said = first.end()
    assert "LeaseLostError: study 'quadratic' was taken over by process" in said
    assert first.process.returncode == 1
    assert len(results.complete) == 60
    after = load_results(plan(trials=60).spec, runs_dir)
    assert [trial.state for trial in after.trials] == ["complete"] * 60


def test_a_killed_driver_is_succeeded_at_once(drive: Callable[..., Any], runs_dir: Path) -> None:
    first = drive(trials=50, seconds=0.05)
    first.wait_for("search 3")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    results = run_study(plan(trials=6), runs_dir=runs_dir, executor="local")
    assert len(results.complete) >= 6
    assert {trial.state for trial in results.trials} == {"complete"}
