"""Movement tracks of synthetic long videos: measured from rendered frames, or planted into them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ma2mi.datasets.synthetic import make_person
from ma2mi.datasets.synthetic.long_video import (
    LongVideo,
    LongVideoSettings,
    Planted,
    make_long_video,
)
from ma2mi.face.detect import FaceDetector
from ma2mi.face.motion import REGIONS
from ma2mi.face.movement import RegionMeter, openings
from ma2mi.spotting import MovementTrack

FIRST_PERSON = 1000
CROP = 128
SEEN = 0.8  # of the true movement of a region, what flow tells of it (``learn.py`` prints it)


@dataclass(frozen=True)
class Video:
    """What to make: ``density`` 1 is 20 micro-expressions in ten minutes."""

    seed: int
    fps: int
    minutes: float
    density: float = 1.0

    @property
    def every(self) -> int:
        """Frames from one measured frame to the next: 50 a second are enough."""
        return max(1, self.fps // 50)

    def make(self) -> LongVideo:
        plan = LongVideoSettings(duration_s=600 / self.density).per_minute(self.minutes)
        person = make_person(FIRST_PERSON + self.seed)
        return make_long_video(person, seed=self.seed, fps=Fraction(self.fps), plan=plan)

    @property
    def name(self) -> str:
        return f"{self.seed}_{self.fps}fps_{self.minutes:g}min_{self.density:g}"


def measured(what: Video, video: LongVideo, cache: Path | None) -> MovementTrack:
    """Render, find the face, measure each region; kept in ``cache``, since this takes minutes."""
    frames = np.arange(0, video.frame_count, what.every)
    kept = None if cache is None else cache / f"{what.name}.npz"
    if kept is None or not kept.exists():
        detector, meter, face = FaceDetector(), RegionMeter(), None
        places, opened, present = [], [], []
        for frame in frames.tolist():
            image = video.frame(frame)
            face = detector.follow(image, face) if face else None
            if face is None:
                face = next(iter(detector.detect(image)), None)
            present.append(face is not None)
            if face is None:
                meter.forget()
                places.append(np.zeros((len(REGIONS), 2)))
                opened.append((0.0, 0.0))
                continue
            regions = meter.push(image, face, Fraction(frame, what.fps))
            places.append(np.array(list(regions.values())))
            opened.append(openings(face))
        arrays = {"places": np.array(places), "op": np.array(opened), "present": np.array(present)}
        if kept is None:
            return _track(arrays["places"], arrays["op"], arrays["present"], frames, what.fps)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **arrays)
    with np.load(kept) as stored:
        return _track(stored["places"], stored["op"], stored["present"], frames, what.fps)


def planted(
    track: MovementTrack, video: LongVideo, fps: int, seed: int
) -> tuple[MovementTrack, list[Planted]]:
    """The track with more expressions, of another person and plan, where there was none.

    All that disturbs a measured track stays in it (noise, blinks, gaze, speech, the head), so one
    rendered video gives many to learn from.
    """
    taken = video.of_kind("micro", "macro", "speech")
    plan = video.plan.model_copy(update={"speech_count": 0, "micro_count": video.plan.micro_count})
    other = make_long_video(
        make_person(FIRST_PERSON + 500 + seed), seed=10_000 + seed, fps=Fraction(fps), plan=plan
    )
    for side in ("L", "R"):
        other.tracks.pop(("45", side), None)
    added = []
    for event in other.of_kind("micro", "macro"):
        free = all(
            event.offset < one.onset - fps or event.onset > one.offset + fps for one in taken
        )
        if free:
            added.append(event)
            continue
        for amounts in other.tracks.values():
            amounts[event.onset : event.offset + 1] = 0
    frames = np.arange(len(track.times_s)) if track.frames is None else track.frames
    moved = other.region_places(frames) * (SEEN * CROP / 224)
    regions = {
        name: places + moved[:, index] for index, (name, places) in enumerate(track.regions.items())
    }
    both = MovementTrack(track.times_s, regions, track.present, track.openings, track.frames)
    return both, sorted([*video.events, *added], key=lambda event: event.onset)


def _track(
    places: np.ndarray, opened: np.ndarray, present: np.ndarray, frames: np.ndarray, fps: int
) -> MovementTrack:
    regions = {name: places[:, index] for index, name in enumerate(REGIONS)}
    return MovementTrack(frames / fps, regions, present, opened, frames)
