"""The thesis's studies, as one declared form varied by a line or two."""

import pytest

from lrpsweep.study import bundled_studies, decode, grid, load_study

STUDIES = {name: path for name, path in bundled_studies().items() if name.startswith("thesis-")}


def hyper(name, values):
    blocks = load_study(STUDIES[name]).composite.bind(values).blocks
    return {
        b.name: (b.rule, *(v for h, v in b.values.items() if h != "stabilizer")) for b in blocks
    }


def test_all_of_them_are_there():
    assert set(STUDIES) == {
        *(
            f"thesis-{c}-{o}"
            for c in ("decreasing", "tutorial")
            for o in ("morf", "lerf", "random")
        ),
        "thesis-decreasing-zoomed",
        "thesis-decreasing-table-4.2",
    }
    for name, path in STUDIES.items():
        study = load_study(path)
        assert study.name == name
        assert study.evaluation.protocol == "thesis"
        assert (study.data.split.search, study.model.torchvision) == (50, "vgg16")


@pytest.mark.parametrize("order", ["morf", "lerf", "random"])
@pytest.mark.parametrize("composite", ["decreasing", "tutorial"])
def test_six_studies_on_the_same_grid(composite, order):
    study = load_study(STUDIES[f"thesis-{composite}-{order}"])
    assert study.objective == f"auc_{order}"
    outer, inner = grid(study.search)
    points = [
        decode(study.search, {outer: a, inner: b})
        for a in grid(study.search)[outer]
        for b in grid(study.search)[inner]
    ]
    assert len(points) == 256
    assert points[0] == {outer: 0.0, inner: 0.0}
    assert points[140] == pytest.approx({outer: 0.01, inner: 0.13895}, rel=1e-4)
    assert points[255] == {outer: 1.0, inner: 1.0}


def test_the_zoomed_grid_is_linear_from_zero():
    study = load_study(STUDIES["thesis-decreasing-zoomed"])
    assert all((d.linear, d.points) == ((0.0, 0.2), 16) for d in study.search.values())


def test_decreasing_gamma_as_run_and_as_in_table_4_2():
    values = {"gamma1": 0.01, "gamma2": 0.13895}
    as_run = hyper("thesis-decreasing-morf", values)
    assert [as_run[b] for b in ("early", "middle", "late", "last", "head")] == [
        ("gamma", 0.01),
        ("gamma", 0.01),
        ("gamma", 0.13895),
        ("gamma", 0.0),
        ("zero",),
    ]
    assert hyper("thesis-decreasing-table-4.2", values) == as_run | {"early": ("gamma", 0.5)}


def test_tutorials_epsilon_is_unsigned():
    composite = load_study(STUDIES["thesis-tutorial-morf"]).composite
    blocks = composite.bind({"gamma": 0.1, "epsilon": 0.2}).blocks
    (upper,) = [b for b in blocks if b.rule == "epsilon"]
    assert (upper.values["epsilon"], upper.options) == (0.2, {"form": "unsigned"})
