"""Studies without images, and one Ray for all tests that need it."""

from __future__ import annotations

import os
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


@pytest.fixture
def make_plan(runs_dir: Path) -> Callable[..., Any]:
    from quadratic import plan

    return plan
