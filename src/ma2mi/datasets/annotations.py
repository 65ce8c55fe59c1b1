"""Recordings of one's own with marks made in ELAN, BORIS, BIDS or a table, as a corpus."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import unquote

from ma2mi.datasets.base import Corpus, DataSheet, Layout, register
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import is_results, look_into
from ma2mi.formats.action_units import parse_units
from ma2mi.formats.annotation_files import (
    SUFFIXES,
    Annotation,
    NoAnnotations,
    read_annotations,
)
from ma2mi.formats.cells import shorten
from ma2mi.formats.findings import Finding, LeftOut, Severity
from ma2mi.formats.sheets import Columns, read_sheet
from ma2mi.records import Expression, Kind, Recording
from ma2mi.video.times import file_length, frame_times, picture_delay

LABELS = "labels.csv"
"""The mapping file, looked for beside the annotations."""

_OTHER_TABLES = (".xls", ".xlsm", ".ods", ".numbers")
_ROUNDED_S = Fraction(1, 1000)  # the tools write milliseconds
_LONGEST_MICRO_S = Fraction(1, 2)


class Meaning(NamedTuple):
    """What a coder's word means here: nothing at all if emotion and units are empty."""

    emotion: str
    aus: str = ""
    kind: str = ""


@register("annotations")
class Annotations(Corpus):
    """Videos and what coders marked in them, each as its tool saved it.

    Format:
        Videos, or folders of frames, anywhere below the root; beside them any number of ``.eaf``
        (ELAN), ``.boris`` (BORIS projects), events that BORIS exported, ``_events.tsv`` (BIDS)
        and tables (``annotation_files.TABLE``). A file that names no video is about the one that
        is called as it is; in BIDS that is the recording, and ``stim_file`` the film that was
        shown. Results of ``analyze`` are passed over, unless somebody changed them.

        Times are those of a player, whose clock starts with the file: where sound begins before
        the picture, the first frame is not at 0.

        ``labels.csv`` says what the coders' words mean; without it each word stands for itself.
        Columns ``label`` and ``emotion``, and if you like ``layer`` (ELAN's tier, BORIS'
        category; empty for any), ``aus`` and ``kind``. The label ``*`` is every other label of
        its layer; the units ``*`` are the label itself. A row without emotion and units leaves
        its annotations out.

    The emotion "apex" is no emotion: it marks the apex of the expressions around it. Units alone
    go to the expressions that they overlap; where there is none, they are one without a word. An
    annotation of no stated kind is micro up to 1/2 s. Who is seen: what the tool says (participant,
    subject, ``sub-``), else each video counts as a person of its own, which is told.

    Events of ``analyze`` that somebody corrected in ELAN, BORIS or the table of BIDS come back with
    their kind, class, apex, action units and score; blinks and speech are no expressions. "face0"
    names no subject: give the participant's name in the tool.

    Args:
        root: the folder, or one file of annotations in it.
        labels: the mapping file; None takes ``labels.csv`` if it is there.

    Raises:
        CorpusError: there is no file of annotations, or the mapping file is wrong.
    """

    about = DataSheet(
        title="Your own recordings, annotated in ELAN, BORIS, BIDS or a table",
        what="Videos and marks in seconds; labels.csv maps your words to those of a protocol.",
        apply="It is yours",
        licence="yours",
        citation="yours",
        layouts=(
            Layout("elan", "recordings/anna.eaf"),
            Layout("boris", "study.boris"),
            Layout("bids", "sub-01/beh/sub-01_task-film_events.tsv"),
            Layout("table", "marks.csv"),
        ),
        gated=False,
    )
    columns: ClassVar[Columns] = {
        "label": ("label",),
        "emotion": ("emotion",),
        "layer": ("layer", "tier", "category"),
        "aus": ("aus", "action units"),
        "kind": ("kind",),
    }

    def __init__(self, root: Path | str, labels: Path | str | None = None) -> None:
        given = Path(root)
        super().__init__(given.parent if given.is_file() else given)
        self.labels = Path(labels) if labels is not None else self.root / LABELS
        self._faults: list[Finding] = []
        self.files = [given] if given.is_file() else sorted(self._files())
        if not self.files:
            raise CorpusError(
                "holds no file of annotations",
                where=self.root,
                cure=f"Put {', '.join(SUFFIXES)} beside the videos",
            )
        if labels is not None and not self.labels.is_file():
            raise CorpusError("does not exist", where=self.labels, cure="Check the path")
        self.meanings = self._read_meanings() if self.labels.is_file() else None
        # Alone, a file of annotations does not speak for the other videos of its folder.
        films = self.root / "stimuli"  # where BIDS keeps what was shown
        shown = films if any(f.name.endswith("_events.tsv") for f in self.files) else None
        self._listed = [v for v in self._videos if v.is_file() and shown not in v.parents]
        if given.is_file():
            self._listed = []

    def _files(self) -> Iterator[Path]:
        ours: dict[Path, frozenset[Path]] = {}
        seen: set[tuple[int, int]] = set()
        for folder, below, names in os.walk(self.root, onerror=self._say_closed, followlinks=True):
            state = Path(folder).stat()
            if (state.st_dev, state.st_ino) in seen:  # a link that leads back
                below.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            below[:] = sorted(name for name in below if not name.startswith("."))
            for file in (Path(folder) / name for name in names):
                if not file.name.lower().endswith((*SUFFIXES, *_OTHER_TABLES)):
                    continue
                if file.name[0] in ".~" or file.name == LABELS or file == self.labels:
                    continue
                if file not in _unchanged_results(file, self.root, ours):
                    yield file

    def _say_closed(self, error: OSError) -> None:
        what = f"cannot be read ({error.strerror or error})"
        self._faults.append(Finding("error", str(error.filename), "", what))

    @cached_property
    def _videos(self) -> list[Path]:
        from ma2mi.video import list_videos

        return list_videos(self.root)

    def recordings(self) -> list[Recording]:
        return list(self._reading.marks)

    def expressions(self) -> list[Expression]:
        """Every annotation that means an expression, video by video, in order of time."""
        lost = [one for one in self._reading.findings if one.severity == "error"]
        if lost:
            warnings.warn(
                f"{self.name}: {len(lost)} files or annotations are left out; the first is "
                f"{lost[0]}. `ma2mi data check` lists them all",
                LeftOut,
                stacklevel=2,
            )
        return [one for marks in self._reading.marks.values() for one in marks]

    def findings(self) -> list[Finding]:
        return list(self._reading.findings)

    @cached_property
    def _reading(self) -> _Reading:
        findings = list(self._faults)
        by_video = self._by_video(findings)
        marks: dict[Recording, list[Expression]] = {}
        nameless = []
        for video, some in by_video.items():
            try:
                recording = self._recording(video, some)
                marks[recording] = self._expressions(recording, some, findings)
            except Ma2miError as error:
                findings.append(Finding.of(error))
            else:
                if not any(one.subject for one in some):
                    nameless.append(video)
        if nameless:
            findings.append(
                Finding(
                    "note",
                    str(nameless[0]),
                    "",
                    f"nobody says who is seen; so in {len(nameless)} of {len(by_video)} videos",
                    "Each counts as a person of its own; name the participant if one is seen twice",
                )
            )
        return _Reading(marks, findings)

    def _by_video(self, findings: list[Finding]) -> dict[Path, list[Annotation]]:
        by_video: dict[Path, list[Annotation]] = {video: [] for video in self._listed}
        for file in self.files:
            placed: dict[tuple[tuple[str, Fraction], ...], list[Annotation]] = {}
            try:
                if file.name.lower().endswith(_OTHER_TABLES):
                    raise NoAnnotations("is not read", where=file, cure="Save it as .xlsx or CSV")
                lengths = self._lengths(file)
                for one in read_annotations(file, faults=findings, length_s=lengths):
                    placed.setdefault(((one.media, Fraction(0)), *one.others), []).append(one)
            except Ma2miError as error:
                findings.append(Finding.of(error, self._gravity(error)))
            for media, some in placed.items():
                try:
                    video, ahead_s = self._first_video(file, media)
                    by_video.setdefault(video, []).extend(_moved(one, ahead_s) for one in some)
                except CorpusError as error:
                    findings.append(Finding.of(error))
        return by_video

    def _lengths(self, file: Path) -> Callable[[str], Fraction | None]:
        def length_s(name: str) -> Fraction | None:
            try:
                video = self._video(file, name)
                return file_length(video) if video.is_file() else None
            except Ma2miError:  # whoever needs it says that it is not known
                return None

        return length_s

    def _gravity(self, error: Ma2miError) -> Severity:
        """A table of something else may lie in a folder; given by name, it is a mistake."""
        return "warning" if isinstance(error, NoAnnotations) and len(self.files) > 1 else "error"

    def _first_video(
        self, file: Path, media: tuple[tuple[str, Fraction], ...]
    ) -> tuple[Path, Fraction]:
        """Of media that were played together the first that is there, and what it is ahead.

        Raises:
            CorpusError: none is.
        """
        first: CorpusError | None = None
        for name, ahead_s in media:
            try:
                return self._video(file, name), ahead_s
            except CorpusError as error:
                first = first or error
        raise first or CorpusError("names no video", where=file)

    def _video(self, file: Path, media: str) -> Path:
        """The video that ``file`` calls ``media``, wherever it lay when it was annotated.

        Names are alike if they are the same Unicode text, else if they differ in case alone. Of
        several with that name the one whose folders agree best is taken, then one beside ``file``;
        where none is below the root, the one to which the way in ``media`` leads.

        Raises:
            CorpusError: there is none, or several are called so.
        """
        stem = file.name.split(".")[0] if file.name.lower().endswith(".boris.gz") else file.stem
        stem = re.sub("_events$", "", stem)
        found: list[Path] = []
        for fold in (str, _composed, _folded):
            if not media:
                name = fold(stem)
                found = [
                    v
                    for v in self._videos
                    if fold(v.stem) == name or fold(v.stem).startswith(f"{name}_")
                ]
            else:
                found = _called(media, self._videos, fold)
            if found:
                break
        near = [video for video in found if video.parent == file.parent]
        if len(found) == 1 or len(near) == 1:
            return (found if len(found) == 1 else near)[0]
        if not found and (elsewhere := _by_its_way(file, media)):
            return elsewhere
        shown = re.split(r"[\\/]", media)[-1] if media else f"a video called {stem}"
        raise CorpusError(
            f"is about {shown}, which is there {len(found)} times",
            where=file,
            cure=f"Put exactly one below {self.root}",
        )

    def _recording(self, video: Path, annotations: list[Annotation]) -> Recording:
        spelled = {_folded(one.subject): _composed(one.subject) for one in annotations}
        people = sorted(name for name in spelled.values() if name)
        faces = sorted({one.face for one in annotations if one.face is not None and _counts(one)})
        if len(people) > 1 or len(faces) > 1:
            seen = people if len(people) > 1 else [f"face {face}" for face in faces]
            raise CorpusError(
                f"shows {' and '.join(seen)}, if one believes the annotations",
                where=video,
                cure="Cut it into one video for each face, or correct the participants",
            )
        rates = {one.fps for one in annotations if one.fps}
        if video.is_dir() and len(rates) != 1:
            raise CorpusError(
                "is a folder of frames, and its rate is not told",
                where=video,
                cure="Annotate it in a table with a column fps",
            )
        name = video.relative_to(self.root) if video.is_relative_to(self.root) else video
        fps = rates.pop() if video.is_dir() else None
        subject = people[0] if people else video.stem
        return Recording(video, subject, name.as_posix(), self.name, fps)

    # -- what the words mean --------------------------------------------------------------------

    def _read_meanings(self) -> dict[tuple[str, str], Meaning]:
        sheet = read_sheet(self.labels, self.columns, optional=("layer", "aus", "kind"))
        meanings: dict[tuple[str, str], Meaning] = {}
        for row in sheet.rows:
            try:
                key = (_folded(row.text("layer")), _folded(row.text("label")))
                emotion, kind = _composed(row.text("emotion")), row.text("kind").lower()
                meaning = Meaning(emotion, row.text("aus"), kind)
                if kind not in ("", "micro", "macro"):
                    raise row.error(
                        "kind", f"{kind!r} is neither micro nor macro", "Write one of them"
                    )
                if meanings.setdefault(key, meaning) != meaning:
                    raise row.error(
                        "label",
                        f"{row.text('label')!r} has another meaning above",
                        "Remove one of the two; the first is taken",
                    )
            except CorpusError as error:
                self._faults.append(Finding.of(error))
        return meanings

    def _meaning(self, annotation: Annotation) -> Meaning:
        """What an annotation means.

        Raises:
            CorpusError: the mapping file does not know its label.
        """
        if self.meanings is None or (annotation.face is not None and not annotation.label):
            kind = annotation.kind.lower()
            return Meaning(_composed(annotation.label), annotation.aus, kind)
        layer, label = _folded(annotation.layer), _folded(annotation.label)
        for key in ((layer, label), ("", label), (layer, "*"), ("", "*")):
            if key in self.meanings:
                emotion, aus, kind = self.meanings[key]
                aus = annotation.label if aus == "*" else aus or annotation.aus
                return Meaning(emotion, aus, kind or annotation.kind.lower())
        raise CorpusError(
            f"{annotation.label!r} is not in {self.labels.name}"
            + (f" (layer {annotation.layer})" if annotation.layer else ""),
            where=annotation.where,
            cure="Add a row that says what it means; without an emotion it is left out",
        )

    # -- from seconds to frames -----------------------------------------------------------------

    def _expressions(
        self, recording: Recording, annotations: list[Annotation], findings: list[Finding]
    ) -> list[Expression]:
        """The expressions of one video in order of time.

        Raises:
            VideoError: the video does not open.
        """
        times: list[Fraction] = []
        if annotations:
            seen = frame_times(recording.path, recording.fps)
            delay_s = picture_delay(recording.path, seen)
            times = [time_s - seen[0] + delay_s for time_s in seen]
        marks: dict[int, Expression] = {}
        apexes: list[tuple[int, Annotation]] = []
        units: list[Expression] = []
        # Of equals, the first comes first.
        for one in sorted(filter(_counts, annotations), key=lambda one: one.start_s):
            try:
                meaning = self._meaning(one)
                if meaning.emotion.casefold() == "apex":
                    apexes.append((_frame_at(one.start_s, times, one.where), one))
                elif meaning.emotion or meaning.aus or self.meanings is None:
                    mark = _expression(recording, one, meaning, times)
                    if meaning.aus and not meaning.emotion and one.face is None:
                        units.append(mark)
                    elif (twin := marks.setdefault(mark.onset, mark)) is not mark:
                        again = CorpusError(
                            f"begins with {twin.emotion!r} in frame {mark.onset}",
                            where=one.where,
                            cure="Remove one of the two; the first is taken",
                        )
                        same = (twin.emotion, twin.offset) == (mark.emotion, mark.offset)
                        findings.append(Finding.of(again, "warning" if same else "error"))
                        continue
                    findings += _doubts(meaning.aus, one.where)
            except CorpusError as error:
                findings.append(Finding.of(error))
        for unit in units:
            around = [one for one in marks.values() if one.interval.iou(unit.interval) > 0]
            for host in around:
                codes = dict.fromkeys(host.action_units + unit.action_units)
                marks[host.onset] = replace(host, action_units=tuple(codes))
            if not around:
                marks[unit.onset] = unit
        for frame, one in apexes:
            around = [mark for mark in marks.values() if frame in mark.interval]
            for host in around:
                marks[host.onset] = replace(host, apex=frame)
            if not around:
                outside = CorpusError(
                    "marks an apex outside any expression",
                    where=one.where,
                    cure="Move it between an onset and an offset",
                )
                findings.append(Finding.of(outside))
        return [marks[onset] for onset in sorted(marks)]


