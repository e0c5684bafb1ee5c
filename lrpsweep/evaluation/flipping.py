"""Pixel flipping: the class score of images whose patches are perturbed, step by step.

Samek et al. 2017. How the images are perturbed is up to the protocol, which gives a `Series`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from lrpsweep.evaluation.cache import Known
from lrpsweep.evaluation.series import Series

# Scores images, uint8 or float32 (B, H, W, 3) from 0 to 255, each for the fixed class of the image
# that it was made from, given by its index (B,) in the series. -> (B,)
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]

BATCHES_AHEAD = 2


@dataclass(frozen=True)
class FlipResult:
    """curves: (N · orders, S + 1), scores after each step; step 0 is the untouched image.

    seconds: wall time in which scoring had to wait ('perturb'), and of scoring itself ('score').
    counts: of states ('states'), of those that were not scored, as their score was known ('known'),
    and of images that passed through the network for the others ('forwards').
    """

    curves: np.ndarray
    seconds: dict[str, float]
    counts: dict[str, int]


def flip(
    series: Series,
    score: Score,
    *,
    batch: int = 64,
    threads: int = 1,
    known: Known | None = None,
) -> FlipResult:
    """Score every image at every step.

    All states of all images are scored in batches of `batch`, while `threads` threads make the
    next ones. Neither number changes what is scored. known: scores from before, of states that are
    then neither made nor scored; the last batch is filled up, since a network's last digits depend
    on the size of its batch: so they are the same whatever is known. Raises FloatingPointError when
    a score is NaN or infinite.
    """
    rows: Sequence[int] = range(series.images * series.orders * series.length)
    if known is None:
        scores, seconds = _score(series, score, rows, batch, threads)
        passed = len(rows)
    else:
        found, rows = known.look_up()
        fresh, seconds = _score(series, _in_full_batches(score, batch), rows, batch, threads)
        scores = known.complete(found, rows, fresh)
        passed = -(-len(rows) // batch) * batch
    _check(scores, series)
    counts = {"states": len(scores), "known": len(scores) - len(rows), "forwards": passed}
    return FlipResult(scores.reshape(-1, series.length), seconds, counts)


def _in_full_batches(score: Score, size: int) -> Score:
    """The same, but always of `size` images: a batch with fewer is filled up with its last one."""

    def full(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
        places = np.minimum(np.arange(size), len(samples) - 1)
        return score(samples[places], index[places])[: len(samples)]

    return full


def _score(
    series: Series, score: Score, rows: Sequence[int], batch: int, threads: int
) -> tuple[np.ndarray, dict[str, float]]:
    """The scores of these rows, and the seconds as in `FlipResult`."""
    images = np.array(rows, int) // series.length % series.images
    scores = np.empty(len(rows))
    started, scoring = time.perf_counter(), 0.0
    with closing(_batches(series, rows, batch, threads)) as batches:
        for done, samples in batches:
            before = time.perf_counter()
            scores[done] = score(samples, images[done])
            scoring += time.perf_counter() - before
    return scores, {"perturb": time.perf_counter() - started - scoring, "score": scoring}


def _batches(
    series: Series, rows: Sequence[int], batch: int, threads: int
) -> Generator[tuple[slice, np.ndarray], None, None]:
    """The states of these rows in batches, made by a thread pool while the caller works.

    No more than BATCHES_AHEAD are asked for in advance (but a job for each thread): that bounds
    the memory.
    """
    pool = ThreadPoolExecutor(threads)
    together = series.together
    jobs = (pool.submit(_make, series, job) for job in _jobs(series, rows))
    made: deque[np.ndarray] = deque()
    start = 0
    try:
        ahead = deque(islice(jobs, max(-(-BATCHES_AHEAD * batch // together), threads)))
        while ahead or made:
            while ahead and len(made) < batch:
                made.extend(ahead.popleft().result())
                ahead.extend(islice(jobs, 1))
            samples = np.stack([made.popleft() for _ in range(min(batch, len(made)))])
            yield slice(start, start + len(samples)), samples
            start += len(samples)
    finally:  # also when scoring fails: what was asked ahead is dropped
        pool.shutdown(cancel_futures=True)


def _jobs(series: Series, rows: Sequence[int]) -> Iterator[list[int]]:
    """The rows of states that are made in one go, one list after the other."""

    def place(row: int) -> tuple[int, int]:
        return row // series.length, row % series.length // series.together

    return (list(job) for _, job in groupby(rows, place))


def _make(series: Series, rows: Sequence[int]) -> list[np.ndarray]:
    """The states of rows that are made in one go."""
    n, step = divmod(rows[0], series.length)
    first = step - step % series.together
    states = series.states(n, range(first, min(first + series.together, series.length)))
    return [states[row % series.length - first] for row in rows]


def _check(scores: np.ndarray, series: Series) -> None:
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        n, step = divmod(int(broken[0]), series.length)
        raise FloatingPointError(
            f"the score is NaN or infinite for {len(broken)} of {len(scores)} perturbed images "
            f"(first: image {series.first + n % series.images} at step {step})"
        )
