"""Pixel flipping: the class score of images whose patches are perturbed, step by step.

Samek et al. 2017. How the images are perturbed is up to the protocol, which gives a `Series`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lrpsweep.evaluation.series import Series

# Scores images, uint8 or float32 (B, H, W, 3) from 0 to 255, each for the fixed class of the image
# that it was made from, given by its index (B,) in the series. -> (B,)
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]

BATCHES_AHEAD = 2


@dataclass(frozen=True)
class FlipResult:
    """curves: (N, S + 1), scores after each step; step 0 is the untouched image.

    seconds: wall time in which scoring had to wait ('perturb'), and of scoring itself ('score').
    """

    curves: np.ndarray
    seconds: dict[str, float]


def flip(series: Series, score: Score, *, batch: int = 64, threads: int = 1) -> FlipResult:
    """Score every image at every step.

    All states of all images are scored in batches of `batch`, while `threads` threads make the
    next ones. Neither number changes what is scored. Raises FloatingPointError when a score is NaN
    or infinite.
    """
    owners, steps = np.divmod(np.arange(series.images * series.length), series.length)
    scores = np.empty(len(owners))
    started, scoring = time.perf_counter(), 0.0
    with closing(_batches(series, batch, threads)) as batches:
        for rows, samples in batches:
            before = time.perf_counter()
            scores[rows] = score(samples, owners[rows])
            scoring += time.perf_counter() - before
    waiting = time.perf_counter() - started - scoring
    _check(scores, owners, steps, series.first)
    curves = scores.reshape(series.images, series.length)
    return FlipResult(curves, {"perturb": waiting, "score": scoring})


def _batches(
    series: Series, batch: int, threads: int
) -> Generator[tuple[slice, np.ndarray], None, None]:
    """Batches in order, made by a thread pool while the caller works on the one before.

    No more than BATCHES_AHEAD are asked for in advance (but a job for each thread): that bounds
    the memory.
    """
    pool = ThreadPoolExecutor(threads)
    together = series.together
    jobs = (
        pool.submit(series.states, n, range(step, min(step + together, series.length)))
        for n in range(series.images)
        for step in range(0, series.length, together)
    )
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


def _check(scores: np.ndarray, owners: np.ndarray, steps: np.ndarray, first: int) -> None:
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise FloatingPointError(
            f"the score is NaN or infinite for {len(broken)} of {len(scores)} perturbed images "
            f"(first: image {first + owners[broken[0]]} at step {steps[broken[0]]})"
        )
