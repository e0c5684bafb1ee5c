from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from lrpsweep.data.scenes import CLASSES
from lrpsweep.errors import InputError
from lrpsweep.models import FAMILIES, Model, load_model, wrap_model
from lrpsweep.models import scenes as bundled
from lrpsweep.models.weights import fill
from lrpsweep.study import ModelSpec, Preprocess

SMALL = "squeezenet1_1"
GIVEN = Preprocess(resize=40, crop=36, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.5))
OVERSIZE = 1_000_000


def load(base: Path = Path(), **fields: object) -> Model:
    return load_model(ModelSpec(**fields), "cpu", base)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scenes() -> Model:
    return load(embedded="scenes")


def test_the_bundled_network_is_small_and_of_plain_layers(scenes: Model) -> None:
    kinds = {type(m) for m in scenes.net.modules() if not list(m.children())}
    assert kinds <= {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear, nn.Dropout}
    convolutions = [m for m in scenes.net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) >= 6
    assert all(m.bias is not None for m in convolutions)
    weights = Path(bundled.__file__).with_name("scenes.safetensors")
    assert weights.stat().st_size < OVERSIZE
    torch.fx.symbolic_trace(scenes.net)


def test_the_bundled_weights_name_the_classes_of_the_scenes(scenes: Model) -> None:
    assert scenes.classes == CLASSES
    assert scenes.input_size == (64, 64)


def test_a_model_is_frozen_and_in_eval_mode(scenes: Model) -> None:
    assert not scenes.net.training
    assert not any(p.requires_grad for p in scenes.net.parameters())


def test_normalization_is_torchvisions() -> None:
    model = wrap_model(nn.Conv2d(3, 1, 1), GIVEN, name="one")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    expected = torchvision.transforms.Normalize(GIVEN.mean, GIVEN.std)(
        torch.stack([torchvision.transforms.functional.to_tensor(image) for image in pixels])
    )
    torch.testing.assert_close(model.normalize(pixels), expected)
    torch.testing.assert_close(model.normalize(torch.from_numpy(pixels)), expected)


def test_pixel_bounds_are_black_and_white() -> None:
    low, high = wrap_model(nn.Conv2d(3, 1, 1), GIVEN, name="one").pixel_bounds
    torch.testing.assert_close(low, torch.tensor([-5.0, -2.0, -0.6]))
    torch.testing.assert_close(high, torch.tensor([5.0, 3.0, 1.4]))


def test_fingerprint_changes_with_any_weight_and_with_preprocessing() -> None:
    def marks(change: float = 0.0, preprocess: Preprocess = GIVEN) -> str:
        torch.manual_seed(0)
        net = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            net.weight[0, 0, 0, 0] += change
        return wrap_model(net, preprocess, name="one").fingerprint

    assert marks() == marks()
    assert marks(1e-6) != marks()
    assert marks(preprocess=GIVEN.model_copy(update={"crop": 35})) != marks()


def test_fingerprint_changes_with_the_layers_that_matter() -> None:
    def marks(*changes: nn.Module, relu: nn.Module | None = None) -> str:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), relu or nn.ReLU(), *changes, nn.Flatten()]
        return wrap_model(nn.Sequential(*layers), GIVEN, name="some").fingerprint

    pooled = marks(nn.MaxPool2d(2))
    assert marks(nn.AvgPool2d(2)) != pooled
    assert marks(nn.MaxPool2d(2, stride=1)) != pooled
    assert marks(nn.MaxPool2d(2), relu=nn.LeakyReLU()) != pooled
    assert marks(nn.MaxPool2d(2), relu=nn.ReLU(inplace=True)) == pooled
    assert marks(nn.Dropout(0.5)) == marks(nn.Dropout(0.2, inplace=True))


def test_the_given_network_stays_as_it_is() -> None:
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Dropout()).train()
    model = wrap_model(net, GIVEN, name="some")
    assert net.training
    assert net[0].weight.requires_grad
    with torch.no_grad():
        net[0].weight.zero_()
    assert model.net[0].weight.any()


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = load(torchvision=SMALL, weights=None)
    assert torch.rand(1) == expected
    assert first.fingerprint == load(torchvision=SMALL, weights=None).fingerprint
    assert first.input_size == (224, 224)
    assert first.classes[29] == "axolotl"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_come_from_a_file_beside_the_study(tmp_path: Path, suffix: str) -> None:
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    path = tmp_path / f"net{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    model = load(tmp_path, torchvision=SMALL, weights=path.name, preprocess=GIVEN)
    assert model.preprocess == GIVEN
    assert all(torch.equal(state[k], v) for k, v in model.net.state_dict().items())


