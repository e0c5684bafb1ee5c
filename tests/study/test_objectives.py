"""Several objectives in a study file."""

from __future__ import annotations

import pytest
from study_text import study

from lrpsweep.errors import InputError
from lrpsweep.study import identity

SEVERAL = ("version=2", "objective=[srg, auc_morf]")


def hashed(*overrides: str) -> str:
    spec = study(*overrides)
    return identity(spec, fingerprint="", image_ids=[], image_hashes=[], targets=[])[0]


def test_they_stand_in_the_order_of_the_file_and_have_no_guards() -> None:
    spec = study(*SEVERAL)
    assert spec.objectives == ("srg", "auc_morf")
    assert spec.recorded == ("srg", "auc_morf", "auc_lerf")
    assert spec.guards == {}
    assert spec.floor


def test_a_list_of_one_is_that_one() -> None:
    one, listed = study("version=2", "objective=srg"), study("version=2", "objective=[srg]")
    assert one.objective == listed.objective == "srg"
    assert one.guards == listed.guards == {"auc_morf": 5.0}
    assert hashed("version=2", "objective=srg") == hashed("version=2", "objective=[srg]")


def test_list_and_order_are_of_the_identity() -> None:
    swapped = ("version=2", "objective=[auc_morf, srg]")
    assert len({hashed(*SEVERAL), hashed(*swapped), hashed("version=2", "objective=srg")}) == 3
    canonical = identity(
        study(*SEVERAL), fingerprint="", image_ids=[], image_hashes=[], targets=[]
    )[1]
    assert canonical["objective"] == ["srg", "auc_morf"]


@pytest.mark.parametrize("sampler", ["nsga2", "random", "qmc", "tpe", "gp"])
def test_samplers_that_can_search_for_them_are_taken(sampler: str) -> None:
    spec = study(*SEVERAL, f"sampler.name={sampler}", "trials=3")
    assert spec.sampler.name == sampler


def test_lag_constraints_and_floor_are_allowed() -> None:
    spec = study(*SEVERAL, "economy={lag: 2}", "constraints={hot_spot: 0.5}", "floor=false")
    assert spec.economy.lag == 2
    assert not spec.floor


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ("version=1", "objective=[srg, auc_morf]"),
            r"objective .*: found \['srg', 'auc_morf'\]; expected one measure, or `version: 2`",
        ),
        (
            (*SEVERAL, "guards={auc_lerf: 5}"),
            r"guards .*: found \{auc_lerf: 5.0\}; expected noth",
        ),
        (("version=2", "objective=[srg, sgr]"), r"objective\.1.*: found 'sgr'; expected .*'srg'\?"),
        (
            ("version=2", "objective=[srg, srg]"),
            r"objective\.1.*: found 'srg' again; expected",
        ),
        (("version=2", "objective=[]"), r"objective.*: found \[\]; expected at least 1"),
        (
            ("version=2", "objective=[srg, auc_random]", "evaluation.protocol=thesis"),
            r"objective\.1.*: found 'auc_random'; expected measures that a heatmap changes",
        ),
        (
            (*SEVERAL, "sampler.name=cmaes", "trials=3"),
            r"sampler\.name .*: found 'cmaes'; expected 'grid', .*'nsga2', which search for",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(*changes)
