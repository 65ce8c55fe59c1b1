"""Corpora of large expressions, for pre-training: read from paths and the files beside them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePath
from typing import ClassVar, NamedTuple

from ma2mi.datasets.base import Corpus, DataSheet, register
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import natural
from ma2mi.formats.findings import Finding, LeftOut
from ma2mi.records import Expression, Recording
from ma2mi.video.folders import index_frames
from ma2mi.video.times import packet_count


class Label(NamedTuple):
    """What is known of a clip: the corpus' word, "" if there is none, and FACS units."""

    emotion: str = ""
    action_units: tuple[str, ...] = ()


class MacroCorpus(Corpus):
    """Clips whose paths have the subject, and mostly the emotion; see :func:`declare`.

    A clip with a word becomes one expression that fills it. Where no path has the subject, each
    clip counts as one of its own; then the same subject may be in several.

    Attributes:
        path: regular expression, looked for at the end of a clip's path. Groups: ``subject``
            (the person), ``emotion`` (a code), ``clip`` (the recording's name; all that matched,
            without the suffix, if there is no such group). Of clips of one name the first counts.
        words: code to the corpus' word; a code that is not listed is its own word.
        fps: frames per second of folders of frames; None for video files, which have times.
        peaks_last: every clip ends at the peak of its expression.

    Raises:
        CorpusError: the folder is missing, or holds none of the layouts.
    """

    path: ClassVar[str]
    words: ClassVar[Mapping[str, str]] = {}
    fps: ClassVar[Fraction | None] = None
    peaks_last: ClassVar[bool] = False

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._clips: dict[Recording, re.Match[str]] = {}
        seen: dict[str, Path] = {}
        misnamed: list[tuple[Path, str]] = []
        twins: list[tuple[Path, str]] = []
        for path in self._paths():
            match = re.search(rf"(?:^|/){self.path}$", path.as_posix())
            if match is None:
                misnamed.append((path, "is not named as the others and left out"))
                continue
            groups = match.groupdict()
            whole = PurePath(match[0].removeprefix("/")).with_suffix("").as_posix()
            name = groups.get("clip") or whole
            if name in seen:
                twins.append((path, f"shows what {seen[name]} shows, and is left out"))
                continue
            seen[name] = path
            subject = groups.get("subject") or name
            self._clips[Recording(path, subject, name, self.name, self.fps)] = match
        self._findings: list[Finding] = []
        if misnamed:
            path, what = misnamed[0][0], _and_others(misnamed)
            self._findings.append(Finding("warning", str(path), "", what, self._example))
        if twins:
            path, what = twins[0][0], _and_others(twins)
            self._findings.append(Finding("note", str(path), "", what, "Nothing to do"))

    def _paths(self) -> list[Path]:
        for layout in self.about.layouts:
            for pattern in layout.folders:
                right = Path.is_file if PurePath(pattern).suffix else Path.is_dir
                found = [p for p in self.root.glob(pattern) if p.name[0] != "." and right(p)]
                if found:
                    return sorted(found, key=lambda path: natural(path.as_posix()))
        raise CorpusError("holds no clips", where=self.root, hint=self._example)

    @property
    def _example(self) -> str:
        known = " or ".join(layout.example for layout in self.about.layouts)
        return f"They are looked for as {known}"

    def label(self, recording: Recording, match: re.Match[str]) -> Label:
        """What is known of a clip; corpora that have it elsewhere than in the path replace this.

        Raises:
            CorpusError: the file that has it cannot be read.
        """
        code = match.groupdict().get("emotion", "")
        return Label(self.words.get(code, code))

    def recordings(self) -> list[Recording]:
        return list(self._clips)

    def expressions(self) -> list[Expression]:
        """One for each clip with a word, from its first frame to its last."""
        expressions, lost = self._reading
        if lost:
            warnings.warn(
                f"{self.name}: left out {len(lost)} clips; the first is {lost[0]}. "
                "`ma2mi data check` lists them all",
                LeftOut,
                stacklevel=2,
            )
        return list(expressions)

    def findings(self) -> list[Finding]:
        lost = self._reading[1]  # reading may add to the others
        return [*self._findings, *lost]

    @cached_property
    def _reading(self) -> tuple[tuple[Expression, ...], tuple[Finding, ...]]:
        found, lost = [], []
        for recording, match in self._clips.items():
            try:
                label = self.label(recording, match)
                if not label.emotion:
                    continue
                last = _frame_count(recording.path) - 1
            except Ma2miError as error:
                lost.append(Finding.of(error))
                continue
            apex = last if self.peaks_last else None
            found.append(Expression("macro", 0, apex, last, recording=recording, **label._asdict()))
        return tuple(found), tuple(lost)


def _and_others(some: list[tuple[Path, str]]) -> str:
    """The finding of the first, and how many share it."""
    return some[0][1] + (f"; so are {len(some)} in all" if len(some) > 1 else "")


def _frame_count(path: Path) -> int:
    return len(index_frames(path).files) if path.is_dir() else packet_count(path)


def declare(
    name: str,
    about: DataSheet,
    *,
    path: str,
    words: Mapping[str, str] | None = None,
    fps: Fraction | None = None,
    peaks_last: bool = False,
) -> None:
    """Register a corpus that is read from its paths alone; see :class:`MacroCorpus`."""
    table = {
        "__doc__": about.what,
        "about": about,
        "path": path,
        "words": words or {},
        "fps": fps,
        "peaks_last": peaks_last,
    }
    register(name)(type(name, (MacroCorpus,), table))


def numbered(words: str) -> dict[str, str]:
    """Words by their place, from "1"."""
    return {str(number): word for number, word in enumerate(words.split(), 1)}


RESEARCH = "research only, no redistribution"
