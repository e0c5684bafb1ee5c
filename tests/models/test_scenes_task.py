"""The bundled network does its task, and does it by shape and texture of the object."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lrpsweep.data.scenes import Scene, draw_scenes
from lrpsweep.models import Model, load_model
from lrpsweep.study import ModelSpec

HELD_OUT = 500


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(ModelSpec(embedded="scenes"), "cpu", Path())


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes("test", 0, range(HELD_OUT))


@torch.no_grad()
def accuracy(model: Model, images: list[np.ndarray], scenes: list[Scene]) -> float:
    found = [
        model.net(model.normalize(np.stack(images[i : i + 100]))).argmax(1)
        for i in range(0, len(images), 100)
    ]
    return float(np.mean(torch.cat(found).numpy() == [s.label for s in scenes]))


def test_accuracy_on_held_out_scenes(model: Model, scenes: list[Scene]) -> None:
    assert accuracy(model, [s.image for s in scenes], scenes) >= 0.97


def test_without_the_object_nothing_is_left_to_see(model: Model, scenes: list[Scene]) -> None:
    def removed(scene: Scene) -> np.ndarray:
        grown = cv2.dilate(scene.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        bare = scene.image * (1 - grown)[..., None]
        return cv2.inpaint(bare, grown, 3, cv2.INPAINT_TELEA)

    assert accuracy(model, [removed(s) for s in scenes], scenes) < 0.20


def test_colours_alone_do_not_tell_the_class(scenes: list[Scene]) -> None:
    """Each scene gets the class of its nearest class mean among colour histograms."""

    def histogram(scene: Scene) -> np.ndarray:
        codes = (scene.image // 32).astype(int) @ [64, 8, 1]
        return np.sqrt(np.bincount(codes.ravel(), minlength=512))

    seen = draw_scenes("train", 0, range(1000))
    known, labels = np.stack([histogram(s) for s in seen]), np.array([s.label for s in seen])
    means = np.stack([known[labels == c].mean(0) for c in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found = (np.stack([histogram(s) for s in scenes]) @ means.T).argmax(1)
    assert np.mean(found == [s.label for s in scenes]) < 0.20
