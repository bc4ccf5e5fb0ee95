# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Side by side pictures, cloud drawings and videos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from monodepth2_ros.camera import PinholeCamera
from monodepth2_ros.point_cloud import pack_points
from monodepth2_ros.visualization import clouds as cloud_pictures
from monodepth2_ros.visualization import video
from monodepth2_ros.visualization.clouds import draw_aside, draw_cloud, unpack_points, write_ply
from monodepth2_ros.visualization.pictures import (
    ACCENT,
    BACKGROUND,
    DepthColors,
    Panel,
    Window,
    choose_colors,
    draw_banner,
    draw_text,
    side_by_side,
)

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (40, 60, 230)
CAMERA = PinholeCamera(160, 96, 100.0, 100.0, 79.5, 47.5)


def plain(color, height=96, width=160):
    return np.full((height, width, 3), color, np.uint8)


def packed(depth, image, camera=CAMERA):
    return pack_points(torch.from_numpy(depth), torch.from_numpy(image), camera).numpy()


def where(picture, color, tolerance=60):
    """Rows and columns of the pixels of about this hue, as shading only scales a colour."""
    direction = np.array(color, np.float64) / np.linalg.norm(color)
    values = picture.astype(np.float64)
    norm = np.linalg.norm(values, axis=-1)
    return np.nonzero((values @ direction > 0.995 * norm) & (norm > tolerance))


# Depth as colours


def test_near_is_bright_far_is_dark_unknown_is_neither():
    colors = DepthColors(1.0, 10.0)
    picture = colors.paint(np.array([[1.0, 2.0, 10.0, np.nan]], np.float32))[0].astype(int)
    brightness = picture.sum(axis=1)
    assert brightness[0] > brightness[1] > brightness[2]
    assert brightness[2] < 20 < brightness[3]


def test_colors_span_the_central_depths_and_follow_slowly():
    depth = np.full((80, 80), 4.0, np.float32)
    depth[:40] = 2.0
    depth[0, 0] = 0.01
    first = choose_colors(depth)
    assert (first.near, first.far) == pytest.approx((2.0, 4.0))
    later = choose_colors(np.full((80, 80), 1.0, np.float32), first, adaptation=0.25)
    # Disparity moves by a quarter: from 1/2 and 1/4 towards 1.
    assert 1.0 / later.near == pytest.approx(0.75 * 0.5 + 0.25)
    assert 1.0 / later.far == pytest.approx(0.75 * 0.25 + 0.25)


def test_colors_of_an_image_without_depth_are_usable():
    colors = choose_colors(np.full((8, 8), np.nan, np.float32))
    assert 0.0 < colors.near < colors.far


# Side by side


def test_panels_stand_beside_each_other_in_even_size():
    picture = side_by_side([Panel("Camera", plain(RED)), Panel("Depth", plain(GREEN))], 15360)
    height, width = picture.shape[:2]
    assert height % 2 == width % 2 == 0
    left, right = where(picture, RED), where(picture, GREEN)
    assert len(left[0]) == len(right[0]) == 160 * 96
    assert left[1].max() < right[1].min()
    assert left[0].min() == right[0].min() > 0  # the labels are above


def test_depth_lies_where_the_crop_was():
    panels = [
        Panel("Camera", plain(RED)),
        Panel("Depth", plain(GREEN, 30, 50), Window(0.25, 0.5, 0.75, 1.0)),
    ]
    picture = side_by_side(panels, 15360)
    top = where(picture, RED)[0].min()
    left = where(picture, RED)[1].max() + 1
    rows, columns = where(picture, GREEN)
    assert (rows.min() - top, rows.max() + 1 - top) == (48, 96)
    gap = picture.shape[1] - 160 - left
    assert (columns.min() - left - gap, columns.max() + 1 - left - gap) == (40, 120)


def test_a_window_beyond_the_image_is_cut_off():
    panels = [Panel("Camera", plain(RED)), Panel("Depth", plain(GREEN), Window(-0.5, -0.5, 1.5, 2))]
    picture = side_by_side(panels, 15360)
    assert len(where(picture, GREEN)[0]) == 160 * 96


