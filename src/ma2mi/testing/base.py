"""Fakes of gated corpora: their layout, sheets and traps, with painted people and invented rows."""

from __future__ import annotations

import csv
import random
import shutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar, TypeVar

from ma2mi.datasets.base import Layout
from ma2mi.datasets.coded import CodedCorpus
from ma2mi.errors import CorpusError, optional_part, store_error
from ma2mi.files import hold
from ma2mi.progress import OnProgress, Progress
from ma2mi.synthesis import SyntheticClip, SyntheticSettings, make_clip, make_subject

SIDE = 176  # px; the smallest round side at which the detector finds every painted face
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
"""Faults that can be planted, and what each is."""

# What is painted for the words of a sheet.
_PAINTED = {
    "negative": "disgust",
    "positive": "happiness",
    "happy": "happiness",
    "sad": "sadness",
    "other": "others",
    "tense": "repression",
}

Table = list[list[object]]
"""The cells of a sheet, header and rows of text included."""


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
        scene: what is painted; its frame 0 is frame ``first``.
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


@dataclass(frozen=True)
class Order:
    """What is to be written.

    Args:
        full_size: as many clips and subjects as were published; else three subjects.
        fault: one of ``FAULTS``, or "".
        layout, version: one of the fake's own.
        pictures: False writes empty files for frames, which is enough to read the sheet.
        on_progress: called after each clip.
    """

    full_size: bool = False
    fault: str = ""
    layout: str = ""
    version: str = ""
    pictures: bool = True
    on_progress: OnProgress | None = None


class Fake(ABC):
    """Writes a corpus that anyone may have."""

    faults: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]] = ("",)
    versions: ClassVar[tuple[str, ...]] = ("",)

    @abstractmethod
    def write(self, out: Path, order: Order) -> None:
        """Write the whole corpus into the empty folder ``out``."""


