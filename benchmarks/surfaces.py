"""The surface that a study searches: the curves of every image under every composite of its grid.

    python benchmarks/surfaces.py STUDY.yaml -o surface.npz [--allow-code]
    python benchmarks/surfaces.py surface.npz -o tests/surfaces/NAME.npz

What a sweep concludes from few trials and few images can be replayed on it in seconds: the
simulations of the tests and of `benchmarks/compute.py` do. Candidates are all points of the study's
grid and every published composite that fits the network. The file holds

- values: JSON, of each grid point; published: names, of the candidates behind them;
- morf, lerf: float32 (C, N, S + 1), perturbation curves by candidate and search image;
- random: float32 (N, S + 1), under a random order;
- unstable: bool (C,), whether relevance grew out of proportion; images: what each image is.

Of a surface instead of a study it writes the areas alone, which are a hundredth of it: the same
values, published and unstable; morf and lerf (C, N) and random (N,), areas under the curves.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from lrpsweep.evaluation import auc
from lrpsweep.evaluation.orders import LERF, MORF, RANDOM
from lrpsweep.results import Candidate
from lrpsweep.study import Space, StudySpec, grid, load_study
from lrpsweep.trial.candidates import published, tuned
from lrpsweep.trial.context import Chunk, Context, Given, prepare
from lrpsweep.trial.literature import fitting_presets
from lrpsweep.trial.trial import curves_of


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("source", type=Path, help="a study, or a surface")
    options.add_argument("-o", "--output", type=Path, required=True)
    options.add_argument("--allow-code", action="store_true")
    options.add_argument("--device", default="cpu")
    chosen = options.parse_args()
    if chosen.source.suffix == ".npz":
        found = areas(np.load(chosen.source))
    else:
        found = compute(load_study(chosen.source), chosen.device, chosen.allow_code)
    np.savez_compressed(chosen.output, **found)


def areas(surface: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A surface with the area under each curve in its stead, and without names of images."""
    curves = (MORF.name, LERF.name, RANDOM.name)
    under = {name: np.apply_along_axis(area, -1, surface[name]) for name in curves}
    return {name: surface[name] for name in ("values", "published", "unstable")} | under


def area(curve: np.ndarray) -> np.float32:
    return np.float32(auc(curve[None].astype(np.float64))[0])


def compute(spec: StudySpec, device: str, allow_code: bool) -> dict[str, np.ndarray]:
    torch.set_num_threads(max(1, int(spec.run.cpus)))
    context = prepare(spec, device, Given(allow_code=allow_code))
    space = Space(spec.search, spec.composite)
    values = [space.values(point) for point in space.points(grid(spec.search))]
    presets = list(fitting_presets(context))
    candidates = [*map(tuned, values), *map(published, presets)]
    found = []
    started = time.monotonic()
    for number, candidate in enumerate(candidates, 1):
        found.append(surface(context, candidate))
        left = (time.monotonic() - started) / number * (len(candidates) - number)
        print(f"{number} of {len(candidates)}, {left / 60:.0f} min left", flush=True)
    return {
        "values": np.array([json.dumps(point) for point in values]),
        "published": np.array(presets),
        **{order: np.stack([one[0][order] for one in found]) for order in (MORF.name, LERF.name)},
        "random": found[0][0][RANDOM.name],
        "unstable": np.array([bool(one[1]) for one in found]),
        "images": np.array(context.inputs("search").hashes),
    }


def surface(context: Context, candidate: Candidate) -> tuple[dict[str, np.ndarray], str]:
    """The curves of all search images by order, float32 (N, S + 1), and where it is unstable."""
    chunk = Chunk("search", 0, len(context.inputs("search").images))
    curves, where = curves_of(
        context, context.bind(candidate), chunk, (MORF.name, LERF.name, RANDOM.name)
    )
    return {order: found.astype(np.float32) for order, found in curves.items()}, where


if __name__ == "__main__":
    main()
