"""Protocol `thesis` gives the curves of the thesis's code: the Python package lrp-pf-auc 0.1.6.

Equal but for rounding (2e-5 of 40 logits with real photos), where half a percent is promised.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cases import FLIPS, Case, our_curves, photos, scenes, smooth_noise
from environment import ask_package

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))


def assert_equal_curves(found: dict, curves: np.ndarray, auc: float, rounding: float) -> None:
    np.testing.assert_allclose(found["curves"], curves, rtol=0, atol=rounding * np.ptp(curves))
    assert found["auc"] == pytest.approx(auc, rel=rounding)


@pytest.fixture(scope="module")
def small() -> Case:
    return scenes()


@pytest.mark.parametrize("name", FLIPS)
def test_curves_are_those_that_the_package_once_gave(small, name):
    """Of its OpenCV, too: another version that inpaints otherwise would be seen here."""
    found = our_curves(small, smooth_noise(small.images), FLIPS[name])
    expected = REFERENCE[name]
    assert_equal_curves(found, np.array(expected["curves"]), expected["auc"], rounding=1e-4)


def compare(package: Path, folder: Path, case: Case) -> None:
    relevance = smooth_noise(case.images)
    theirs = ask_package(package, folder, case, relevance=relevance, flip=FLIPS)
    for name, options in FLIPS.items():
        ours = our_curves(case, relevance, options)
        curves, auc = theirs[f"{name}/curves"], float(theirs[f"{name}/auc"])
        assert_equal_curves(ours, curves, auc, rounding=1e-5)


@pytest.mark.long
def test_curves_are_those_of_the_package(package, tmp_path, small):
    compare(package, tmp_path, small)


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.skipif("LRPSWEEP_TEST_DATA" not in os.environ, reason="LRPSWEEP_TEST_DATA is not set")
def test_curves_of_real_photos_are_those_of_the_package(package, tmp_path):
    case = photos(Path(os.environ["LRPSWEEP_TEST_DATA"]))
    assert len(case.images) == 8
    compare(package, tmp_path, case)
