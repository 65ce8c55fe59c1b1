"""MMEW: micro-expressions at 90 frames per second with large faces."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.formats.sheets import Columns, Row


@register("mmew")
class Mmew(CodedCorpus):
    """Sheet ``MMEW_Micro_Exp.xlsx``: clips S01-01-001 are subject, emotion and sample.

    The folder is called "repression" where the sheet has "others"; the sheet's word counts. In
    copies that go round, 16 rows have an apex or offset that is not in their folder: each is
    reported and left out, since the right one is unknown. Its macro-expressions are single
    pictures and not read.
    """

    about = DataSheet(
        title="MMEW",
        what="People keep a straight face before videos; faces of 400 x 400 px, handed out as "
        "crops of 231 x 231.",
        apply="Signed licence agreement: http://www.dpailab.com/database.html",
        licence="research only, no redistribution",
        citation='Ben, Ren, Zhang, Wang, Kpalma, Meng, Liu, "Video-Based Facial Micro-Expression '
        'Analysis", IEEE Trans. Pattern Analysis and Machine Intelligence, 2021',
        fps="90",
        clips=300,
        subjects=30,
        emotions={
            "happiness": 36,
            "surprise": 89,
            "anger": 8,
            "disgust": 72,
            "fear": 16,
            "sadness": 13,
            "others": 66,
        },
        layouts=(
            Layout(
                "by-emotion",
                "Micro_Expression/happiness/S01-01-001/1.jpg",
                ("Micro_Expression/*/S[0-9]*-*-*", "*/Micro_Expression/*/S[0-9]*-*-*"),
                r"[1-9]\d*\.jpg",
            ),
            Layout(
                "by-subject",
                "S01/happiness/S01-01-001/1.jpg",
                tuple(f"{above}S[0-9]*/*/S[0-9]*-*-*" for above in ("", "*/", "*/*/")),
                r"[1-9]\d*\.jpg",
            ),
        ),
        sheets=("MMEW_Micro_Exp.xlsx", "MMEW_Micro_Exp*.xlsx", "MMEW_Micro_Exp*.csv"),
    )
    fps = Fraction(90)
    columns: ClassVar[Columns] = {
        "clip": ("Filename",),
        "onset": ("OnsetFrame",),
        "apex": ("ApexFrame",),
        "offset": ("OffsetFrame",),
        "aus": ("Action Units",),
        "emotion": ("Estimated Emotion",),
    }

    def mark(self, row: Row) -> Mark:
        clip = row.text("clip")
        return Mark.of_row(row, self.subject_of(clip), clip)

    def clip_of(self, folder: Path) -> str:
        return folder.name

    def subject_of(self, clip: str) -> str:
        return clip.split("-")[0]
