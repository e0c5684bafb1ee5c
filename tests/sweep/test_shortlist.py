"""Who is looked at in full, and when that is enough."""

from __future__ import annotations

import numpy as np
import pytest

from lrpsweep.evaluation import MEASURES
from lrpsweep.results import Contender
from lrpsweep.sweep.nomination import Ballot, Criteria
from lrpsweep.sweep.shortlist import rounds, settled

CRITERIA = Criteria(MEASURES["srg"], {"auc_morf": 2.5}, floor=True)
UNGUARDED = Criteria(MEASURES["srg"], {}, floor=True)


def ballot(*ends: tuple[float, float], barred: tuple[int, ...] = ()) -> Ballot:
    """Candidates by MoRF and LeRF, beside a random order of 1 from both ends."""
    morf, lerf = (np.repeat(np.array(side)[:, None], 4, axis=1) for side in zip(*ends, strict=True))
    return Ballot(
        tuple(Contender(f"trial {n}", n) for n in range(len(ends))),
        {"auc_morf": morf, "auc_lerf": lerf, "srg": lerf - morf},
        {"auc_morf": np.ones(4), "auc_lerf": np.ones(4), "srg": np.zeros(4)},
        tuple(("why",) if n in barred else () for n in range(len(ends))),
    )


def falling(count: int, *, barred: tuple[int, ...] = ()) -> Ballot:
    """The first is the best, and so on."""
    return ballot(*((0.5, 3.0 - 0.1 * n) for n in range(count)), barred=barred)


def test_five_a_round_best_first() -> None:
    assert list(rounds(falling(12), CRITERIA)) == [[*range(5)], [*range(5, 10)], [10, 11]]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 10, 11])
@pytest.mark.parametrize("criteria", [CRITERIA, UNGUARDED])
def test_every_candidate_comes_exactly_once(count: int, criteria: Criteria) -> None:
    rng = np.random.default_rng(count)
    barred = tuple(np.flatnonzero(rng.random(count) < 0.3).tolist())
    some = ballot(
        *((rng.uniform(0, 1.2), rng.uniform(0.8, 2)) for _ in range(count)), barred=barred
    )
    found = list(rounds(some, criteria))
    assert sorted(row for rows in found for row in rows) == list(range(count))
    assert all(5 <= len(rows) <= 6 for rows in found[:-1])


def test_who_keeps_guards_and_floor_comes_first_and_the_barred_last() -> None:
    beyond = [(0.8, 9.0 - n) for n in range(3)]  # better, but beyond the guard
    below = [(0.1, 0.9), (1.5, 9.9)]  # worse than chance from one end
    some = ballot(*beyond, *below, (0.5, 2.5), (0.5, 2.0), (0.5, 9.9), barred=(7,))
    assert [row for rows in rounds(some, CRITERIA) for row in rows] == [5, 6, 0, 1, 2, 7, 4, 3]


def test_the_best_by_each_guard_is_looked_at_with_the_first() -> None:
    """The others are measured from it; here it is the worst by the objective."""
    some = ballot(*((0.51, 3.0 - 0.1 * n) for n in range(8)), (0.5, 1.1))
    assert list(rounds(some, CRITERIA)) == [[0, 1, 2, 3, 4, 8], [5, 6, 7]]
    assert next(rounds(some, UNGUARDED)) == [0, 1, 2, 3, 4]
    two = Criteria(MEASURES["srg"], {"auc_morf": 2.5, "auc_lerf": 100.0}, floor=True)
    assert next(rounds(some, two)) == [0, 1, 2, 3, 4, 8]  # the first is the best by LeRF


def test_a_barred_candidate_sets_no_guard() -> None:
    some = ballot(*((0.51, 3.0 - 0.1 * n) for n in range(8)), (0.5, 1.1), barred=(8,))
    assert list(rounds(some, CRITERIA)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


def test_where_nobody_may_be_nominated_they_come_by_the_objective() -> None:
    some = falling(7, barred=tuple(range(7)))
    assert list(rounds(some, CRITERIA)) == [[0, 1, 2, 3, 4], [5, 6]]


def test_it_is_settled_when_the_best_is_none_of_the_newest() -> None:
    assert settled(falling(10), CRITERIA, newest=9)
    assert not settled(falling(10), CRITERIA, newest=10)
    last = ballot(*((0.5, 2.0 + 0.1 * n) for n in range(6)))
    assert not settled(last, CRITERIA, newest=1)
    assert settled(last, CRITERIA, newest=0)


def test_who_is_beyond_a_guard_or_barred_is_not_the_best() -> None:
    good = [(0.5, 2.0)] * 3
    assert settled(ballot(*good, (0.8, 9.0)), CRITERIA, newest=1)
    assert settled(ballot(*good, (0.5, 9.0), barred=(3,)), CRITERIA, newest=1)
    assert not settled(ballot(*good, (0.5, 9.0)), CRITERIA, newest=1)


def test_while_nobody_may_be_nominated_nothing_is_settled() -> None:
    assert not settled(falling(5, barred=tuple(range(5))), CRITERIA, newest=0)
