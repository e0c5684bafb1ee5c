from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torchvision.transforms as T
from PIL import Image

from lrpsweep.data import read_image
from lrpsweep.data.files import prepare_image
from lrpsweep.errors import InputError
from lrpsweep.study import Preprocess

STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
AS_IT_IS = Preprocess(**STATISTICS)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    return values[..., 0] if channels == 1 else values


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize("size", [(50, 80), (80, 50), (33, 33), (20, 90)])
@pytest.mark.parametrize(("resize", "crop"), [(32, 28), (40, 40), (None, 24), (17, None), (16, 30)])
def test_resize_and_crop_are_torchvisions(
    tmp_path: Path, size: tuple[int, int], resize: int | None, crop: int | None
) -> None:
    path = saved(tmp_path / "a.png", noise(*size))
    steps = [T.Resize(resize)] if resize else []
    steps += [T.CenterCrop(crop)] if crop else []
    expected = np.array(T.Compose(steps)(Image.open(path)))
    found = read_image(path, Preprocess(resize=resize, crop=crop, **STATISTICS))
    assert np.array_equal(found, expected)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = noise(6, 7, 1)
    found = read_image(saved(tmp_path / "a.png", grey), AS_IT_IS)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.repeat(grey[..., None], 3, 2))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", noise(6, 7) // 128 * 255, "P")
    assert np.array_equal(read_image(path, AS_IT_IS), np.array(Image.open(path).convert("RGB")))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", np.full((8, 8, 3), (200, 40, 90), np.uint8), "CMYK")
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
    assert np.abs(read_image(path, AS_IT_IS).astype(int) - (200, 40, 90)).max() <= 3


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "I;16", "CMYK", "1"])
def test_an_open_picture_is_treated_as_a_file_is(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(noise(20, 30)).convert("I" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray((np.asarray(picture) * 257).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "a.tiff"
    picture.save(path, exif=exif)
    preprocess = Preprocess(resize=12, crop=10, **STATISTICS)
    with Image.open(path) as opened:
        found = prepare_image("a", opened, preprocess)
    assert np.array_equal(found, read_image(path, preprocess))


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 0], pixels[0, :, 3] = 200, (0, 255, 51)
    found = read_image(saved(tmp_path / "a.png", pixels), AS_IT_IS)
    assert found[0].tolist() == [[255, 255, 255], [200, 0, 0], [244, 204, 204]]


def test_a_transparent_colour_of_a_palette_becomes_white(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.gif", transparency=0)
    assert read_image(tmp_path / "a.gif", AS_IT_IS)[0].tolist() == [[255, 255, 255], [0, 0, 255]]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    found = read_image(saved(tmp_path / "a.png", values), AS_IT_IS)
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_turned_photo_is_put_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    pixels = noise(8, 12)
    path = saved(tmp_path / "a.png", pixels, exif=exif)
    assert np.array_equal(read_image(path, AS_IT_IS), np.rot90(pixels, -1))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", noise(64, 64))
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(InputError, match=r"a\.jpg: cannot be decoded"):
        read_image(path, AS_IT_IS)


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x80\x04K*."]
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png: cannot be decoded"):
        read_image(tmp_path / "a.png", AS_IT_IS)


@pytest.mark.parametrize("size", [(9000, 9000), (100_000, 100_000)])
def test_an_enormous_image_is_refused_before_it_is_decoded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b""))
    with pytest.raises(InputError, match=r"a\.png: .*expected at most 64,000,000"):
        read_image(tmp_path / "a.png", AS_IT_IS)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tiff", np.ones((3, 3), np.float32))
    with pytest.raises(InputError, match="floating-point"):
        read_image(path, AS_IT_IS)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "a.png", AS_IT_IS)


def test_a_strip_that_resizing_makes_huge_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "strip.png", noise(1, 2000))
    read_image(path, Preprocess(resize=100, crop=100, **STATISTICS))
    with pytest.raises(InputError, match=r"strip\.png: has 2000 × 1 .* have 256 × 512000 once"):
        read_image(path, Preprocess(resize=256, crop=224, **STATISTICS))
