"""Textured 64×64 scenes, drawn from a seed: one object that decides the class, among distractors.

A class is a pair of a shape and a texture. Each shape carries two textures and each texture two
shapes, so that neither alone decides. Distractors wear the shapes without a texture, or the
textures on irregular blobs, and know nothing of the class. Every colour is drawn without looking
at the class. All arithmetic is float64, so that other processors draw the same pixels.
"""

# numpy's functions are typed as Any, and so is every formula made of them.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Part = Literal["train", "test", "search", "validation", "selection"]
Array = np.ndarray

SIZE = 64
# A part's place here is in the seed of its scenes: further parts come last.
PARTS: tuple[Part, ...] = ("train", "test", "search", "validation", "selection")
_PIXELS = np.arange(SIZE) + 0.5
_REACH = 1.6  # radii from its centre that nothing exceeds


@dataclass(frozen=True)
class Scene:
    """image: uint8 (64, 64, 3); label: index into CLASSES; mask: bool (64, 64), the object's
    pixels; box: (x0, y0, x1, y1) around the mask in pixels, x1 and y1 exclusive."""

    image: Array
    label: int
    mask: Array
    box: tuple[int, int, int, int]


def _disc(u: Array, v: Array) -> Array:
    return 1.0 - np.hypot(u, v)


def _triangle(u: Array, v: Array) -> Array:
    half = np.sqrt(0.75)
    return 0.75 - np.maximum(v, np.maximum(half * u - v / 2, -half * u - v / 2))


def _cross(u: Array, v: Array) -> Array:
    long, short = 1.25, 0.42
    across = np.minimum(long - np.abs(u), short - np.abs(v))
    return np.maximum(across, np.minimum(short - np.abs(u), long - np.abs(v)))


def _ring(u: Array, v: Array) -> Array:
    radius = np.hypot(u, v)
    return np.minimum(1.15 - radius, radius - 0.55)


def _crescent(u: Array, v: Array) -> Array:
    return np.minimum(1.25 - np.hypot(u, v), np.hypot(u - 0.75, v) - 0.85)


# Distance inside the outline (positive) at coordinates in units of the object's radius; the
# areas are near that of the unit disc.
SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": _disc,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
    "crescent": _crescent,
}


def _striped(u: Array, v: Array, rng: np.random.Generator) -> Array:
    return np.sin(u + rng.uniform(0, 2 * np.pi))


def _checked(u: Array, v: Array, rng: np.random.Generator) -> Array:
    a, b = rng.uniform(0, 2 * np.pi, 2)
    return 1.5 * np.sin(0.8 * u + a) * np.sin(0.8 * v + b)


def _dotted(u: Array, v: Array, rng: np.random.Generator) -> Array:
    a, b = rng.uniform(0, 2 * np.pi, 2)
    return np.cos(u + a) + np.cos(v + b) - 0.7


def _rippled(u: Array, v: Array, rng: np.random.Generator) -> Array:
    a, b = rng.uniform(-2, 2, 2)
    return np.sin(np.hypot(u - a, v - b) + rng.uniform(0, 2 * np.pi))


def _speckled(u: Array, v: Array, rng: np.random.Generator) -> Array:
    total = np.zeros_like(u)
    for angle, phase in rng.uniform(0, 2 * np.pi, (7, 2)):
        total += np.sin(np.cos(angle) * u + np.sin(angle) * v + phase)
    return total / 1.5


# A field around zero at coordinates in units of wavelength / 2π; its sign picks the colour.
TEXTURES: dict[str, Callable[[Array, Array, np.random.Generator], Array]] = {
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "rippled": _rippled,
    "speckled": _speckled,
}

_PAIRS = tuple(
    (shape, list(TEXTURES)[(s + t) % len(TEXTURES)])
    for s, shape in enumerate(SHAPES)
    for t in (0, 1)
)
CLASSES: tuple[str, ...] = tuple(f"{texture} {shape}" for shape, texture in _PAIRS)


def draw_scene(part: Part, seed: int, index: int) -> Scene:
    """The scene at `index` of a part's endless sequence; its class is index modulo ten.

    Scenes depend on nothing but these three values; parts share no scene.
    """
    rng = np.random.default_rng([PARTS.index(part), seed, index])
    label = index % len(CLASSES)
    shape, texture = _PAIRS[label]
    radius = rng.uniform(10.0, 12.5)
    centre = rng.uniform(_REACH * radius, SIZE - _REACH * radius, 2)
    canvas = _background(rng)
    for _ in range(rng.integers(2, 4)):
        _draw_plain_shape(canvas, rng, centre, radius)
    for _ in range(rng.integers(3, 5)):
        _draw_textured_blob(canvas, rng, centre, radius)
    frame = _Frame(rng, centre, radius)
    cover = frame.cover(SHAPES[shape](frame.u, frame.v))
    frame.paint(canvas, cover, _texture(rng, texture, frame))
    canvas += rng.normal(0.0, 16.0, canvas.shape)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[frame.window] = cover >= 0.5
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return Scene(image, label, mask, _box(mask))


