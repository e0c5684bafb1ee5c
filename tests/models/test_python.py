from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from lrpsweep.errors import InputError
from lrpsweep.models import load_model
from lrpsweep.study import ModelSpec, Preprocess

GIVEN = Preprocess(resize=None, crop=8, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.5))
STUDY = ModelSpec(python="mine", classes=("cat", "dog"), preprocess=GIVEN)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten())


def test_a_network_handed_over_is_copied_and_named_by_the_study() -> None:
    net = network().train()
    model = load_model(STUDY, "cpu", Path(), net=net)
    assert (model.name, model.classes, model.preprocess) == ("mine", ("cat", "dog"), GIVEN)
    assert net.training
    assert net[0].weight.requires_grad
    with torch.no_grad():
        net[0].weight.zero_()
    assert model.net[0].weight.any()


def test_a_network_is_known_by_its_weights() -> None:
    net = network()
    first = load_model(STUDY, "cpu", Path(), net=net).fingerprint
    assert load_model(STUDY, "cpu", Path(), net=net).fingerprint == first
    assert load_model(STUDY, "cpu", Path(), net=network()).fingerprint != first


def test_without_a_network_the_study_says_how_to_hand_one_over() -> None:
    message = r"model\.python: this study's network 'mine' .*lrpsweep\.run\(study, model=network\)"
    with pytest.raises(InputError, match=message):
        load_model(STUDY, "cpu", Path())


def test_a_network_is_not_handed_over_in_vain() -> None:
    with pytest.raises(InputError, match=r"model\.embedded: the study names scenes, but a network"):
        load_model(ModelSpec(embedded="scenes"), "cpu", Path(), net=network())


@pytest.mark.parametrize("given", [nn.Conv2d, "resnet18", {"weight": torch.zeros(1)}])
def test_what_is_no_network_is_refused(given: object) -> None:
    with pytest.raises(InputError, match=r"model\.python: found \w+; expected a network"):
        load_model(STUDY, "cpu", Path(), net=given)  # type: ignore[arg-type]


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    net = network()
    net.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"model: mine cannot be copied \(cannot pickle"):
        load_model(STUDY, "cpu", Path(), net=net)


def test_preprocessing_has_to_be_told() -> None:
    spec = ModelSpec(python="mine")
    with pytest.raises(InputError, match="'auto', but a network handed over does not say"):
        load_model(spec, "cpu", Path(), net=network())


def test_an_address_in_memory_is_no_part_of_the_fingerprint() -> None:
    """A layer whose description shows a function once made every process's fingerprint another."""

    class Scaled(nn.Conv2d):
        def extra_repr(self) -> str:
            return repr(self.scale)

    def network() -> nn.Module:
        torch.manual_seed(0)
        net = Scaled(3, 2, 1)
        net.scale = lambda x: x
        return net

    models = [load_model(STUDY, "cpu", Path(), net=net) for net in (network(), network())]
    assert repr(models[0].net) != repr(models[1].net)
    assert models[0].fingerprint == models[1].fingerprint
