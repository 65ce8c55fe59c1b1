"""Synthetic long videos to evaluate spotting on: subject, events, and how they are filmed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from ma2mi.synthesis import SyntheticSettings, make_subject
from ma2mi.synthesis.long_video import LongVideo, make_long_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.video import Frame, read_frames, write_video

FIRST_SUBJECT, FIRST_NO_EVENT = 1000, 3000  # seeds of subjects


@dataclass(frozen=True)
class Video:
    """What to make: ``density`` 1 is 20 micro-expressions in ten minutes.

    ``head_moves``: how often a second the head goes elsewhere. ``coded``: as H.264, crf 20.
    """

    seed: int
    fps: int
    minutes: float
    density: float = 1.0
    head_moves: float = 0.1
    coded: bool = False

    def make(self) -> LongVideo:
        plan = LongVideoSettings(duration_s=600 / self.density, head_move_rate=self.head_moves)
        plan = plan.per_minute(self.minutes)
        subject = make_subject(FIRST_SUBJECT + self.seed)
        return make_long_video(subject, seed=self.seed, fps=Fraction(self.fps), plan=plan)

    @property
    def name(self) -> str:
        name = f"{self.seed}_{self.fps}fps_{self.minutes:g}min_{self.density:g}"
        name += "" if self.head_moves == 0.1 else f"_head{self.head_moves:g}"
        return f"{name}_coded" if self.coded else name


QUIET = {"blink_rate": 0.0, "gaze_rate": 0.0}
HELD = {"head_drift_px": 0.0, "head_turn_deg": 0.0, "head_tremor_px": 0.0}
SCENES = {
    "still picture": ({**QUIET, **HELD}, 0.0),
    "only the head moves, or a photograph in a hand": (QUIET, 0.3),
    "head, gaze and blinks": ({}, 0.3),
}
"""Scenes without an expression: what the scene has, and head moves a second.
Heads move as a picture does (shift, turn, nearer), not in depth."""


@dataclass(frozen=True)
class NoEventVideo:
    """A video without expressions and speech."""

    seed: int
    scene: str
    minutes: float = 1.0
    fps: int = 30
    coded: bool = False

    def make(self) -> LongVideo:
        scene, moves = SCENES[self.scene]
        plan = LongVideoSettings(
            duration_s=60 * self.minutes,
            micro_count=0,
            macro_count=0,
            speech_count=0,
            head_move_rate=moves,
            scene=SyntheticSettings(**scene),
        )
        subject = make_subject(FIRST_NO_EVENT + self.seed)
        return make_long_video(subject, seed=self.seed, fps=Fraction(self.fps), plan=plan)

    @property
    def name(self) -> str:
        scene = [*SCENES].index(self.scene)
        name = f"noevent{scene}_{self.seed}_{self.fps}fps_{self.minutes:g}min"
        return f"{name}_coded" if self.coded else name


def filmed(what: Video | NoEventVideo, video: LongVideo, crf: int = 20) -> Iterator[Frame]:
    """Frames as rendered, or as they come out of a file of H.264."""
    images = (video.frame(index) for index in range(video.frame_count))
    if not what.coded:
        for index, image in enumerate(images):
            yield Frame(index, Fraction(index, what.fps), image)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "filmed.mp4"
        write_video(path, images, what.fps, quick=True, crf=crf)
        yield from read_frames(path)
