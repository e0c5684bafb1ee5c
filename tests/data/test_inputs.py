from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpsweep.data import Split, load_inputs
from lrpsweep.data.scenes import CLASSES as SCENE_CLASSES
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, Preprocess, SplitSpec

STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
NINE = Preprocess(resize=9, crop=9, **STATISTICS)
CLASSES = ("great owl", "hen", "crane", "crane", "tern")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sub-folders 4, 1, 0 with 6, 6 and 3 images."""
    rng = np.random.default_rng(0)
    for name, count in {"4": 6, "1": 6, "0": 3}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (9 + i, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path


def load(
    base: Path,
    search: int,
    validation: int,
    seed: int = 0,
    labels: object = "index",
    **more: object,
) -> Split:
    split = SplitSpec(search=search, validation=validation, seed=seed)
    given = more | ({} if labels is None else {"labels": labels})
    spec = DataSpec(folder="photos", split=split, **given)  # type: ignore[arg-type]
    return load_inputs(spec, NINE, CLASSES, base)


def test_a_folder_name_is_the_class_index_never_its_position(folder: Path) -> None:
    found = load(folder, 10, 5).search
    assert [int(name.split("/")[0]) for name in found.ids] == found.labels.tolist()
    assert found.images.shape == (10, 9, 9, 3)
    assert found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64


def test_split_is_disjoint_stratified_and_repeatable(folder: Path) -> None:
    split = load(folder, 6, 6)
    assert not set(split.search.ids) & set(split.validation.ids)
    assert sorted(Counter(split.search.labels.tolist()).values()) == [2, 2, 2]
    assert load(folder, 6, 6).search.ids == split.search.ids
    assert load(folder, 6, 6, seed=1).search.ids != split.search.ids


def test_images_do_not_depend_on_where_the_folder_lies(folder: Path) -> None:
    before = load(folder, 6, 6)
    (folder / "photos").rename(folder / "moved")
    (folder / "photos").symlink_to(folder / "moved")
    after = load(folder, 6, 6)
    assert after.search.ids == before.search.ids
    assert after.search.hashes == before.search.hashes


def test_a_variable_in_the_path_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", str(folder))
    spec = DataSpec(
        folder="${PHOTOS}/photos", labels="index", split=SplitSpec(search=2, validation=0)
    )
    found = load_inputs(spec, NINE, CLASSES, Path("/nowhere"))
    assert len(found.search.images) == 2
    assert found.validation.images.shape == (0, 9, 9, 3)


def test_only_the_named_sub_folders_are_used(folder: Path) -> None:
    assert set(load(folder, 3, 3, classes=("4",)).search.labels.tolist()) == {4}
    with pytest.raises(InputError, match=r"data\.classes: the data has no class '5'"):
        load(folder, 3, 3, classes=("5",))


def test_labels_may_be_unknown(folder: Path) -> None:
    assert set(load(folder, 3, 3, labels=None, target="prediction").search.labels) == {-1}


def test_a_map_gives_classes_by_index_or_name(folder: Path) -> None:
    found = load(folder, 14, 1, labels={"4": "hen", "1": 0, "0": "great owl"}).search
    by_folder = {
        name.split("/")[0]: label for name, label in zip(found.ids, found.labels, strict=True)
    }
    assert by_folder == {"4": 1, "1": 0, "0": 0}


def test_names_are_those_of_the_model(folder: Path) -> None:
    for old, new in {"4": "tern", "1": "hen", "0": "great_owl"}.items():
        (folder / "photos" / old).rename(folder / "photos" / new)
    found = load(folder, 9, 0, labels="name").search
    labels = {
        name.split("/")[0]: label for name, label in zip(found.ids, found.labels, strict=True)
    }
    assert labels == {"tern": 4, "hen": 1, "great_owl": 0}


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("5", "index", r"'5' stands for class 5; .*0 to 4"),
        ("-1", "index", r"'-1' stands for class -1"),
        ("hens", "name", r"no class named 'hens'; .*Did you mean 'hen'\?"),
        ("crane", "name", r"several classes named 'crane' \(\[2, 3\]\)"),
        ("n01", {"n02": 1}, r"no class is given for the sub-folder 'n01'.*Did you mean 'n02'"),
        ("n01", {"n01": 9}, r"'n01' stands for class 9"),
    ],
)
def test_a_class_that_the_model_does_not_have_is_refused(
    folder: Path, name: str, labels: object, message: str
) -> None:
    (folder / "photos" / "4").rename(folder / "photos" / name)
    with pytest.raises(InputError, match=message):
        load(folder, 1, 0, labels=labels, classes=(name,))


def test_too_few_images_are_counted(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"data\.split: 10 search, 0 selection and 6 validation .* 15 in the 3"
    ):
        load(folder, 10, 6)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.folder: there is no folder '.*photos'"):
        load(tmp_path, 1, 0)
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=r"data\.folder: .* has no sub-folders"):
        load(tmp_path, 1, 0)


def test_a_file_that_is_no_image_is_named(folder: Path) -> None:
    (folder / "photos" / "4" / "notes.txt").write_text("!")
    with pytest.raises(InputError, match=r"notes\.txt: is no image"):
        load(folder, 1, 0)


def test_hidden_files_are_left_out(folder: Path) -> None:
    (folder / "photos" / "4" / ".DS_Store").write_text("!")
    assert len(load(folder, 15, 0).search.ids) == 15


@pytest.mark.parametrize("link", ["photos/4/link.png", "photos/3"])
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, link: str) -> None:
    outside = folder / "elsewhere"
    outside.mkdir()
    Image.new("RGB", (9, 9)).save(outside / "a.png")
    (folder / link).symlink_to(outside / "a.png" if link.endswith("png") else outside)
    with pytest.raises(InputError, match=r"is a link that leads out of"):
        load(folder, 1, 0)


def test_one_picture_under_two_names_is_not_searched_and_validated(folder: Path) -> None:
    for path in (folder / "photos" / "4").iterdir():
        Image.new("RGB", (9, 9), "red").save(path)
    with pytest.raises(InputError, match=r"has the same pixels as search image '4/"):
        load(folder, 2, 4, classes=("4",))


def test_images_of_several_sizes_need_a_crop(folder: Path) -> None:
    spec = DataSpec(folder="photos", labels="index", split=SplitSpec(search=9, validation=0))
    with pytest.raises(InputError, match=r"expected one size, or model\.preprocess\.crop"):
        load_inputs(spec, Preprocess(**STATISTICS), CLASSES, folder)


def test_an_empty_sub_folder_is_named_before_any_image_is_decoded(folder: Path) -> None:
    (folder / "photos" / "2").mkdir()
    (folder / "photos" / "1" / "0.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"the sub-folder '2' has no images; expected some, or"):
        load(folder, 10, 4)


def test_a_map_that_names_an_unknown_folder_is_refused(folder: Path) -> None:
    labels = {"4": 1, "1": 0, "0": 2, "11": 3}
    with pytest.raises(InputError, match=r"data\.labels: the data has no class '11'.*0, 1, 4"):
        load(folder, 2, 1, labels=labels)


def test_the_layout_of_imagenets_validation_images(tmp_path: Path) -> None:
    """Its photos are JPEG in RGB, grey and CMYK, and one is PNG, whatever their names say."""
    rng = np.random.default_rng(0)
    pictures = [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG")]
    for wnid in ("n02105855", "n01440764"):
        (tmp_path / "val" / wnid).mkdir(parents=True)
        for i, (mode, kind) in enumerate(pictures):
            picture = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8)).convert(mode)
            name = f"ILSVRC2012_val_{i:08}.JPEG"
            picture.save(tmp_path / "val" / wnid / name, format=kind)
    spec = DataSpec(folder="val", labels="wnid", split=SplitSpec(search=6, validation=2))
    split = load_inputs(spec, NINE, [str(i) for i in range(1000)], tmp_path)
    assert sorted(split.search.labels) == [0] * 3 + [230] * 3
    assert split.search.images.shape == (6, 9, 9, 3)
    with pytest.raises(InputError, match=r"data\.labels: found 'wnid'.* the model has 5"):
        load_inputs(spec, NINE, CLASSES, tmp_path)


class Bright:
    """Keeps images whose first pixel is bright; remembers what it was asked about."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), 9, 9, 3)
        self.asked += [image.tobytes() for image in images]
        return images[:, 0, 0, 0] > 127


