"""Corpora of frame folders that a sheet codes: one row, one expression, in the files' numbers."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ma2mi.datasets.base import Corpus, Layout
from ma2mi.datasets.repairs import Repair, load_repairs
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import natural
from ma2mi.formats.action_units import parse_units
from ma2mi.formats.findings import Finding, LeftOut, Severity
from ma2mi.formats.sheets import Columns, Row, Sheet, find_sheet, read_sheet
from ma2mi.records import Expression, Kind, Recording
from ma2mi.video.folders import FrameIndex, index_frames


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of a sheet, in the numbers of the files.

    Args:
        subject: as the corpus writes it everywhere, such as "sub04".
        clip: name of the recording, as ``CodedCorpus.clip_of`` names its folder.
        onset, offset: numbers in the names of the first and last frame.
        apex: the same, None where it is not marked.
        emotion: the sheet's own word.
        aus: the sheet's own cell.
        kind: "micro" or "macro".
        row: where it was read, None if it follows from folders alone.
    """

    subject: str
    clip: str
    onset: int
    offset: int
    apex: int | None = None
    emotion: str = ""
    aus: object = None
    kind: Kind = "micro"
    row: Row | None = None

    @classmethod
    def of_row(cls, row: Row, subject: str, clip: str, **known: Any) -> Mark:
        """The mark in a row whose columns have the usual names; ``known`` goes before them."""
        columns: dict[str, Callable[[str], Any]] = {
            "onset": row.whole,
            "offset": row.whole,
            "apex": row.frame,
            "emotion": row.text,
            "aus": row.cells.get,
        }
        cells = {name: read(name) for name, read in columns.items() if name not in known}
        return cls(subject=subject, clip=clip, row=row, **cells, **known)

    @property
    def where(self) -> str:
        return self.row.where() if self.row else self.clip


class CopyContents(NamedTuple):
    """What a copy holds: expressions that can be used, and what was odd."""

    expressions: tuple[Expression, ...]
    findings: tuple[Finding, ...]


