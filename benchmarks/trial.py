"""What a trial costs, beside the forward passes that nobody can avoid, and beside zennit.

    python benchmarks/trial.py [--repeats 3] [--threads 2] [--device cpu]
        [--network vgg16] [--images 8] [--size 224]

VGG-16 (random weights, seed 0), images of size × size, LRP EpsilonGammaBox, protocol `default`:
patch 8, Telea inpainting, quadratic schedule, so 29 states for each image of 224 × 224. Three
candidates take turns `repeats` times, with the same threads, batch, precision and memory layout:

- trial: `run_trial`, in the state in which a sweep finds it (activations cached);
- bare loop: the forward passes of its perturbed images, 232 of 8, and nothing else;
- by hand: the same trial with zennit and OpenCV, batched, one thing after the other.

The table holds medians, and ratios of wall time to the bare loop of the same turn. CPU time, of all
threads together, is the steadier number where other programs share the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from zennit.attribution import Gradient
from zennit.composites import EpsilonGammaBox

from lrpsweep.evaluation import schedule
from lrpsweep.study import StudySpec, load_study
from lrpsweep.trial.candidates import tuned
from lrpsweep.trial.context import Context, Task, prepare
from lrpsweep.trial.trial import run_trial

PATCH = 8
GAMMA = 0.25

STUDY = f"""
version: 1
name: benchmark
model:
  torchvision: NETWORK
  weights: null
  preprocess: {{resize: SIZE, crop: SIZE, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}}
data:
  folder: images
  labels: index
  target: prediction
  split: {{search: IMAGES, validation: 0, seed: 0}}
