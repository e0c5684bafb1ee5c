"""The same study on a real PostgreSQL server; skipped where none is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from quadratic import plan

from lrpsweep.errors import InputError
from lrpsweep.sweep.study import load_results, run_study

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database on a server of our own, on a socket in a temporary folder."""
    found = str(BINARIES[-1]) if BINARIES else shutil.which("initdb")
    if not found:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("pg")
    user = "postgres" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        own = takewhile(lambda path: path != Path(tempfile.gettempdir()), folder.parents)
        for path in (folder, *own):
            path.chmod(0o755)
        shutil.chown(folder, user)
    data, password = folder / "data", folder / "password"
    password.write_text("secret")
    password.chmod(0o644)
    initialise = [found, "-D", str(data), "-U", "me", "-A", "password", f"--pwfile={password}"]
    subprocess.run(initialise, user=user, check=True, capture_output=True, cwd=folder)
    process = subprocess.Popen(
        [Path(found).parent / "postgres", "-D", data, "-k", folder, "-h", ""],
        user=user,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "ready to accept connections" in line:
            break
    yield f"postgresql://me:secret@/postgres?host={folder}"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Each test has a study of its own in the one database."""
    return str(request.node.name).replace("[", ".").replace("]", "")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_killed_study_goes_on(
    server: str, drive: Callable[..., Any], runs_dir: Path, sampler: str, name: str
) -> None:
    options = {"name": name, "storage": server, "trials": 15, "sampler": sampler}
    first = drive(seconds=0.1, **options)
    first.wait_for("search 5")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    resumed = run_study(plan(**options), runs_dir=runs_dir, executor="local")
    on_sqlite = run_study(
        plan(trials=15, sampler=sampler), runs_dir=runs_dir / "sqlite", executor="local"
    )
    assert [t.values for t in resumed.trials] == [t.values for t in on_sqlite.trials]
    assert {trial.state for trial in resumed.trials} == {"complete"}
    assert not (runs_dir / name / "optuna.db").exists()


def test_a_second_run_names_the_first_and_takeover_stops_it(
    server: str, drive: Callable[..., Any], runs_dir: Path, name: str
) -> None:
    options = {"name": name, "storage": server, "trials": 40}
    first = drive(seconds=0.3, **options)
    first.wait_for("search 2")
    with pytest.raises(InputError, match=f"process {first.process.pid} on"):
        run_study(plan(**options), runs_dir=runs_dir, executor="local")
    results = run_study(plan(**options), runs_dir=runs_dir, executor="local", takeover=True)
    assert "LeaseLostError" in first.end()
    assert len(results.complete) == 40


def test_a_wrong_password_is_refused_and_not_shown(server: str, runs_dir: Path, name: str) -> None:
    wrong = server.replace("secret", "hunter2")
    with pytest.raises(InputError, match="password authentication failed") as caught:
        run_study(plan(name=name, storage=wrong), runs_dir=runs_dir, executor="local")
    assert "hunter2" not in str(caught.value)


def test_studies_of_one_database_do_not_mix(server: str, runs_dir: Path, name: str) -> None:
    for seed, study in enumerate((f"{name}.a", f"{name}.b")):
        run_study(
            plan(name=study, storage=server, trials=3, seed=seed),
            runs_dir=runs_dir,
            executor="local",
        )
    read = [
        load_results(plan(name=f"{name}.{x}", storage=server).spec, runs_dir).trials for x in "ab"
    ]
    assert [len(trials) for trials in read] == [3, 3]
    assert [t.values for t in read[0]] != [t.values for t in read[1]]
