"""Fakes of the corpora of large expressions: each layout with painted people, a few clips each."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ma2mi.datasets.macro import (
    Afew,
    CkPlus,
    CremaD,
    Dfew,
    Ferv39k,
    MacroCorpus,
    Mead,
    Mmi,
    Mug,
    OuluCasia,
    Ravdess,
    VoxCeleb2,
)
from ma2mi.errors import optional_part
from ma2mi.motion.facs import EMOTIONS
from ma2mi.progress import Progress
from ma2mi.synthesis import SyntheticSettings, SyntheticSubject, make_clip, make_subject
from ma2mi.testing.base import Fake, Order, fake_of, layout_names
from ma2mi.testing.coded import SIDE
from ma2mi.testing.sheets import Table, write_table

if TYPE_CHECKING:
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]

FRAME_FAULTS = ("missing-frames", "truncated-image")
NTSC = Fraction(30000, 1001)

_PAINTED = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
_FRAMES = 16  # of a clip
CAST = 24  # painted people of a full-sized fake whose people nobody counted
_LIGHTS = tuple(
    f"{camera}/{light}" for camera in ("VL", "NI") for light in ("Strong", "Weak", "Dark")
)


@dataclass(frozen=True)
class MacroClip:
    """One clip of a fake.

    Args:
        number: counts all clips from 1.
        person: counts people from 1.
        take: counts from 0 how often this person showed this word before.
        code: the corpus' code of the word, as in ``MacroCorpus.words``; "" if it has none.
        word: what the code means.
    """

    number: int
    person: int
    take: int
    code: str
    word: str


class _FakeMacro(Fake):
    """Three people show anger, happiness and, where the corpus has it, surprise.

    Full-sized, as many people show what was published; the published clips go round among them:
    how many one of them has is invented.
    """

    layouts: ClassVar[tuple[str, ...]] = ("",)
    corpus: ClassVar[type[MacroCorpus]]
    codes: ClassVar[tuple[str, ...]]
    rate: ClassVar[Fraction] = Fraction(25)
    """Frames per second of video files."""

    @abstractmethod
    def place(self, clip: MacroClip, layout: str) -> str:
        """The video, or the folder's frames with ``{index}``, below the root."""

    def write_labels(self, out: Path, clips: Sequence[MacroClip], layout: str) -> None:
        """What tells the words beside the paths; most need nothing."""

    def spell(self, word: str) -> str:
        """The code of a word that the corpus' table does not list."""
        return word

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
        self.write_labels(out, clips, order.layout)
        if order.fault:
            frames = sorted((out / self.place(clips[0], order.layout)).parent.iterdir())
            frame = frames[len(frames) // 2]
            if order.fault == "missing-frames":
                frame.unlink()
            else:
                frame.write_bytes(frame.read_bytes()[: frame.stat().st_size // 2])

    def plan(self, full_size: bool) -> Iterator[MacroClip]:
        """Every clip, person by person."""
        about, words = self.corpus.about, self.corpus.words
        cast = [(person, code) for person in (1, 2, 3) for code in self.codes]
        if full_size and about.emotions:
            codes = {word: code for code, word in words.items()}
            shown = [
                codes.get(word, self.spell(word))
                for word, n in about.emotions.items()
                for _ in range(n)
            ]
            people = about.subjects or CAST
            cast = sorted((i % people + 1, code) for i, code in enumerate(shown))
        takes: Counter[tuple[int, str]] = Counter()
        for number, (person, code) in enumerate(cast, 1):
            yield MacroClip(number, person, takes[person, code], code, words.get(code, code))
            takes[person, code] += 1


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
    for index in range(_FRAMES if "{index" in path.name else 1):
        path.with_name(path.name.format(index=index)).touch()


def _images(clip: MacroClip, peaks_last: bool) -> list[Image]:
    """Three painted frames, repeated: up to the peak, and back to rest if it is not the end."""
    word = clip.word.lower()
    emotion = _PAINTED.get(word, word if word in EMOTIONS else "happiness")
    rest, middle, peak = painted(clip.person, emotion)
    shown = [rest, middle, peak] if peaks_last else [rest, middle, peak, middle, rest]
    if word in ("neutral", "calm"):
        shown = [rest]
    # No two takes are alike to the byte, or a check would call them copies.
    return [
        np.minimum(shown[i * len(shown) // _FRAMES], 255 - clip.take % 64) for i in range(_FRAMES)
    ]


@lru_cache(maxsize=64)
def painted(person: int, emotion: str) -> tuple[Image, Image, Image]:
    """A face at rest, half way and at the peak; the fakes share their people."""
    scene = make_clip(
        _person(person),
        kind="macro",
        emotion=emotion,
        seed=person,
        fps=Fraction(30),
        settings=SyntheticSettings(size=SIDE, padding_frames=2, blink_rate=0.0, noise=2.0),
    )
    scene.subject = _person(person)  # whose layers are painted already
    middle = (scene.onset + scene.apex) // 2
    return scene.frame(scene.onset), scene.frame(middle), scene.frame(scene.apex)


@lru_cache(maxsize=1)  # tens of megabytes each
def _person(number: int) -> SyntheticSubject:
    return make_subject(zlib.crc32(f"macro {number}".encode()))


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


@fake_of("ckplus")
class FakeCkPlus(_FakeMacro):
    corpus = CkPlus
    codes = ("1", "5", "7")
    faults = FRAME_FAULTS

    def place(self, clip: MacroClip, layout: str) -> str:
        sequence = f"S{clip.person:03d}/{clip.number:03d}"
        return f"cohn-kanade-images/{sequence}/{sequence.replace('/', '_')}_{{index:08d}}.png"

    def write_labels(self, out: Path, clips: Sequence[MacroClip], layout: str) -> None:
        for clip in clips:
            for folder, text in (
                ("Emotion", f"   {float(clip.code):.7e}\n"),
                ("FACS", "   4.0000000e+00   0.0000000e+00\n   1.2000000e+01   3.0000000e+00\n"),
            ):
                sequence = f"S{clip.person:03d}/{clip.number:03d}"
                name = f"{sequence.replace('/', '_')}_{_FRAMES - 1:08d}_{folder.lower()}.txt"
                _write(out / folder / sequence / name, text)


@fake_of("oulu-casia")
class FakeOuluCasia(_FakeMacro):
    corpus = OuluCasia
    codes = ("Anger", "Happiness", "Surprise")
    faults = FRAME_FAULTS

    def place(self, clip: MacroClip, layout: str) -> str:
        light = _LIGHTS[clip.take % len(_LIGHTS)]
        return f"OriginalImg/{light}/P{clip.person:03d}/{clip.code}/{{index:03d}}.jpeg"

    def spell(self, word: str) -> str:
        return word.capitalize()


@fake_of("mmi")
class FakeMmi(_FakeMacro):
    corpus = Mmi
    codes = ("1", "4", "6")

    def place(self, clip: MacroClip, layout: str) -> str:
        return f"Sessions/{clip.number}/S{clip.person:03d}-{clip.number:03d}.avi"

    def write_labels(self, out: Path, clips: Sequence[MacroClip], layout: str) -> None:
        for clip in clips:
            film = out / self.place(clip, layout)
            _write(
                film.with_suffix(".xml"),
                f'<Metatags><Metatag Name="Emotion" Value="{clip.code}"/></Metatags>\n',
            )
            _write(
                film.with_name(f"{film.stem}-oao_aucs.xml"),
                '<ActionUnits><ActionUnit Number="12"/><ActionUnit Number="25"/></ActionUnits>\n',
            )


@fake_of("mug")
class FakeMug(_FakeMacro):
    corpus = Mug
    codes = ("anger", "happiness", "surprise")
    faults = FRAME_FAULTS

    def place(self, clip: MacroClip, layout: str) -> str:
        person = f"{clip.person:03d}"
        if clip.person == 2:
            person += f"/{person}"  # as in some copies
        return f"subjects3/{person}/{clip.code}/take000/img_{{index:04d}}.jpg"


@fake_of("dfew")
class FakeDfew(_FakeMacro):
    corpus = Dfew
    codes = ("4", "1", "5")
    faults = FRAME_FAULTS
    layouts = layout_names(Dfew.about.layouts)

    def place(self, clip: MacroClip, layout: str) -> str:
        if layout == "video":
            return f"Clip/original/{clip.number}.mp4"
        return f"Clip/jpg_256/{clip.number:05d}/{{index:05d}}.jpg"

    def write_labels(self, out: Path, clips: Sequence[MacroClip], layout: str) -> None:
        for part, some in (("train", clips[::2]), ("test", clips[1::2])):
            table: Table = [["video_name", "label"]]
            table += [[f"{clip.number:05d}", clip.code] for clip in some]
            write_table(out / f"EmoLabel_DataSplit/{part}(single-labeled)/set_1.csv", table)


@fake_of("ferv39k")
class FakeFerv39k(_FakeMacro):
    corpus = Ferv39k
    codes = ("Angry", "Happy", "Surprise")
    faults = FRAME_FAULTS

    def place(self, clip: MacroClip, layout: str) -> str:
        return f"2_ClipsforFaceCrop/Action/{clip.code}/{clip.number:04d}/{{index}}.jpg"


@fake_of("crema-d")
class FakeCremaD(_FakeMacro):
    corpus = CremaD
    codes = ("ANG", "HAP")
    rate = NTSC

    def place(self, clip: MacroClip, layout: str) -> str:
        # Enough sentences for a full-sized fake, where the real ones are twelve.
        sentence = "".join(chr(ord("A") + clip.take // n % 26) for n in (676, 26, 1))
        return f"VideoFlash/{1000 + clip.person}_{sentence}_{clip.code}_XX.flv"


@fake_of("ravdess")
class FakeRavdess(_FakeMacro):
    corpus = Ravdess
    codes = ("5", "3", "8")
    rate = NTSC

    def place(self, clip: MacroClip, layout: str) -> str:
        take = clip.take
        name = f"01-01-0{clip.code}-01-{take // 9 + 1:02d}-{take % 9 + 1:02d}-{clip.person:02d}"
        return f"Actor_{clip.person:02d}/{name}.mp4"


@fake_of("mead")
class FakeMead(_FakeMacro):
    corpus = Mead
    codes = ("angry", "happy", "surprised")
    rate = Fraction(30)

    def place(self, clip: MacroClip, layout: str) -> str:
        who = f"{'MW'[clip.person % 2]}{clip.person:03d}"
        return f"{who}/video/front/{clip.code}/level_1/{clip.take + 1:03d}.mp4"


@fake_of("afew")
class FakeAfew(_FakeMacro):
    corpus = Afew
    codes = ("Angry", "Happy", "Surprise")

    def place(self, clip: MacroClip, layout: str) -> str:
        part = "Val_AFEW" if clip.number % 3 == 0 else "Train_AFEW"
        return f"{part}/{clip.code}/{clip.number:09d}.avi"

    def spell(self, word: str) -> str:
        return word.capitalize()


@fake_of("voxceleb2")
class FakeVoxCeleb2(_FakeMacro):
    corpus = VoxCeleb2
    codes = ("",)

    def place(self, clip: MacroClip, layout: str) -> str:
        return f"dev/mp4/id{clip.person:05d}/fake_{clip.number:06d}/00001.mp4"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\n")