def left_out(base: Path, search: int, validation: int, keep: object) -> Split:
    split = SplitSpec(search=search, validation=validation)
    spec = DataSpec(folder="photos", labels="index", misclassified="leave_out", split=split)
    return load_inputs(spec, NINE, CLASSES, base, keep=keep)  # type: ignore[arg-type]


def test_images_that_are_left_out_make_room_for_the_next_in_the_deal(folder: Path) -> None:
    whole = load(folder, 15, 0).search
    bright = whole.images[:, 0, 0, 0] > 127
    expected = [name for name, good in zip(whole.ids, bright, strict=True) if good]
    split = left_out(folder, 3, 2, Bright())
    assert (*split.search.ids, *split.validation.ids) == tuple(expected[:5])
    assert len(expected) < 15


def test_each_image_is_looked_at_once_and_no_more_than_needed(tmp_path: Path) -> None:
    (tmp_path / "photos" / "0").mkdir(parents=True)
    for i in range(80):
        pixels = np.full((9, 9, 3), (i % 2) * 128 + i, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "0" / f"{i}.png")
    keep = Bright()
    split = left_out(tmp_path, 12, 6, keep)
    assert len(split.search.ids) == 12
    assert len(split.validation.ids) == 6
    assert len(keep.asked) == len(set(keep.asked)) < 80


