from __future__ import annotations

import cv2
import numpy as np
import pytest

from lrpsweep.data.scenes import CLASSES, PARTS, SHAPES, SIZE, TEXTURES, draw_scene, draw_scenes


def test_a_scene_depends_on_part_seed_and_index_alone() -> None:
    alone = draw_scene("search", 3, 7)
    among_others = draw_scenes("search", 3, range(5, 9))[2]
    assert np.array_equal(alone.image, among_others.image)
    assert np.array_equal(alone.mask, among_others.mask)


def test_parts_and_seeds_share_no_scene() -> None:
    images = {
        draw_scene(part, seed, index).image.tobytes()
        for part in PARTS
        for seed in (0, 1)
        for index in range(3)
    }
    assert len(images) == len(PARTS) * 2 * 3


def test_box_is_the_tightest_around_the_mask_and_inside_the_image() -> None:
    for scene in draw_scenes("test", 0, range(20)):
        x0, y0, x1, y1 = scene.box
        inside = np.zeros((SIZE, SIZE), bool)
        inside[y0:y1, x0:x1] = True
        assert not (scene.mask & ~inside).any()
        sides = scene.mask[y0], scene.mask[y1 - 1], scene.mask[:, x0], scene.mask[:, x1 - 1]
        assert all(side.any() for side in sides)
        assert x0 > 0
        assert y0 > 0
        assert x1 < SIZE
        assert y1 < SIZE


def test_neither_shape_nor_texture_decides_the_class() -> None:
    pairs = [name.split() for name in CLASSES]
    textures, shapes = [p[0] for p in pairs], [p[1] for p in pairs]
    assert len(set(CLASSES)) == 10
    assert {shapes.count(s) for s in SHAPES} == {2}
    assert {textures.count(t) for t in TEXTURES} == {2}


def test_classes_come_in_turn() -> None:
    assert [s.label for s in draw_scenes("train", 0, range(12))] == [*range(10), 0, 1]


@pytest.mark.parametrize("shape", list(SHAPES))
def test_shapes_cover_about_the_area_of_the_unit_disc(shape: str) -> None:
    grid = np.linspace(-2, 2, 801)
    share = (SHAPES[shape](grid[None, :], grid[:, None]) > 0).mean() * 16
    assert abs(share / np.pi - 1) < 0.15


def test_no_class_has_colours_of_its_own() -> None:
    """Mean colour inside the mask: its average over a class is that of all classes."""
    scenes = draw_scenes("train", 1, range(400))
    colours = np.array([s.image[s.mask].mean(0) for s in scenes])
    labels = np.array([s.label for s in scenes])
    spread = colours.std(0) / np.sqrt(40)
    for label in range(10):
        apart = np.abs(colours[labels == label].mean(0) - colours.mean(0)) / spread
        assert apart.max() < 4


def test_the_mask_is_where_the_object_is() -> None:
    """Inside the mask pixels alternate strongly, as the two colours of every texture do."""
    scenes = draw_scenes("train", 0, range(30))
    sharp = [np.abs(cv2.Laplacian(s.image.mean(2), cv2.CV_64F)) for s in scenes]
    inside = np.mean([v[s.mask].mean() for v, s in zip(sharp, scenes, strict=True)])
    outside = np.mean([v[~s.mask].mean() for v, s in zip(sharp, scenes, strict=True)])
    assert inside > 1.5 * outside
