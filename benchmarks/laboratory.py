"""Laboratory clips through ``ma2mi analyze``: how often is the class right?

python benchmarks/laboratory.py --clips 24 --out runs/laboratory

Clips of two seconds at 200 fps with one micro-expression of 0.3 to 1.0 px in each: faces of our
own renderer, and rendered heads (anny), whose renderer no weights were learned from. A clip counts
as read where an event overlaps the true one and has a reading; as right where its most probable
class is the true one, and, of those that the recognizer stands by, apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import ma2mi
from ma2mi.arrays import Image
from ma2mi.evaluation.labels import LABEL_SETS
from ma2mi.records import Interval
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.synthesis.head_video import make_head_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.video import write_video

FPS = Fraction(200)
PEAK_PX = (0.3, 1.0)
#: Happiness and surprise as often as the six that are negative, a third each.
EMOTIONS = (
    "happiness", "surprise", "disgust", "happiness", "surprise", "anger",
    "happiness", "surprise", "repression", "happiness", "surprise", "sadness",
)  # fmt: skip
FACES_FROM, HEADS_FROM = 8000, 43_000
REST_FRAMES = 150


class Filmed(NamedTuple):
    """A video with one micro-expression.

    Attributes:
        frames: its images.
        event: where the expression is.
        emotion: which.
    """

    frames: Iterator[Image]
    event: Interval
    emotion: str


def film_face(number: int) -> Filmed:
    emotion = EMOTIONS[number % len(EMOTIONS)]
    settings = SyntheticSettings(padding_frames=REST_FRAMES, micro_peak_px=PEAK_PX)
    subject = make_subject(FACES_FROM + number // 2)
    clip = make_clip(
        subject, kind="micro", emotion=emotion, seed=number, fps=FPS, settings=settings
    )
    frames = (clip.frame(i) for i in range(clip.frame_count))
    return Filmed(frames, Interval(clip.onset, clip.offset), emotion)


def film_head(number: int) -> Filmed:
    scene = SyntheticSettings(micro_peak_px=PEAK_PX)
    plan = LongVideoSettings(
        duration_s=2.5, micro_count=1, macro_count=0, speech_count=0, head_move_rate=0, scene=scene
    )
    video = make_head_video(
        seed=HEADS_FROM + number, fps=FPS, plan=plan, size=(320, 320), face_px=150.0
    )
    event = video.of_kind("micro")[0]
    return Filmed(video.frames(), Interval(event.onset, event.offset), event.emotion)


def read_clip(path: Path, filmed: Filmed, weights: str) -> tuple[str, bool] | None:
    """The most probable class, and whether the recognizer stands by it; None if not read."""
    if not path.is_file():
        write_video(path, filmed.frames, fps=FPS)
    events = [e for e in ma2mi.analyze(path, weights=weights).events if e.reading]
    overlaps = [filmed.event.iou(event.interval) for event in events]
    if not overlaps or max(overlaps) == 0:
        return None
    reading = events[overlaps.index(max(overlaps))].reading
    assert reading is not None
    return reading.label, not reading.abstained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="of each renderer")
    parser.add_argument("--weights", default="zero")
    parser.add_argument("--out", type=Path, default=Path("runs/laboratory"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    labels = LABEL_SETS["synthetic-3"]
    for name, film in (("faces", film_face), ("heads", film_head)):
        read = right = stood_by = right_of_those = 0
        for number in range(options.clips):
            filmed = film(number)
            truth = labels.classes[int(labels.encode([filmed.emotion])[0][0])]
            found = read_clip(options.out / f"{name}{number:03d}.mp4", filmed, options.weights)
            if found is None:
                continue
            read, right = read + 1, right + (found[0] == truth)
            stood_by += found[1]
            right_of_those += found[1] and found[0] == truth
        print(
            f"{name}: {read} of {options.clips} read; class right in {right} of them "
            f"({right / max(read, 1):.0%}); stood by {stood_by}, right in {right_of_those} "
            f"({right_of_those / max(stood_by, 1):.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