def test_old_batch_norm_without_counter_is_accepted(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "net.safetensors")
    load(tmp_path, torchvision="resnet18", weights="net.safetensors", preprocess=GIVEN)


def test_a_file_does_not_say_how_its_images_were_prepared(tmp_path: Path) -> None:
    save_file({}, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"model\.preprocess: 'auto'.*net\.safetensors"):
        load(tmp_path, torchvision=SMALL, weights="net.safetensors")


def test_preprocessing_without_crop_leaves_the_input_size_open() -> None:
    preprocess = GIVEN.model_copy(update={"crop": None})
    with pytest.raises(InputError, match=r"model\.preprocess\.crop: missing"):
        load(torchvision=SMALL, weights=None, preprocess=preprocess)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    state["features.0.weight"] = torch.zeros(2, 3)
    state["features.0.wait"] = state.pop("features.0.bias")
    save_file(state, tmp_path / "net.safetensors")
    message = (
        r"'features\.0\.bias' is missing, 'features\.0\.wait' is unknown, "
        r"'features\.0\.weight' has shape \(2, 3\) instead of \(64, 3, 3, 3\)"
    )
    with pytest.raises(InputError, match=message):
        load(tmp_path, torchvision=SMALL, weights="net.safetensors", preprocess=GIVEN)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_fine_tuned_classifier_has_its_own_classes(tmp_path: Path, suffix: str) -> None:
    state = torchvision.models.resnet18(weights=None, num_classes=3).state_dict()
    path = tmp_path / f"tuned{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    classes = ("axolotl", "newt", "frog")
    model = load(
        tmp_path, torchvision="resnet18", weights=path.name, classes=classes, preprocess=GIVEN
    )
    assert model.classes == classes
    assert model.net(torch.zeros(1, 3, 36, 36)).shape == (1, 3)
    assert torch.equal(model.net.state_dict()["fc.weight"], state["fc.weight"])


def test_a_random_network_may_have_its_own_classes() -> None:
    model = load(torchvision=SMALL, weights=None, classes=("a", "b"))
    assert model.classes == ("a", "b")
    assert model.net(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_torchvisions_weights_have_no_other_classes() -> None:
    message = r"model\.classes: found 2 names, but the weights IMAGENET1K_V1 of squeezenet1_1 have"
    with pytest.raises(InputError, match=message):
        load(torchvision=SMALL, weights="IMAGENET1K_V1", classes=("a", "b"))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            None,
            r"'fc\.weight' has shape \(3, 512\) instead of \(1000, 512\), 'fc\.bias' .* "
            r"Then model\.classes has to name them\.",
        ),
        (("a", "b"), r"\(3, 512\) instead of \(2, 512\).* model\.classes names 2\."),
    ],
)
def test_another_number_of_classes_is_told(
    tmp_path: Path, classes: tuple[str, ...] | None, message: str
) -> None:
    state = torchvision.models.resnet18(weights=None, num_classes=3).state_dict()
    save_file(state, tmp_path / "tuned.safetensors")
    fields = {"weights": "tuned.safetensors", "classes": classes, "preprocess": GIVEN}
    with pytest.raises(InputError, match=message):
        load(tmp_path, torchvision="resnet18", **fields)


@pytest.mark.parametrize("prefix", ["module.", "model.backbone."])
def test_names_that_all_begin_alike_are_told(tmp_path: Path, prefix: str) -> None:
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    save_file({prefix + k: v for k, v in state.items()}, tmp_path / "net.safetensors")
    message = (
        rf"'features\.0\.weight' is missing, .* All its names begin with '{prefix}', which the "
        rf"network's do not\. Save it as \{{name\.removeprefix\('{prefix}'\): tensor for"
    )
    with pytest.raises(InputError, match=message):
        load(tmp_path, torchvision=SMALL, weights="net.safetensors", preprocess=GIVEN)


def test_names_that_lack_what_the_networks_begin_with_are_told() -> None:
    net = nn.Sequential()
    net.add_module("inner", nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"The network's names begin with 'inner\.', which the fi"):
        fill(net, nn.Linear(2, 2).state_dict(), "'file'")
    with pytest.raises(InputError, match=r"expected the 2 tensors of the network\.$"):
        fill(net, {"other": torch.zeros(1)}, "'file'")
    with pytest.raises(InputError, match=r"expected the 2 tensors of the network\.$"):
        fill(net, {}, "'file'")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_no_code_of_a_weights_file_is_run(tmp_path: Path) -> None:
    torch.save({"w": Trap(tmp_path / "sprung")}, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"net\.pt cannot be read as tensors"):
        load(tmp_path, torchvision=SMALL, weights="net.pt", preprocess=GIVEN)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", [b"", b"not tensors at all", b"\x80\x04K\x01."])
