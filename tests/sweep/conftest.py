"""Studies without images, and one Ray for all tests that need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# Workers and drivers in other processes find the builds of these tests by their module.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def two_workers() -> Iterator[None]:
    """A Ray of this process with two workers; `ray_executor` uses the Ray that is there."""
    from lrpsweep.sweep.execution import Resources, ray_executor

    with ray_executor(Resources(workers=2)):
        yield


@pytest.fixture(params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> str:
    if request.param == "ray":
        request.getfixturevalue("two_workers")
    return str(request.param)


class Driver:
    """A driver in a process of its own, see driver.py."""

    def __init__(self, runs_dir: Path, options: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "driver.py"), str(runs_dir), json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    def wait_for(self, line: str) -> None:
        assert self.process.stdout is not None
        for found in self.process.stdout:
            self.lines.append(found.rstrip())
            if self.lines[-1] == line:
                return
        raise AssertionError("\n".join(self.lines))

    def end(self, seconds: float = 60) -> str:
        """Waits until it has ended; all that it printed."""
        rest, _ = self.process.communicate(timeout=seconds)
        return "\n".join([*self.lines, rest])


@pytest.fixture
def drive(runs_dir: Path) -> Iterator[Callable[..., Driver]]:
    started: list[Driver] = []

    def start(**options: Any) -> Driver:
        started.append(Driver(runs_dir, options))
        return started[-1]

    yield start
    for driver in started:
        driver.process.kill()
        driver.process.communicate()
