"""One trial, from hyperparameters to per-image scores: where the computing rooms meet.

`lrpsweep.trial.context.prepare` reads a model and images once, in the driver. `run_trial` is a pure
function of that context and a task: composite -> relevance -> heatmaps -> patch order ->
perturbation curves -> scores. The same task gives the same result on one worker or on a hundred.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrpsweep.attribution import BlockBalance, Explanation, LayerRule, doubtful, mixes_images
from lrpsweep.composites import Composite
from lrpsweep.errors import InputError
from lrpsweep.evaluation import (
    BLIND_ORDERS,
    METRICS,
    PROTOCOLS,
    SCORES,
    FlipResult,
    Protocol,
    Series,
    Setting,
    flip,
    hot_spot_index,
    patch_order,
)
from lrpsweep.results import TrialResult
from lrpsweep.trial.context import Context, Packed, Task

EXPLAINED_AT_ONCE = 16


def build_runner(packed: Packed, device: str) -> Callable[[Task], dict[str, Any]]:
    """A worker's whole job: the function that runs one task after another on one device.

    Its answers are `TrialResult.to_json()`, with how many images passed the network ('forwards')
    and the worker's memory so far ('memory_bytes').
    """
    context = packed.unpack(device)
    torch.set_num_threads(context.threads)

    def run(task: Task) -> dict[str, Any]:
        result = run_trial(context, task)
        states = len(result.scores) * len(result.flipped)
        orders = len(METRICS[task.objective or packed.spec.objective].orders)
        forwards = len(result.scores) + states * orders
        return result.to_json() | {"forwards": forwards, "memory_bytes": _memory(device)}

    return run


def _memory(device: str) -> int:
    """Most memory that this process has held, in bytes: on the GPU where there is one."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_trial(context: Context, task: Task) -> TrialResult:
    """Explains the images of the task's split and scores the heatmaps.

    Raises FloatingPointError when a heatmap is not finite, with the layer where that begins. When
    memory runs out, the batch is halved, for this trial and the later ones, until one image is too
    many.
    """
    composite = context.composite(task)
    while True:
        try:
            return _fold(list(_chunks(context, task, composite)), context.device)
        except (MemoryError, RuntimeError) as error:
            if context.batch == 1 or not _out_of_memory(error) or _mixes_images(composite):
                raise
            context.shrink()


def _mixes_images(composite: Composite) -> bool:
    """Whether another batch would give other heatmaps."""
    return any(mixes_images(LayerRule(b.rule, b.options)) for b in composite.blocks)


