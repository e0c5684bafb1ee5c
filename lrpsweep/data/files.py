"""Pictures become pixels: decoded with care, because they may come from anywhere."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from lrpsweep.data.groups import Item
from lrpsweep.errors import InputError
from lrpsweep.study import Preprocess

# Formats that are decoded without another program (Pillow hands EPS to Ghostscript).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
MOST_PIXELS = 64_000_000


def read_image(path: Path, preprocess: Preprocess) -> np.ndarray:
    """The picture as the model sees it before normalisation, uint8 (H, W, 3).

    Turned as its EXIF data says; grey, palette and CMYK become RGB, 16 bits become 8; what is
    transparent becomes white; of an animation, the first frame. Resized (bilinear, antialiased)
    and cropped exactly as torchvision's Resize and CenterCrop do with a PIL image. Raises
    InputError that names the file.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; expected an image")
    name = str(path)
    with _decoding(name), Image.open(path, formats=FORMATS) as picture:
        upright = _upright(name, picture)
    return _fitted(name, upright, preprocess)


def file_item(name: str, path: Path) -> Item:
    """The picture in a file, known by its bytes. name: its id."""
    return Item(name, partial(read_image, path), partial(_file_digest, path))


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); expected an image") from error


def pixel_digest(name: str, picture: Image.Image) -> str:
    """SHA-256 of an open picture's size and pixels, before it is resized. name: for errors."""
    with _decoding(name):
        upright = _upright(name, picture)
    return hashlib.sha256(repr(upright.size).encode() + upright.tobytes()).hexdigest()


def prepare_image(name: str, picture: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """What `read_image` makes of a file, made of an open picture. name: for errors."""
    with _decoding(name):
        upright = _upright(name, picture)
    return _fitted(name, upright, preprocess)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Pillow's decoders raise almost anything on damaged files."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; sizes are checked apart
            yield
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {error}; expected at most {MOST_PIXELS:,} pixels") from error
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{name}: cannot be decoded as an image ({type(error).__name__}: {error}); expected an "
            f"undamaged {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
        ) from error


def _upright(name: str, picture: Image.Image) -> Image.Image:
    """RGB, turned as the camera was held."""
    _check_size(name, picture.width, picture.height)
    picture.load()
    return _opaque(name, ImageOps.exif_transpose(picture))


def _fitted(name: str, picture: Image.Image, preprocess: Preprocess) -> np.ndarray:
    if preprocess.resize is not None:
        _check_resized(name, picture, preprocess.resize)
        picture = transforms.resize(picture, preprocess.resize, InterpolationMode.BILINEAR)
    if preprocess.crop is not None:
        picture = transforms.center_crop(picture, [preprocess.crop, preprocess.crop])
    return np.array(picture)


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name}: has {width} × {height} pixels; expected at most {MOST_PIXELS:,} in all"
        )


def _check_resized(name: str, picture: Image.Image, shorter: int) -> None:
    """A thin strip becomes huge when its shorter side grows to `shorter`."""
    longer = shorter * max(picture.size) // min(picture.size)
    if shorter * longer > MOST_PIXELS:
        raise InputError(
            f"{name}: has {picture.width} × {picture.height} pixels and would have {shorter} × "
            f"{longer} once its shorter side is resized; expected at most {MOST_PIXELS:,} in all"
        )


def _opaque(name: str, picture: Image.Image) -> Image.Image:
    """RGB, with white behind what is transparent."""
    if picture.mode.startswith("I"):
        picture = _eight_bits(name, picture)
    if picture.mode == "F":
        raise InputError(f"{name}: its pixels are floating-point numbers; expected 8 or 16 bits")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _eight_bits(name: str, picture: Image.Image) -> Image.Image:
    """Grey values 0..65535 rounded to 0..255."""
    values = np.asarray(picture).astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() <= 65535:
        raise InputError(f"{name}: grey values beyond 16 bits; expected 8 or 16 bits a channel")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