def test_a_damaged_weights_file_is_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"net{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=rf"model\.weights: .*net{suffix} "):
        load(tmp_path, torchvision=SMALL, weights=f"net{suffix}", preprocess=GIVEN)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (torch.zeros(2), "holds a Tensor; expected a state dict"),
        (
            {"epoch": 3, "net": {"w": torch.zeros(2)}, "step": 2, "loss": 0.1},
            r"holds the keys 'epoch', 'net', 'step', and 1 more; expected a state dict.* "
            "This is a checkpoint: save what is under 'net' alone",
        ),
        ({"epoch": 3, "state_dict": {}}, "'epoch', 'state_dict'; expected a state dict, that is"),
        (nn.Linear(2, 2), r"holds an object of torch\.nn\.modules\.linear\.Linear, which is code"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, saved: object, message: str) -> None:
    torch.save(saved, tmp_path / "net.pt")
    with pytest.raises(InputError, match=message):
        load(tmp_path, torchvision=SMALL, weights="net.pt", preprocess=GIVEN)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"torchvision": "vgg61", "weights": None},
            r"no torchvision classifier 'vgg61'.*'vgg19'\?",
        ),
        ({"torchvision": "deeplabv3_resnet50", "weights": None}, "no torchvision classifier"),
        ({"torchvision": "vgg16", "weights": "IMAGENET1K_V2"}, r"Did you mean 'IMAGENET1K_V1'\?"),
        ({"torchvision": "vgg16", "weights": "no.pt", "preprocess": GIVEN}, r"no file '.*no\.pt'"),
    ],
)
def test_unknown_names_are_refused_with_a_guess(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(**fields)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", no_network)
    with pytest.raises(InputError, match=r"IMAGENET1K_V1 of squeezenet1_1 could not be fetched"):
        load(torchvision=SMALL, weights="IMAGENET1K_V1")


def test_downloaded_weights_bring_their_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: state)
    model = load(torchvision=SMALL, weights="IMAGENET1K_V1")
    assert model.preprocess == Preprocess(
        resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    assert load(torchvision=SMALL, weights="DEFAULT").fingerprint == model.fingerprint


def test_the_network_is_built_as_torchvision_builds_it_for_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GoogLeNet normalises its input once more when torchvision trained it; it once did not."""
    state = torchvision.models.googlenet(weights=None, init_weights=False).state_dict()
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: state)
    expected = torchvision.models.googlenet(weights="IMAGENET1K_V1").eval()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = load(torchvision="googlenet", weights="IMAGENET1K_V1").net
    assert torch.equal(found(images), expected(images))
    assert found.transform_input


def test_a_file_does_not_say_whether_the_network_normalises_its_input(tmp_path: Path) -> None:
    save_file({}, tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"model\.weights: whether the googlenet in 'net\.safet"):
        load(tmp_path, torchvision="googlenet", weights="net.safetensors", preprocess=GIVEN)


def test_resizing_that_cannot_be_repeated_is_refused_before_the_download() -> None:
    with pytest.raises(InputError, match=r"model\.preprocess: 'auto'.* with bicubic resizing"):
        load(torchvision="efficientnet_b0", weights="IMAGENET1K_V1")


def test_every_classifier_of_torchvision_has_imagenets_classes() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        first = next(iter(torchvision.models.get_model_weights(name)))
        assert len(first.meta["categories"]) == 1000


def test_families_are_fields_of_the_model_in_a_study() -> None:
    assert list(FAMILIES) == list(ModelSpec.model_fields)[: len(FAMILIES)]


@pytest.mark.shared
@pytest.mark.skipif("LRPSWEEP_TEST_DATA" not in os.environ, reason="LRPSWEEP_TEST_DATA is not set")
def test_real_weights_give_the_known_answer() -> None:
    from lrpsweep.data import read_image

    root = Path(os.environ["LRPSWEEP_TEST_DATA"])
    preprocess = Preprocess(
        resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    model = load(
        root, torchvision=SMALL, weights="squeezenet1_1.safetensors", preprocess=preprocess
    )
    names = [entry["name"] for entry in json.loads((root / "imagenet_classes.json").read_text())]
    assert list(model.classes) == names
    photo = root / "imagenet/n01632777/n01632777_axolotl.jpg"
    logits = model.net(model.normalize(read_image(photo, preprocess)[None]))
    assert logits.argmax().item() == 26
    assert abs(logits.softmax(1).max().item() - 0.815180) < 1e-4
    assert load_file(root / "squeezenet1_1.safetensors").keys() == model.net.state_dict().keys()