search: {{gamma: {{linear: [0.0, {GAMMA}], points: 2}}}}
composite: {{preset: epsilon_gamma_box, gamma: $gamma}}
evaluation: {{patch: {PATCH}}}
sampler: {{name: grid}}
run: {{batch: 32, cpus: THREADS}}
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--device", default="cpu")
    options.add_argument("--network", default="vgg16")
    options.add_argument("--images", type=int, default=8)
    options.add_argument("--size", type=int, default=224)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        spec = read_study(Path(folder), chosen.network, chosen.images, chosen.size, chosen.threads)
        context = prepare(spec, chosen.device)
    counts = schedule((chosen.size // PATCH) ** 2)
    print(
        f"{context.device}, {torch.get_num_threads()} threads, float32, batch {context.batch}, "
        f"{chosen.images} images x {len(counts)} states, zennit {version('zennit')}"
    )
    ours: list[np.ndarray] = []
    by_hand: list[np.ndarray] = []
    parts: list[Mapping[str, float]] = []

    def trial() -> None:
        result = run_trial(context, Task(tuned({"gamma": GAMMA})))
        ours.append(result.scores)
        parts.append(result.seconds)

    candidates: dict[str, Callable[[], None]] = {
        "bare loop": lambda: bare_loop(context, len(counts)),
        "trial": trial,
        "by hand (zennit, OpenCV)": lambda: by_hand.append(hand_written(context, counts)),
    }
    first = clocked(trial, context.device)
    parts.clear()
    clocked(candidates["bare loop"], context.device)
    turns = [
        {name: clocked(run, context.device) for name, run in candidates.items()}
        for _ in range(chosen.repeats)
    ]
    table(turns, parts, first)
    alone = clocked(lambda: inpainted(context, counts), context.device)
    row("inpainting alone, one thread", *alone)
    print(f"AUC, mean over images: trial {ours[0].mean():.6g}, by hand {by_hand[0].mean():.6g}")


def read_study(folder: Path, network: str, images: int, size: int, threads: int) -> StudySpec:
    """The study with its images: smooth colours, so that inpainting has work to do."""
    random = np.random.default_rng(0)
    (folder / "images" / "0").mkdir(parents=True)
    for number in range(images):
        coarse = random.integers(0, 256, (size // 16, size // 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / "images" / "0" / f"{number}.png")
    text = STUDY.replace("NETWORK", network).replace("IMAGES", str(images))
    text = text.replace("SIZE", str(size)).replace("THREADS", str(threads))
    (folder / "study.yaml").write_text(text)
    return load_study(folder / "study.yaml")


def clocked(run: Callable[[], object], device: str) -> tuple[float, float]:
    """Wall and CPU time in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


@torch.no_grad()
def bare_loop(context: Context, states: int) -> None:
    """As many forward passes as the trial scores images, on pixels that are there already."""
    images = context.inputs("search").images
    batch = context.model.normalize(images[np.arange(context.batch) % len(images)])
    for first in range(0, len(images) * states, context.batch):
        context.model.net(batch[: len(images) * states - first])


def inpainted(context: Context, counts: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """All states of all images: the loop that a user writes."""
    images = context.inputs("search").images
    if order is None:
        order = np.random.default_rng(0).permuted(
            np.tile(np.arange(counts[-1]), (len(images), 1)), axis=1
        )
    side = images.shape[1] // PATCH
    states = []
    for image, patches in zip(images, order, strict=True):
        for count in counts:
            grid = np.zeros(side * side, np.uint8)
            grid[patches[:count]] = 255
            mask = np.kron(grid.reshape(side, side), np.ones((PATCH, PATCH), np.uint8))
            state = image.copy()
            state[mask > 0] = 0
            if count == side * side:
                state[:] = np.rint(context.fill)
            else:
                state = cv2.inpaint(state, mask, 3, cv2.INPAINT_TELEA)
            states.append(state)
    return np.stack(states)


def hand_written(context: Context, counts: np.ndarray) -> np.ndarray:
    """AUC per image, (N,): zennit's heatmaps, then all inpainting, then all scoring."""
    net, targets = context.model.net, torch.as_tensor(context.targets["search"])
    images = context.model.normalize(context.inputs("search").images)
    low, high = (bound.view(1, 3, 1, 1).to(images) for bound in context.model.pixel_bounds)
    with Gradient(net, EpsilonGammaBox(low, high, gamma=GAMMA)) as attributor:
        output = torch.eye(len(context.model.classes) or 1000)[targets].to(images)
        relevance = attributor(images, output)[1]
    side = images.shape[2] // PATCH
    heatmaps = relevance.sum(1).reshape(-1, side, PATCH, side, PATCH).sum((2, 4))
    order = (-heatmaps.flatten(1)).argsort(dim=1, stable=True).cpu().numpy()
    states = inpainted(context, counts, order)
    owners = np.repeat(np.arange(len(images)), len(counts))
    scores = []
    with torch.no_grad():
        for start in range(0, len(states), context.batch):
            rows = slice(start, start + context.batch)
            outputs = net(context.model.normalize(states[rows])).cpu()
            scores.append(outputs[torch.arange(len(outputs)), targets[owners[rows]]].numpy())
    curves = np.concatenate(scores).reshape(len(images), len(counts))
    return np.trapezoid(curves, axis=1) / (len(counts) - 1)


def table(
    turns: list[dict[str, tuple[float, float]]],
    parts: list[Mapping[str, float]],
    first: tuple[float, float],
) -> None:
    print(f"{'':40}{'wall':>10}{'CPU':>10}{'ratio to the bare loop (range)':>34}")
    for name in turns[0]:
        wall, cpu = (statistics.median(turn[name][clock] for turn in turns) for clock in (0, 1))
        ratios = [turn[name][0] / turn["bare loop"][0] for turn in turns]
        median = statistics.median(ratios)
        row(name, wall, cpu, f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        if name == "trial":
            rest = [t["trial"][0] - sum(p.values()) for t, p in zip(turns, parts, strict=True)]
            for part in parts[0]:
                row(f"  {part}", statistics.median(p[part] for p in parts))
            row("  rest", statistics.median(rest))
    row("the first trial, nothing cached", *first)


def row(name: str, wall: float, cpu: float | None = None, ratio: str = "") -> None:
    print(f"{name:40}{wall:8.2f} s{'' if cpu is None else f'{cpu:8.2f} s':>10}{ratio:>34}")


if __name__ == "__main__":
    main()
