"""What all tests of explanations have in common."""

import pytest
import torch

from lrpsweep.attribution.lrp.operations import OPERATIONS


@pytest.fixture(autouse=True)
def _one_thread():
    """Small images in float64: several threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _nothing_registered():
    """What a test registers is gone with it."""
    yield
    for operation in OPERATIONS.by_hand():
        OPERATIONS.remove(operation.name)
