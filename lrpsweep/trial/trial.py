"""One trial, from hyperparameters to per-image scores: where the computing rooms meet.

`lrpsweep.trial.context.prepare` reads a model and images once, in the driver. `run_trial` is a pure
function of that context and a task: composite -> relevance -> heatmaps -> patch order ->
perturbation curves -> scores. The same task gives the same result on one worker or on a hundred.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lrpsweep.attribution import BlockBalance, Explanation, LayerRule, doubtful, mixes_images
from lrpsweep.errors import InputError
from lrpsweep.evaluation import (
    MEASURES,
    SCORES,
    Evidence,
    FlipResult,
    Known,
    Measure,
    Needs,
    Protocol,
    Setting,
    filled,
    flip,
    hot_spot_index,
    joined,
    looks,
    subsets,
    thinned,
    with_ends,
)
from lrpsweep.evaluation.orders import RANDOM
from lrpsweep.results import TrialResult
from lrpsweep.trial.context import BoundCandidate, Chunk, Context, Task
from lrpsweep.trial.states import (
    perturbation_series,
    score_images,
    state_counts,
    state_keys,
)

EXPLAINED_AT_ONCE = 16
COUNTS = ("states", "known", "forwards")
"""As in `FlipResult`."""


def run_trial(context: Context, task: Task) -> TrialResult:
    """Explains the images of the task's split and scores the heatmaps.

    A trial that loses its race ends with the images that it was scored on until then.
    Raises FloatingPointError when a heatmap is not finite, with the layer where that begins. When
    memory runs out, the batch is halved, for this trial and the later ones, until one image is too
    many.
    """
    candidate = context.bind(task.candidate)
    objectives = tuple(measure.name for measure in context.objectives(task))
    while True:
        try:
            results = _raced(task, context, candidate)
            return _fold(results, objectives, context.device)
        except (MemoryError, RuntimeError) as error:
            if context.batch == 1 or not _out_of_memory(error) or _mixes_images(candidate):
                raise
            context.shrink()


def _mixes_images(candidate: BoundCandidate) -> bool:
    """Whether another batch would give other heatmaps."""
    blocks = candidate.composite.blocks if candidate.composite else ()
    return any(mixes_images(LayerRule(block.rule, block.options)) for block in blocks)


def _out_of_memory(error: Exception) -> bool:
    """On a CPU, torch says so in a RuntimeError's text alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


@dataclass(frozen=True)
class _ChunkResult:
    """What is found of n images. measures: (n,) by name; curves: (n, S + 1), by order."""

    measures: Mapping[str, np.ndarray]
    curves: Mapping[str, np.ndarray]
    images: int
    flipped: np.ndarray
    balance: Mapping[str, float]
    blocks: Mapping[str, Mapping[str, float]]
    hot_spots: np.ndarray
    unstable: str
    seconds: Mapping[str, float]
    counts: Mapping[str, int]
    states: tuple[int, ...]
    coarse: Mapping[str, Mapping[str, np.ndarray]]


def _raced(task: Task, context: Context, candidate: BoundCandidate) -> list[_ChunkResult]:
    """The chunks of a task, up to the look at which its race is lost."""
    done: list[_ChunkResult] = []
    for chunk in _chunks(context, task):
        done.append(_run_chunk(context, task, candidate, chunk))
        if task.race is None or chunk.last not in looks(task.race.images):
            continue
        if task.race.lost(_joined([found.measures for found in done])):
            break
    return done


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Scores of some images and of further ones, by measure."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(context: Context, task: Task) -> Iterator[Chunk]:
    """The images of the task, in chunks that end where races are looked at.

    Every trial of a study with races has the same, as the size of a batch decides last digits.
    """
    images = len(context.inputs(task.split).images)
    if not images:
        raise InputError(f"data.split.{task.split}: 0 images; expected at least 1")
    begin, end = task.rows or (0, images)
    size = min(EXPLAINED_AT_ONCE, context.batch)
    stops = {*range(begin + size, end, size), end}
    if context.spec.economy.racing:
        stops |= {look for look in looks(images) if begin < look < end}
    first = begin
    for last in sorted(stops):
        yield Chunk(task.split, first, last)
        first = last


