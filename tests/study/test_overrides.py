from __future__ import annotations

import pytest
from study_text import PATH, study

from lrpsweep.errors import InputError
from lrpsweep.study import parse_study


@pytest.mark.parametrize(
    ("change", "look", "value"),
    [
        ("name=other", lambda s: s.name, "other"),
        ("data.split.search=7", lambda s: s.data.split.search, 7),
        ("run.workers=2", lambda s: s.run.workers, 2),
        ("run={cpus: 0.5}", lambda s: s.run.cpus, 0.5),
        (
            "composite.early.gamma=inf",
            lambda s: s.composite.blocks[1].values["gamma"],
            float("inf"),
        ),
        (
            "composite.1.stabilizer=1e-3",
            lambda s: s.composite.blocks[1].values["stabilizer"],
            0.001,
        ),
        ("composite.0.layers=[0, 1..2]", lambda s: s.composite.blocks[0].layers, ("0", "1..2")),
        ("search.g.log.0=0.5", lambda s: s.search["g"].log, (0.5, 1.0)),
        ("run.storage=sqlite:///a.db?x=1", lambda s: s.run.storage, "sqlite:///a.db?x=1"),
        ("evaluation.patch = 4", lambda s: s.evaluation.patch, 4),
    ],
)
def test_one_field_is_changed(change, look, value):
    extra = ["composite.default={block: default, rule: epsilon, epsilon: $g}"]
    assert look(study(change, *extra)) == value


def test_later_overrides_win():
    assert study("name=a", "name=b").name == "b"


def test_names_with_dots_are_whole():
    spec = study(
        "search={early.gamma: {linear: [0, 1], points: 2}}", "composite.1.gamma=$early.gamma"
    )
    again = parse_study(spec.text, PATH, ["search.early.gamma.points=3"])
    assert again.search["early.gamma"].points == 3


def test_the_text_of_the_changed_study_is_the_changed_study():
    spec = study("data.split.search=7", "search.g.log.0=1e-5", "composite.early.gamma=$g")
    again = parse_study(spec.text, PATH)
    assert "--set data.split.search=7" in spec.text
    assert again == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("name", "--set name: found no '='; expected path.to.key=value"),
        ("=1", "--set =1: found no '='"),
        ("name=[1", "--set name=.1: the value is no YAML"),
        ("composite.erly.gamma=1", "found no 'erly'; expected one of pixel, early.*mean 'early'"),
        ("composite.7.gamma=1", "--set composite.7.gamma=1: found no '7'"),
        ("search.g.log.5=1", "found no '5'; expected an index below 2"),
        ("name.x=1", "found no key 'x': there is a plain value in its place"),
        (
            "composite.early.gamma=-1",
            r"composite.early.gamma \(--set composite.early.gamma=-1\): fo",
        ),
    ],
)
def test_a_wrong_override_is_named(change, message):
    with pytest.raises(InputError, match=message):
        study(change)
