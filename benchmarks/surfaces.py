"""The surface that a study searches: the curves of every image under every composite of its grid.

    python benchmarks/surfaces.py STUDY.yaml -o surface.npz [--allow-code]
    python benchmarks/surfaces.py surface.npz -o tests/surfaces/NAME.npz
    python benchmarks/surfaces.py surface.npz -o tests/surfaces/NAME-curves.npz --curves

What a sweep concludes from few trials and few images can be replayed on it in seconds: the
simulations of the tests and of `benchmarks/compute.py` do. Candidates are all points of the study's
grid and every published composite that fits the network. The file holds

- values: JSON, of each grid point; published: names, of the candidates behind them;
- morf, lerf: float32 (C, N, S + 1), perturbation curves by candidate and search image;
- random: float32 (N, S + 1), under a random order;
- keys: uint16 (C, 2, N, S + 1), of MoRF and LeRF, equal where states of an image are the same;
- unstable: bool (C,), whether relevance grew out of proportion; images: what each image is.

Of a surface instead of a study it writes the areas alone, which are a hundredth of it: the same
values, published and unstable; morf and lerf (C, N) and random (N,), areas under the curves. With
`--curves`, all there is of the grid points, curves in float16: what `benchmarks/compute.py` reads.
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
from lrpsweep.trial.states import state_keys
from lrpsweep.trial.trial import curves_of


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("source", type=Path, help="a study, or a surface")
    options.add_argument("-o", "--output", type=Path, required=True)
    options.add_argument("--allow-code", action="store_true")
    options.add_argument("--device", default="cpu")
    options.add_argument("--curves", action="store_true")
    chosen = options.parse_args()
    if chosen.source.suffix == ".npz":
        found = (grid_alone if chosen.curves else areas)(np.load(chosen.source))
    else:
        found = compute(load_study(chosen.source), chosen.device, chosen.allow_code)
    np.savez_compressed(chosen.output, **found)


def areas(surface: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A surface with the area under each curve in its stead, and without names of images."""
    curves = (MORF.name, LERF.name, RANDOM.name)
    under = {name: np.apply_along_axis(area, -1, surface[name]) for name in curves}
    return {name: surface[name] for name in ("values", "published", "unstable")} | under


def grid_alone(surface: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A surface without the published composites, its curves in half precision."""
    count = len(surface["values"])
    half = {name: surface[name][:count].astype(np.float16) for name in (MORF.name, LERF.name)}
    rest = {name: surface[name][:count] for name in ("values", "unstable", "keys")}
    return half | rest | {RANDOM.name: surface[RANDOM.name].astype(np.float16)}


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
        "keys": numbered(np.stack([keys(context, one[1]) for one in found])),
        "unstable": np.array([bool(one[2]) for one in found]),
        "images": np.array(context.inputs("search").hashes),
    }


def surface(
    context: Context, candidate: Candidate
) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
    """The curves of all search images by order, float32 (N, S + 1), the relevance of their patches
    (N, P), and where it is unstable."""
    chunk = Chunk("search", 0, len(context.inputs("search").images))
    curves, ranks, where = curves_of(
        context, context.bind(candidate), chunk, (MORF.name, LERF.name, RANDOM.name)
    )
    return {order: found.astype(np.float32) for order, found in curves.items()}, ranks, where


def keys(context: Context, ranks: np.ndarray) -> np.ndarray:
    """What each state is, uint64 (2, N, S + 1)."""
    setting, images = context.setting("search"), [str(n) for n in range(len(ranks))]
    found = [
        state_keys(context.protocol, setting, ranks, order, 0, images)
        for order in (MORF.name, LERF.name)
    ]
    short = [int.from_bytes(key[:8], "little") for order in found for key in order]
    return np.array(short, np.uint64).reshape(2, len(ranks), -1)


def numbered(found: np.ndarray) -> np.ndarray:
    """Keys (C, 2, N, S + 1) as small numbers from 1 on, equal where they are for each image."""
    small = np.empty(found.shape, np.uint16)
    for image in range(found.shape[2]):
        _, places = np.unique(found[:, :, image], return_inverse=True)
        small[:, :, image] = places.reshape(small[:, :, image].shape) + 1
    return small


if __name__ == "__main__":
    main()
