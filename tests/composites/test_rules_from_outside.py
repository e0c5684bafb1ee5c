"""A rule that somebody registers is known to studies, to composite.json."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from study_text import study

from lrpsweep.attribution.lrp.operations import OPERATIONS
from lrpsweep.attribution.lrp.rules import RULES, LayerRule, Option, Parameter, Rule
from lrpsweep.composites import Block, Composite
from lrpsweep.composites.file import check_composite, composite_of
from lrpsweep.errors import InputError
from lrpsweep.study import identity, plugins_used

SHARPNESS = Parameter("sharpness", low=0.5, high=2.0)
WIDTH = Parameter("width", default=3.0)
SHAPE = Option("shape", ("round", "square"))


def toy(*_: Any, **__: Any) -> None:
    raise NotImplementedError


@pytest.fixture(autouse=True)
def rule() -> Iterator[Rule]:
    found = Rule("toy", toy, "a toy", (SHARPNESS, WIDTH), (SHAPE,))
    with RULES.register(found):
        yield found


SEARCH = "search.s={linear: [1, 2], points: 2}"
BLOCK = "composite.early={block: early, layers: 1..9, rule: toy, sharpness: $s, shape: square}"
GAMMA = "composite.pixel={block: pixel, layers: 0, rule: gamma, gamma: $g}"


def test_a_study_searches_its_parameter() -> None:
    spec = study(SEARCH, BLOCK, GAMMA)
    early = spec.composite.bind({"s": 1.5, "g": 0.1}).blocks[1]
    assert early.values == {"sharpness": 1.5, "width": 3.0}
    assert early.options == {"shape": "square"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("search.s={linear: [1, 3], points: 2}", "may be 3.0; expected a number from 0.5 to 2"),
        ("composite.early.sharpness=0.1", "found 0.1; expected a number from 0.5 to 2"),
        ("composite.early.shape=oval", "'oval'; expected one of round, square"),
        (
            "composite.early={block: early, layers: 1..9, rule: toy}",
            "early.sharpness.*: missing; exp",
        ),
        ("composite.early.epsilon=1", "expected nothing: rule 'toy' takes sharpness, width"),
        ("composite.early.sharpnes=1", "unknown key; .* Did you mean 'sharpness'"),
    ],
)
def test_its_ranges_and_options_are_those_of_the_entry(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(SEARCH, BLOCK, GAMMA, change)


def test_it_is_unknown_once_it_is_taken_back() -> None:
    RULES.remove("toy")
    with pytest.raises(InputError, match=r"composite\.early\.sharpness .*: unknown key"):
        study(SEARCH, BLOCK, GAMMA)


def document() -> dict[str, Any]:
    block = Block("early", ("a",), "toy", {"sharpness": 1.0, "width": 3.0}, {"shape": "square"})
    return {
        "schema_version": 1,
        "model": {
            "source": {"embedded": "scenes"},
            "architecture": "scenes",
            "fingerprint": "0" * 64,
            "input_size": [64, 64],
            "preprocess": {"resize": None, "crop": None, "mean": [0, 0, 0], "std": [1, 1, 1]},
            "pixel_low": [0, 0, 0],
            "pixel_high": [1.0, 1, 1],
        },
        "blocks": [block.to_json()],
        "evaluation": {},
        "result": {
            "validated": False,
            "objective": "srg",
            "direction": "maximize",
            "search": {"mean": 1, "stderr": None, "images": 3},
        },
        "provenance": {
            "study": "s",
            "trial": 1,
            "values": {},
            "spec_hash": "0",
            "seed": 0,
            "versions": {},
        },
    }


def test_composite_json_holds_it() -> None:
    check_composite(document(), "here")
    assert composite_of(document()) == Composite((Block.from_json(document()["blocks"][0]),))
    wrong = document()
    wrong["blocks"][0]["hyperparameters"]["sharpness"] = 9.0
    place = r"here: blocks\.0\.hyperparameters\.sharpness"
    with pytest.raises(InputError, match=rf"{place}: found 9\.0; expected a number from 0\.5 to 2"):
        check_composite(wrong, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["hyperparameters"].update(sharpness=9), "hyperparameters.sharpness: found 9;"),
        (lambda d: d["hyperparameters"].update(width="inf"), "hyperparameters.width: found 'inf';"),
        (lambda d: d["hyperparameters"].update(gamma=1), "hyperparameters: found gamma, sharpness"),
        (lambda d: d["hyperparameters"].pop("width"), "hyperparameters: found sharpness; the rule"),
        (lambda d: d.update(options=None), "options: found None; expected dictionary"),
        (lambda d: d["options"].update(shape="oval"), "options.shape: found 'oval'; expected one"),
        (lambda d: d.update(code="import os"), "code: unknown key"),
    ],
)
def test_a_file_that_its_entry_does_not_allow_is_refused(change: Any, message: str) -> None:
    wrong = document()
    change(wrong["blocks"][0])
    with pytest.raises(InputError, match=rf"here: blocks\.0\.{message}"):
        check_composite(wrong, "here")


IMAGES: dict[str, Any] = {
    "fingerprint": "f",
    "image_ids": ["a"],
    "image_hashes": ["x"],
    "targets": [1],
}


def test_a_plugin_is_part_of_the_identity_of_studies_that_use_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lrpsweep.registry import Plugin

    uses, does_not = study(SEARCH, BLOCK, GAMMA), study()
    by_hand, before = identity(uses, **IMAGES)[0], identity(does_not, **IMAGES)[0]
    plugin = Plugin("lrpsweep-toys", "1.2")
    monkeypatch.setitem(RULES._added, "toy", plugin)
    assert plugins_used(uses) == (plugin,)
    assert plugins_used(does_not) == ()
    assert identity(uses, **IMAGES)[1]["plugins"] == ["lrpsweep-toys"]
    assert identity(uses, **IMAGES)[0] != by_hand
    assert identity(does_not, **IMAGES)[0] == before
    monkeypatch.setitem(OPERATIONS._added, "route", plugin)
    assert plugins_used(does_not, ["convolution", "route"]) == (plugin,)
    assert identity(does_not, **IMAGES, operations=["convolution"])[0] == before
    assert identity(does_not, **IMAGES, operations=["route"])[0] != before


def test_the_engine_gets_the_rule_with_its_settings() -> None:
    block = Block("early", ("a",), "toy", {"sharpness": 1.0}, {"shape": "square"}).bind({})
    expected = LayerRule("toy", {"sharpness": 1.0, "width": 3.0, "shape": "square"}, "early")
    assert Composite((block,)).rules([]) == {"a": expected}


def test_importing_the_study_room_imports_no_torch() -> None:
    code = "import lrpsweep.study, sys; print(sorted({'torch', 'optuna', 'cv2'} & {*sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
