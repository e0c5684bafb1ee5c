from __future__ import annotations

import pytest
from fabricated import fabricate_study

from lrpsweep.results import StudyResults


@pytest.fixture(scope="session")
def study() -> StudyResults:
    """A finished study of 49 trials; frozen, so one serves all tests."""
    return fabricate_study()
