"""Fakes of coded micro-expression corpora: frames of synthetic subjects, and a sheet with traps."""

from __future__ import annotations

import random
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.coded import CodedCorpus
from ma2mi.errors import optional_part
from ma2mi.progress import Progress
from ma2mi.synthesis import SyntheticClip, SyntheticSettings, make_clip, make_subject
from ma2mi.testing.base import Fake, Order
from ma2mi.testing.sheets import Table, write_table

SIDE = 176  # px; the smallest round side at which the detector finds every synthetic face
LEAD = 4  # frames before the onset and after the offset

FAULTS: Mapping[str, str] = {
    "missing-sheet": "there is no annotation sheet",
    "other-version": "the sheet calls the onset's column otherwise",
    "missing-frames": "one clip lacks its apex frame, another a frame in between",
    "apex-slash": 'an apex is "/"',
    "au-side": 'the action units of a row are "4+L10"',
    "duplicated-row": "a row stands there twice",
    "wrong-padding": "the frames of a clip are padded with zeros",
    "truncated-image": "a frame breaks off in the middle",
}
"""Faults that a fake can have, and what each is."""

# The emotion of ``facs.EMOTIONS`` that is rendered for a word of a sheet.
_RENDERED = {
    "negative": "disgust",
    "positive": "happiness",
    "happy": "happiness",
    "sad": "sadness",
    "other": "others",
    "tense": "repression",
}


@dataclass(frozen=True)
class FakeClip:
    """One clip and its row, in the numbers of the files.

    Args:
        subject: as ``Mark.subject``.
        name: the clip's own name.
        emotion: the sheet's word.
        aus: the cell of action units.
        first, last: the lowest and highest frame number on disk.
        onset, apex, offset: the cells.
        scene: what is rendered; its frame 0 is frame ``first``.
    """

    subject: str
    name: str
    emotion: str
    aus: object
    first: int
    last: int
    onset: int
    apex: int | str
    offset: int
    scene: SyntheticClip


