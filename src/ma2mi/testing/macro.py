"""Fakes of the corpora of large expressions: a few clips of synthetic subjects in each layout."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ma2mi.arrays import Image
from ma2mi.datasets.base import corpus_class
from ma2mi.datasets.macro import MacroCorpus
from ma2mi.errors import optional_part
from ma2mi.motion.facs import EMOTIONS
from ma2mi.progress import Progress
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.testing.base import Fake, Order
from ma2mi.testing.coded import SIDE

if TYPE_CHECKING:
    from av.video.stream import VideoStream


FRAME_FAULTS = ("missing-frames", "truncated-image")
FRAMES = 16  # of a clip
SUBJECTS = 24  # of a full-sized fake whose subjects were not counted

# The emotion of ``facs.EMOTIONS`` that is rendered for a corpus' word.
_RENDERED = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}


@dataclass(frozen=True)
class MacroClip:
    """One clip of a fake.

    Args:
        number: counts all clips from 1.
        subject: counts subjects from 1.
        take: counts from 0 how often this subject showed this word before.
        code: the corpus' code of the word, as in ``MacroCorpus.words``; "" if it has none.
        word: what the code means.
    """

    number: int
    subject: int
    take: int
    code: str
    word: str


def no_labels(out: Path, clips: Sequence[MacroClip]) -> None:
    """Of corpora whose paths hold the words."""


@dataclass(frozen=True)
class MacroFake(Fake):
    """Three subjects show each of some words: anger, happiness and, where there is it, surprise.

    Full-sized, as many subjects as were published show the published clips in turn: how many one
    of them has is invented.

    Args:
        name: of the registered corpus.
        codes: of the words that a small fake shows.
        place: clip and layout to the video, or the frames of its folder with ``{index}``, below
            the root.
        write_labels: writes the files that hold the words beside the paths.
        spell: the code of a word that the corpus' table does not list.
        rate: frames per second of video files.
        faults, layouts, versions: see :class:`Fake`.
    """

    name: str
    codes: tuple[str, ...]
    place: Callable[[MacroClip, str], str]
    write_labels: Callable[[Path, Sequence[MacroClip]], None] = no_labels
    spell: Callable[[str], str] = str
    rate: Fraction = Fraction(25)
    faults: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ("",)
    versions: tuple[str, ...] = ("",)

    @property
    def corpus(self) -> type[MacroCorpus]:
        return cast("type[MacroCorpus]", corpus_class(self.name))

    def write(self, out: Path, order: Order) -> None:
        clips = list(self.plan(order.full_size))
        for done, clip in enumerate(clips, 1):
            path = out / self.place(clip, order.layout)
            path.parent.mkdir(parents=True, exist_ok=True)
            if order.pictures:
                _write_clip(path, _images(clip, self.corpus.peaks_last), self.rate)
            else:
                _touch(path)
            if order.on_progress:
                order.on_progress(Progress("render", done, len(clips)))
        self.write_labels(out, clips)
        if order.fault:
            frames = sorted((out / self.place(clips[0], order.layout)).parent.iterdir())
            frame = frames[len(frames) // 2]
            if order.fault == "missing-frames":
                frame.unlink()
            else:
                frame.write_bytes(frame.read_bytes()[: frame.stat().st_size // 2])

    def plan(self, full_size: bool) -> Iterator[MacroClip]:
        """Every clip, subject by subject."""
        about, words = self.corpus.about, self.corpus.words
        shown = [(subject, code) for subject in (1, 2, 3) for code in self.codes]
        if full_size and about.emotions:
            codes = {word: code for code, word in words.items()}
            published = [
                codes.get(word, self.spell(word))
                for word, n in about.emotions.items()
                for _ in range(n)
            ]
            subjects = about.subjects or SUBJECTS
            shown = sorted((i % subjects + 1, code) for i, code in enumerate(published))
        takes: Counter[tuple[int, str]] = Counter()
        for number, (subject, code) in enumerate(shown, 1):
            yield MacroClip(number, subject, takes[subject, code], code, words.get(code, code))
            takes[subject, code] += 1


def _write_clip(path: Path, images: Sequence[Image], rate: Fraction) -> None:
    """A folder of frames if the name holds ``{index}``, else a video as its suffix says."""
    from ma2mi.video import write_frames, write_video

    if "{index" in path.name:
        write_frames(path.parent, images, pattern=path.name, first=0)
    elif path.suffix == ".mp4":
        write_video(path, images, rate)
    else:
        _write_old(path, images, rate)


def _touch(path: Path) -> None:
    for index in range(FRAMES if "{index" in path.name else 1):
        path.with_name(path.name.format(index=index)).touch()


def _images(clip: MacroClip, peaks_last: bool) -> list[Image]:
    """Three rendered frames, repeated: up to the peak, and back to rest if it is not the end."""
    word = clip.word.lower()
    emotion = _RENDERED.get(word, word if word in EMOTIONS else "happiness")
    rest, middle, peak = rendered_faces(clip.subject, emotion)
    shown = [rest, middle, peak] if peaks_last else [rest, middle, peak, middle, rest]
    if word in ("neutral", "calm"):
        shown = [rest]
    # No two takes are alike to the byte, or a check would call them copies.
    return [
        np.minimum(shown[i * len(shown) // FRAMES], 255 - clip.take % 64) for i in range(FRAMES)
    ]


@lru_cache(maxsize=64)
def rendered_faces(number: int, emotion: str) -> tuple[Image, Image, Image]:
    """A subject's face at rest, half way and at the peak; the fakes share their subjects."""
    scene = make_clip(
        make_subject(zlib.crc32(f"macro {number}".encode())),
        kind="macro",
        emotion=emotion,
        seed=number,
        fps=Fraction(30),
        settings=SyntheticSettings(size=SIDE, padding_frames=2, blink_rate=0.0, noise=2.0),
    )
    middle = (scene.onset + scene.apex) // 2
    return scene.frame(scene.onset), scene.frame(middle), scene.frame(scene.apex)


def _write_old(path: Path, images: Sequence[Image], rate: Fraction) -> None:
    """A video as they were written before H.264, in the container that the suffix names."""
    with optional_part("av", "video"):
        import av
    codec = {".avi": "mpeg4", ".flv": "flv"}[path.suffix]
    options = {"fflags": "+bitexact"}
    with av.open(str(path), "w", container_options=options) as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=rate))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
