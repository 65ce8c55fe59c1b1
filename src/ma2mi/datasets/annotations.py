"""Recordings of one's own with marks made in ELAN, BORIS, BIDS or a table, as a corpus."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

from ma2mi.datasets.annotated_frames import Meaning, counts, join_expressions, moved_by
from ma2mi.datasets.annotated_videos import composed, find_video, folded, unchanged_results
from ma2mi.datasets.base import Corpus, DataSheet, Layout, register
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.formats.annotation_files import (
    SUFFIXES,
    Annotation,
    NoAnnotations,
    read_annotations,
)
from ma2mi.formats.findings import Finding, LeftOut, Severity
from ma2mi.formats.sheets import Columns, read_sheet
from ma2mi.records import Expression, Recording
from ma2mi.video.times import file_length, frame_times, picture_delay

LABELS = "labels.csv"
"""The mapping file, looked for beside the annotations."""

_OTHER_TABLES = (".xls", ".xlsm", ".ods", ".numbers")


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
    subject, ``sub-``), else each video counts as a subject of its own, which is reported.

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
                hint=f"Put {', '.join(SUFFIXES)} beside the videos",
            )
        if labels is not None and not self.labels.is_file():
            raise CorpusError("does not exist", where=self.labels, hint="Check the path")
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
                if file not in unchanged_results(file, self.root, ours):
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
                    f"names no subject; so do {len(nameless)} of {len(by_video)} videos",
                    "Each counts as its own subject; name the participant if one is seen twice",
                )
            )
        return _Reading(marks, findings)

    def _by_video(self, findings: list[Finding]) -> dict[Path, list[Annotation]]:
        by_video: dict[Path, list[Annotation]] = {video: [] for video in self._listed}
        for file in self.files:
            placed: dict[tuple[tuple[str, Fraction], ...], list[Annotation]] = {}
            try:
                if file.name.lower().endswith(_OTHER_TABLES):
                    raise NoAnnotations("is not read", where=file, hint="Save it as .xlsx or CSV")
                lengths = self._lengths(file)
                for one in read_annotations(file, faults=findings, length_s=lengths):
                    placed.setdefault(((one.media, Fraction(0)), *one.others), []).append(one)
            except Ma2miError as error:
                findings.append(Finding.of(error, self._gravity(error)))
            for media, some in placed.items():
                try:
                    video, ahead_s = self._first_video(file, media)
                    by_video.setdefault(video, []).extend(moved_by(one, ahead_s) for one in some)
                except CorpusError as error:
                    findings.append(Finding.of(error))
        return by_video

    def _lengths(self, file: Path) -> Callable[[str], Fraction | None]:
        def length_s(name: str) -> Fraction | None:
            try:
                video = find_video(file, name, self._videos, self.root)
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
                return find_video(file, name, self._videos, self.root), ahead_s
            except CorpusError as error:
                first = first or error
        raise first or CorpusError("names no video", where=file)

    def _recording(self, video: Path, annotations: list[Annotation]) -> Recording:
        spelled = {folded(one.subject): composed(one.subject) for one in annotations}
        names = sorted(name for name in spelled.values() if name)
        faces = sorted({one.face for one in annotations if one.face is not None and counts(one)})
        if len(names) > 1 or len(faces) > 1:
            seen = names if len(names) > 1 else [f"face {face}" for face in faces]
            raise CorpusError(
                f"shows {' and '.join(seen)}, if one believes the annotations",
                where=video,
                hint="Cut it into one video for each face, or correct the participants",
            )
        rates = {one.fps for one in annotations if one.fps}
        if video.is_dir() and len(rates) != 1:
            raise CorpusError(
                "is a folder of frames without a frame rate",
                where=video,
                hint="Annotate it in a table with a column fps",
            )
        name = video.relative_to(self.root) if video.is_relative_to(self.root) else video
        fps = rates.pop() if video.is_dir() else None
        subject = names[0] if names else video.stem
        return Recording(video, subject, name.as_posix(), self.name, fps)

    # -- what the words mean --------------------------------------------------------------------

    def _read_meanings(self) -> dict[tuple[str, str], Meaning]:
        sheet = read_sheet(self.labels, self.columns, optional=("layer", "aus", "kind"))
        meanings: dict[tuple[str, str], Meaning] = {}
        for row in sheet.rows:
            try:
                key = (folded(row.text("layer")), folded(row.text("label")))
                emotion, kind = composed(row.text("emotion")), row.text("kind").lower()
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
            return Meaning(composed(annotation.label), annotation.aus, kind)
        layer, label = folded(annotation.layer), folded(annotation.label)
        for key in ((layer, label), ("", label), (layer, "*"), ("", "*")):
            if key in self.meanings:
                emotion, aus, kind = self.meanings[key]
                aus = annotation.label if aus == "*" else aus or annotation.aus
                return Meaning(emotion, aus, kind or annotation.kind.lower())
        raise CorpusError(
            f"{annotation.label!r} is not in {self.labels.name}"
            + (f" (layer {annotation.layer})" if annotation.layer else ""),
            where=annotation.where,
            hint="Add a row that says what it means; without an emotion it is left out",
        )

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
        meant = []
        for one in sorted(filter(counts, annotations), key=lambda one: one.start_s):
            try:
                meaning = self._meaning(one)
            except CorpusError as error:
                findings.append(Finding.of(error))
                continue
            if meaning.emotion or meaning.aus or self.meanings is None:
                meant.append((one, meaning))
        return join_expressions(recording, meant, times, findings)


class _Reading(NamedTuple):
    marks: dict[Recording, list[Expression]]
    findings: list[Finding]