def test_wide_images_do_not_make_endless_pictures():
    wide = plain(RED, 100, 2000)
    assert side_by_side([Panel("Camera", wide), Panel("Depth", wide)], 500_000).shape[1] < 1700


@pytest.mark.parametrize("near_far", [(0.19, 0.198), (0.9, 1.7), (2.0, 60.0), (0.5, 1000.0)])
def test_the_legend_shows_its_bar_and_several_numbers(near_far):
    colors = DepthColors(*near_far)
    plain_panels = [Panel("Camera", plain(RED)), Panel("Depth", plain(GREEN))]
    with_legend = [plain_panels[0], Panel("Depth", plain(GREEN), colors=colors)]
    area = 110_000
    before, after = side_by_side(plain_panels, area), side_by_side(with_legend, area)
    changed = (before != after).any(axis=2)
    header = where(before, RED)[0].min()
    assert not changed[header:].any()  # only above the panel
    rows, columns = np.nonzero(changed)
    assert columns.min() > after.shape[1] // 2
    # Below the bar stand numbers, apart from each other.
    numbers = changed[(rows.min() + rows.max()) // 2 + 4 :].any(axis=0)
    groups = np.flatnonzero(np.diff(np.flatnonzero(numbers)) > 8)
    assert len(groups) >= 1


def test_text_stays_inside_and_keeps_to_its_anchor():
    picture = plain(BACKGROUND, 40, 200)
    draw_text(picture, "width", (100, 20), 16, RED, "rm")
    rows, columns = where(picture, RED)
    assert columns.max() < 100 and 10 < rows.mean() < 30
    draw_text(picture, "beyond every border", (190, 35), 30, GREEN)
    draw_text(picture, "outside", (-500, -500), 30, BLUE)
    assert len(where(picture, BLUE)[0]) == 0


def test_the_banner_goes_across_the_middle():
    picture = plain(BACKGROUND, 200, 600)
    draw_banner(picture, "RANDOM WEIGHTS", "this depth is meaningless")
    rows, columns = np.nonzero((picture > 200).all(axis=2))
    assert columns.max() - columns.min() > 300
    assert abs(0.5 * (columns.max() + columns.min()) - 300) < 10
    assert rows.min() > 30 and rows.max() < 170


# Clouds


def test_ply_holds_the_valid_points_exactly(tmp_path):
    rng = np.random.default_rng(0)
    depth = rng.uniform(1.0, 9.0, (96, 160)).astype(np.float32)
    depth[10:20] = np.nan
    image = rng.integers(0, 256, (96, 160, 3), dtype=np.uint8)
    path = tmp_path / "points.ply"
    count = write_ply(path, packed(depth, image), ["first", "second\nline"])
    header, body = path.read_bytes().split(b"end_header\n", 1)
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "comment second line" in lines and f"element vertex {count}" in lines
    assert [line for line in lines if line.startswith("property")] == [
        *(f"property float {name}" for name in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
    ]
    points = np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))
    valid = np.isfinite(depth)
    assert len(points) == count == valid.sum()
    v, u = np.nonzero(valid)
    z = depth[valid]
    expected = np.stack([(u - 79.5) / 100.0 * z, (v - 47.5) / 100.0 * z, z], axis=1)
    np.testing.assert_allclose(points["xyz"], expected, rtol=1e-6)
    np.testing.assert_array_equal(points["rgb"], image[valid])


def test_unpacking_gives_positions_and_colors():
    image = plain(BLUE)
    depth = np.full((96, 160), 2.0, np.float32)
    depth[0, 0] = np.nan
    positions, colors = unpack_points(packed(depth, image))
    assert positions.shape == (96 * 160 - 1, 3) and (positions[:, 2] == 2.0).all()
    assert (colors == BLUE).all()


