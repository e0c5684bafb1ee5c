from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lrpsweep.study.writing import dump
from lrpsweep.study.yaml_text import MAX_CHARACTERS, MAX_DEPTH, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("-.5E+3", -500.0),
        ("010", 10),
        ("0.01", 0.01),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("inf", "inf"),
        (".inf", float("inf")),
        ("'1'", "1"),
        ('"true"', "true"),
        ("[1, [a, b]]", (1, ("a", "b"))),
        ("{29: axolotl}", {"29": "axolotl"}),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    found = read_yaml(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{a: &x 1, b: *x}", "anchor or alias"),
        ("a: *x", "anchor or alias"),
        ("a: !!python/object/apply:os.system ['true']", "tag"),
        ("a: !mine 1", "tag"),
        ("a: !!str 1", "tag"),
        ("{a: 1, a: 2}", "'a' twice"),
        ("{[1]: 2}", "key that is not a word"),
        ("[" * 500, "levels of nesting"),
        ("9" * 5000, "5000 digits"),
        ("a: [", "expected"),
        ("a: 1\n---\nb: 2", "document"),
        ("a: \x00", "not allowed"),
    ],
)
def test_what_a_plain_file_does_not_need_is_refused(text, complaint):
    with pytest.raises(yaml.YAMLError) as caught:
        read_yaml(text)
    assert complaint in str(caught.value)


def test_a_merge_key_is_only_a_key():
    assert read_yaml("{<<: {a: 1}}") == {"<<": {"a": 1}}


def test_endless_text_is_refused_before_it_is_parsed():
    with pytest.raises(yaml.YAMLError, match="characters"):
        read_yaml("a" * (MAX_CHARACTERS + 1))


def test_the_allowed_depth_is_reached():
    assert read_yaml("[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("abcé123.~", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
@example("0E0")
@example("09")
def test_dumped_values_are_read_back_the_same(value):
    assert read_yaml(dump(value)) == value
