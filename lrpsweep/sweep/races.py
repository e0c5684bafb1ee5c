"""Against whom trials race: the best of those that are known, as if it were nominated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lrpsweep.evaluation import MEASURES, Race
from lrpsweep.evaluation.racing import misleading
from lrpsweep.results import Contender, TrialResult
from lrpsweep.sweep.nomination import Ballot, Criteria
from lrpsweep.sweep.storage import exceeded


class Races:
    """The scores of complete trials, and the race that a further one runs."""

    def __init__(
        self,
        criteria: Criteria,
        bounds: Mapping[str, float],
        random: Mapping[str, np.ndarray],
    ) -> None:
        """bounds: of the constraints. random: scores (N,) by measure of a random order, on the
        states of the trials."""
        self._criteria = criteria
        self._bounds = bounds
        self._random = {m.name: random[m.name] for m in criteria.measures if m.name in random}
        self._results: dict[int, TrialResult] = {}

    def add(self, number: int, result: TrialResult) -> None:
        """Takes note of a complete trial."""
        self._results[number] = result

    def race(self, known: Sequence[int]) -> Race | None:
        """Against the best of these trials that keeps guards and floor; None where none does, or
        where their first images mislead.

        By the objective a trial may not be behind it at all, by a guard as far as the guard allows.
        """
        found = [(number, self._results[number]) for number in known]
        if not found:
            return None
        names = [measure.name for measure in self._criteria.measures]
        ballot = Ballot(
            tuple(Contender(f"trial {number}", number) for number, _ in found),
            {name: np.stack([result.measures[name] for _, result in found]) for name in names},
            self._random,
            tuple(self._barred(result) for _, result in found),
        )
        tally = ballot.count()
        ranges = tally.ranges(self._criteria)
        order = tally.order(self._criteria, ranges)
        if not order:
            return None
        allowed = {self._criteria.objective.name: 0.0} | {
            name: percent / 100 * max(ranges[name], 0.0)
            for name, percent in self._criteria.guards.items()
        }
        objective = ballot.scores[self._criteria.objective.name]
        if misleading(objective - objective[order[0]]):
            return None
        incumbent = {name: ballot.scores[name][order[0]] for name in allowed}
        kept = np.flatnonzero(tally.kept(self._criteria))
        leaders = {
            name: ballot.scores[name][kept[tally.behind(MEASURES[name])[kept].argmin()]]
            for name in self._criteria.guards
        }
        return Race(incumbent, allowed, leaders)

    def _barred(self, result: TrialResult) -> tuple[str, ...]:
        beyond = exceeded(result.excess(self._bounds))
        return (*beyond, result.unstable) if self._criteria.floor and result.unstable else beyond
