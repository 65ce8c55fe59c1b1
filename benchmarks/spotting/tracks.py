"""Movement tracks of synthetic long videos, measured from rendered frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ma2mi.analysis import AnalysisSettings, FaceTracker
from ma2mi.analysis.steady import CROP
from ma2mi.datasets.synthetic import make_person
from ma2mi.datasets.synthetic.long_video import LongVideo, LongVideoSettings, make_long_video
from ma2mi.face.detect import FaceDetector
from ma2mi.face.motion import REGIONS
from ma2mi.face.movement import RegionMeter, openings
from ma2mi.spotting import MovementTrack

FIRST_PERSON = 1000
SETTINGS = AnalysisSettings()


@dataclass(frozen=True)
class Video:
    """What to make: ``density`` 1 is 20 micro-expressions in ten minutes.

    ``head_moves``: how often a second the head goes elsewhere.
    """

    seed: int
    fps: int
    minutes: float
    density: float = 1.0
    head_moves: float = 0.1

    def make(self) -> LongVideo:
        plan = LongVideoSettings(duration_s=600 / self.density, head_move_rate=self.head_moves)
        plan = plan.per_minute(self.minutes)
        person = make_person(FIRST_PERSON + self.seed)
        return make_long_video(person, seed=self.seed, fps=Fraction(self.fps), plan=plan)

    @property
    def name(self) -> str:
        name = f"{self.seed}_{self.fps}fps_{self.minutes:g}min_{self.density:g}"
        return name if self.head_moves == 0.1 else f"{name}_head{self.head_moves:g}"


def measured(what: Video, video: LongVideo, cache: Path) -> MovementTrack:
    """Render, find the face, measure each region; kept in ``cache``, since this takes minutes.

    Faces and movement are looked at as often as by the ``Watcher`` of ``ma2mi analyze``.
    """
    kept = cache / f"{what.name}.npz"
    if not kept.exists():
        tracker = FaceTracker(FaceDetector(), 1, SETTINGS.landmark_rate)
        meter, rows = RegionMeter(CROP, rate=SETTINGS.rate), []
        for frame in range(video.frame_count):
            image, time_s = video.frame(frame), round(frame / what.fps, 6)
            face = tracker.push(image, time_s).get(0)
            if face is None:
                meter.forget()
                rows.append((frame, np.zeros((len(REGIONS), 2)), (0.0, 0.0), (0.0, 0.0), False))
            elif (moment := meter.push(image, face, time_s, frame)) is not None:
                places = np.array(list(moment.places.values()))
                rows.append((moment.frame, places, openings(face), moment.head, True))
        names = ("frames", "places", "openings", "head", "present")
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            kept, **{n: np.array(c) for n, c in zip(names, zip(*rows, strict=True), strict=True)}
        )
    with np.load(kept) as stored:
        regions = {name: stored["places"][:, index] for index, name in enumerate(REGIONS)}
        frames, eyes_and_mouth, head = stored["frames"], stored["openings"], stored["head"]
        times_s = frames / what.fps
        return MovementTrack(times_s, regions, stored["present"], eyes_and_mouth, frames, head)
