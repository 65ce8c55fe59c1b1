"""CAS(ME)³: long videos with depth at 30 frames per second; parts A and C are coded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import Mark
from ma2mi.datasets.long import LongCorpus
from ma2mi.formats.findings import Finding
from ma2mi.formats.sheets import Columns, Row
from ma2mi.records import Kind

DATABASE = "casme3"

_APPLY = "Signed licence agreement: http://casme.psych.ac.cn/casme/e4"
_LICENCE = "research only, no redistribution"
_CITATION = (
    'Li, Dong, Lu, Wang, Yan, Ma, Liu, Huang, Fu, "CAS(ME)³", IEEE Trans. Pattern Analysis and '
    "Machine Intelligence, 2022"
)
_LONG = Layout(
    "long",
    "part_A/spNO.1/a/color/1.jpg",
    tuple(
        f"{above}[Ss]p[Nn][Oo].*/[a-zA-Z]/color"
        for above in ("part_A/", "*/part_A/", "part_A/data/*/", "ME_A/", "")
    ),
    r"[1-9]\d*\.(jpg|png)|0\.(jpg|png)",
)
_CLIPS = Layout(
    "clips",
    "Part_A_ME_clip/frame/spNO.1_a_355/355.jpg",
    tuple(
        f"{above}[Ss]p[Nn][Oo].*_*_*"
        for above in ("Part_A_ME_clip/frame/", "*/Part_A_ME_clip/frame/", "")
    ),
    _LONG.frame,
)


class _PartA(LongCorpus):
    """Subjects ``spNO.x`` (folders also ``spNo.x``), thirteen videos ``a`` to ``m`` each.

    Subject and Filename name a recording, which holds many expressions; the onset belongs to an
    expression's key. The first frames of some videos are absent. Depth is not read.
    """

    database = DATABASE
    fps = Fraction(30)
    kind: ClassVar[Kind]
    columns: ClassVar[Columns] = {
        "subject": ("Subject", "sub"),
        "clip": ("Filename", "seq"),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "aus": ("AU", "AUs", "Action Units"),
        "emotion": ("emotion",),
        "objective": ("Objective class", "Objective classes"),
    }
    optional: ClassVar[tuple[str, ...]] = ("aus", "objective")

    def mark(self, row: Row) -> Mark:
        subject = _subject(row.text("subject"))
        video = row.text("clip").lower()
        onset = row.whole("onset")
        clip = f"{subject}/{video}"
        if self.layout.name == _CLIPS.name:
            clip = f"{clip}_{onset}"
        return Mark.of_row(row, subject, clip, onset=onset, kind=self.kind)

    def clip_of(self, folder: Path) -> str:
        if folder.name == "color":
            return f"{_subject(folder.parts[-3])}/{folder.parts[-2].lower()}"
        subject, _, rest = folder.name.partition("_")
        return f"{_subject(subject)}/{rest.lower()}"

    def findings(self) -> list[Finding]:
        return [*super().findings(), *self._oddities()]

    def _oddities(self) -> Iterator[Finding]:
        """What is true of the handed-out sheet itself, and changes what can be learnt of it."""
        marked = self.reading.expressions
        flat = sum(e.apex == e.onset for e in marked)
        if flat:
            yield Finding(
                "warning",
                str(self.sheet.file),
                "",
                f"in {flat} of {len(marked)} rows the apex is the onset",
                "Nothing moves between the two; leave them out, or list apexes as repairs",
            )
        long = sum(len(e.interval) > self.fps / 2 for e in marked)
        if long and self.kind == "micro":
            yield Finding(
                "note",
                str(self.sheet.file),
                "",
                f"{long} of {len(marked)} expressions last longer than half a second",
                "Nothing to do: its authors call them micro-expressions all the same",
            )


@register("casme3")
class Casme3(_PartA):
    """Part A, micro-expressions. Sheet ``cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx``.

    In 55 of its 860 rows the apex is the onset; 626 expressions last longer than half a second.
    """

    about = DataSheet(
        title="CAS(ME)³ part A, micro-expressions",
        what="People keep a straight face before videos; colour and depth, several in one video.",
        apply=_APPLY,
        licence=_LICENCE,
        citation=_CITATION,
        fps="30",
        clips=860,
        subjects=94,
        emotions={
            "disgust": 250,
            "surprise": 187,
            "others": 161,
            "fear": 86,
            "anger": 64,
            "sad": 57,
            "happy": 55,
        },
        layouts=(_LONG, _CLIPS),
        sheets=(
            "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
            "cas(me)3_part_A_ME_label_JpgIndex_v*.xlsx",
        ),
    )
    kind = "micro"


@register("casme3-macro")
class Casme3Macro(_PartA):
    """Part A, macro-expressions of the same subjects in the same videos.

    Sheet: ``cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx``.
    """

    about = DataSheet(
        title="CAS(ME)³ part A, macro-expressions",
        what="The large expressions in the videos whose micro-expressions are casme3.",
        apply=_APPLY,
        licence=_LICENCE,
        citation=_CITATION,
        fps="30",
        clips=3346,
        subjects=100,
        layouts=(_LONG,),
        sheets=(
            "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx",
            "cas(me)3_part_A_MaE_label_JpgIndex_v*.xlsx",
        ),
        same_subjects=DATABASE,
    )
    kind = "macro"
    optional = (*_PartA.optional, "emotion")


@register("casme3-c")
class Casme3C(LongCorpus):
    """Part C. Sheet ``CAS(ME)3_part_C_ME.xlsx``: sub, count, onset, offset, au, PHY.

    It has neither apex nor emotion; ``count`` numbers a subject's expressions. One cell of action
    units holds a Chinese comma.
    """

    about = DataSheet(
        title="CAS(ME)³ part C, micro-expressions",
        what="Other people than in part A lie about a mock theft; one video each, no apex.",
        apply=_APPLY,
        licence=_LICENCE,
        citation=_CITATION,
        fps="30",
        clips=166,
        subjects=31,
        layouts=(
            Layout(
                "long",
                "part_C/01/a/color/1.jpg",
                tuple(
                    f"{above}[0-9]*/[a-zA-Z]/color"
                    for above in ("part_C/", "*/part_C/", "part_C/part_C/", "")
                ),
                _LONG.frame,
            ),
        ),
        sheets=("CAS(ME)3_part_C_ME.xlsx", "CAS(ME)3_part_C_ME*.xlsx"),
    )
    fps = Fraction(30)
    columns: ClassVar[Columns] = {
        "subject": ("sub", "Subject"),
        "count": ("count",),
        "onset": ("onset",),
        "offset": ("offset",),
        "aus": ("au", "AUs"),
    }
    optional = ("count",)

    def mark(self, row: Row) -> Mark:
        subject = f"{row.whole('subject'):02d}"
        onset, offset = row.whole("onset"), row.whole("offset")
        return Mark(subject, subject, onset, offset, aus=row.cells["aus"], row=row)

    def clip_of(self, folder: Path) -> str:
        return folder.parts[-3].zfill(2)


def _subject(word: str) -> str:
    """One spelling: sheets write spNO.1, some folders spNo.1."""
    return re.sub(r"^sp\s*no\.?\s*", "spNO.", word.strip(), flags=re.IGNORECASE)
