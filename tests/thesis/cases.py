"""The same images and heatmaps for both: what the package and protocol `thesis` are asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrpsweep.data import read_image
from lrpsweep.data.scenes import draw_scenes
from lrpsweep.evaluation import PROTOCOLS, Setting, flip
from lrpsweep.models import Model, load_model, wrap_model
from lrpsweep.study import EvaluationSpec, ModelSpec, Preprocess

# The package normalises with these alone.
IMAGENET = Preprocess(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
PATCH = 8

FLIPS: dict[str, dict[str, Any]] = {
    "morf": {"order": "morf", "perturbation": "telea"},
    "lerf": {"order": "lerf", "perturbation": "telea"},
    "random order": {"order": "random", "perturbation": "telea"},
    "random values": {"order": "morf", "perturbation": "uniform"},
    "random values, lerf": {"order": "lerf", "perturbation": "uniform"},
}
FLIPS = {name: {**options, "patch": PATCH, "seed": 3} for name, options in FLIPS.items()}


@dataclass(frozen=True)
class Case:
    """network: its name for `package.py`. images: uint8 (N, H, W, 3). targets: (N,)."""

    network: str
    model: Model
    images: np.ndarray
    targets: np.ndarray

    @property
    def pixels(self) -> torch.Tensor:
        """(N, 3, H, W), normalised."""
        return self.model.normalize(self.images).contiguous()


def scenes(count: int = 4) -> Case:
    """The bundled network on its generated images, normalised as ImageNet's for once."""
    model = load_model(ModelSpec(embedded="scenes"), "cpu", Path())
    drawn = draw_scenes("search", 0, range(count))
    return Case(
        "scenes",
        wrap_model(model.net, IMAGENET, name="scenes"),
        np.stack([scene.image for scene in drawn]),
        np.array([scene.label for scene in drawn]),
    )


def photos(root: Path, count: int = 8) -> Case:
    """SqueezeNet 1.1 and photos of as many classes."""
    weights = str(root / "squeezenet1_1.safetensors")
    spec = ModelSpec(torchvision="squeezenet1_1", weights=weights, preprocess=IMAGENET)
    model = load_model(spec, "cpu", root)
    paths = sorted(root.glob("imagenet/*/*.jpg"))[:: 160 // count][:count]
    images = np.stack([read_image(path, IMAGENET) for path in paths])
    with torch.no_grad():
        targets = model.net(model.normalize(images)).argmax(1).numpy()
    return Case("squeezenet1_1", model, images, targets)


def smooth_noise(images: np.ndarray) -> np.ndarray:
    """Relevance (N, 3, H, W) that no network made: each patch has its own level and its noise."""
    count, height, width, _ = images.shape
    random = np.random.default_rng(0)
    levels = random.normal(size=(count, 3, height // PATCH, width // PATCH))
    noise = random.normal(size=(count, 3, height, width))
    relevance = levels.repeat(PATCH, axis=2).repeat(PATCH, axis=3) + noise
    found: np.ndarray = relevance.astype(np.float32)
    return found


def our_curves(case: Case, relevance: np.ndarray, options: dict[str, Any]) -> dict[str, np.ndarray]:
    """curves: (N, S + 1). auc: the mean over the images."""
    given = {name: options[name] for name in ("patch", "perturbation", "seed")}
    protocol, evaluation = PROTOCOLS["thesis"], EvaluationSpec(protocol="thesis", **given)
    mean, std = np.array(IMAGENET.mean), np.array(IMAGENET.std)
    setting = Setting(evaluation, case.images, case.images.mean((0, 1, 2)), mean, std)
    ranks = protocol.rank(torch.from_numpy(relevance), evaluation.patch)
    order = protocol.order(options["order"]).permute(ranks, evaluation.seed, 0)
    counts = protocol.counts(evaluation, *case.images.shape[1:3])

    @torch.no_grad()
    def score(pixels: np.ndarray, index: np.ndarray) -> np.ndarray:
        outputs = case.model.net(case.model.normalize(pixels)).double().numpy()
        found: np.ndarray = outputs[np.arange(len(index)), case.targets[index]]
        return found

    curves = flip(protocol.series(setting, order, counts, 0), score, batch=32, threads=2).curves
    return {"curves": curves, "auc": protocol.area(curves).mean()}
