"""What several rooms' tests share: a small study on the embedded network."""

import os
from pathlib import Path

import pytest
from fabricated import SMALL_STUDY, fabricate_study

from lrpsweep.results import StudyResults

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def small_study(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def study() -> StudyResults:
    """A finished study of 49 trials; frozen, so one serves all tests."""
    return fabricate_study()
