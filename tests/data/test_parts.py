"""Images dealt by their contents, and those that a study has begun on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpsweep.data import Inputs, Keep, Pinned, Split, load_inputs
from lrpsweep.data.groups import Item
from lrpsweep.data.scenes import CLASSES as SCENE_CLASSES
from lrpsweep.data.sources import list_groups
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, Preprocess, SplitSpec

AS_IT_IS = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
NINE = AS_IT_IS.model_copy(update={"resize": 9, "crop": 9})
CLASSES = ("owl", "hen", "tern", "crane")
PARTS = ("search", "selection", "validation")


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Sub-folders 0, 1 and 2 with 8, 8 and 6 images."""
    for label, count in enumerate((8, 8, 6)):
        for i in range(count):
            save(tmp_path / "photos" / str(label) / f"m{i}.png", 100 * label + i)
    return tmp_path


def add_files(base: Path) -> None:
    """As many again, before, between and behind the others by name, and a class of their own."""
    for label in (0, 1, 2):
        for i, name in enumerate(("a", "m3b", "n", "z", "zz", "zzz")):
            save(base / "photos" / str(label) / f"{name}.png", 1000 + 100 * label + i)
    for i in range(3):
        save(base / "photos" / "3" / f"{i}.png", 2000 + i)


def load(
    base: Path,
    search: int = 5,
    selection: int = 3,
    validation: int = 4,
    seed: int = 0,
    pinned: Pinned | None = None,
    by_content: bool = True,
    keep: Keep | None = None,
) -> Split:
    split = SplitSpec(search=search, selection=selection, validation=validation, seed=seed)
    spec = DataSpec(
        folder="photos",
        labels="index",
        misclassified="keep" if keep is None else "leave_out",
        split=split,
    )
    return load_inputs(spec, NINE, CLASSES, base, keep=keep, by_content=by_content, pinned=pinned)


def pin(split: Split) -> Pinned:
    """What a study keeps of the images that it has begun on."""
    search, selection = (
        tuple(zip(part.ids, part.hashes, strict=True)) for part in (split.search, split.selection)
    )
    return Pinned(search, selection)


def order(split: Split) -> tuple[str, ...]:
    return (*split.search.ids, *split.selection.ids, *split.validation.ids)


def test_the_parts_follow_one_another_and_share_no_image(base: Path) -> None:
    split = load(base)
    assert [len(getattr(split, part).ids) for part in PARTS] == [5, 3, 4]
    assert len(set(order(split))) == 12
    assert order(split) == load(base, 12, 0, 0).search.ids


def test_a_selection_is_dealt_between_the_other_parts_in_the_order_by_name_too(base: Path) -> None:
    whole = load(base, 12, 0, 0, by_content=False)
    assert order(load(base, by_content=False)) == whole.search.ids
    assert whole.search.ids != load(base, 12, 0, 0).search.ids


def test_every_beginning_has_about_as_many_of_each_class(base: Path) -> None:
    labels = load(base, 22, 0, 0).search.labels
    assert set(Counter(labels[:6].tolist()).values()) == {2}
    assert set(Counter(labels[:18].tolist()).values()) == {6}


def test_another_seed_deals_others(base: Path) -> None:
    assert load(base, seed=1).search.ids != load(base).search.ids
    firsts = {load(base, 1, 0, 0, seed=seed).search.ids[0].split("/")[0] for seed in range(9)}
    assert firsts == {"0", "1", "2"}


def test_the_names_of_files_decide_nothing(base: Path) -> None:
    before = load(base)
    for number, path in enumerate(sorted((base / "photos").glob("*/*.png"), reverse=True)):
        path.rename(path.with_name(f"{number:03}.png"))
    after = load(base)
    assert [getattr(after, part).hashes for part in PARTS] == [
        getattr(before, part).hashes for part in PARTS
    ]
    assert after.search.ids != before.search.ids


def test_added_files_keep_the_order_of_the_others_in_their_class(base: Path) -> None:
    before = load(base, 22, 0, 0).search.ids
    add_files(base)
    after = load(base, 43, 0, 0).search.ids
    for label in ("0", "1", "2"):
        former = [name for name in before if name.startswith(label)]
        assert [name for name in after if name in former] == former


def test_added_files_change_no_image_that_a_study_has_begun_on(base: Path) -> None:
    begun = load(base)
    add_files(base)
    assert load(base).search.ids != begun.search.ids
    after = load(base, pinned=pin(begun), validation=30)
    for part in ("search", "selection"):
        assert getattr(after, part).ids == getattr(begun, part).ids
        assert getattr(after, part).hashes == getattr(begun, part).hashes
    assert np.array_equal(after.search.labels, begun.search.labels)
    assert len(set(order(after))) == 38


