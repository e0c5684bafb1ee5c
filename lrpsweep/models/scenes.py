"""The bundled network: a small VGG for the package's own textured scenes."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from torch import Tensor, nn

from lrpsweep.models.model import Model, wrap_model
from lrpsweep.models.request import Request
from lrpsweep.study import Preprocess

WIDTHS = (8, 16, 32, 64)
CLASSES = 10


class ScenesNet(nn.Module):
    """Eight convolutions in four stages, then two linear layers; named as torchvision's VGG.

    (N, 3, 64, 64) -> (N, 10) logits.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(channels * 4 * 4, 64),
            nn.ReLU(inplace=True),
            nn.Dropout(0.25),
            nn.Linear(64, CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.classifier(self.flatten(self.features(images)))
        return logits


def load_scenes(request: Request) -> Model:
    """The bundled network with its weights, which carry class names and preprocessing."""
    path = Path(__file__).with_name("scenes.safetensors")
    with safe_open(path, framework="pt") as stored:
        about = stored.metadata()
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    net = ScenesNet()
    net.load_state_dict(state)
    preprocess = Preprocess.model_validate_json(about["preprocess"])
    classes = json.loads(about["classes"])
    return wrap_model(net, preprocess, name="scenes", classes=classes, device=request.device)
