"""What several rooms' tests share: a small study on the embedded network."""

import os
from pathlib import Path

import pytest
from fabricated import SMALL_STUDY, fabricate_study

from lrpsweep.results import StudyResults

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many processes as processors test at once
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


LONGEST_FIRST = (
    "test_study.py",
    "test_quickstart.py",
    "test_cli.py",
    "test_notebooks.py",
    "test_pages.py",
)
"""Files that take a minute or more: begun last, they would leave other processors idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are handed to processes in this order."""
    items.sort(
        key=lambda item: (
            LONGEST_FIRST.index(item.path.name)
            if item.path.name in LONGEST_FIRST
            else len(LONGEST_FIRST)
        )
    )
