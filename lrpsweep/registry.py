"""Registries: what a study may name, a table for each kind, and packages that add to them.

A table stands in the module that computes what it lists; `find_registry` imports it when a name is
looked up, so that a room may know the names of another one without importing it. Other packages
add entries through the entry point group `lrpsweep.plugins`: each entry point is a function without
arguments that calls `register`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from lrpsweep.errors import InputError, guess

GROUP = "lrpsweep.plugins"

HOMES: Mapping[str, str] = {
    "rule": "lrpsweep.attribution.lrp.rules:RULES",
    "operation": "lrpsweep.attribution.lrp.operations:OPERATIONS",
    "method": "lrpsweep.attribution.methods:METHODS",
    "measure": "lrpsweep.evaluation.measures:MEASURES",
    "order": "lrpsweep.evaluation.orders:ORDERS",
    "perturbation": "lrpsweep.evaluation.perturbations:PERTURBATIONS",
    "protocol": "lrpsweep.evaluation.protocols:PROTOCOLS",
    "score": "lrpsweep.evaluation.scores:SCORES",
    "sampler": "lrpsweep.sweep.samplers:SAMPLERS",
}
"""Kind of entry to the table that lists all of its kind."""


class Named(Protocol):
    """What a registry holds: a value that knows the name it has in a study."""

    @property
    def name(self) -> str:
        """The name in the YAML file."""


Entry = TypeVar("Entry", bound=Named)


@dataclass(frozen=True)
class Plugin:
    """A package that adds entries, by the name and version it is installed with."""

    name: str
    version: str


class Registry(Mapping[str, Entry], Generic[Entry]):
    """All entries of one kind by name, in order: the package's own, then what was registered.

    changes: how often an entry was added or taken back.
    """

    def __init__(self, kind: str, entries: Iterable[Entry] = ()) -> None:
        self.kind = kind
        self._entries = {entry.name: entry for entry in entries}
        self._added: dict[str, Plugin | None] = {}
        self.changes = 0

    def __getitem__(self, name: str) -> Entry:
        load_plugins()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(self._entries)

    def __len__(self) -> int:
        load_plugins()
        return len(self._entries)

    def find(self, name: str, place: str = "") -> Entry:
        """The entry of that name. Raises InputError that lists the names there are."""
        if name not in self:
            raise InputError(
                f"{place or self.kind}: found '{name}'; expected one of {', '.join(self)}."
                f"{guess(name, self)}"
            )
        return self[name]

    def register(self, entry: Entry) -> Registration:
        """Adds an entry. The answer takes it back: by `undo()`, or as a context manager.

        Raises InputError when the name is taken.
        """
        if entry.name in self._entries:
            raise InputError(
                f"register: there is a {self.kind} '{entry.name}' already; expected a new name"
            )
        self.changes += 1
        self._entries[entry.name] = entry
        self._added[entry.name] = _loading
        return Registration(self, entry.name)

    def remove(self, name: str) -> None:
        """Takes back an entry that was registered; no effect if it is gone already."""
        if self._added.pop(name, self) is not self:
            self.changes += 1
            del self._entries[name]

    def plugin_of(self, name: str) -> Plugin | None:
        """The package that registered the entry; None: lrpsweep itself, or a script."""
        return self._added.get(name)

    def by_hand(self) -> tuple[Entry, ...]:
        """What a script has registered: other processes do not know it."""
        return tuple(self._entries[n] for n, plugin in self._added.items() if plugin is None)


@dataclass(frozen=True)
class Registration:
    """An entry that was registered, to be taken back."""

    registry: Registry[Any]
    name: str

    def undo(self) -> None:
        """Takes the entry back."""
        self.registry.remove(self.name)

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


def find_registry(kind: str) -> Registry[Any]:
    """The table of a kind of entry, a key of HOMES."""
    module, _, table = HOMES[kind].partition(":")
    registry: Registry[Any] = getattr(import_module(module), table)
    return registry


def registered_by_hand() -> dict[str, tuple[Any, ...]]:
    """What scripts have registered, by kind, for processes that do not know it."""
    return {kind: added for kind in HOMES if (added := find_registry(kind).by_hand())}


def register_again(entries: Mapping[str, Iterable[Any]]) -> None:
    """Registers what `registered_by_hand` gave in another process; what is there stays."""
    for kind, added in entries.items():
        registry = find_registry(kind)
        for entry in added:
            if entry.name not in registry:
                registry.register(entry)


_loading: Plugin | None = None


def load_plugins() -> tuple[Plugin, ...]:
    """The installed packages that add entries; each is loaded once.

    Raises InputError that names a package which cannot be loaded, at every call.
    """
    if not _loaded:
        _loaded.append(())  # what a package looks up while it is loaded
        try:
            _loaded[0] = tuple(dict.fromkeys(map(_load, entry_points(group=GROUP))))
        except InputError as error:
            _loaded[0] = error
    if isinstance(_loaded[0], InputError):
        raise _loaded[0]
    return _loaded[0]


_loaded: list[tuple[Plugin, ...] | InputError] = []
"""What `load_plugins` has found, once it was called."""


def _load(point: EntryPoint) -> Plugin:
    global _loading
    dist = point.dist
    plugin = Plugin(point.name, "unknown") if dist is None else Plugin(dist.name, dist.version)
    _loading = plugin
    try:
        point.load()()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the package '{plugin.name}' {plugin.version} adds to lrpsweep by {point.value}, "
            f"which fails ({type(error).__name__}: {error}); expected a function that registers "
            "entries. Mend or uninstall it"
        ) from error
    finally:
        _loading = None
    return plugin
