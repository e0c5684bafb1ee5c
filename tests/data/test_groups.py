from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from lrpsweep.data.groups import Group, deal
from lrpsweep.data.labels import assign_labels, imagenet_wnids
from lrpsweep.errors import InputError

THOUSAND = tuple(f"class {i}" for i in range(1000))


def group(name: str, **more: object) -> Group:
    return Group(name, f"class '{name}'", list, **more)  # type: ignore[arg-type]


def assigned(name: str, labels: object, classes: tuple[str, ...] = THOUSAND) -> int:
    return assign_labels([group(name)], labels, None, classes)[0][1]  # type: ignore[arg-type]


def test_every_beginning_of_a_deal_is_stratified() -> None:
    dealt = deal([["a"] * 5, ["b"] * 5, ["c"] * 2], seed=1)
    assert Counter(dealt[:6]) == {"a": 2, "b": 2, "c": 2}
    assert Counter(dealt[:10]) == {"a": 4, "b": 4, "c": 2}
    assert Counter(dealt) == {"a": 5, "b": 5, "c": 2}


def test_a_deal_stays_what_it_was() -> None:
    """Another order would make other studies of all that were ever run."""
    assert deal(["abc", "defgh", "i"], 3) == list("gcidbfaeh")
    assert deal(["abc", "defgh", "i"], 4) != list("gcidbfaeh")


def test_wordnet_ids_are_those_of_imagenet() -> None:
    wnids = imagenet_wnids()
    assert list(wnids.values()) == list(range(1000))
    assert list(wnids) == sorted(wnids)
    known = {"n01440764": 0, "n01632777": 29, "n02123045": 281, "n15075141": 999}
    assert {name: wnids[name] for name in known} == known


def test_a_wordnet_id_gives_the_class_also_when_the_model_names_none() -> None:
    assert assigned("n01632777", "wnid") == assigned("n01632777", "wnid", ()) == 29


@pytest.mark.parametrize(
    ("name", "labels", "classes", "message"),
    [
        ("n01632778", "wnid", THOUSAND, "none of the 1,000 WordNet ids .*Did you mean 'n0163277"),
        ("axolotl", "wnid", THOUSAND, "'axolotl' is none of the 1,000"),
        ("n01632777", "wnid", ("cat", "dog"), "data.labels: found 'wnid'.*but the model has 2"),
        ("a", {"a": 1, "bb": 2}, THOUSAND, "data.labels: the data has no class 'bb', which the"),
        ("٣", "index", THOUSAND, "'٣' stands for class ٣; expected a class index"),
    ],
)
def test_labels_that_fit_nothing_are_refused(
    name: str, labels: object, classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        assigned(name, labels, classes)


def test_a_map_may_name_classes_that_are_not_used() -> None:
    groups = [group("a"), group("b")]
    used = assign_labels(groups, {"a": 1, "b": 2}, ("a",), THOUSAND)
    assert [(g.name, label) for g, label in used] == [("a", 1)]


def test_number_and_wordnet_id_of_a_class_come_before_its_name() -> None:
    newt = [group("newt", index=7, wnid="n01630670")]
    assert assign_labels(newt, "index", None, THOUSAND)[0][1] == 7
    assert assign_labels(newt, "wnid", None, THOUSAND)[0][1] == 26
    assert assign_labels(newt, {"newt": 3}, None, THOUSAND)[0][1] == 3


@pytest.mark.shared
@pytest.mark.skipif("LRPSWEEP_TEST_DATA" not in os.environ, reason="LRPSWEEP_TEST_DATA is not set")
def test_wordnet_ids_agree_with_another_list() -> None:
    path = Path(os.environ["LRPSWEEP_TEST_DATA"]) / "imagenet_classes.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    assert {entry["wnid"]: entry["index"] for entry in listed} == imagenet_wnids()
