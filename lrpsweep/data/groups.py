"""The classes of the data with their pictures, and the order in which these are dealt."""

from __future__ import annotations

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
    cropped.
    """

    id: str
    read: Callable[[Preprocess], np.ndarray]


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
    turns = [shuffled[i] for i in rng.permutation(len(shuffled))]
    longest = max(map(len, turns), default=0)
    return [group[turn] for turn in range(longest) for group in turns if turn < len(group)]