class CodedFake(Fake):
    """A fake of a coded corpus. A subclass says who shows what, and writes the sheet."""

    corpus: ClassVar[type[CodedCorpus]]
    faults = tuple(FAULTS)
    subjects: ClassVar[tuple[str, ...]]
    """Every subject of the full-sized corpus."""
    no_class: ClassVar[tuple[str, ...]] = ("others", "other")
    """Words that may be all that a subject shows ..."""
    unclassed: ClassVar[tuple[str, ...]] = ()
    """... and the subjects who show nothing else."""
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
        cast = self._cast(full_size)
        settings = {
            "size": SIDE,
            "padding_frames": LEAD,
            "micro_peak_px": (1.0, 2.0),
            "blink_rate": 0.0,
            "noise": 2.0,
        }
        clips = []
        numbers: dict[str, int] = {}
        for subject, emotion in cast:
            number = numbers[subject] = numbers.get(subject, 0) + 1
            seed = zlib.crc32(f"{self._people} {subject} {number}".encode())
            draw = random.Random(seed)
            length_s = draw.randint(*self.frames_long) / float(self.corpus.fps)
            scene = make_clip(
                make_subject(zlib.crc32(f"{self._people} {subject}".encode())),
                kind="micro",
                emotion=_PAINTED.get(emotion.lower(), emotion.lower()),
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
    def _people(self) -> str:
        return self.corpus.about.people or self.corpus.database or self.corpus.name

    def _cast(self, full_size: bool) -> list[tuple[str, str]]:
        """(subject, emotion) of every clip, subject by subject."""
        if not full_size:
            return [(subject, word) for subject in self.subjects[:3] for word in self.small]
        pairs = []
        shown = [s for s in self.subjects if s not in self.unclassed]
        # Words go round among those who may show them, so that everybody shows some.
        turn = 0
        for word, count in self.corpus.about.emotions.items():
            people = self.subjects if word in self.no_class else tuple(shown)
            for _ in range(count):
                pairs.append((people[turn % len(people)], word))
                turn += 1
        order = {subject: place for place, subject in enumerate(self.subjects)}
        return sorted(pairs, key=lambda pair: order[pair[0]])

    def _draw(self, out: Path, clips: list[FakeClip], order: Order) -> None:
        done = 0
        for _, of_one in groupby(clips, key=lambda clip: clip.subject):
            person = None
            for clip in of_one:
                person = person or clip.scene.subject
                clip.scene.subject = person  # painted once
                numbers = self.frame_numbers(clip, order.layout)
                paths = [out / self.frame_path(clip, number, order.layout) for number in numbers]
                paths[0].parent.mkdir(parents=True, exist_ok=True)
                for path, content in zip(
                    paths,
                    self._contents(clip, numbers, paths[0].suffix, order.pictures),
                    strict=True,
                ):
                    path.write_bytes(content)
                done += 1
                if order.on_progress:
                    order.on_progress(Progress("render", done, len(clips)))
            if person:
                vars(person).pop("layers", None)  # tens of megabytes a person

    def _contents(
        self, clip: FakeClip, numbers: range, suffix: str, pictures: bool
    ) -> Iterable[bytes]:
        """The bytes of each frame: five are painted, the others repeat the nearest before them."""
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


FAKES: dict[str, Fake] = {}
AnyFake = TypeVar("AnyFake", bound=type[Fake])


def fake_of(*names: str) -> Callable[[AnyFake], AnyFake]:
    """Class decorator: this writes the fake of the corpora registered under these names."""

    def add(fake: AnyFake) -> AnyFake:
        for name in names:
            FAKES[name] = fake()
        return fake

    return add


def write_fake(
    name: str,
    out: Path | str,
    *,
    full_size: bool = False,
    fault: str = "",
    layout: str = "",
    version: str = "",
    pictures: bool = True,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a fake of the corpus ``name``: same arguments, same bytes.

    The folder appears when all of it is written; a call that is killed leaves none, and the next
    one begins anew.

    Args:
        name: of a registered corpus.
        out: an empty or missing folder.
        full_size, fault, layout, version, pictures, on_progress: as ``Order``; the first layout and
            the newest version if empty.

    Raises:
        CorpusError: no fake of that name, fault, layout or version; or ``out`` is not empty.
        StoreError: it cannot be written, or another process writes there.
    """
    out = Path(out)
    if name not in FAKES:
        raise CorpusError(
            "has no fake", where=name, cure=f"There are fakes of {', '.join(sorted(FAKES))}"
        )
    fake = FAKES[name]
    for word, value, known in (
        ("fault", fault, fake.faults),
        ("layout", layout, fake.layouts),
        ("version", version, fake.versions),
    ):
        if value and value not in known:
            choice = ", ".join(filter(None, known)) or "no other"
            raise CorpusError(f"has no {word} {value!r}", where=name, cure=f"It has {choice}")
    layout, version = layout or fake.layouts[0], version or fake.versions[0]
    order = Order(full_size, fault, layout, version, pictures, on_progress)
    with hold(final := out.resolve()):
        # Not files.whole_folder: its list of what was written marks results of an analysis, which
        # are passed over where videos are looked for.
        work = final.with_name(f".{final.name}.part")
        try:
            if final.exists() and (not final.is_dir() or any(final.iterdir())):
                raise CorpusError("is not empty", where=out, cure="Choose another folder")
            if work.exists():  # of a call that was killed; nobody else holds this name
                shutil.rmtree(work)
            work.mkdir()
            fake.write(work, order)
            if final.exists():
                final.rmdir()
            work.rename(final)
        except OSError as error:
            raise store_error(error, out) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return out


def write_table(file: Path, table: Table, tab: str = "Sheet1") -> None:
    """Write cells as .xlsx or .csv, by the file's suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines, lineterminator="\n").writerows(table)
        return
    write_tabs(file, {tab: table})


def write_tabs(file: Path, tabs: Mapping[str, Table]) -> None:
    """Write an .xlsx of several tabs; the same cells give the same bytes."""
    with optional_part("openpyxl", "corpora"):
        import openpyxl
    file.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, table in tabs.items():
        page = book.create_sheet(name)
        for row in table:
            page.append(row)
    book.save(file)
    _forget_time(file)


def _forget_time(file: Path) -> None:
    """Rewrite an .xlsx without the clock: its parts and its properties carry the time of saving."""
    import re
    import zipfile

    with zipfile.ZipFile(file) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    core = "docProps/core.xml"
    parts[core] = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2000-01-01T00:00:00Z", parts[core])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), content)


def _with_fault(clips: list[FakeClip], fault: str) -> list[FakeClip]:
    """The clips as their rows tell them, the second one spoilt."""
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


def layout_names(layouts: Iterable[Layout]) -> tuple[str, ...]:
    """The names that ``write_fake`` takes as ``layout``."""
    return tuple(layout.name for layout in layouts)