class CodedFake(Fake):
    """A fake of a coded corpus. A subclass declares the subjects, and writes the sheet."""

    corpus: ClassVar[type[CodedCorpus]]
    faults = tuple(FAULTS)
    subjects: ClassVar[tuple[str, ...]]
    """Every subject of the full-sized corpus."""
    no_class: ClassVar[tuple[str, ...]] = ("others", "other")
    """Words that may be all that a subject shows ..."""
    unclassed: ClassVar[tuple[str, ...]] = ()
    """... and the subjects that show nothing else."""
    small: ClassVar[tuple[str, ...]] = ("happiness", "surprise", "disgust")
    """What each of the three subjects of a small fake shows."""
    frames_long: ClassVar[tuple[int, int]] = (16, 28)
    """Shortest and longest expression in frames."""
    first_frame: ClassVar[int] = 1
    grey: ClassVar[bool] = False

    @abstractmethod
    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        """The name of a subject's clip; numbers count from 1."""

    @abstractmethod
    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        """Where a frame lies below the root."""

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        """The sheet's file name and all its cells; what most fakes write."""
        raise NotImplementedError(f"{type(self).__name__} writes its sheet otherwise")

    def write_sheet(self, out: Path, clips: Sequence[FakeClip], version: str, fault: str) -> None:
        """Write the sheet; fakes of several tabs, or of none, replace this."""
        name, table = self.sheet(clips, version)
        if fault == "other-version":
            self.rename_onset(table)
        write_table(out / name, table)

    def frame_numbers(self, clip: FakeClip, layout: str) -> range:
        """The frames that are on disk."""
        return range(clip.first, clip.last + 1)

    # -- what every such fake does --------------------------------------------------------------

    def write(self, out: Path, order: Order) -> None:
        clips = self.plan(order.full_size)
        self._draw(out, clips, order)
        if order.fault != "missing-sheet":
            self.write_sheet(out, _with_fault(clips, order.fault), order.version, order.fault)
        _spoil_files(
            order.fault, clips, lambda clip, n: out / self.frame_path(clip, n, order.layout)
        )

    def plan(self, full_size: bool) -> list[FakeClip]:
        """Every clip, subject by subject."""
        settings = {
            "size": SIDE,
            "padding_frames": LEAD,
            "micro_peak_px": (1.0, 2.0),
            "blink_rate": 0.0,
            "noise": 2.0,
        }
        clips = []
        numbers: dict[str, int] = {}
        for subject, emotion in self._shown(full_size):
            number = numbers[subject] = numbers.get(subject, 0) + 1
            seed = zlib.crc32(f"{self._seed_name} {subject} {number}".encode())
            draw = random.Random(seed)
            length_s = draw.randint(*self.frames_long) / float(self.corpus.fps)
            scene = make_clip(
                make_subject(zlib.crc32(f"{self._seed_name} {subject}".encode())),
                kind="micro",
                emotion=_RENDERED.get(emotion.lower(), emotion.lower()),
                seed=seed,
                fps=self.corpus.fps,
                settings=SyntheticSettings(**settings, micro_duration_s=(length_s, length_s)),
            )
            units = scene.action_units
            first = self.first_frame
            clips.append(
                FakeClip(
                    subject,
                    self.name_clip(subject, number, emotion),
                    emotion,
                    int(units[0]) if len(units) == 1 and units[0].isdigit() else "+".join(units),
                    first,
                    first + scene.frame_count - 1,
                    first + scene.onset,
                    first + scene.apex,
                    first + scene.offset,
                    scene,
                )
            )
        return clips

    def rename_onset(self, table: Table) -> None:
        """Call the onset's column otherwise, as another version of the sheet might."""
        for row in table:
            for place, cell in enumerate(row):
                if cell in self.corpus.columns["onset"]:
                    row[place] = "Begin"
                    return

    @property
    def _seed_name(self) -> str:
        return self.corpus.about.same_subjects or self.corpus.database or self.corpus.name

    def _shown(self, full_size: bool) -> list[tuple[str, str]]:
        """(subject, emotion) of every clip, subject by subject."""
        if not full_size:
            return [(subject, word) for subject in self.subjects[:3] for word in self.small]
        pairs = []
        shown = [s for s in self.subjects if s not in self.unclassed]
        # Words go round among the subjects that may show them, so that each shows some.
        turn = 0
        for word, count in self.corpus.about.emotions.items():
            subjects = self.subjects if word in self.no_class else tuple(shown)
            for _ in range(count):
                pairs.append((subjects[turn % len(subjects)], word))
                turn += 1
        order = {subject: place for place, subject in enumerate(self.subjects)}
        return sorted(pairs, key=lambda pair: order[pair[0]])

    def _draw(self, out: Path, clips: list[FakeClip], order: Order) -> None:
        for done, clip in enumerate(clips, 1):
            numbers = self.frame_numbers(clip, order.layout)
            paths = [out / self.frame_path(clip, number, order.layout) for number in numbers]
            paths[0].parent.mkdir(parents=True, exist_ok=True)
            contents = self._contents(clip, numbers, paths[0].suffix, order.pictures)
            for path, content in zip(paths, contents, strict=True):
                path.write_bytes(content)
            if order.on_progress:
                order.on_progress(Progress("render", done, len(clips)))

    def _contents(
        self, clip: FakeClip, numbers: range, suffix: str, pictures: bool
    ) -> Iterable[bytes]:
        """The bytes of each frame: five are rendered, the others repeat the nearest before them."""
        if not pictures:
            return (b"" for _ in numbers)
        with optional_part("cv2", "video"):
            import cv2
        scene = clip.scene
        keys = sorted(
            {
                scene.onset,
                (scene.onset + scene.apex) // 2,
                scene.apex,
                (scene.apex + scene.offset) // 2,
                scene.offset,
            }
        )
        coded = {}
        for key in keys:
            code = cv2.COLOR_RGB2GRAY if self.grey else cv2.COLOR_RGB2BGR
            coded[key] = cv2.imencode(suffix, cv2.cvtColor(scene.frame(key), code))[1].tobytes()
        del scene.__dict__["_renderer"]  # holds a bank of noise
        return (
            coded[max((k for k in keys if k <= n - clip.first), default=keys[0])] for n in numbers
        )


def _with_fault(clips: list[FakeClip], fault: str) -> list[FakeClip]:
    """The clips as their rows have them, the second one spoilt."""
    rows = list(clips)
    if fault == "apex-slash":
        rows[1] = replace(rows[1], apex="/")
    elif fault == "au-side":
        rows[1] = replace(rows[1], aus="4+L10")
    elif fault == "duplicated-row":
        rows.insert(2, rows[1])
    return rows


def _spoil_files(fault: str, clips: list[FakeClip], path: Callable[[FakeClip, int], Path]) -> None:
    second, third = clips[1:3]
    if fault == "missing-frames":
        path(second, int(second.apex)).unlink()
        path(third, third.onset + 1).unlink()
    elif fault == "truncated-image":
        file = path(second, second.onset + 1)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif fault == "wrong-padding":
        folder = path(second, second.onset).parent
        for file in sorted(folder.iterdir()):
            digits = len(file.stem) - len(file.stem.rstrip("0123456789"))
            number = file.stem[-digits:]
            file.rename(folder / f"{file.stem[:-digits]}{number.zfill(digits + 3)}{file.suffix}")
