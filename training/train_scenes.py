"""Trains the bundled network on its scenes and measures what docs/model-card.md says of it.

    python training/train_scenes.py            train, write the weights, measure
    python training/train_scenes.py --check    measure the weights that are there

Prints the numbers as JSON. One thread, so that sums are taken in the same order on every machine
of a kind.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import lrpsweep.models.scenes as bundled
from lrpsweep.data.scenes import CLASSES, SIZE, Scene, draw_scenes
from lrpsweep.study import Preprocess

SEED = 0
SCENES = 12_000
HELD_OUT = 2_000
EMPTY = 2_000  # scenes that are also shown without their object
EPOCHS = 11
BATCH = 64
RATE = 4e-3
WEIGHTS = Path(bundled.__file__).with_suffix(".safetensors")
PREPROCESS = Preprocess(resize=SIZE, crop=SIZE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def stack(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """uint8 (N, 3, 64, 64) and labels (N,)."""
    images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    return images.permute(0, 3, 1, 2), torch.tensor([scene.label for scene in scenes])


def without_object(scene: Scene) -> np.ndarray:
    """The scene with its object, and two pixels around it, inpainted from what surrounds it."""
    grown = cv2.dilate(scene.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    bare = np.where(grown[..., None] > 0, 0, scene.image).astype(np.uint8)
    return cv2.inpaint(bare, grown, 3, cv2.INPAINT_TELEA)


def emptied(scenes: list[Scene]) -> Tensor:
    """The scenes without their objects, uint8 (N, 3, 64, 64)."""
    return torch.from_numpy(np.stack([without_object(s) for s in scenes])).permute(0, 3, 1, 2)


def lessons(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """What is trained on: images and their class probabilities (N, 10).

    Some scenes come once more without their object, where all classes are equally likely: the
    logits of a scene with nothing in it are then about equal, and none of them is a default.
    """
    images, labels = stack(scenes)
    certain = nn.functional.one_hot(labels, len(CLASSES)).float()
    undecided = torch.full((EMPTY, len(CLASSES)), 1 / len(CLASSES))
    return torch.cat([images, emptied(scenes[:EMPTY])]), torch.cat([certain, undecided])


def normalize(images: Tensor) -> Tensor:
    """(pixel / 255 - mean) / std."""
    mean, std = torch.tensor([PREPROCESS.mean, PREPROCESS.std])[:, :, None, None]
    return (images / 255 - mean) / std


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turns, mirrors, and exchanges colour channels: none of it touches the class."""
    turns, mirrors = torch.randint(0, 4, (2,), generator=generator).tolist()
    images = images[:, torch.randperm(3, generator=generator)].rot90(turns, (2, 3))
    return images.flip(3) if mirrors % 2 else images


def with_batch_norm(net: bundled.ScenesNet) -> bundled.ScenesNet:
    """Batch norm after each convolution, for training only."""
    layers: list[nn.Module] = []
    for layer in net.features:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    net.features = nn.Sequential(*layers)
    return net


def without_batch_norm(net: bundled.ScenesNet) -> bundled.ScenesNet:
    """The same function in eval mode, with each batch norm merged into its convolution."""
    layers: list[nn.Module] = []
    for layer in net.eval().features:
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    net.features = nn.Sequential(*layers)
    return net


def train(images: Tensor, targets: Tensor) -> bundled.ScenesNet:
    """The trained network in eval mode, without batch norm."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    net = with_batch_norm(bundled.ScenesNet()).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=5e-2)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.02)
    for epoch in range(EPOCHS):
        losses = []
        for rows in torch.randperm(len(images), generator=generator).split(BATCH):
            if len(rows) < BATCH:
                continue
            loss = loss_of(net(normalize(augment(images[rows], generator))), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1:2d} of {EPOCHS}: loss {np.mean(losses):.3f}", flush=True)
    return without_batch_norm(net)


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose highest logit is the label's."""
    found = torch.cat([net(normalize(part)).argmax(1) for part in images.split(250)])
    return (found == labels).double().mean().item()


def histograms(images: Tensor) -> Tensor:
    """(N, 512): share of pixels in each of 8 × 8 × 8 colours."""
    red, green, blue = (images.long() // 32).unbind(1)
    codes = (red * 64 + green * 8 + blue).flatten(1)
    counts = torch.zeros(len(images), 512).scatter_add_(1, codes, torch.ones(codes.shape))
    return counts / codes.shape[1]


def histogram_accuracy(seen: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> float:
    """Best held-out accuracy, over all epochs, of two classifiers that see histograms alone."""
    torch.manual_seed(SEED)
    inputs, shown = histograms(seen[0]).sqrt(), histograms(held[0]).sqrt()
    hidden = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, len(CLASSES)))
    best = 0.0
    for net in (nn.Linear(512, len(CLASSES)), hidden):
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
        for _ in range(15):
            for rows in torch.randperm(len(inputs)).split(128):
                loss = nn.functional.cross_entropy(net(inputs[rows]), seen[1][rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            right = (net(shown).argmax(1) == held[1]).double().mean().item()
            best = max(best, right)
    return best


def multiplications(net: nn.Module) -> int:
    """Multiply-accumulates of one forward pass."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        total += output[0, 0].numel() * layer.weight.numel()

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    net(torch.zeros(1, 3, SIZE, SIZE))
    for hook in hooks:
        hook.remove()
    return total


def measure(net: nn.Module, seen: list[Scene]) -> dict[str, float]:
    """The model card's numbers."""
    scenes = draw_scenes("test", SEED, range(HELD_OUT))
    images, labels = stack(scenes)
    return {
        "accuracy": accuracy(net, images, labels),
        "accuracy_object_removed": accuracy(net, emptied(scenes), labels),
        "accuracy_colour_histogram": histogram_accuracy(stack(seen), (images, labels)),
        "held_out_scenes": HELD_OUT,
        "parameters": sum(p.numel() for p in net.parameters()),
        "multiply_accumulates": multiplications(net),
        "bytes": WEIGHTS.stat().st_size,
    }


def write_weights(net: nn.Module) -> None:
    """Weights with the class names and the preprocessing they belong to."""
    about = {"classes": json.dumps(CLASSES), "preprocess": PREPROCESS.model_dump_json()}
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, WEIGHTS, metadata=about)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="measure the existing weights")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    start, used = time.perf_counter(), time.process_time()
    seen = draw_scenes("train", SEED, range(SCENES))
    if check:
        net = bundled.ScenesNet().eval()
        net.load_state_dict(load_file(WEIGHTS))
    else:
        net = train(*lessons(seen))
        write_weights(net)
        spent = f"{time.perf_counter() - start:.0f} s, {time.process_time() - used:.0f} s of CPU"
        print(f"drawn and trained in {spent}")
    print(json.dumps(measure(net, seen), indent=1))


if __name__ == "__main__":
    main()
