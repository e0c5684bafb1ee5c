"""The package to compare with, installed once for all tests that ask for it."""

from pathlib import Path

import pytest
from environment import build_environment


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has it."""
    return build_environment(tmp_path_factory.mktemp("package"))