def _run_chunk(
    context: Context, task: Task, candidate: BoundCandidate, chunk: Chunk
) -> _ChunkResult:
    """Explains the images, scores their perturbed states, and takes the measures."""
    started = time.perf_counter()
    explanation = context.explain(candidate, chunk)
    heatmaps = explanation.heatmaps.cpu().numpy()
    where = _instability(context, candidate, explanation, chunk)
    explained = time.perf_counter() - started
    setting = context.setting(task.split, task.perturbation)
    ranks = _ranks(context.protocol, setting.evaluation.patch, explanation, where)
    objectives = context.objectives(task)
    orders = dict.fromkeys(order for m in objectives for order in m.needs.orders)
    taken = {order: RANDOM.name if task.control else order for order in orders}
    shares = _shares_flipped(context.protocol, setting, ranks)
    steps = with_ends(task.steps, len(shares) - 1) if task.steps else ()
    wanted = tuple(dict.fromkeys(taken.values()))
    found, flips = _curves(context, setting, ranks, wanted, chunk, steps)
    curves = {order: found[other] for order, other in taken.items()}
    evidence = _evidence(context, candidate, chunk, heatmaps, curves)
    measures = dict.fromkeys((*objectives, *_free(curves)))
    return _ChunkResult(
        measures={measure.name: _score(measure, evidence) for measure in measures},
        curves=curves,
        images=len(heatmaps),
        flipped=shares if curves else np.empty(0),
        balance=explanation.balance(),
        blocks=_by_block(candidate, explanation),
        hot_spots=hot_spot_index(heatmaps),
        unstable=where,
        seconds={"explain": explained}
        | {part: sum(f.seconds[part] for f in flips) for part in ("perturb", "score")},
        counts={what: sum(f.counts[what] for f in flips) for what in COUNTS},
        states=steps if curves else (),
        coarse=_coarse(objectives, evidence, len(shares) - 1) if task.coarse else {},
    )


def _coarse(
    objectives: Sequence[Measure], evidence: Evidence, last: int
) -> dict[str, dict[str, np.ndarray]]:
    """What the objectives would be of each named subset of the states, 0 to `last`."""
    found = {}
    for name, steps in subsets(last).items():
        curves = {order: thinned(curve, steps) for order, curve in evidence.curves.items()}
        seen = replace(evidence, curves=curves)
        found[name] = {measure.name: _score(measure, seen) for measure in objectives}
    return found


def curves_of(
    context: Context, candidate: BoundCandidate, chunk: Chunk, orders: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
    """Perturbation curves (n, S + 1) of the images by order, the relevance of their patches (n, P),
    and where relevance is unstable."""
    explanation = context.explain(candidate, chunk)
    where = _instability(context, candidate, explanation, chunk)
    setting = context.setting(chunk.split)
    ranks = _ranks(context.protocol, setting.evaluation.patch, explanation, where)
    return _curves(context, setting, ranks, tuple(orders), chunk)[0], ranks, where


def _evidence(
    context: Context,
    candidate: BoundCandidate,
    chunk: Chunk,
    heatmaps: np.ndarray,
    curves: Mapping[str, np.ndarray],
) -> Evidence:
    """What measures may need of the images."""
    inputs = context.inputs(chunk.split)
    return Evidence(
        curves=curves,
        area=context.protocol.area,
        images=inputs.images[chunk.rows],
        heatmaps=heatmaps,
        masks=None if inputs.masks is None else inputs.masks[chunk.rows],
        explain=lambda pixels: context.explain_others(candidate, chunk, pixels),
    )


def _free(curves: Mapping[str, np.ndarray]) -> Iterator[Measure]:
    """The measures that need no more than these curves, by order."""
    for measure in MEASURES.values():
        orders = measure.needs.orders
        if orders and set(orders) <= curves.keys() and measure.needs == Needs(orders=orders):
            yield measure


def _score(measure: Measure, evidence: Evidence) -> np.ndarray:
    assert evidence.images is not None
    scores, count = np.asarray(measure.score(evidence)), len(evidence.images)
    if scores.shape != (count,):
        raise InputError(
            f"measure '{measure.name}': found scores of the shape {scores.shape} for {count} "
            f"images; expected ({count},), one for each image"
        )
    return scores


def _ranks(protocol: Protocol, patch: int, explanation: Explanation, where: str) -> np.ndarray:
    """Relevance of patches (n, P). Raises FloatingPointError, with `where`, if it is not finite."""
    try:
        return protocol.rank(explanation.relevance, patch)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}; {where}") from error


def _shares_flipped(protocol: Protocol, setting: Setting, ranks: np.ndarray) -> np.ndarray:
    """The share of patches that is perturbed in each state, (S + 1,)."""
    return np.asarray(state_counts(protocol, setting) / ranks.shape[1])


def _instability(
    context: Context, candidate: BoundCandidate, explanation: Explanation, chunk: Chunk
) -> str:
    """Where LRP's relevance grows out of proportion, looked for only if it has."""
    composite = candidate.composite
    if composite is None or not bool(doubtful(explanation).any()):
        return ""
    return str(context.instability(composite, chunk) or "")