def test_seen_from_above_distances_are_to_scale():
    depth = np.full((96, 160), 6.0, np.float32)
    image = plain(BLUE)
    depth[:, :50], image[:, :50] = 2.0, RED
    depth[:, 100:], image[:, 100:] = 4.0, GREEN
    picture = draw_cloud(packed(depth, image), "above", CAMERA)
    red, green, blue = (where(picture, color) for color in (RED, GREEN, BLUE))
    # Walls at 2, 4 and 6 m: nearer ones are lower on the page, in equal steps.
    steps = red[0].mean() - green[0].mean(), green[0].mean() - blue[0].mean()
    assert steps[0] == pytest.approx(steps[1], abs=3.0) and steps[0] > 50
    assert red[1].mean() < blue[1].mean() < green[1].mean()
    # The same scale across: the red wall is (50 / 100) · 2 m wide.
    pixels_per_metre = steps[0] / 2.0
    assert np.ptp(red[1]) / pixels_per_metre == pytest.approx(1.0, rel=0.05)
    # The camera is 2 m below the red wall.
    rows, columns = where(picture, ACCENT)
    apex = rows[(abs(columns - np.median(columns)) < 2)].max()
    assert (apex - red[0].mean()) / pixels_per_metre == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
def test_seen_from_the_side_up_is_up_and_forward_is_right():
    depth = np.full((96, 160), 4.0, np.float32)
    image = plain(BLUE)
    depth[:40], image[:40] = 2.0, RED
    image[70:] = GREEN
    picture = draw_cloud(packed(depth, image), "side", CAMERA)
    red, green, blue = (where(picture, color) for color in (RED, GREEN, BLUE))
    assert red[1].max() < blue[1].min()
    assert red[0].max() < blue[0].mean() < green[0].min()


@pytest.mark.slow
def test_the_view_from_above_cuts_the_ceiling_away():
    rows = np.arange(96, dtype=np.float32)[:, None] - 47.5
    depth = np.where(rows > 0, 150.0 / rows, 250.0 / -rows)  # floor 1.5 m below, ceiling 2.5 m
    depth = np.broadcast_to(depth, (96, 160)).astype(np.float32)
    depth = np.where(depth > 20.0, np.nan, depth).astype(np.float32)
    image = plain(GREEN)
    image[:48] = RED
    points = packed(depth, image)
    assert len(where(draw_cloud(points, "above", CAMERA), RED)[0]) == 0
    side = draw_cloud(points, "side", CAMERA)
    assert len(where(side, RED)[0]) > 0 and len(where(side, GREEN)[0]) > 0


def test_a_floor_has_no_gaps_however_far_its_rows_are_apart():
    rows = np.arange(96, dtype=np.float32)[:, None] - 47.5
    depth = np.broadcast_to(np.where(rows > 4.0, 150.0 / rows, np.nan), (96, 160))
    picture = draw_cloud(packed(depth.astype(np.float32), plain(GREEN)), "above", CAMERA)
    green = np.zeros(picture.shape[:2], bool)
    green[where(picture, GREEN)] = True
    # Straight ahead, between the nearest and the farthest row that is shown.
    column = green[:, int(np.median(where(picture, GREEN)[1]))]
    inside = np.flatnonzero(column)
    assert column[inside[0] : inside[-1]].mean() > 0.99


def test_a_step_is_not_bridged():
    depth = np.full((96, 160), 2.0, np.float32)
    depth[:, 80:] = 5.0
    valid = np.ones(depth.shape, bool)
    tiles = cloud_pictures._tiles(depth, valid)
    assert tiles[:-1, :78].all() and tiles[:-1, 81:-1].all()
    assert not tiles[:, 79].any()


def test_the_nearer_point_hides_the_farther():
    # Two levels at the same place: a table above a floor.
    points = np.full((40, 40, 4), np.nan, np.float32)
    x, z = np.meshgrid(np.linspace(-1.0, 1.0, 40), np.linspace(2.0, 4.0, 20))
    image = plain(GREEN, 40, 40)
    image[20:] = RED
    colors = packed(np.ones((40, 40), np.float32), image, PinholeCamera(40, 40, 40, 40, 20, 20))
    points[..., 3] = colors[..., 3]
    for rows, height in ((slice(0, 20), 1.5), (slice(20, 40), 0.7)):
        points[rows, :, 0], points[rows, :, 1], points[rows, :, 2] = x, height, z
    picture = draw_cloud(points, "above")
    assert len(where(picture, GREEN)[0]) < 0.05 * len(where(picture, RED)[0])


