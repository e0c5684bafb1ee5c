from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, SEMEION

from lrpsweep.data import Split, load_inputs
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, Preprocess, SplitSpec

SIZE = Preprocess(resize=32, crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
NAMES = ("airplane", "cat", "dog")
TRUTH = [0, 1, 2, 2, 1, 0, 0, 1]


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight images and three classes, stored as CIFAR-10 is."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (len(TRUTH), 3072), np.uint8)
    stored = {"test_batch": {"data": pixels, "labels": TRUTH}, "batches.meta": {"names": NAMES}}
    sums = {}
    for name, content in stored.items():
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return tmp_path


def load(
    root: Path,
    name: str = "CIFAR10",
    classes: tuple[str, ...] = ("dog", "airplane", "cat"),
    wanted: tuple[str, ...] | None = None,
    **more: object,
) -> Split:
    given = {"labels": "name", "options": {"train": False}} | more
    if wanted is not None:
        given["classes"] = wanted
    given.setdefault("split", SplitSpec(search=3, validation=3))
    spec = DataSpec(dataset=name, root=str(root), **given)  # type: ignore[arg-type]
    return load_inputs(spec, SIZE, classes, Path("/nowhere"))


def test_the_sets_classes_become_the_models_by_name(cifar: Path) -> None:
    split = load(cifar)
    own = [NAMES[TRUTH[int(name.split("/")[-1])]] for name in split.search.ids]
    assert sorted(own) == sorted(NAMES)
    assert [("dog", "airplane", "cat")[label] for label in split.search.labels] == own
    assert not set(split.search.ids) & set(split.validation.ids)


def test_the_pixels_are_those_of_the_set(cifar: Path) -> None:
    found = load(cifar).search
    assert found.ids[0].startswith("dataset/CIFAR10/")
    image = CIFAR10(cifar, train=False)[int(found.ids[0].split("/")[-1])][0]
    assert np.array_equal(found.images[0], np.array(image))


def test_index_is_the_sets_own_number_and_a_map_names_its_classes(cifar: Path) -> None:
    found = load(cifar, labels="index").search
    assert found.labels.tolist() == [TRUTH[int(name.split("/")[-1])] for name in found.ids]
    mapped = load(cifar, labels={"cat": 2, "dog": "dog", "airplane": 1}).search
    assert mapped.labels.tolist() == [[1, 2, 0][label] for label in found.labels]


def test_classes_are_chosen_by_name(cifar: Path) -> None:
    split = SplitSpec(search=2, validation=1)
    found = load(cifar, labels="index", wanted=("cat",), split=split).search
    assert set(found.labels.tolist()) == {1}


def test_labels_are_known_without_decoding_images(
    cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    original = CIFAR10.__getitem__

    def counted(self: CIFAR10, index: int) -> object:
        fetched.append(index)
        return original(self, index)

    monkeypatch.setattr(CIFAR10, "__getitem__", counted)
    load(cifar, split=SplitSpec(search=2, validation=1))
    assert len(fetched) == len(set(fetched)) == 3


def test_a_set_without_names_has_numbers(tmp_path: Path) -> None:
    options = {"size": 12, "num_classes": 3}
    found = load(tmp_path, "FakeData", labels="index", options=options).search
    assert found.images.shape == (3, 32, 32, 3)
    with pytest.raises(InputError, match=r"found 'name', but FakeData does not name its classes"):
        load(tmp_path, "FakeData", options=options)


def test_imagenette_knows_its_wordnet_ids(tmp_path: Path) -> None:
    for seed, wnid in enumerate(("n01440764", "n02102040", "n03888257")):
        for i in range(2):
            folder = tmp_path / "imagenette2" / "val" / wnid
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(2 * seed + i).integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{wnid}_{i}.JPEG")
        (tmp_path / "imagenette2" / "train").mkdir(exist_ok=True)
    found = load(
        tmp_path,
        "Imagenette",
        labels="wnid",
        options={"split": "val"},
        classes=tuple(map(str, range(1000))),
    )
    assert sorted(found.search.labels) == [0, 217, 701]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CIFAR1", {}, r"data\.dataset: torchvision has no data set 'CIFAR1'.*'CIFAR10'"),
        ("wrap_dataset_for_transforms_v2", {}, "torchvision has no data set"),
        ("CIFAR10", {"download": True}, r"data\.options\.download: .* nothing is downloaded"),
        ("CIFAR10", {"transform": "ToTensor"}, r"data\.options\.transform: .* model\.preprocess"),
        ("CIFAR10", {"root": "x"}, r"data\.options\.root: expected nothing: data\.root"),
        ("CIFAR10", {"trian": False}, r"data\.options\.trian: .* no such option.*'train'"),
        ("SVHN", {}, r"SVHN cannot be opened in .*RuntimeError.*nothing is downloaded"),
        ("DatasetFolder", {}, r"DatasetFolder cannot be opened in .*loader"),
    ],
)
def test_what_cannot_be_opened_is_named(
    cifar: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(cifar, name, options=options)


def test_a_set_that_downloads_unless_told_not_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEMEION, "download", lambda self: pytest.fail("downloads"))
    with pytest.raises(InputError, match=r"SEMEION cannot be opened in .*nothing is downloaded"):
        load(tmp_path, "SEMEION", options={})


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.root: there is no folder '.*none'"):
        load(tmp_path / "none")
