"""The code on docs/library.md runs, and says what is so."""

import ast
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lrpsweep

PAGE = (Path(__file__).parent.parent / "docs" / "library.md").read_text(encoding="utf-8")
FIRST, ZENNIT, COMPOSITES, OWN_RULE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def names():
    """What a reader has: a network with `features` and 1000 classes, images and targets."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(3):
        convolutions += [nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*convolutions),
            flatten=nn.Flatten(),
            classifier=nn.Linear(4 * 36, 1000),
        )
    )
    images = torch.randn(2, 3, 16, 16).clamp(-2.1, 2.7).double()
    return {"net": net.eval().double(), "images": images, "targets": torch.tensor([3, 999])}


def test_the_first_example_gives_what_it_says_and_zennits_beside_it_is_the_same(names):
    exec(FIRST, names)
    found = names["found"]
    assert found.relevance.shape == (2, 3, 16, 16)
    assert found.heatmaps.shape == (2, 16, 16)
    exec(ZENNIT, names)
    from_score = names["relevance"] * found.score.view(-1, 1, 1, 1)
    assert float((found.relevance - from_score).abs().max() / from_score.abs().max()) < 1e-4


def test_every_composite_of_the_page_explains(names):
    exec(FIRST, names)
    bounds = (torch.full((3,), -2.1).double(), torch.full((3,), 2.7).double())
    explainer = lrpsweep.Explainer(names["net"], bounds=bounds)
    composites = [ast.literal_eval(part.value) for part in ast.parse(COMPOSITES).body]
    assert len(composites) == 4
    for composite in composites:
        if not str(composite).endswith(".json"):
            explainer(names["images"], names["targets"], composite)
    assert re.search(r'at="features\.10"', PAGE)
    inner = explainer(names["images"], names["targets"], "epsilon_plus", at="features.10")
    assert inner.relevance.shape == (2, 4, 6, 6)


def test_the_pages_own_rule_is_its_equation_and_is_gone_afterwards(names):
    conv, head = nn.Conv2d(3, 4, 3).double(), nn.Linear(4 * 196, 5).double()
    names["net"] = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head).eval()
    names["targets"] = torch.tensor([0, 4])
    exec(FIRST, names)
    exec(OWN_RULE, names)
    assert "absolute" not in lrpsweep.attribution.RULES
    x = names["images"]
    hidden, weight = conv(x).relu(), conv.weight.abs()
    above = hidden * head.weight[names["targets"]].view_as(hidden)
    expected = F.conv_transpose2d(above / F.conv2d(x.abs(), weight), weight).detach() * x.abs()
    apart = (names["found"].relevance - expected).abs().max()
    assert float(apart / expected.abs().max()) < 1e-4
