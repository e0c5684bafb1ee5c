"""What may be chosen by several objectives: the Pareto front of the search images.

Candidates, constraints and floor are those of `nomination`; here nobody is nominated.
"""

from __future__ import annotations

import numpy as np

from lrpsweep.results import Contender, Front
from lrpsweep.sweep.nomination import Ballot, Criteria, why_nothing


def undominated(losses: np.ndarray) -> np.ndarray:
    """Which of C candidates no other one dominates, (C,): none is better by one of M measures and
    no worse by the rest.

    losses: (M, C), low ones better. Equal candidates do not dominate each other.
    """
    ours, theirs = losses[:, :, None], losses[:, None, :]
    dominated = np.all(theirs <= ours, axis=0) & np.any(theirs < ours, axis=0)
    return np.asarray(~dominated.any(axis=1))


def find_front(ballot: Ballot, criteria: Criteria, study: str) -> Front:
    """The front of the candidates that keep constraints and floor, and what it means.

    study: its name, for who wants to export one of them.
    """
    tally, why = ballot.count(), ballot.broken(criteria)
    kept = np.flatnonzero(tally.kept(criteria))
    losses = np.stack([tally.behind(measure)[kept] for measure in criteria.objectives])
    found = np.flatnonzero(undominated(losses))
    ranked = kept[found[np.argsort(losses[0, found], kind="stable")]]
    members = tuple(ballot.contenders[row] for row in ranked)
    return Front(
        members,
        _sentence(members, ballot, criteria, study) if members else why_nothing(ballot, criteria),
        len(ballot.contenders),
        {
            one.label: reasons
            for one, reasons in zip(ballot.contenders, why, strict=True)
            if reasons
        },
    )


def _sentence(
    members: tuple[Contender, ...], ballot: Ballot, criteria: Criteria, study: str
) -> str:
    *first, last = (measure.title for measure in criteria.objectives)
    found = (
        f"{len(members)} of {len(ballot.contenders)} candidates "
        f"{'is' if len(members) == 1 else 'are'} on the Pareto front of {', '.join(first)} and "
        f"{last} on {ballot.images} search images."
    )
    if all(one.number is None for one in members):
        return f"{found} All of them are published composites: tuning found nothing to choose."
    return (
        f"{found} No single composite is recommended: with several objectives you choose: "
        f"`lrpsweep export {study} --trial N`."
    )