def _counts(one: Annotation) -> bool:
    """Whether it can be an expression: blinks and speech, which an analysis lists, are none."""
    return one.kind.lower() not in ("blink", "speech")


class _Reading(NamedTuple):
    marks: dict[Recording, list[Expression]]
    findings: list[Finding]


def _frame_at(time_s: Fraction, times: list[Fraction], where: str) -> int:
    """The frame that is seen at a time of the file, the first one before there is a picture.

    Args:
        time_s: on the file's own clock.
        times: when the frames are seen, on the same clock.

    Raises:
        CorpusError: the video is over by then.
    """
    period_s = _period(times)
    if time_s < 0 or time_s >= times[-1] + period_s + _ROUNDED_S:
        raise CorpusError(
            f"{float(time_s):.3f} s is not in the video, which lasts "
            f"{float(times[-1] + period_s):.3f} s",
            where=where,
            cure="Check that this is the video that was annotated",
        )
    return max(bisect_right(times, time_s + min(_ROUNDED_S, period_s / 2)) - 1, 0)


def _period(times: list[Fraction]) -> Fraction:
    """Seconds from frame to frame, in the mean."""
    return (times[-1] - times[0]) / max(len(times) - 1, 1)


def _expression(
    recording: Recording, annotation: Annotation, meaning: Meaning, times: list[Fraction]
) -> Expression:
    """Frames that an annotation covers, from the one seen at its start to the last before its end.

    Raises:
        CorpusError: it is a point, ends before it begins or before there is a picture, or leaves
            the video.
    """
    start_s, end_s, where = annotation.start_s, annotation.end_s, annotation.where
    if end_s <= start_s:
        raise CorpusError(
            f"{annotation.label!r} begins at {float(start_s):.3f} s and does not last",
            where=where,
            cure="Mark its start and its end",
        )
    onset = _frame_at(start_s, times, where)
    if end_s <= times[0]:
        raise CorpusError(
            f"ends at {float(end_s):.3f} s, and the picture begins at {float(times[0]):.3f} s",
            where=where,
            cure="Check that this is the video that was annotated",
        )
    rounded_s = min(_ROUNDED_S, _period(times) / 2)
    last = bisect_left(times, end_s - rounded_s) - 1
    _frame_at(end_s - _ROUNDED_S, times, where)
    offset = max(last, onset)
    apex = None
    if annotation.apex_s is not None:
        apex = _frame_at(annotation.apex_s, times, where)
        if not onset <= apex <= offset:
            raise CorpusError(
                f"the apex at {float(annotation.apex_s):.3f} s lies outside",
                where=where,
                cure="Correct it, or leave it empty",
            )
    if meaning.kind not in ("", "micro", "macro"):
        raise CorpusError(
            f"{meaning.kind!r} is neither micro nor macro", where=where, cure="Write one of them"
        )
    brief = end_s - start_s <= _LONGEST_MICRO_S
    kind: Kind = "macro" if meaning.kind == "macro" or not (meaning.kind or brief) else "micro"
    codes = parse_units(meaning.aus).codes
    return Expression(
        kind,
        onset,
        apex,
        offset,
        recording=recording,
        emotion=meaning.emotion,
        action_units=codes,
        face=annotation.face,
        score=annotation.score,
    )


