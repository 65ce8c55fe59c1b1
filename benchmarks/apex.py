"""Onset, apex and offset found without labels on synthetic clips: ``python benchmarks/apex.py``.

Each clip goes the whole way: face found, aligned once, flow from the first frame, head motion
removed, movement along the apex' direction, and its onset, apex and offset. Printed are the
errors in frames (200 fps), found minus true.
"""

from __future__ import annotations

import argparse

import numpy as np

from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
from ma2mi.face.detect import FaceDetector
from ma2mi.motion import (
    FlowSettings,
    expressive_mask,
    face_mask,
    find_apex,
    flow,
    movement_along,
    remove_rigid,
)
from ma2mi.motion.facs import EMOTIONS
from ma2mi.synthesis import make_clip, make_subject


def errors(seed: int, settings: FlowSettings, detector: FaceDetector) -> list[float] | None:
    """Errors at onset, apex, offset, and the confidence; None where no face was found."""
    emotion = list(EMOTIONS)[seed % len(EMOTIONS)]
    clip = make_clip(make_subject(100 + seed), kind="micro", emotion=emotion, seed=seed)
    images, template = list(clip.frames()), Template()
    faces = detector.detect(images[0])
    if not faces:
        return None
    warp = estimate_warp(faces[0], template)
    points = warp_points(faces[0].points, warp)
    crops = np.stack([warp_image(image, warp, template) for image in images])
    mask = face_mask(crops.shape[1:3], points)
    moved, _ = remove_rigid(flow(crops[0], crops, mask=mask, settings=settings), landmarks=points)
    found = find_apex(movement_along(moved, weights=expressive_mask(mask.shape, points)))
    truth = clip.onset, clip.apex, clip.offset
    places = (found.onset, found.apex, found.offset)
    return [*(place - true for place, true in zip(places, truth, strict=True)), found.confidence]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--first", type=int, default=0, help="seed of the first clip")
    parser.add_argument("--average-frames", type=int, default=1)
    options = parser.parse_args()
    settings, detector = FlowSettings(average_frames=options.average_frames), FaceDetector()
    rows = [
        errors(seed, settings, detector)
        for seed in range(options.first, options.first + options.clips)
    ]
    seen = np.array([row for row in rows if row is not None])
    print(f"{len(seen)} clips, {len(rows) - len(seen)} without a face found\n")
    print("| | onset | apex | offset |\n|---|---|---|---|")
    size = np.abs(seen[:, :3])
    for name, values in (
        ("median size of the error", np.median(size, axis=0)),
        ("median error", np.median(seen[:, :3], axis=0)),
        ("share within 2 frames", (size <= 2).mean(axis=0)),
        ("share within 5 frames", (size <= 5).mean(axis=0)),
    ):
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")


if __name__ == "__main__":
    main()
