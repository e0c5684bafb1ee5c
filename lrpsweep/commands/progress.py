"""A sweep as it is watched: a live bar on a terminal, a few plain lines where there is none."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import TracebackType
from typing import Any

from tqdm import tqdm

from lrpsweep.results import TrialRecord
from lrpsweep.sweep.search import Estimate, Progress


class Watcher:
    """Prints to stderr what an `Observer` is told. Quiet but for a few lines off a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def started(self, text: str) -> None:
        """A sentence, above the bar if there is one."""
        tqdm.write(text, file=sys.stderr)

    def estimated(self, estimate: Estimate) -> None:
        """What the first trial says of the rest."""
        parts = [
            f"First trial: {estimate.seconds:.1f} s on {estimate.device}",
            f"about {_clock(estimate.seconds_left)} left with {estimate.workers} worker(s)",
        ]
        if estimate.forwards_left is not None:
            parts.append(f"{estimate.forwards_left:,} forward passes")
        if estimate.memory_bytes is not None:
            parts.append(f"{estimate.memory_bytes / 2**30:.1f} GiB per worker")
        self.started(", ".join(parts) + ".")

    def told(self, record: TrialRecord) -> None:
        """Nothing: the bar counts trials."""

    def progressed(self, progress: Progress) -> None:
        """Moves the bar; a new stage gets a new one."""
        if self._stage != progress.stage:
            self._close()
            self._bar, self._stage = _bar(progress), progress.stage
        left = "" if progress.seconds_left is None else f", {_clock(progress.seconds_left)} left"
        best = "" if progress.best is None else f"best {progress.best:.4g}"
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._bar.set_postfix_str(best + failed + left, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _bar(progress: Progress) -> Any:
    return tqdm(
        total=progress.planned,
        desc=progress.stage,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
        bar_format="{desc} {bar} {n_fmt}/{total_fmt} [{elapsed}] {postfix}",
    )


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))
