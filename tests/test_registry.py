"""Tables of entries: looked up by name, added to, and put back as they were."""

from dataclasses import dataclass

import pytest

from lrpsweep.errors import InputError
from lrpsweep.registry import HOMES, Registry, find_registry, register_again


@dataclass(frozen=True)
class Colour:
    name: str


@pytest.fixture
def colours() -> Registry[Colour]:
    return Registry("colour", (Colour("red"), Colour("green")))


def test_names_come_in_order_and_lead_to_their_entries(colours):
    assert list(colours) == ["red", "green"]
    assert colours["green"] is colours.find("green")
    assert len(colours) == 2


def test_an_unknown_name_is_refused_with_those_there_are(colours):
    with pytest.raises(InputError, match=r"sky: found 'grean'; expected one of red, green\.") as no:
        colours.find("grean", "sky")
    assert "Did you mean 'green'?" in str(no.value)


def test_what_is_registered_is_gone_with_undo(colours):
    registration = colours.register(Colour("blue"))
    assert list(colours) == ["red", "green", "blue"]
    assert colours.by_hand() == (Colour("blue"),)
    registration.undo()
    registration.undo()
    assert "blue" not in colours
    assert colours.by_hand() == ()


def test_what_is_registered_is_gone_after_its_block(colours):
    with colours.register(Colour("blue")):
        assert "blue" in colours
    assert "blue" not in colours


def test_a_name_is_given_once(colours):
    with pytest.raises(InputError, match="there is a colour 'red' already"):
        colours.register(Colour("red"))
    assert colours["red"] == Colour("red")


def test_the_tables_own_entries_cannot_be_removed(colours):
    colours.remove("red")
    assert "red" in colours


@pytest.mark.parametrize("kind", HOMES)
def test_every_kind_has_its_table_and_each_entry_stands_under_its_name(kind):
    registry = find_registry(kind)
    assert registry.kind == kind
    assert len(registry) > 0
    for name, entry in registry.items():
        assert entry.name == name
        assert registry.plugin_of(name) is None
    assert registry.by_hand() == ()


def test_another_process_registers_what_it_lacks_and_keeps_what_it_has():
    rules = find_registry("rule")
    toy, zero = Colour("toy"), Colour("zero")
    register_again({"rule": (toy, zero)})
    try:
        assert rules["toy"] is toy
        assert rules["zero"] is not zero
    finally:
        rules.remove("toy")