def test_images_that_are_not_used_yet_may_go(base: Path) -> None:
    begun = load(base)
    (base / "photos" / begun.validation.ids[0]).unlink()
    after = load(base, pinned=pin(begun))
    assert order(after)[:8] == order(begun)[:8]
    assert begun.validation.ids[0] not in order(after)
    assert len(set(order(after))) == 12


@pytest.mark.parametrize(("search", "selection"), [(5, 3), (4, 0), (1, 1)])
def test_more_validation_images_begin_with_the_former_ones(
    base: Path, search: int, selection: int
) -> None:
    begun = load(base, search, selection, 4)
    for pinned in (None, pin(begun)):
        again = load(base, search, selection, 4, pinned=pinned)
        more = load(base, search, selection, 12, pinned=pinned)
        assert order(again) == order(begun)
        assert more.validation.ids[:4] == begun.validation.ids
        assert len(set(order(more))) == search + selection + 12


def dark(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return images[:, 0, 0, 0] < 180


def test_misclassified_images_are_left_out_of_every_part(base: Path) -> None:
    split = load(base, 4, 2, 3, keep=dark)
    whole = load(base, 22, 0, 0).search
    kept = [n for n, good in zip(whole.ids, dark(whole.images, whole.labels), strict=True) if good]
    assert order(split) == tuple(kept[:9])
    assert len(kept) < 22


def test_pinned_images_are_not_asked_about_again(base: Path) -> None:
    begun = load(base, 4, 2, 3, keep=dark)
    asked: list[bytes] = []

    def remembers(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        asked.extend(image.tobytes() for image in images)
        return dark(images, labels)

    after = load(base, 4, 2, 3, keep=remembers, pinned=pin(begun))
    assert order(after) == order(begun)
    pinned = {image.tobytes() for image in (*begun.search.images, *begun.selection.images)}
    assert not pinned & set(asked)
    assert {image.tobytes() for image in begun.validation.images} <= set(asked)
    assert order(load(base, 4, 2, 4, keep=dark, pinned=pin(begun)))[:9] == order(begun)


def test_a_kept_image_stays_whatever_the_network_would_say_now(base: Path) -> None:
    begun = load(base, validation=0, keep=dark)
    none = lambda images, labels: np.zeros(len(labels), bool)  # noqa: E731
    assert order(load(base, validation=0, keep=none, pinned=pin(begun))) == order(begun)


@pytest.mark.parametrize("part", ["search", "selection"])
def test_a_pinned_image_that_is_gone_is_named(base: Path, part: str) -> None:
    begun = load(base)
    name = getattr(begun, part).ids[1]
    (base / "photos" / name).unlink()
    with pytest.raises(InputError, match=rf"data: image '{name}', which .* begun on, is gone"):
        load(base, pinned=pin(begun))


@pytest.mark.parametrize("part", ["search", "selection"])
def test_a_pinned_image_that_has_changed_is_named(base: Path, part: str) -> None:
    begun = load(base)
    name = getattr(begun, part).ids[1]
    save(base / "photos" / name, 77)
    with pytest.raises(InputError, match=rf"data: image '{name}', which .* has other pixels now"):
        load(base, pinned=pin(begun))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((6, 3), r"data\.split\.search: found 6, but the study has begun on 5 search images"),
        (
            (5, 0),
            r"data\.split\.selection: found 0, but .* begun on 3 selection images; expected 3",
        ),
    ],
)
def test_a_study_that_has_begun_keeps_its_numbers(
    base: Path, counts: tuple[int, int], message: str
) -> None:
    begun = load(base)
    with pytest.raises(InputError, match=message):
        load(base, *counts, pinned=pin(begun))


def test_images_that_are_dealt_by_name_are_not_pinned(base: Path) -> None:
    with pytest.raises(ValueError, match="pinned"):
        load(base, pinned=pin(load(base)), by_content=False)


def test_too_few_images_are_told_with_all_three_numbers(base: Path) -> None:
    message = r"data\.split: 9 search, 8 selection and 7 validation images .* 22 in the 3"
    with pytest.raises(InputError, match=message):
        load(base, 9, 8, 7)
    message = r"22 are misclassified .* 3 are needed \(data\.split: 1 search, 1 selection and 1 "
    with pytest.raises(InputError, match=message):
        load(base, 1, 1, 1, keep=lambda images, labels: labels < 0)


@pytest.mark.parametrize(("former", "later"), list(combinations(PARTS, 2)))
def test_one_picture_under_two_names_is_in_one_part_only(
    base: Path, former: str, later: str
) -> None:
    split = load(base, by_content=False)
    first, second = getattr(split, former).ids[0], getattr(split, later).ids[0]
    shutil.copy(base / "photos" / first, base / "photos" / second)
    message = rf"data: {later} image '{second}' has the same pixels as {former} image '{first}'"
    with pytest.raises(InputError, match=message):
        load(base, by_content=False)


