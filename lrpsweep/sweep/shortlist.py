"""Who is looked at in full, where candidates were scored on some of the states alone."""

from __future__ import annotations

from collections.abc import Iterator

from lrpsweep.evaluation import MEASURES
from lrpsweep.sweep.nomination import FINALISTS, Ballot, Criteria

SEASONED = 3
"""Of the first round, so many may come out best without a second one."""


def rounds(ballot: Ballot, criteria: Criteria) -> Iterator[list[int]]:
    """Rows of the candidates, five a round: those that keep floor and guards first, best first.

    The best by each guard come with the first five: the others are measured from them.
    """
    tally = ballot.count()
    within = tally.order(criteria, tally.ranges(criteria))
    by_objective = tally.behind(criteria.objective).argsort(kind="stable").tolist()
    kept = tally.kept(criteria)
    line = list(
        dict.fromkeys([*within, *(row for row in by_objective if kept[row]), *by_objective])
    )
    bests = [
        min((row for row in line if kept[row]), key=tally.behind(MEASURES[name]).__getitem__)
        for name in criteria.guards
        if kept.any()
    ]
    first = list(dict.fromkeys([*line[:FINALISTS], *bests]))
    yield first
    rest = [row for row in line if row not in first]
    for place in range(0, len(rest), FINALISTS):
        yield rest[place : place + FINALISTS]


def settled(full: Ballot, criteria: Criteria, newest: int) -> bool:
    """Whether the best is none of the newest candidates, the last so many."""
    tally = full.count()
    order = tally.order(criteria, tally.ranges(criteria))
    return bool(order) and order[0] < len(full.contenders) - newest
