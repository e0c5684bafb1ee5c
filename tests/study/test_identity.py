from __future__ import annotations

import json

import pytest
from study_text import STUDY, study

from lrpsweep.study import difference, identity, parse_study

IMAGES = {
    "fingerprint": "f",
    "image_ids": ["a", "b"],
    "image_hashes": ["x", "y"],
    "targets": [1, 2],
}


def of(spec, **changes):
    return identity(spec, **(IMAGES | changes))


@pytest.mark.parametrize(
    "change",
    [
        "name=other",
        "run={cpus: 3, storage: 'sqlite:///x.db', device: cpu}",
        "data.split.seed=3",
    ],
)
def test_what_decides_no_result_is_outside(change):
    assert of(study(change))[0] == of(study())[0]


def test_the_batch_counts_only_where_images_are_explained_by_their_batch():
    block = "composite.default={block: default, rule: epsilon, epsilon: 0.1, form: FORM}"
    for form, same in (("rms", True), ("rms_batch", False), ("$f", False)):
        change = [block.replace("FORM", form)]
        if form == "$f":
            change.append("search.f={choice: [rms, rms_batch]}")
        found = {of(study(*change, f"run.batch={batch}"))[0] for batch in (2, 64)}
        assert (len(found) == 1) == same


def test_trials_may_grow_and_data_may_move(tmp_path):
    tpe = ["sampler.name=tpe", "trials=3"]
    moved = parse_study(STUDY, tmp_path / "other.yaml", [*tpe, "trials=9"])
    assert of(moved)[0] == of(study(*tpe))[0]


def test_defaults_that_are_written_out_change_nothing():
    same = study(
        "evaluation={patch: 8, score: logit}",
        "composite.early.stabilizer=1.0e-6",
        "composite.early.stabilize=signed",
        "constraints={}",
        "economy={}",
    )
    assert of(same)[0] == of(study())[0]
    preset = "composite={preset: tutorial, gamma: $g"
    assert of(study(preset + "}")) == of(study(preset + ", epsilon: 0.25}"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (["evaluation.patch=4"], "evaluation.patch: was 8, is 4"),
        (["objective=srg"], "objective: was 'auc_morf', is 'srg'"),
        (["search.g.points=5"], "search.g.points: was 4, is 5"),
        (["search.g.log=[0.01, 2]"], "search.g.log: was [0.01, 1.0], is [0.01, 2.0]"),
        (["composite.pixel.rule=flat"], "composite.pixel.rule: was 'z_box', is 'flat'"),
        (
            ["composite.early.layers=features.1..features.7"],
            "composite.early.layers: was ['features.1..features.9'], is ['features.1..features.7']",
        ),
        (["sampler.seed=1"], "sampler.seed: was 0, is 1"),
        (["constraints.hot_spot=0.2"], "constraints: is new, {hot_spot: 0.2}"),
        (["economy={lag: 8}"], "economy: is new, {lag: 8}"),
        (["economy={states: all}"], "economy: is new, {states: 'all'}"),
        (["economy={racing: false}"], "economy: is new, {racing: false}"),
        (["composite.early.decay=0.5"], "composite.early.decay: is new, 0.5"),
        (["baselines=[tutorial]"], "baselines: is new, ['tutorial']"),
        (["composite.early.bias=kept"], "composite.early.bias: is new, 'kept'"),
        (["composite.early.stabilizer=1e-9"], "composite.early.stabilizer: was 1e-06, is 1e-09"),
    ],
)
def test_every_other_change_is_told_field_by_field(changes, line):
    (old_hash, old), (new_hash, new) = of(study()), of(study(*changes))
    assert old_hash != new_hash
    assert difference(old, new) == [line]


def test_new_and_lost_fields_are_told():
    old = of(study())[1]
    new = of(study("composite.early={block: lower, layers: 1..9, rule: gamma, gamma: $g}"))[1]
    lines = difference(old, new)
    assert lines[0].startswith("composite.early: was {layers: ['features.1..features.9']")
    assert lines[0].endswith("is gone")
    assert lines[1].startswith("composite.lower: is new, {layers: ['1..9']")
    assert lines[2:] == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"fingerprint": "g"}, "model: was 'f', is 'g'"),
        ({"targets": [1, 3]}, "images.1 (b): target was 2, is 3"),
        ({"image_hashes": ["z", "y"]}, "images.0 (a): content was 'x', is 'z'"),
        (
            {"image_ids": ["a"], "image_hashes": ["x"], "targets": [1]},
            "images: were 2, are 1",
        ),
    ],
)
def test_models_and_images_are_inside(changes, line):
    (old_hash, old), (new_hash, new) = of(study()), of(study(), **changes)
    assert old_hash != new_hash
    assert difference(old, new) == [line]


def test_where_work_is_saved_is_inside():
    saving = ("version=2", "economy={states: [0, 4], racing: true, lag: 8}")
    (old_hash, old), (new_hash, new) = of(study(*saving)), of(study(*saving, "economy.lag=4"))
    assert old_hash != new_hash
    assert difference(old, new) == ["economy.lag: was 8, is 4"]
    other = of(study(*saving, "economy.states=[0, 3]"))[1]
    assert difference(old, other) == ["economy.states: was [0, 4], is [0, 3]"]
    assert json.loads(json.dumps(old)) == old


def test_many_changed_images_are_summed_up():
    many = {"image_ids": [str(i) for i in range(20)], "targets": [0] * 20}
    old = of(study(), **many, image_hashes=["x"] * 20)[1]
    new = of(study(), **many, image_hashes=["y"] * 20)[1]
    lines = difference(old, new)
    assert len(lines) == 6
    assert lines[-1] == "images: 15 more differ"


def test_the_order_of_the_space_decides_the_trials():
    two = "search.h={linear: [0, 1], points: 2}"
    use = "composite.default={block: default, rule: epsilon, epsilon: $h}"
    old = study(two, use)
    new = study(
        "search={h: {linear: [0, 1], points: 2}, g: {log: [0.01, 1], zero: true, points: 4}}", use
    )
    assert of(old)[0] != of(new)[0]
    assert difference(of(old)[1], of(new)[1]) == ["search: the order was g, h, is h, g"]


def test_the_identity_is_plain_json_and_the_same_everywhere():
    digest, canonical = of(
        study(
            "search.h={choice: [1, 2]}",
            "composite.early.gamma=inf",
            "composite.default.rule=epsilon",
            "composite.default.epsilon=$g",
            "composite.pixel={block: pixel, layers: 0, rule: gamma, gamma: $h}",
        )
    )
    assert canonical["composite"]["early"]["gamma"] == "inf"
    assert json.loads(json.dumps(canonical, allow_nan=False)) == canonical
    assert difference(json.loads(json.dumps(canonical)), canonical) == []
    assert len(digest) == 64


def test_the_hash_of_a_study_that_was_run_before_is_still_the_same():
    assert of(study())[0] == "c69f85f4635e363b3040061cd77e5efcd25a316f6de7dca69b208de096949e4d"


def test_bounds_of_z_box_are_inside():
    changes = ["composite.pixel.low=-1", "composite.pixel.high=[2]"]
    lines = difference(of(study())[1], of(study(*changes))[1])
    assert lines == ["composite.pixel.low: is new, [-1.0]", "composite.pixel.high: is new, [2.0]"]
