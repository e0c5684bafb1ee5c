"""What explaining a batch costs, beside zennit: once, and under many values of gamma.

python benchmarks/explanations.py [--networks vgg16 resnet50] [--explanations 1 32] [--repeats 3]
    [--images 8] [--size 224]

Both explain the same batch of random images of size × size with EpsilonGammaBox, on networks with
random weights, in float32, each in a process of its own with one thread; they take turns. Seconds
are those of the explanations alone, without imports, loading and merging batch norms; peak memory
is the process's largest resident size, less what it was before the first explanation. A third
process measures the scale of it all: backward passes to the images, after one forward pass, each
image's score alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

LOW, HIGH = torch.tensor([-2.12, -2.04, -1.80]), torch.tensor([2.25, 2.43, 2.64])
Explain = Callable[[float], Tensor]


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = torchvision.models.get_model(name, weights=None).eval()
    return net.requires_grad_(False)


def batch(count: int, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, size, size, generator=generator)
    low, high = LOW.view(3, 1, 1), HIGH.view(3, 1, 1)
    return low + images * (high - low), torch.arange(count)


def with_lrpsweep(name: str, images: Tensor, targets: Tensor) -> Explain:
    from lrpsweep.attribution import Engine, list_layers
    from lrpsweep.composites import Block, Composite

    net = network(name)
    images = images.contiguous(memory_format=torch.channels_last)
    layers = [layer for layer in list_layers(net) if layer.weighted]
    first, convs = layers[0].name, [x.name for x in layers[1:] if x.kind == "Conv2d"]
    dense = tuple(layer.name for layer in layers if layer.kind == "Linear")
    engine = Engine(net, (LOW, HIGH), cache_bytes=4 * 2**30)

    def explain(gamma: float) -> Tensor:
        blocks = (
            Block("pixel", (first,), "z_box", {"stabilizer": 1e-6}),
            Block("body", tuple(convs), "gamma", {"gamma": gamma, "stabilizer": 1e-6}),
            Block("head", dense, "epsilon", {"epsilon": 1e-6, "stabilizer": 1e-6}),
        )
        rules = Composite(blocks).rules(layers)
        return engine.attribute(images, targets, rules, key="batch").relevance

    return explain


def with_zennit(name: str, images: Tensor, targets: Tensor) -> Explain:
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonGammaBox
    from zennit.torchvision import ResNetCanonizer, VGGCanonizer

    net = network(name)
    canonizer = ResNetCanonizer() if name.startswith("resnet") else VGGCanonizer()
    low, high = LOW.view(1, 3, 1, 1), HIGH.view(1, 3, 1, 1)

    def explain(gamma: float) -> Tensor:
        composite = EpsilonGammaBox(low, high, gamma=gamma, canonizers=[canonizer])

        def start(output: Tensor) -> Tensor:
            chosen = torch.zeros_like(output).scatter_(1, targets[:, None], 1.0)
            return chosen * output.detach()

        with Gradient(model=net, composite=composite) as attributor:
            return attributor(images, start)[1].detach()

    return explain


def with_gradient(name: str, images: Tensor, targets: Tensor) -> Explain:
    net = network(name)
    images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    score = net(images).gather(1, targets[:, None]).sum()

    def explain(gamma: float) -> Tensor:
        return torch.autograd.grad(score, images, retain_graph=True)[0]

    return explain


WHO = {"lrpsweep": with_lrpsweep, "zennit": with_zennit, "gradient": with_gradient}


def measure(who: str, name: str, explanations: int, images: int, size: int) -> dict[str, float]:
    torch.set_num_threads(1)
    explain = WHO[who](name, *batch(images, size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    for i in range(explanations):
        relevance = explain(0.05 * (i + 1))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "peak_mb": peak / 1024, "total": float(relevance.sum())}


def in_own_process(who: str, name: str, *numbers: int) -> dict[str, float]:
    """As `measure`."""
    command = [sys.executable, __file__, "--measure", who, name, *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(name: str, explanations: int, repeats: int, images: int, size: int) -> None:
    found: dict[str, list[dict[str, float]]] = {who: [] for who in WHO}
    for _ in range(repeats):
        for who in WHO:
            found[who].append(in_own_process(who, name, explanations, images, size))
    for who, runs in found.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        peak = statistics.median(run["peak_mb"] for run in runs)
        print(
            f"{name:10} {explanations:4} {who:9} {seconds:8.2f} s {seconds / explanations:7.3f} s "
            f"each {peak:7.0f} MB   sum of relevance {runs[0]['total']:.6g}"
        )
    for one, other in (("zennit", "lrpsweep"), ("lrpsweep", "gradient")):
        pairs = zip(found[one], found[other], strict=True)
        ratios = [a["seconds"] / b["seconds"] for a, b in pairs]
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:10} {explanations:4} {one} / {other} {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["vgg16", "resnet50"])
    parser.add_argument("--explanations", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        who, name, *numbers = chosen.measure
        print(json.dumps(measure(who, name, *map(int, numbers))))
        return
    for name in chosen.networks:
        for explanations in chosen.explanations:
            compare(name, explanations, chosen.repeats, chosen.images, chosen.size)


if __name__ == "__main__":
    main()
