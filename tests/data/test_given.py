from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision import transforms as T

from lrpsweep.data import Split, load_inputs
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, Preprocess, SplitSpec

STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
AS_IT_IS = Preprocess(**STATISTICS)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 10, 3), np.uint8)
LABELS = np.arange(12) % 3


def load(images: object, preprocess: Preprocess = AS_IT_IS, **more: object) -> Split:
    given = {"split": SplitSpec(search=6, validation=3)} | more
    spec = DataSpec(python="mine", **given)  # type: ignore[arg-type]
    return load_inputs(spec, preprocess, ("a", "b", "c"), Path("/nowhere"), images=images)


class Photos(Dataset[tuple[object, int]]):
    """As people write them: counts what is fetched."""

    def __init__(self, transform: object = None, shift: int = 0, keeps_targets: bool = True):
        self.transform = transform
        self.shift = shift
        self.fetched: list[int] = []
        if keeps_targets:
            self.targets = LABELS.tolist()

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int) -> tuple[object, int]:
        self.fetched.append(index)
        picture = Image.fromarray(PIXELS[index])
        image = self.transform(picture) if callable(self.transform) else picture
        return image, int(LABELS[index]) + self.shift


CHANNELS_FIRST = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    "images",
    [
        (PIXELS, LABELS),
        (CHANNELS_FIRST, LABELS.tolist()),
        [torch.tensor(PIXELS), torch.tensor(LABELS)],
        (torch.tensor(CHANNELS_FIRST), LABELS.astype(np.int32)),
        TensorDataset(torch.tensor(CHANNELS_FIRST), torch.tensor(LABELS)),
        Photos(),
        Photos(keeps_targets=False),
        Photos(transform=T.PILToTensor()),
        [(Image.fromarray(p), int(label)) for p, label in zip(PIXELS, LABELS, strict=True)],
        tuple(zip(CHANNELS_FIRST, LABELS, strict=True)),
    ],
)
def test_images_may_come_in_many_forms(images: object) -> None:
    split = load(images)
    for part in (split.search, split.validation):
        places = [int(name.removeprefix("python/")) for name in part.ids]
        assert np.array_equal(part.images, PIXELS[places])
        assert np.array_equal(part.labels, LABELS[places])
    assert sorted(split.search.labels) == [0, 0, 1, 1, 2, 2]
    assert not set(split.search.ids) & set(split.validation.ids)


def test_they_are_resized_and_cropped_as_files_are() -> None:
    found = load((PIXELS, LABELS), Preprocess(resize=6, crop=5, **STATISTICS)).search
    index = int(found.ids[0].removeprefix("python/"))
    expected = T.Compose([T.Resize(6), T.CenterCrop(5)])(Image.fromarray(PIXELS[index]))
    assert np.array_equal(found.images[0], np.array(expected))


def test_known_labels_spare_decoding() -> None:
    photos = Photos()
    ids = load(photos).search.ids
    assert len(photos.fetched) == len(set(photos.fetched)) == 9
    assert ids == load(Photos(keeps_targets=False)).search.ids


def test_labels_that_the_set_changes_are_taken_as_it_gives_them() -> None:
    photos = Photos(shift=-1)
    photos.target_transform = lambda label: label - 1  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="the label -1 "):
        load(photos)


def test_a_subset_takes_the_labels_of_the_whole() -> None:
    photos = Photos()
    split = load(Subset(photos, [11, 3, 4, 5]), split=SplitSpec(search=4, validation=0))
    assert {n: int(x) for n, x in zip(split.search.ids, split.search.labels, strict=True)} == {
        "python/0": 2,
        "python/1": 0,
        "python/2": 1,
        "python/3": 2,
    }
    assert len(photos.fetched) == 4


def test_classes_are_chosen_by_their_index() -> None:
    split = SplitSpec(search=2, validation=2)
    assert set(load((PIXELS, LABELS), classes=("1",), split=split).search.labels) == {1}


class Stream(IterableDataset[object]):
    def __iter__(self) -> Iterator[object]:
        return iter(())


class Broken(Photos):
    def __getitem__(self, index: int) -> tuple[object, int]:
        raise KeyError("no such photo")


TO_FLOAT = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, r"data\.python: this study's images are handed over in Python: lrpsweep\.run"),
        ((PIXELS / 255, LABELS), r"holds float64; expected uint8: .* not yet normalised"),
        (Photos(transform=TO_FLOAT), r"holds float32; expected uint8: .*Leave out ToTensor"),
        ((PIXELS.astype(int), LABELS), r"holds int64; expected uint8"),
        ((PIXELS, LABELS[:5]), r"shape \(12, 8, 10, 3\) and the labels \(5,\)"),
        ((PIXELS[0], LABELS), r"images have shape \(8, 10, 3\)"),
        ((PIXELS, np.eye(12)), r"the labels \(12, 12\)"),
        ((PIXELS, LABELS / 1), r"the label of image 0 is of type float64; expected .*whole number"),
        ((PIXELS[..., :2], LABELS), r"image \d+ has shape \(8, 10, 2\); expected \(H, W, 3\)"),
        ((PIXELS, LABELS + 1), r"data\.python: the label 3 .* stands for class 3; .* 0 to 2"),
        ((PIXELS, LABELS - 1), r"data\.python: the label -1 .* stands for class -1"),
        (PIXELS, r"data\.python: found ndarray; expected \(images, labels\)"),
        ({"a": 1}, r"data\.python: found dict"),
        (Stream(), r"data\.python: found Stream"),
        (DataLoader(Photos()), r"data\.python: found DataLoader"),
        ([], r"data\.python: no images are handed over"),
        (list(PIXELS), r"entry 0 is of type ndarray; expected \(image, label\)"),
        ([("a.png", 0)] * 9, r"image \d is of type str; expected a PIL image"),
        ([(PIXELS[0], "cat")], r"the label of image 0 is of type str"),
        (Broken(), r"image \d+ cannot be fetched \(KeyError: 'no such photo'\)"),
        (Photos(shift=1), r"image \d+ comes with label \d, but stands with \d in the data set's"),
        ((PIXELS[:4], LABELS[:4]), r"6 search, 0 selection and 3 validation .* has 4 in the 3"),
        ((PIXELS[[0] * 9], LABELS[:9]), r"has the same pixels as search image 'python/"),
    ],
)
def test_what_is_no_set_of_labelled_pixels_is_refused(images: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(images)


def test_images_for_a_study_that_names_others_are_refused(tmp_path: Path) -> None:
    spec = DataSpec(folder="a", labels="index", split=SplitSpec(search=1, validation=0))
    with pytest.raises(InputError, match=r"images are handed over, but the study names others"):
        load_inputs(spec, AS_IT_IS, (), tmp_path, images=(PIXELS, LABELS))
