"""SAMM Long Videos: the whole recordings of SAMM's subjects, with micro- and macro-expressions."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import Mark
from ma2mi.datasets.long import LongCorpus
from ma2mi.datasets.samm import Samm
from ma2mi.errors import CorpusError
from ma2mi.formats.findings import Finding
from ma2mi.formats.sheets import Columns, Row, Sheet, find_sheet, read_sheet
from ma2mi.records import Kind

EMOTION_SHEETS = ("SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM*Micro_FACS_Codes*.xlsx")


def _data_sheet(kind: Kind, clips: int, subjects: int, emotions: dict[str, int]) -> DataSheet:
    return DataSheet(
        title=f"SAMM Long Videos, {kind}-expressions",
        what=f"The {kind}-expressions in 147 long grey videos; several in one video.",
        apply=Samm.about.apply,
        licence="research only, no redistribution",
        citation='Yap, Kendrick, Yap, "SAMM Long Videos", FG 2020',
        fps="200",
        clips=clips,
        subjects=subjects,
        emotions=emotions,
        layouts=(
            Layout(
                "raw",
                "SAMM_longvideos/006_1/006_1_0001.jpg",
                tuple(
                    f"{above}[0-9][0-9][0-9]_[0-9]*"
                    for above in ("SAMM_longvideos/", "*/SAMM_longvideos/", "")
                ),
            ),
        ),
        sheets=(
            *(f"SAMM_LongVideos_V{version}_Release.xlsx" for version in (3, 2, 1)),
            "SAMM_LongVideos*.xlsx",
            "SAMM_LongVideos*.csv",
        ),
        same_subjects="samm",
    )


class _SammLv(LongCorpus):
    """Sheet ``SAMM_LongVideos_V1|2|3_Release.xlsx``, ten rows of text above the header.

    Filename 006_1_2 is the second expression in video 006_1; Type is "Micro - 1/2" or "Macro".
    The subjects are SAMM's, under the same numbers, so that ``Recording.corpus`` is "samm" here.
    """

    database = "samm"
    fps = Fraction(200)
    kind: ClassVar[Kind]
    columns: ClassVar[Columns] = {
        "subject": ("Subject",),
        "clip": ("Filename",),
        "onset": ("Onset", "Onset Frame"),
        "apex": ("Apex", "Apex Frame"),
        "offset": ("Offset", "Offset Frame"),
        "kind": ("Type",),
        "aus": ("Action Units",),
    }

    def mark(self, row: Row) -> Mark | None:
        word = row.text("kind").lower()
        if not word.startswith(("micro", "macro")):
            raise row.error("kind", f"{word!r} is no type", "Write Micro - 1/2 or Macro")
        if not word.startswith(self.kind):
            return None
        name = row.text("clip")
        video = re.match(r"(\d{3})_\d+", name)
        if video is None:
            raise row.error("clip", f"{name!r} is no name such as 006_1_2", "Correct the cell")
        return Mark.of_row(row, video[1], video[0], emotion=self.emotion(name), kind=self.kind)

    def emotion(self, name: str) -> str:
        """The emotion of an expression by its Filename, "" where it is not coded."""
        return ""

    def clip_of(self, folder: Path) -> str:
        return folder.name

    def subject_of(self, clip: str) -> str:
        return clip.split("_")[0]

    def version(self, sheet: Sheet) -> str:
        found = re.search(r"_V(\d)", sheet.file.name)
        return found[1] if found else ""


@register("samm-lv")
class SammLv(_SammLv):
    """The micro-expressions: those of SAMM, in their whole videos.

    The sheet has no emotions. Put SAMM's own ``SAMM_Micro_FACS_Codes_v2.xlsx`` into the same
    folder, and emotions are taken from there, by Filename.
    """

    about = _data_sheet("micro", Samm.about.clips, Samm.about.subjects, dict(Samm.about.emotions))
    kind = "micro"

    def emotion(self, name: str) -> str:
        return self._emotions.get(name, "")

    def findings(self) -> list[Finding]:
        found = super().findings()
        if not self._emotions:
            found.append(
                Finding(
                    "warning",
                    str(self.root),
                    "",
                    "has no emotions; they are in SAMM's own sheet",
                    f"Put {EMOTION_SHEETS[0]} there",
                )
            )
        return found

    @cached_property
    def _emotions(self) -> dict[str, str]:
        try:
            file = find_sheet(self.root, EMOTION_SHEETS)
        except CorpusError:
            return {}  # reported by findings; spotting does not need it
        columns = {name: Samm.columns[name] for name in ("clip", "emotion")}
        return {row.text("clip"): row.text("emotion") for row in read_sheet(file, columns).rows}


@register("samm-lv-macro")
class SammLvMacro(_SammLv):
    """The macro-expressions, of the same subjects; their emotions are not published."""

    about = _data_sheet("macro", 343, 0, {})
    kind = "macro"