def _doubts(aus: str, where: str) -> Iterator[Finding]:
    """What of a cell of action units is in doubt; the emotion beside it is none the worse."""
    units = parse_units(aus)
    if units.unread:
        doubt = CorpusError(
            f"{', '.join(units.unread)} of {shorten(aus)!r} cannot be read",
            where=where,
            cure=f"{'+'.join(units.codes) or 'No unit'} is taken; write such as 4+L10",
        )
        yield Finding.of(doubt, "warning")


def _moved(one: Annotation, ahead_s: Fraction) -> Annotation:
    apex_s = None if one.apex_s is None else one.apex_s + ahead_s
    return replace(
        one, start_s=one.start_s + ahead_s, end_s=one.end_s + ahead_s, apex_s=apex_s, others=()
    )


def _called(media: str, videos: list[Path], fold: Callable[[str], str]) -> list[Path]:
    """The videos whose name is that of ``media``, those that share the most of its folders."""
    for name in dict.fromkeys((media, unquote(media))):  # ELAN writes URLs
        wanted = [fold(part) for part in re.split(r"[\\/]+", name) if part not in ("", ".")]
        shared: dict[int, list[Path]] = {}
        for video in videos:
            parts = [fold(part) for part in video.parts]
            same = 0
            for ours, theirs in zip(reversed(parts), reversed(wanted), strict=False):
                if ours != theirs:
                    break
                same += 1
            shared.setdefault(same, []).append(video)
        most = max(shared, default=0)
        if most:
            return shared[most]
    return []


def _by_its_way(file: Path, media: str) -> Path | None:
    """The file to which an address or a path leads, from the folder of ``file``."""
    for name in dict.fromkeys((media, unquote(media))):
        way = Path(os.path.normpath(file.parent.absolute() / name.removeprefix("file://")))
        try:
            if media and way.is_file():
                return way
        except (OSError, ValueError):  # no name that this system can have
            continue
    return None


def _unchanged_results(
    file: Path, root: Path, known: dict[Path, frozenset[Path]]
) -> frozenset[Path]:
    """What of the folder of results in which a file lies is as ``analyze`` wrote it."""
    for folder in file.parents:
        if folder not in known:
            found = frozenset[Path]()
            if is_results(folder):
                edited = look_into(folder)
                others = {folder / name for name in (*edited.changed, *edited.foreign)}
                found = frozenset(folder.rglob("*")) - others
            known[folder] = found
        if known[folder]:
            return known[folder]
        if folder == root:
            break
    return frozenset()


def _composed(text: str) -> str:
    """One spelling of an accented letter: macOS writes two characters, others one."""
    return unicodedata.normalize("NFC", text).strip()


def _folded(text: str) -> str:
    return _composed(text).casefold()