def scenes(
    validation: int = 4, pinned: Pinned | None = None, keep: Keep | None = None, seed: int = 2
) -> Split:
    split = SplitSpec(search=6, selection=5, validation=validation, seed=seed)
    spec = DataSpec(
        embedded="scenes", misclassified="keep" if keep is None else "leave_out", split=split
    )
    return load_inputs(
        spec,
        AS_IT_IS,
        SCENE_CLASSES,
        Path(),
        keep=keep,
        by_content=True,
        pinned=pinned,
    )


def test_scenes_have_three_parts_that_share_nothing() -> None:
    split = scenes()
    parts: list[Inputs] = [split.search, split.selection, split.validation]
    assert len({mark for part in parts for mark in part.hashes}) == 6 + 5 + 4
    assert split.selection.ids[4] == "scenes/selection/2/4"
    assert split.selection.masks is not None
    assert split.selection.masks.shape == (5, 64, 64)


def test_scenes_that_a_study_has_begun_on_are_drawn_again() -> None:
    odd = lambda images, labels: labels % 2 == 1  # noqa: E731
    begun = scenes(keep=odd)
    asked: list[int] = []

    def remembers(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        asked.extend(labels.tolist())
        return np.asarray(labels % 2 == 0)

    after = scenes(8, pinned=pin(begun), keep=remembers)
    assert order(after)[:11] == order(begun)[:11]
    assert after.search.hashes == begun.search.hashes
    assert set(after.validation.labels % 2) == {0}
    with pytest.raises(InputError, match=r"'scenes/search/2/1', which .* is gone"):
        scenes(pinned=pin(begun), seed=3)
    other = Pinned(pin(begun).search, tuple((name, "0") for name in begun.selection.ids))
    with pytest.raises(InputError, match=r"'scenes/selection/2/1', which .* has other pixels"):
        scenes(pinned=other)


PIXELS = np.random.default_rng(5).integers(0, 256, (4, 32, 32, 3), np.uint8)


def as_folder(base: Path) -> tuple[DataSpec, object | None]:
    return DataSpec(folder="pictures", labels="index", split=SPLIT), None


def as_table(base: Path) -> tuple[DataSpec, object | None]:
    lines = ["path,class", *(f"pictures/0/{i}.png,0" for i in range(4))]
    (base / "list.csv").write_text("\n".join(lines))
    return DataSpec(csv="list.csv", labels="index", split=SPLIT), None


def as_dataset(base: Path) -> tuple[DataSpec, object | None]:
    spec = DataSpec(dataset="ImageFolder", root=str(base / "pictures"), labels="index", split=SPLIT)
    return spec, None


def as_arrays(base: Path) -> tuple[DataSpec, object | None]:
    return DataSpec(python="mine", split=SPLIT), (PIXELS, [0] * 4)


def as_pictures(base: Path) -> tuple[DataSpec, object | None]:
    return DataSpec(python="mine", split=SPLIT), [(Image.fromarray(p), 0) for p in PIXELS]


Source = Callable[[Path], tuple[DataSpec, object | None]]
SPLIT = SplitSpec(search=2, selection=1, validation=1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures" / "0").mkdir(parents=True)
    for i, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / "pictures" / "0" / f"{i}.png")
    return tmp_path


def digests(source: Source, base: Path) -> list[str]:
    spec, images = source(base)
    items: list[Item] = [i for group in list_groups(spec, base, images) for i in group.items()]
    return [item.digest() for item in sorted(items, key=lambda item: item.id)]


@pytest.mark.parametrize("source", [as_folder, as_table, as_dataset, as_arrays, as_pictures])
def test_pictures_of_every_source_have_a_digest_of_their_own(
    pictures: Path, source: Source
) -> None:
    found = digests(source, pictures)
    assert [len(digest) for digest in found] == [64] * 4
    assert len(set(found)) == 4
    assert digests(source, pictures) == found
    spec, images = source(pictures)
    split = load_inputs(spec, NINE, CLASSES, pictures, images=images, by_content=True)
    assert len(set(order(split))) == 4


def test_a_digest_is_of_the_content_alone(pictures: Path) -> None:
    assert digests(as_folder, pictures) == digests(as_table, pictures)
    assert digests(as_dataset, pictures) == digests(as_arrays, pictures)
    assert digests(as_arrays, pictures) == digests(as_pictures, pictures)
    folder = pictures / "pictures" / "0"
    before = digests(as_folder, pictures)
    Image.fromarray(PIXELS[0]).save(folder / "0.png", compress_level=0)
    after = digests(as_folder, pictures)
    assert after[0] != before[0]
    assert after[1:] == before[1:]


def test_a_file_is_not_decoded_for_its_digest(pictures: Path) -> None:
    (pictures / "pictures" / "0" / "0.png").write_bytes(b"damaged")
    assert len(set(digests(as_folder, pictures))) == 4
    with pytest.raises(InputError, match="image 0 cannot be fetched"):
        digests(as_dataset, pictures)
