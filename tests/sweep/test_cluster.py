"""`--address`: a Ray cluster that somebody else has started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("cluster.py")

UNREACHABLE = """
from lrpsweep.errors import InputError
from lrpsweep.sweep.execution import Resources, ray_executor
try:
    with ray_executor(Resources(), "127.0.0.1:9"):
        pass
except InputError as error:
    print(error)
"""


@pytest.mark.long
def test_a_study_runs_on_two_nodes(runs_dir: Path) -> None:
    """Each node has one CPU, so two workers are two nodes."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(runs_dir)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines()[:3] == ["workers 2", "trials 6", "gpu False"], done.stderr


def test_a_cluster_that_does_not_answer_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNREACHABLE], capture_output=True, text=True, timeout=60
    )
    assert "--address 127.0.0.1:9: no Ray cluster answers there" in done.stdout, done.stderr
