"""The classes of the data with their pictures, and the order in which these are dealt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lrpsweep.study import Preprocess

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One picture that has not been read yet.

    id: unique and the same on every machine; read: its pixels as uint8 (H, W, 3), resized and
    cropped; digest: SHA-256 of its content, of a file's bytes or else of the pixels, as hex.
    """

    id: str
    read: Callable[[Preprocess], np.ndarray]
    digest: Callable[[], str]


Labelled = tuple[Item, int]
"""A picture with the class of the model that it stands for."""

Listed = tuple[str, Sequence[Labelled]]
"""The name of a class in the data's own words, with all its pictures."""


@dataclass(frozen=True)
class Group:
    """The pictures of one class, in the data's own words.

    name: what a map of labels and `data.classes` call it; index, wnid: its number and its WordNet
    id, where these are not the name. title, field: how errors speak of it, and the field of the
    study that they name. items: lists the pictures, which may take a while.
    """

    name: str
    title: str
    items: Callable[[], Sequence[Item]]
    index: int | None = None
    wnid: str | None = None
    field: str = "data.labels"


def deal(groups: Sequence[Sequence[T]], seed: int) -> list[T]:
    """All members of the groups in an order of which every beginning is stratified.

    Each group is shuffled, and the groups then give one member after another in turn, so that
    consecutive parts hold about as many of each.
    """
    rng = np.random.default_rng(seed)
    shuffled = [[group[i] for i in rng.permutation(len(group))] for group in groups]
    return in_turns([shuffled[i] for i in rng.permutation(len(shuffled))])


def in_turns(groups: Sequence[Sequence[T]], ahead: Sequence[int] | None = None) -> list[T]:
    """One member of each group after another. ahead: turns that each group has had before."""
    before = [0] * len(groups) if ahead is None else ahead
    turns = sorted(
        (before[place] + i, place) for place, group in enumerate(groups) for i in range(len(group))
    )
    return [groups[place][turn - before[place]] for turn, place in turns]


def order_by_content(groups: Sequence[Listed], seed: int) -> list[list[Labelled]]:
    """The groups in an order that seed and names decide, the members in one of seed and content.

    Neither knows of the names of files, nor of how many there are: what is added shifts the others
    and keeps their order.
    """
    named = sorted(groups, key=lambda group: _draw(seed, group[0]))
    return [
        sorted(members, key=lambda member: _draw(seed, member[0].digest())) for _, members in named
    ]


def _draw(seed: int, word: str) -> str:
    return hashlib.sha256(f"{seed}:{word}".encode()).hexdigest()