def draw_scenes(part: Part, seed: int, indices: Iterable[int]) -> list[Scene]:
    """Several scenes of one part, in the order of `indices`."""
    return [draw_scene(part, seed, index) for index in indices]


def _box(mask: Array) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class _Frame:
    """The pixels around one thing: `window` into the canvas, and coordinates u, v of its pixels,
    turned at random, in units of the thing's radius."""

    def __init__(self, rng: np.random.Generator, centre: Array, radius: float) -> None:
        low = np.clip(np.floor(centre - _REACH * radius), 0, SIZE).astype(int)
        high = np.clip(np.ceil(centre + _REACH * radius), 0, SIZE).astype(int)
        self.window = slice(low[1], high[1]), slice(low[0], high[0])
        self.radius = radius
        self._x = _PIXELS[self.window[1]][None, :] - centre[0]
        self._y = _PIXELS[self.window[0]][:, None] - centre[1]
        self.u, self.v = self.turned(rng, radius)

    def turned(self, rng: np.random.Generator, unit: float) -> tuple[Array, Array]:
        angle = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(angle) / unit, np.sin(angle) / unit
        return c * self._x + s * self._y, c * self._y - s * self._x

    def cover(self, inside: Array) -> Array:
        """Share of each pixel inside an outline, from the distance in units of the radius."""
        return np.clip(0.5 + self.radius * inside, 0.0, 1.0)

    def paint(self, canvas: Array, cover: Array, paint: Array) -> None:
        """Lay (h, w, 3) `paint` over the canvas where `cover` is 1."""
        canvas[self.window] += cover[..., None] * (paint - canvas[self.window])


def _interpolation(cells: int) -> Array:
    """(64, cells + 1): weights that spread a coarse grid smoothly over the pixels."""
    position = (np.arange(SIZE) + 0.5) * cells / SIZE
    near = 1.0 - np.abs(position[:, None] - np.arange(cells + 1))
    near = np.clip(near, 0.0, 1.0)
    return near * near * (3.0 - 2.0 * near)


_OCTAVES = tuple((_interpolation(cells), strength) for cells, strength in ((3, 45.0), (16, 28.0)))


def _background(rng: np.random.Generator) -> Array:
    canvas = np.broadcast_to(rng.uniform(70, 185, 3), (SIZE, SIZE, 3)).copy()
    for weights, strength in _OCTAVES:
        grid = rng.normal(0.0, strength, (3, weights.shape[1], weights.shape[1]))
        canvas += np.moveaxis(weights @ grid @ weights.T, 0, -1)
    return canvas


def _colours(rng: np.random.Generator) -> tuple[Array, Array]:
    """A dark and a light colour, in random order."""
    dark, light = rng.uniform(10, 130, 3), rng.uniform(125, 245, 3)
    return (dark, light) if rng.random() < 0.5 else (light, dark)


def _texture(rng: np.random.Generator, name: str, frame: _Frame) -> Array:
    """(h, w, 3): two random colours, mixed by the texture's field."""
    u, v = frame.turned(rng, rng.uniform(5.0, 6.5) / (2 * np.pi))
    mix = np.clip(0.5 + 1.2 * TEXTURES[name](u, v, rng), 0.0, 1.0)[..., None]
    first, second = _colours(rng)
    return mix * first + (1.0 - mix) * second


def _place(rng: np.random.Generator, centre: Array, radius: float, own: float) -> Array:
    """A place for a distractor of radius `own` that the object will not hide."""
    while True:
        place = rng.uniform(0.5 * own, SIZE - 0.5 * own, 2)
        if np.hypot(*(place - centre)) > 1.1 * radius + 0.8 * own:
            return place


def _draw_plain_shape(
    canvas: Array, rng: np.random.Generator, centre: Array, radius: float
) -> None:
    own = rng.uniform(7.0, 12.0)
    frame = _Frame(rng, _place(rng, centre, radius, own), own)
    shape = list(SHAPES.values())[rng.integers(len(SHAPES))]
    colour, shading = rng.uniform(15, 240, 3), rng.normal(0.0, 12.0, 3)
    cover = frame.cover(shape(frame.u, frame.v))
    frame.paint(canvas, cover, colour + frame.u[..., None] * shading)


def _draw_textured_blob(
    canvas: Array, rng: np.random.Generator, centre: Array, radius: float
) -> None:
    own = rng.uniform(7.0, 11.0)
    frame = _Frame(rng, _place(rng, centre, radius, own), own)
    angle = np.arctan2(frame.v, frame.u)
    outline = np.ones_like(angle)
    for lobes in (1, 2, 3, 4):
        outline += rng.uniform(0.1, 0.3) * np.sin(lobes * angle + rng.uniform(0, 2 * np.pi))
    cover = frame.cover(np.minimum(outline, _REACH - 0.05) - np.hypot(frame.u, frame.v))
    name = list(TEXTURES)[rng.integers(len(TEXTURES))]
    frame.paint(canvas, cover, _texture(rng, name, frame))
