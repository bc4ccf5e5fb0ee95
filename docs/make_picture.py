# Copyright 2026 The monodepth2_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the README's picture: ``python docs/make_picture.py``.

A frame of the rendered practice world with its TRUE depth, and the cloud that the node's own code
makes of such a depth. It shows what the outputs look like, not what a model predicts.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from monodepth2_ros.cloud_pictures import draw_cloud
from monodepth2_ros.pictures import BACKGROUND, Panel, choose_colors, side_by_side
from monodepth2_ros.point_cloud import depth_edges, pack_points
from training.synthetic import camera_from_field_of_view, synthesize

TARGET = Path(__file__).parent / "images" / "outputs.png"


def main() -> None:
    """Render, draw and write."""
    camera = camera_from_field_of_view(640, 192, 80)
    *_, frame = synthesize(1, "street", camera, 8, moving_objects=1, antialias=3)
    depth = torch.from_numpy(frame.depth.astype(np.float32))
    depth[depth > 40.0] = torch.nan
    near = depth.nan_to_num(nan=1e3)
    kept = depth.masked_fill(depth_edges(near.reciprocal(), 0.1), torch.nan)
    points = pack_points(kept, torch.from_numpy(frame.image), camera).numpy()
    colors = choose_colors(depth.numpy())
    top = side_by_side(
        [
            Panel("image", frame.image),
            Panel("depth/image_color", colors.paint(depth.numpy()), colors=colors),
        ],
        area=640 * 192,
    )
    cloud = draw_cloud(points, "above", camera, "points")
    bottom = np.full((760, top.shape[1], 3), BACKGROUND, np.uint8)
    width = round(cloud.shape[1] * len(bottom) / len(cloud))
    left = (bottom.shape[1] - width) // 2
    size = (width, len(bottom))
    bottom[:, left : left + width] = cv2.resize(cloud, size, interpolation=cv2.INTER_AREA)
    TARGET.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(TARGET), np.vstack([top, bottom])[..., ::-1])


if __name__ == "__main__":
    main()
