"""The movement track of one face: the input of spotting, to be kept and spotted again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ma2mi.analysis.settings import AnalysisSettings
from ma2mi.errors import MotionError
from ma2mi.face.stabilize import CROP
from ma2mi.face.track import Detector, FaceTracker, default_detector
from ma2mi.motion import REGIONS
from ma2mi.motion.region_tracker import RegionTracker, openings
from ma2mi.motion.shape import Shape, face_shape
from ma2mi.spotting import MovementTrack

if TYPE_CHECKING:
    from ma2mi.video import Frame


def measure_track(
    frames: Iterable[Frame],
    *,
    detector: Detector | None = None,
    settings: AnalysisSettings | None = None,
) -> MovementTrack:
    """Measure the first face of a video as ``ma2mi analyze`` does, without deciding anything.

    Args:
        frames: of one video, times rising.
        detector: by default :class:`ma2mi.FaceDetector`.
        settings: ``rate`` and ``landmark_rate``.

    Returns:
        A row a sample; ``present`` is False where the face was not seen.

    Raises:
        MotionError: no frames.
    """
    settings = settings or AnalysisSettings()
    tracker = FaceTracker(detector or default_detector(), 1, settings.landmark_rate)
    regions, newest, shape = RegionTracker(CROP, rate=settings.rate), None, None
    nothing = np.zeros((len(REGIONS), 2))
    rows: list[tuple[float, int, np.ndarray, tuple[float, float], tuple[float, float], bool]] = []
    shapes: list[Shape | None] = []
    start = None
    for frame in frames:
        start = frame.time_s if start is None else start
        time_s = round(float(frame.time_s - start), 6)
        face = tracker.push(frame.image, time_s).get(0)
        if face is None:
            regions.forget()
            rows.append((time_s, frame.index, nothing, (np.nan, np.nan), (0.0, 0.0), False))
            shapes.append(None)
            continue
        try:
            sample = regions.push(frame.image, face, time_s, frame.index)
        except MotionError:
            continue  # a blank frame, or a face half outside: nothing to measure
        if sample is None:
            continue
        anew = face is not newest  # between two detections a face counts as it was
        newest, shape = face, face_shape(face) if anew else shape
        opened = openings(face) if shape is None else (shape.eye, shape.mouth)
        displacements = np.array(list(sample.displacements.values()))
        rows.append((sample.time_s, sample.frame, displacements, opened, sample.head, True))
        shapes.append(shape if anew else None)
    if not rows:
        raise MotionError("no frames to measure")
    times, numbers, displacements, opened, head, present = zip(*rows, strict=True)
    moved = {name: np.stack(displacements)[:, index] for index, name in enumerate(REGIONS)}
    return MovementTrack(
        np.array(times),
        moved,
        np.array(present),
        np.array(opened),
        np.array(numbers),
        np.array(head),
        shapes,
    )