def _by_block(
    candidate: BoundCandidate, explanation: Explanation
) -> dict[str, Mapping[str, float]]:
    """The balance of each block, in the composite's order; of a method without blocks, none."""
    blocks = candidate.composite.blocks if candidate.composite else ()
    return {
        block.name: _shares(explanation.blocks[block.name], explanation.score)
        for block in blocks
        if block.name in explanation.blocks
    }


def _shares(block: BlockBalance, score: Tensor) -> dict[str, float]:
    """Means over the images; as `Explanation.balance`, for one block."""
    size = score.abs().clamp(min=torch.finfo(torch.float32).tiny)
    parts = {
        "bias": block.bias,
        "stabilizer": block.stabilizer,
        "unexplained": block.unexplained,
    }
    shares = {name: float((part.abs() / size).mean()) for name, part in parts.items()}
    return shares | {"hot_spot": float(block.hot_spot.mean())}


def _curves(
    context: Context,
    setting: Setting,
    ranks: np.ndarray,
    orders: Sequence[str],
    chunk: Chunk,
    steps: tuple[int, ...] = (),
) -> tuple[dict[str, np.ndarray], list[FlipResult]]:
    """Perturbation curves (n, S + 1) of the images by order, and what was flipped for them.

    Curves of a blind order are kept, as no heatmap changes them. Where scores are kept, all orders
    share their batches. steps: those that are looked at, all when there are none.
    """
    made_by = (chunk, steps, setting.evaluation.perturbation)
    blind = {order: (order, *made_by) for order in orders if _blind(context, order)}
    curves = {o: context.kept_curves[k] for o, k in blind.items() if k in context.kept_curves}
    new = tuple(order for order in orders if order not in curves)
    groups = [(order,) for order in new] if context.score_cache is None else [new] if new else []
    flips = [_flip(context, setting, ranks, group, chunk, steps) for group in groups]
    last = len(state_counts(context.protocol, setting)) - 1
    for group, found in zip(groups, flips, strict=True):
        whole = filled(found.curves, steps, last) if steps else found.curves
        curves |= zip(group, np.split(whole, len(group)), strict=True)
    context.kept_curves |= {key: curves[order] for order, key in blind.items()}
    return curves, flips


def _blind(context: Context, order: str) -> bool:
    return context.protocol.order(order).blind


def _flip(
    context: Context,
    setting: Setting,
    ranks: np.ndarray,
    orders: Sequence[str],
    chunk: Chunk,
    steps: tuple[int, ...],
) -> FlipResult:
    """The images in these orders, one after the other."""
    protocol, first = context.protocol, chunk.first
    series = [perturbation_series(protocol, setting, ranks, o, first, steps) for o in orders]
    known = None
    if context.score_cache is not None:
        made_of = context.states_made_of(setting, chunk)
        keys = [state_keys(protocol, setting, ranks, o, first, made_of, steps) for o in orders]
        known = Known(context.score_cache, list(chain.from_iterable(keys)))
    score = SCORES[setting.evaluation.score]
    return flip(
        joined(series),
        score_images(context.model, score, context.targets[chunk.split][chunk.rows]),
        batch=context.batch if known is None else context.scored_at_once,
        threads=context.threads,
        known=known,
    )


def _fold(chunks: Sequence[_ChunkResult], objectives: tuple[str, ...], device: str) -> TrialResult:
    """The chunks of one trial as one result; of several unstable ones, the first says where."""
    sizes = [chunk.images for chunk in chunks]
    curves = _joined([chunk.curves for chunk in chunks])
    first = next(iter(curves.values()), np.empty((sum(sizes), 0)))
    low, high = np.quantile(first, [0.25, 0.75], axis=0)

    def mean(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {
            name: float(np.average([part[name] for part in parts], weights=sizes))
            for name in parts[0]
        }

    return TrialResult(
        objectives=objectives,
        measures=_joined([chunk.measures for chunk in chunks]),
        curve=first.mean(0),
        curve_low=low,
        curve_high=high,
        flipped=chunks[0].flipped,
        balance=mean([chunk.balance for chunk in chunks]),
        hot_spot=float(np.concatenate([chunk.hot_spots for chunk in chunks]).mean()),
        seconds={part: sum(chunk.seconds[part] for chunk in chunks) for part in chunks[0].seconds},
        counts={what: sum(chunk.counts[what] for chunk in chunks) for what in COUNTS},
        device=device,
        blocks={name: mean([chunk.blocks[name] for chunk in chunks]) for name in chunks[0].blocks},
        unstable=next((chunk.unstable for chunk in chunks if chunk.unstable), ""),
        curves={order: found.mean(0) for order, found in list(curves.items())[1:]},
        states=chunks[0].states,
        coarse={n: _joined([chunk.coarse[n] for chunk in chunks]) for n in chunks[0].coarse},
    )
