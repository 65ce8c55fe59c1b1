"""DFME: many micro-expressions at 200, 300 and 500 frames per second; columns can be mapped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.errors import CorpusError
from ma2mi.files import natural
from ma2mi.formats.cells import read_text
from ma2mi.formats.sheets import Columns, Row, Sheet, find_sheet, read_sheet
from ma2mi.records import Recording

MAPPING = "columns.json"


@register("dfme")
class Dfme(CodedCorpus):
    """The released part: a CSV each for train, test A and test B, with a column of frame rates.

    What copies call their columns and folders is not confirmed. Every folder that holds images is
    a clip, and the sheet may name it by its last folders (``sub0003_12`` or ``sub0003/12``).
    Columns of other names are given by ``columns``, or by a file ``columns.json`` in the root such
    as ``{"onset": "start", "clip": "video"}``.

    Args:
        root: the folder as its owners hand it out.
        columns: our name of a column (``Dfme.columns``) to the sheet's.
        how: as for ``CodedCorpus``.

    Raises:
        CorpusError: as for ``CodedCorpus``; or a mapping that is no JSON object of such names.
    """

    about = DataSheet(
        title="DFME",
        what="People keep a straight face before videos, seen by fast cameras; the part released "
        "for the competition, 1856 + 474 + 299 of 7526 clips.",
        apply="Signed licence agreement with the authors, through the paper",
        licence="research only, no redistribution",
        citation='Zhao, Tang, Mao, Liu, Xu, Huang, Liang, Yang, Xu, Chen, "DFME", IEEE Trans. '
        "Affective Computing, 2023",
        fps="200, 300 or 500",
        clips=1856 + 474 + 299,
        layouts=(Layout("frames", "train/sub0003/sub0003_12/1.jpg"),),
        sheets=("*.csv", "*.xlsx"),
    )
    fps = Fraction(200)  # of the slowest camera; the sheet has each clip's own
    columns: ClassVar[Columns] = {
        "subject": ("subject", "sub", "subject_id"),
        "clip": ("filename", "file", "clip", "video", "name", "path"),
        "onset": ("onset", "onset_frame", "onset_idx"),
        "apex": ("apex", "apex_frame", "apex_idx"),
        "offset": ("offset", "offset_frame", "offset_idx"),
        "fps": ("fps", "frame_rate"),
        "emotion": ("emotion", "label", "label_emotion", "estimated_emotion"),
        "aus": ("aus", "au", "action_units", "label_au"),
    }
    optional = ("subject", "apex", "emotion", "aus")

    def __init__(
        self,
        root: Path | str,
        *,
        columns: Mapping[str, str] | None = None,
        layout: str = "",
        repairs: bool | Path | str = True,
    ) -> None:
        super().__init__(root, layout=layout, repairs=repairs)
        self._names = _mapped(type(self).columns, columns, self.root / MAPPING)

    @cached_property
    def sheets(self) -> list[Sheet]:
        """Every sheet of the copy, in natural order of their names.

        Raises:
            CorpusError: there is none, or one lacks a column.
        """
        first = find_sheet(self.root, self.about.sheets)
        files = sorted(first.parent.glob(f"*{first.suffix}"), key=lambda file: natural(file.name))
        return [read_sheet(file, self._names, optional=self.optional) for file in files]

    @property
    def sheet(self) -> Sheet:
        return self.sheets[0]

    def marks(self) -> Iterator[Mark | CorpusError]:
        for sheet in self.sheets:
            for row in sheet.rows:
                try:
                    yield self.mark(row)
                except CorpusError as error:
                    yield error

    def mark(self, row: Row) -> Mark:
        clip = self._clip(row)
        return Mark.of_row(row, row.text("subject") or self.subject_of(clip), clip)

    def clip_of(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix()

    def subject_of(self, clip: str) -> str:
        """The part of the path that begins with "sub", up to "_"."""
        parts = [part for part in clip.split("/") if part.lower().startswith("sub")]
        return parts[-1].split("_")[0] if parts else clip.split("/")[0]

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        rates: dict[str, Fraction] = {}
        subjects: dict[str, str] = {}
        for row in (row for sheet in self.sheets for row in sheet.rows):
            try:
                clip = self._clip(row)
                rates[clip] = Fraction(row.whole("fps"))
                subjects[clip] = self.mark(row).subject
            except CorpusError:
                continue  # reported when it is read as a mark
        return {
            clip: Recording(
                folder, subjects.get(clip, self.subject_of(clip)), clip, self.name, rates.get(clip)
            )
            for clip, folder in self.folders.items()
        }

    def _clip(self, row: Row) -> str:
        """The one clip that the row's cell names by its last folders.

        Raises:
            CorpusError: several end in it.
        """
        name = row.text("clip").replace("\\", "/").strip("/")
        fitting = [
            clip
            for clip in self._by_last_part.get(name.split("/")[-1], ())
            if f"/{clip}".endswith(f"/{name}")
        ]
        if len(fitting) > 1:
            raise row.error(
                "clip", f"{name} may be {' or '.join(fitting)}", "Write more of its path"
            )
        return fitting[0] if fitting else name

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        clips: dict[str, list[str]] = {}
        for clip in self.folders:
            clips.setdefault(clip.split("/")[-1], []).append(clip)
        return clips

    def _find_folders(self, wanted: str) -> tuple[Layout, dict[str, Path]]:
        from ma2mi.video import IMAGE_SUFFIXES

        found = [
            Path(folder)
            for folder, _, files in os.walk(self.root)
            if any(Path(file).suffix.lower() in IMAGE_SUFFIXES for file in files)
        ]
        if not found or wanted not in ("", self.about.layouts[0].name):
            return super()._find_folders(wanted)  # whose error names what was looked for
        clips = {self.clip_of(folder): folder for folder in found}
        return self.about.layouts[0], {clip: clips[clip] for clip in sorted(clips, key=natural)}


def _mapped(known: Columns, given: Mapping[str, str] | None, file: Path) -> Columns:
    """The columns' headers, those that a user names before ours."""
    if given is None:
        if not file.is_file():
            return known
        try:
            given = json.loads(read_text(file))
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"is no JSON ({error})", where=file, hint="Correct it") from error
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        raise CorpusError(
            "maps no known column",
            where=file,
            hint=f'Write {{"onset": "their name"}}; ours are {", ".join(known)}',
        )
    return {name: (str(given[name]),) if name in given else known[name] for name in known}
