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
from lrpsweep.spec import DataSpec, Preprocess, SplitSpec

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
    with pytest.raises(InputError, match=r"data\.classes: .* no sub-folder '5'"):
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
    with pytest.raises(InputError, match=r"10 search and 6 validation .* has 15 in the 3"):
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
    spec = DataSpec(folder="imagenet", labels=labels, split=split)
    preprocess = Preprocess(resize=256, crop=224, **STATISTICS)
    found = load_inputs(spec, preprocess, [str(i) for i in range(1000)], root).search
    assert [labels[name.split("/")[0]] for name in found.ids] == found.labels.tolist()
    assert found.images.shape == (10, 224, 224, 3)