def test_from_aside_a_wall_is_seen_as_it_is_turned():
    depth = np.full((96, 160), 4.0, np.float32)
    cloud = packed(depth, plain(RED))
    widths = []
    for yaw in (0.0, 60.0, 90.0):
        _, columns = where(draw_aside(cloud, 320, 192, yaw, 0.0), RED)
        widths.append(np.ptp(columns))
    assert 0.85 * 320 < widths[0] < 320
    assert widths[2] < 0.1 * widths[1]
    # The same from above.
    rows, _ = where(draw_aside(cloud, 320, 192, 0.0, 90.0), RED)
    assert np.ptp(rows) < 20


def test_from_aside_near_things_go_to_the_left_and_down():
    # A floor 1 m below the camera, its near half red, its far half blue.
    v = np.arange(96) - 47.5
    depth = np.repeat(np.where(v > 3, 100.0 / np.maximum(v, 1.0), np.nan)[:, None], 160, axis=1)
    image = plain(BLUE)
    image[depth < 6.0] = RED
    picture = draw_aside(packed(depth.astype(np.float32), image), 320, 192, 40.0, 20.0)
    near, far = where(picture, RED), where(picture, BLUE)
    assert near[0].mean() > far[0].mean() + 10 and near[1].mean() < far[1].mean() - 10
    # Points far behind everything do not make the rest small.
    depth[:3] = 1000.0
    again = draw_aside(packed(depth.astype(np.float32), image), 320, 192, 40.0, 20.0)
    assert len(where(again, RED)[0]) > 0.9 * len(near[0])


def test_drawing_refuses_what_it_cannot_draw():
    with pytest.raises(ValueError, match="no valid point"):
        draw_aside(np.full((4, 4, 4), np.nan, np.float32), 64, 64)
    nothing = np.full((4, 4, 4), np.nan, np.float32)
    with pytest.raises(ValueError, match="no valid point"):
        draw_cloud(nothing, "above")
    with pytest.raises(ValueError, match="below"):
        draw_cloud(np.ones((4, 4, 4), np.float32), "below")


# Video


@pytest.mark.parametrize("codec", ["mp4v", "vp9"])
def test_a_video_has_its_pictures_in_order(tmp_path, codec):
    if not video.can_write(codec):
        pytest.skip(f"this OpenCV has no {codec}")
    path = tmp_path / "video.mp4"
    colors = [RED, GREEN, BLUE]
    assert video.write_video(path, (plain(c, 64, 96) for c in colors), 5.0, codec) == 3
    reader = cv2.VideoCapture(str(path))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0)
    for color in colors:
        found, picture = reader.read()
        assert found
        np.testing.assert_allclose(picture.mean(axis=(0, 1))[::-1], color, atol=12)
    assert not reader.read()[0]


def test_long_videos_get_the_quick_codec():
    assert video.choose_codec(1e9) == "mp4v"
    assert video.choose_codec(1e6) == ("vp9" if video.can_write("vp9") else "mp4v")


def test_a_spool_plays_as_fast_as_time_went(tmp_path):
    spool = video.Spool(tmp_path / "spool.avi")
    # One picture is missing after the second, there is a pause of a minute after the third, and
    # the last comes a little early.
    for color, tenths in zip((RED, GREEN, BLUE, RED, GREEN), (0, 1, 3, 603, 603.8), strict=True):
        spool.add(plain(color, 64, 96), round(tenths * 1e8))
    spool.close()
    assert spool.repeats(10.0) == [1, 2, 10, 1, 1]
    shown = [picture.mean(axis=(0, 1)) for picture in spool.play(10.0)]
    assert len(shown) == 15
    np.testing.assert_allclose(shown[1], GREEN, atol=12)
    np.testing.assert_allclose(shown[2], GREEN, atol=12)
    np.testing.assert_allclose(shown[3], BLUE, atol=12)
    spool.remove()
    assert not list(tmp_path.iterdir())


def test_a_spool_survives_time_going_back_and_a_change_of_size(tmp_path):
    spool = video.Spool(tmp_path / "spool.avi")
    for size, time in ((64, 5_000), (48, 1_000), (64, 2_000)):
        spool.add(plain(RED, size, 96), time)
    spool.close()
    assert [picture.shape for picture in spool.play(10.0)] == [(64, 96, 3)] * 3
