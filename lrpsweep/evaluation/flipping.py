"""Pixel flipping: the class score of images whose patches are perturbed, step by step.

Samek et al. 2017 for the method; Telea inpainting of the cumulative mask from the original image
is the default protocol's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lrpsweep.evaluation.perturb import find_perturbation, perturb_one

# Scores images, uint8 (B, H, W, 3), each for the fixed class of the image that it was made from,
# given by its index (B,) among the images that `flip` got. -> (B,)
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]

BATCHES_AHEAD = 2


@dataclass(frozen=True)
class FlipResult:
    """curves: (N, S + 1), scores after each step; step 0 is the untouched image.

    seconds: wall time in which scoring had to wait ('perturb'), and of scoring itself ('score').
    """

    curves: np.ndarray
    seconds: dict[str, float]


def flip(
    images: np.ndarray,
    order: np.ndarray,
    counts: np.ndarray,
    perturbation: str,
    score: Score,
    *,
    patch: int,
    fill: np.ndarray,
    seed: int = 0,
    first: int = 0,
    batch: int = 64,
    threads: int = 1,
) -> FlipResult:
    """Score every image at every step of the schedule.

    All steps of all images form one pool of independent samples, scored in batches of `batch`,
    while `threads` threads perturb the next ones. Neither number changes what is scored.
    images: uint8 (N, H, W, 3); order: (N, P) from `patch_order`; counts: (S + 1,) from
    `schedule`; fill: (3,), the colour of 'mean' and of fully inpainted images, 0 to 255;
    first: position of the first image among all images of the study, which with `seed` decides
    its noise. Raises FloatingPointError when a score is NaN or infinite.
    """
    function = find_perturbation(perturbation)
    ranks = np.argsort(order, axis=1)
    owners, steps = np.divmod(np.arange(len(images) * len(counts)), len(counts))

    def sample(index: int) -> np.ndarray:
        n = owners[index]
        return perturb_one(
            images[n],
            ranks[n],
            counts[steps[index]],
            function,
            patch=patch,
            fill=fill,
            seed=seed,
            position=first + int(n),
        )

    scores = np.empty(len(owners))
    started, scoring = time.perf_counter(), 0.0
    with closing(_batches(sample, len(owners), batch, threads)) as batches:
        for rows, samples in batches:
            before = time.perf_counter()
            scores[rows] = score(samples, owners[rows])
            scoring += time.perf_counter() - before
    waiting = time.perf_counter() - started - scoring
    _check(scores, owners, steps, first)
    curves = scores.reshape(len(images), len(counts))
    return FlipResult(curves, {"perturb": waiting, "score": scoring})


def _batches(
    sample: Callable[[int], np.ndarray], total: int, batch: int, threads: int
) -> Generator[tuple[slice, np.ndarray], None, None]:
    """Batches in order, made by a thread pool while the caller works on the one before.

    No more than BATCHES_AHEAD are asked for in advance: that bounds the memory.
    """
    pool = ThreadPoolExecutor(threads)

    def submit(start: int) -> tuple[slice, list[Future[np.ndarray]]]:
        rows = range(start, min(start + batch, total))
        return slice(rows.start, rows.stop), [pool.submit(sample, row) for row in rows]

    starts = iter(range(0, total, batch))
    try:
        ahead = deque(map(submit, islice(starts, BATCHES_AHEAD)))
        while ahead:
            rows, futures = ahead.popleft()
            samples = np.stack([future.result() for future in futures])
            ahead.extend(map(submit, islice(starts, 1)))
            yield rows, samples
    finally:  # also when scoring fails: what was asked ahead is dropped
        pool.shutdown(cancel_futures=True)


def _check(scores: np.ndarray, owners: np.ndarray, steps: np.ndarray, first: int) -> None:
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise FloatingPointError(
            f"the score is NaN or infinite for {len(broken)} of {len(scores)} perturbed images "
            f"(first: image {first + owners[broken[0]]} at step {steps[broken[0]]})"
        )
