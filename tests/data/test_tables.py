from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpsweep.data import Split, load_inputs
from lrpsweep.errors import InputError
from lrpsweep.study import DataSpec, Preprocess, SplitSpec

SIZE = Preprocess(resize=9, crop=9, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLASSES = ("hen", "crane", "tern")
GOOD = "path,class\na.png,hen\nb.png,tern\nsub/c.png,hen\nsub/d.png,tern\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.png", "sub/c.png", "sub/d.png")):
        save(tmp_path / "photos" / name, seed)
    save(tmp_path / "outside.png", 9)
    return tmp_path


def save(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def load(base: Path, text: str | bytes = GOOD, **more: object) -> Split:
    data = text if isinstance(text, bytes) else text.encode()
    (base / "photos" / "list.csv").write_bytes(data)
    given = {"labels": "name", "split": SplitSpec(search=2, validation=2)} | more
    spec = DataSpec(csv="photos/list.csv", **given)  # type: ignore[arg-type]
    return load_inputs(spec, SIZE, CLASSES, base)


def labels(split: Split) -> dict[str, int]:
    parts = (split.search, split.validation)
    return {
        name: int(label)
        for part in parts
        for name, label in zip(part.ids, part.labels, strict=True)
    }


RIGHT = {"a.png": 0, "b.png": 2, "sub/c.png": 0, "sub/d.png": 2}


def test_a_table_gives_paths_and_classes(base: Path) -> None:
    split = load(base)
    assert labels(split) == RIGHT
    assert sorted(split.search.labels) == sorted(split.validation.labels) == [0, 2]
    expected = np.array(Image.open(base / "photos" / split.search.ids[0]))
    assert np.array_equal(split.search.images[0], expected)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        "note,class, path\nx,hen,a.png\ny,tern, b.png\n\n,hen,sub/c.png\nz,tern,sub/d.png",
        GOOD.replace("a.png", '"a.png"'),
    ],
)
def test_tables_as_programs_write_them(base: Path, text: str) -> None:
    assert labels(load(base, text)) == RIGHT


def test_paths_start_from_the_root(base: Path) -> None:
    text = "path,class\nphotos/a.png,hen\noutside.png,tern\n"
    split = load(base, text, root=".", split=SplitSpec(search=1, validation=1))
    assert labels(split) == {"photos/a.png": 0, "outside.png": 2}


def test_a_path_may_have_commas_and_letters_of_any_language(base: Path) -> None:
    save(base / "photos" / "köln, dom.png", 5)
    text = GOOD + '"köln, dom.png",crane\n'
    assert "köln, dom.png" in labels(load(base, text, split=SplitSpec(search=5, validation=0)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: found the columns \(none\); expected 'path' once"),
        ("path,class\n", "has no rows"),
        ("path;class\na.png;hen\n", "found the columns path;class; expected 'path' once, and a co"),
        ("path,path,class\na,b,c\n", "expected 'path' once"),
        ("file,class\na.png,hen\n", "found the columns file, class; expected 'path' once"),
        (GOOD + "e.png,hen\n", r"list\.csv, line 6: 'e\.png' is no file"),
        (GOOD + "sub,hen\n", r"line 6: 'sub' is no file"),
        (GOOD + "a.png,tern\n", r"line 6: 'a\.png' is the same file as in line 2"),
        (GOOD + "sub/../a.png,hen\n", "line 6: .* is the same file as in line 2"),
        (GOOD + "../outside.png,hen\n", "line 6: .* leads out of"),
        (GOOD + "/etc/hostname,hen\n", "line 6: '/etc/hostname' is absolute"),
        (GOOD + "link.png,hen\n", r"line 6: 'link\.png' leads out of"),
        (GOOD + "round.png,hen\n", r"line 6: 'round\.png' (is no file|cannot be followed)"),
        (GOOD + "e.png\n", "line 6: has 1 cells, the header has 2"),
        (GOOD + "e,f.png,hen\n", "line 6: has 3 cells, the header has 2; .*quote a path"),
        (GOOD + "a.png,\n", "line 6: column 'class' is empty"),
        (GOOD + ",hen\n", "line 6: column 'path' is empty"),
        (GOOD.replace("sub/d.png,tern", "sub/d.png,terns"), r"class 'terns' \(list\.csv, line 5\)"),
        (GOOD + '"a.png,hen\n', r"list\.csv, line 6: unexpected end"),
        (GOOD.encode() + b"\xff.png,hen\n", "is not UTF-8"),
        (GOOD + "a\0.png,hen\n", "line 6: "),
    ],
)
def test_a_bad_table_is_refused_with_its_line(base: Path, text: str | bytes, message: str) -> None:
    (base / "photos" / "link.png").symlink_to(base / "outside.png")
    (base / "photos" / "round.png").symlink_to(base / "photos" / "round.png")
    with pytest.raises(InputError, match=message):
        load(base, text)


def test_a_link_that_stays_inside_is_followed(base: Path) -> None:
    (base / "photos" / "b.png").rename(base / "photos" / "sub" / "real.png")
    (base / "photos" / "b.png").symlink_to(base / "photos" / "sub" / "real.png")
    assert labels(load(base)) == RIGHT


def test_a_missing_table_and_a_missing_root_are_named(base: Path) -> None:
    spec = DataSpec(csv="none.csv", labels="name", split=SplitSpec(search=1, validation=0))
    with pytest.raises(InputError, match=r"data\.csv: there is no file '.*none\.csv'"):
        load_inputs(spec, SIZE, CLASSES, base)
    with pytest.raises(InputError, match=r"data\.root: there is no folder '.*nowhere'"):
        load(base, root="nowhere")