def test_too_few_images_that_may_be_used_are_counted(folder: Path) -> None:
    none = lambda images, labels: np.zeros(len(labels), bool)  # noqa: E731
    with pytest.raises(
        InputError,
        match=r"data\.misclassified: of the 15 images .*, 15 are misclassified .*; 0 remain, .* 5 "
        r"are needed \(data\.split: 3 search, 0 selection and 2 validation images\)",
    ):
        left_out(folder, 3, 2, none)


def test_misclassified_images_are_not_kept_by_oversight(folder: Path) -> None:
    with pytest.raises(ValueError, match="keep"):
        left_out(folder, 3, 2, None)


SCENES = DataSpec(embedded="scenes", split=SplitSpec(search=6, validation=4, seed=2))


def test_scenes_have_boxes_and_masks_and_share_nothing_with_validation() -> None:
    split = load_inputs(SCENES, Preprocess(**STATISTICS), SCENE_CLASSES, Path())
    assert split.search.images.shape == (6, 64, 64, 3)
    assert split.search.boxes is not None
    assert split.search.masks is not None
    assert split.search.boxes.shape == (6, 4)
    assert split.search.masks.shape == (6, 64, 64)
    assert not set(split.search.hashes) & set(split.validation.hashes)
    assert split.search.ids[5] == "scenes/search/2/5"


def test_more_scenes_keep_the_first_ones() -> None:
    more = DataSpec(embedded="scenes", split=SplitSpec(search=8, validation=4, seed=2))
    first = load_inputs(SCENES, Preprocess(**STATISTICS), SCENE_CLASSES, Path())
    second = load_inputs(more, Preprocess(**STATISTICS), SCENE_CLASSES, Path())
    assert second.search.hashes[:6] == first.search.hashes
    assert second.validation.hashes == first.validation.hashes


def test_scenes_that_are_left_out_make_room_for_the_next() -> None:
    whole = load_inputs(SCENES, Preprocess(**STATISTICS), SCENE_CLASSES, Path()).search
    wrong = whole.labels[1]
    spec = SCENES.model_copy(update={"misclassified": "leave_out"})
    preprocess = Preprocess(**STATISTICS)
    found = load_inputs(
        spec, preprocess, SCENE_CLASSES, Path(), keep=lambda images, labels: labels != wrong
    )
    assert len(found.search.ids) == 6
    assert len(found.validation.ids) == 4
    assert wrong not in found.search.labels
    kept = [name for name, label in zip(whole.ids, whole.labels, strict=True) if label != wrong]
    assert found.search.ids[: len(kept)] == tuple(kept)
    with pytest.raises(InputError, match="of the 120 images there are to look at, 120 are"):
        load_inputs(spec, preprocess, SCENE_CLASSES, Path(), keep=lambda images, labels: labels < 0)


@pytest.mark.parametrize(("crop", "classes"), [(224, SCENE_CLASSES), (64, CLASSES)])
def test_scenes_are_for_the_embedded_model(crop: int, classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"data\.embedded: the scenes have 64 × 64"):
        load_inputs(SCENES, Preprocess(crop=crop, **STATISTICS), classes, Path())


@pytest.mark.shared
@pytest.mark.skipif("LRPSWEEP_TEST_DATA" not in os.environ, reason="LRPSWEEP_TEST_DATA is not set")
def test_real_photos_get_the_labels_of_their_manifest() -> None:
    root = Path(os.environ["LRPSWEEP_TEST_DATA"])
    with (root / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = {row["wnid"]: int(row["class_index"]) for row in rows}
    split = SplitSpec(search=10, validation=10)
    spec = DataSpec(folder="imagenet", labels="wnid", split=split)
    preprocess = Preprocess(resize=256, crop=224, **STATISTICS)
    found = load_inputs(spec, preprocess, [str(i) for i in range(1000)], root).search
    assert [labels[name.split("/")[0]] for name in found.ids] == found.labels.tolist()
    assert found.images.shape == (10, 224, 224, 3)