def _out_of_memory(error: Exception) -> bool:
    """On a CPU, torch says so in a RuntimeError's text alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


@dataclass(frozen=True)
class _Chunk:
    scores: np.ndarray
    curves: np.ndarray
    flipped: np.ndarray
    balance: Mapping[str, float]
    blocks: Mapping[str, Mapping[str, float]]
    hot_spots: np.ndarray
    unstable: str
    seconds: Mapping[str, float]


def _chunks(context: Context, task: Task, composite: Composite) -> Iterator[_Chunk]:
    count = len(context.inputs(task.split).images)
    if not count:
        raise InputError(f"data.split.{task.split}: 0 images; expected at least 1")
    size = min(EXPLAINED_AT_ONCE, context.batch)
    for first in range(0, count, size):
        yield _chunk(context, task, composite, first, min(first + size, count))


def _chunk(context: Context, task: Task, composite: Composite, first: int, last: int) -> _Chunk:
    started = time.perf_counter()
    explanation = context.explain(composite, task.split, first, last)
    heatmaps = explanation.heatmaps.cpu().numpy()
    where = _instability(context, task, composite, explanation, first, last)
    explained = time.perf_counter()
    protocol, setting = find_protocol(context), _setting(context, task)
    try:
        ranks = protocol.rank(explanation.relevance, setting.evaluation.patch)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}; {where}") from error
    metric = METRICS[task.objective or context.spec.objective]
    flips = {order: _flip(context, task, ranks, order, first) for order in metric.orders}
    curves = {order: found.curves for order, found in flips.items()}
    waited = {
        part: sum(found.seconds[part] for found in flips.values()) for part in ("perturb", "score")
    }
    return _Chunk(
        scores=metric.combine(curves, protocol.auc),
        curves=curves[metric.orders[0]],
        flipped=_counts(protocol, setting) / ranks.shape[1],
        balance=explanation.balance(),
        blocks={
            block.name: _shares(explanation.blocks[block.name], explanation.score)
            for block in composite.blocks
            if block.name in explanation.blocks
        },
        hot_spots=hot_spot_index(heatmaps),
        unstable=where,
        seconds={"explain": explained - started, **waited},
    )


def _instability(
    context: Context,
    task: Task,
    composite: Composite,
    explanation: Explanation,
    first: int,
    last: int,
) -> str:
    """Where relevance grows out of proportion, looked for only if it has."""
    if not bool(doubtful(explanation).any()):
        return ""
    return str(context.instability(composite, task.split, first, last) or "")


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


def _flip(context: Context, task: Task, ranks: np.ndarray, order: str, first: int) -> FlipResult:
    """Perturbation curves (n, S + 1) of the n images that start at `first`.

    Those that know no heatmap are kept.
    """
    last = first + len(ranks)
    key = (task.split, first, last, order, task.perturbation)
    if key in context.kept_curves:
        return FlipResult(context.kept_curves[key], {"perturb": 0.0, "score": 0.0})
    found = flip(
        perturbation_series(context, task, ranks, order, first),
        _scorer(context, context.targets[task.split][first:last]),
        batch=context.batch,
        threads=context.threads,
    )
    if order in BLIND_ORDERS:
        context.kept_curves[key] = found.curves
    return found


def find_protocol(context: Context) -> Protocol:
    """The protocol by which the study judges heatmaps."""
    return PROTOCOLS[context.spec.evaluation.protocol]


def perturbation_series(
    context: Context, task: Task, ranks: np.ndarray, order: str, first: int = 0
) -> Series:
    """The states of the images from `first` on, by the relevance of their patches (n, P)."""
    protocol, setting = find_protocol(context), _setting(context, task)
    seed = setting.evaluation.seed
    return protocol.series(
        setting,
        patch_order(ranks, order, seed, first=first, orders=protocol.orders),
        _counts(protocol, setting),
        first,
    )


def _setting(context: Context, task: Task) -> Setting:
    evaluation = context.spec.evaluation
    if task.perturbation is not None:
        evaluation = evaluation.model_copy(update={"perturbation": task.perturbation})
    preprocess = context.model.preprocess
    return Setting(
        evaluation,
        context.inputs(task.split).images,
        context.fill,
        np.array(preprocess.mean),
        np.array(preprocess.std),
    )


def _counts(protocol: Protocol, setting: Setting) -> np.ndarray:
    return protocol.counts(setting.evaluation, *setting.images.shape[1:3])


def _scorer(
    context: Context, targets: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Scores pixels (B, H, W, 3) of the images `index` (B,) by each one's target class."""

    followed = SCORES[context.spec.evaluation.score]

    @torch.no_grad()
    def score(pixels: np.ndarray, index: np.ndarray) -> np.ndarray:
        outputs = followed(context.model.net(context.model.normalize(pixels)))
        wanted = torch.as_tensor(targets[index], device=outputs.device)
        found: np.ndarray = outputs.gather(1, wanted[:, None])[:, 0].double().cpu().numpy()
        return found

    return score


def _fold(chunks: Sequence[_Chunk], device: str) -> TrialResult:
    """The chunks of one trial as one result; of several unstable ones, the first says where."""
    curves = np.concatenate([chunk.curves for chunk in chunks])
    sizes = [len(chunk.scores) for chunk in chunks]
    low, high = np.quantile(curves, [0.25, 0.75], axis=0)

    def mean(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {
            name: float(np.average([part[name] for part in parts], weights=sizes))
            for name in parts[0]
        }

    return TrialResult(
        scores=np.concatenate([chunk.scores for chunk in chunks]),
        curve=curves.mean(0),
        curve_low=low,
        curve_high=high,
        flipped=chunks[0].flipped,
        balance=mean([chunk.balance for chunk in chunks]),
        hot_spot=float(np.concatenate([chunk.hot_spots for chunk in chunks]).mean()),
        seconds={part: sum(chunk.seconds[part] for chunk in chunks) for part in chunks[0].seconds},
        device=device,
        blocks={name: mean([chunk.blocks[name] for chunk in chunks]) for name in chunks[0].blocks},
        unstable=next((chunk.unstable for chunk in chunks if chunk.unstable), ""),
    )