class CodedCorpus(Corpus):
    """What corpora of coded frame folders share. A subclass defines how a row is read (``mark``).

    A row that names nothing on disk or contradicts itself is left out, with a ``LeftOut``
    warning; ``findings`` lists every one with its place and hint.

    Args:
        root: the folder as its owners hand it out.
        layout: name of a layout of the data sheet; "" takes the first that is there.
        repairs: True applies the known repairs of the corpus' sheets, False none; a path is a
            CSV of your own (``repairs.COLUMNS``) that is applied instead.

    Raises:
        CorpusError: the folder is missing, or holds none of the layouts.
    """

    fps: ClassVar[Fraction]
    columns: ClassVar[Columns] = {}
    optional: ClassVar[tuple[str, ...]] = ()
    database: ClassVar[str] = ""
    """Name under which protocols and papers know the corpus; "" is its registered name."""

    options: ClassVar[frozenset[str]] = frozenset(("layout", "repairs"))
    layout: Layout

    def __init__(
        self, root: Path | str, *, layout: str = "", repairs: bool | Path | str = True
    ) -> None:
        super().__init__(root)
        self.layout, self.folders = self._find_folders(layout)
        if isinstance(repairs, bool):
            self.repairs: list[Repair] = load_repairs(self.name) if repairs else []
        else:
            self.repairs = load_repairs(Path(repairs))

    # -- what a corpus declares ------------------------------------------------------------------

    @abstractmethod
    def mark(self, row: Row) -> Mark | None:
        """Read one row; None for a row that codes nothing.

        Raises:
            CorpusError: a cell is wrong.
        """

    def marks(self) -> Iterator[Mark | CorpusError]:
        """Every row's mark, or what is wrong with it; corpora without a sheet replace this."""
        for row in self.sheet.rows:
            try:
                mark = self.mark(row)
            except CorpusError as error:
                yield error
            else:
                if mark is not None:
                    yield mark

    def clip_of(self, folder: Path) -> str:
        """The recording's name, unique in the corpus; its last two folders unless replaced."""
        return "/".join(folder.parts[-2:])

    def subject_of(self, clip: str) -> str:
        """The subject of a recording; the first part of its name unless replaced."""
        return clip.split("/")[0]

    def version(self, sheet: Sheet) -> str:
        """The sheet's version, as its columns show it; repairs are keyed by it."""
        return ""

    @cached_property
    def sheet(self) -> Sheet:
        """The annotation sheet.

        Raises:
            CorpusError: there is none, or it lacks a column.
        """
        file = find_sheet(self.root, self.about.sheets)
        return read_sheet(file, self.columns, optional=self.optional)

    # -- what every such corpus does ------------------------------------------------------------

    def recordings(self) -> list[Recording]:
        return list(self._recordings.values())

    def expressions(self) -> list[Expression]:
        """Every coded expression that is whole on disk, in the sheet's order.

        Frames are counted from 0 among the decoded frames of the folder.

        Raises:
            CorpusError: there is no sheet, or it lacks a column.
        """
        lost = [finding for finding in self.reading.findings if finding.severity == "error"]
        if lost:
            warnings.warn(
                f"{self.name}: left out {len(lost)} of {self.coded} coded expressions; the first "
                f"is {lost[0]}. `ma2mi data check` lists them all",
                LeftOut,
                stacklevel=2,
            )
        return list(self.reading.expressions)

    def findings(self) -> list[Finding]:
        return list(self.reading.findings)

    def index(self, clip: str) -> FrameIndex:
        """The frames of a recording by their numbers.

        Raises:
            VideoError, CorpusError: its folder holds no numbered frames.
        """
        if clip not in self._indices:
            self._indices[clip] = index_frames(self.folders[clip])
        return self._indices[clip]

    @cached_property
    def _indices(self) -> dict[str, FrameIndex]:
        return {}

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        database = self.database or self.name
        return {
            clip: Recording(folder, self.subject_of(clip), clip, database, self.fps)
            for clip, folder in self.folders.items()
        }

    def _find_folders(self, wanted: str) -> tuple[Layout, dict[str, Path]]:
        """The layout that is there, and its folders by clip, in natural order."""
        layouts = [one for one in self.about.layouts if wanted in ("", one.name)]
        for layout in layouts:
            for pattern in layout.folders:
                found = {self.clip_of(f): f for f in self.root.glob(pattern) if f.is_dir()}
                if found:
                    return layout, {clip: found[clip] for clip in sorted(found, key=natural)}
        names = ", ".join(one.name for one in self.about.layouts)
        raise CorpusError(
            "holds no clips" + (f" in the layout {wanted!r}" if wanted else ""),
            where=self.root,
            hint=f"Layouts are {names}; frames are looked for as "
            + " or ".join(one.example for one in layouts or self.about.layouts),
        )

    @cached_property
    def reading(self) -> CopyContents:
        """Everything that is in the sheet and the names of the frames; read once."""
        found: list[Finding] = []
        expressions: list[Expression] = []
        seen: dict[tuple[str, int], Mark] = {}
        one_sided: list[Mark] = []
        self.coded = 0
        for mark in self.marks():
            self.coded += 1
            if isinstance(mark, CorpusError):
                found.append(Finding.of(mark))
                continue
            try:
                mark = self._repaired(mark, found)
                earlier = seen.setdefault((mark.clip, mark.onset), mark)
                if earlier is not mark:
                    found.append(_repeats(mark, earlier))
                    continue
                expression = self._locate(mark, found)
            except Ma2miError as error:
                found.append(Finding.of(error))
                continue
            if any(code[0] in "LR" for code in expression.action_units):
                one_sided.append(mark)
            expressions.append(expression)
        if one_sided:
            first = one_sided[0]
            found.append(
                _finding(
                    "note",
                    first.row.where("aus") if first.row else first.clip,
                    f"codes one side of the face ({first.aus}), as {len(one_sided)} in all",
                    "Nothing to do: L10 stays L10, and labels count it as 10",
                )
            )
        coded = {mark.clip for mark in seen.values()}
        found += (
            _finding(
                "warning", str(folder), "has no row in the sheet", "Add its row, or leave it unused"
            )
            for clip, folder in self.folders.items()
            if clip not in coded
        )
        return CopyContents(tuple(expressions), tuple(found))

    def _repaired(self, mark: Mark, found: list[Finding]) -> Mark:
        for repair in self.repairs:
            name = f"{mark.clip}@{mark.onset}" if "@" in repair.clip else mark.clip
            if (repair.subject, repair.clip) != (mark.subject, name):
                continue
            if repair.version not in ("", self._version):
                continue
            before = getattr(mark, repair.field)
            value: Any = repair.value
            if repair.field in ("onset", "apex", "offset"):
                value = int(repair.value) if repair.value else None
            if value != before:
                change = {repair.field: value}
                mark = replace(mark, **change)
                found.append(
                    _finding(
                        "note",
                        mark.row.where(repair.field) if mark.row else mark.clip,
                        f"{before} is read as {value} (repair: {repair.source})",
                        "Switch repairs off to read it as it stands",
                    )
                )
        return mark

    def _locate(self, mark: Mark, found: list[Finding]) -> Expression:
        """The expression in decoded frames.

        Raises:
            CorpusError: there is no such folder or frame, or the frames contradict each other.
        """
        recording = self._recordings.get(mark.clip)
        if recording is None:
            raise CorpusError(
                f"{mark.clip} is not on disk",
                where=mark.where,
                hint=f"Copy it to where {self.layout.example} would be",
            )
        if mark.offset < mark.onset:
            raise _wrong(mark, "offset", f"{mark.offset} lies before the onset {mark.onset}")
        if mark.apex is not None and not mark.onset <= mark.apex <= mark.offset:
            raise _wrong(
                mark,
                "apex",
                f"{mark.apex} lies outside onset {mark.onset} and offset {mark.offset}",
            )
        frames = self.index(mark.clip)
        onset, offset = (
            _position(mark, column, number, frames)
            for column, number in (("onset", mark.onset), ("offset", mark.offset))
        )
        apex = None if mark.apex is None else _position(mark, "apex", mark.apex, frames)
        if mark.apex is None and mark.row and "apex" in mark.row.headers:
            found.append(
                _finding(
                    "warning",
                    mark.row.where("apex"),
                    f"{mark.row.text('apex')!r} is no apex",
                    "The frame that differs most from the onset stands in for it",
                )
            )
        units = parse_units(mark.aus)
        if units.unread:
            found.append(
                _finding(
                    "warning",
                    mark.row.where("aus") if mark.row else mark.clip,
                    f"{', '.join(units.unread)} of {mark.aus!r} cannot be read",
                    f"{units.taken}; correct the cell if wrong",
                )
            )
        return Expression(
            mark.kind,
            onset,
            apex,
            offset,
            recording=recording,
            emotion=mark.emotion.strip(),
            action_units=units.codes,
        )

    @cached_property
    def _version(self) -> str:
        return self.version(self.sheet) if self.columns else ""


def _finding(severity: Severity, where: str, what: str, hint: str) -> Finding:
    return Finding.of(CorpusError(what, where=where, hint=hint), severity)


def _wrong(mark: Mark, column: str, what: str) -> CorpusError:
    hint = "Correct the cell, or list it in a CSV of repairs"
    return CorpusError(what, where=mark.row.where(column) if mark.row else mark.clip, hint=hint)


def _position(mark: Mark, column: str, number: int, frames: FrameIndex) -> int:
    try:
        return frames.position(number)
    except CorpusError as error:
        if mark.row is None:
            raise
        raise CorpusError(
            f"frame {number} {error.what}",
            where=mark.row.where(column),
            hint=f"See {frames.folder}. {error.hint}",
        ) from error


def _repeats(mark: Mark, earlier: Mark) -> Finding:
    same = replace(mark, row=None) == replace(earlier, row=None)
    first = f"row {earlier.row.number}" if earlier.row else earlier.clip
    return _finding(
        "warning" if same else "error",
        mark.where,
        f"repeats {first}"
        if same
        else f"contradicts {first}: both mark {mark.clip} at {mark.onset}",
        "Remove one of the two; the first is taken",
    )
