"""The movement in one second of a face video: its curve, flow, strain, and a magnified copy.

python examples/look_at_movement.py VIDEO --out DIR [--start 0] [--frames 30] [--factor 3]
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from ma2mi.errors import FaceError
from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
from ma2mi.face.detect import FaceDetector
from ma2mi.motion import (
    draw_flow,
    draw_strain,
    expressive_mask,
    face_mask,
    find_apex,
    flow,
    magnify,
    movement_along,
    noise_floor,
    optical_strain,
    remove_rigid,
)
from ma2mi.video import inspect_video, read_frames, write_video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=int, default=0, help="first frame")
    parser.add_argument("--frames", type=int, default=30, help="number of frames")
    parser.add_argument(
        "--factor",
        type=float,
        help="of magnification; by default the peak becomes 8 px, at most 8 times its size",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    stop = options.start + options.frames
    frames = list(read_frames(options.video, start=options.start, stop=stop))
    faces = FaceDetector().detect(frames[0].image)
    if not faces:
        raise FaceError(f"no face in frame {options.start}", where=options.video)
    template = Template()
    warp = estimate_warp(faces[0], template)
    points = warp_points(faces[0].points, warp)
    crops = np.stack([warp_image(frame.image, warp, template) for frame in frames])
    times = [frame.time_s for frame in frames]

    mask = face_mask(crops.shape[1:3], points)
    moved, _ = remove_rigid(flow(crops[0], crops, mask=mask), landmarks=points)
    curve = movement_along(moved, weights=expressive_mask(mask.shape, points))
    floor = noise_floor(crops, mask=mask, landmarks=points)
    found = find_apex(curve, times)
    print(
        f"onset {found.onset}, apex {found.apex}, offset {found.offset} of {len(frames)} frames, "
        f"confidence {found.confidence:.2f}; peak {curve.max():.2f} px, "
        f"{curve.max() / max(floor.curve_px, 1e-6):.1f} times the noise floor"
    )
    draw_curve(options.out / "curve.png", times, curve, floor.curve_px)
    for name, picture in (
        ("flow.png", draw_flow(moved[found.apex])),
        ("strain.png", draw_strain(optical_strain(moved)[found.apex])),
    ):
        cv2.imwrite(str(options.out / name), picture[..., ::-1])
    factor = options.factor or float(np.clip(8 / max(curve.max(), 1e-6), 1, 8))
    larger = magnify(crops, factor, moved=moved, mask=mask)
    rate = inspect_video(options.video).fps
    beside = np.concatenate((crops, larger), axis=2)
    write_video(options.out / "magnified.mp4", beside, Fraction(rate) / 4)  # four times slower
    cv2.imwrite(str(options.out / "magnified.png"), beside[found.apex][..., ::-1])


def draw_curve(path: Path, times: list[Fraction], curve: np.ndarray, floor_px: float) -> None:
    figure = Figure(figsize=(7, 2.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([float(t) for t in times], curve)
    axes.axhline(floor_px, ls="--", color="grey")
    axes.text(float(times[0]), floor_px, "noise floor", va="bottom", color="grey")
    axes.set_xlabel("seconds")
    axes.set_ylabel("movement, px of a 224 px crop")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
