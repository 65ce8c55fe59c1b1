"""CASME: spontaneous micro-expressions at 60 frames per second, the first of its family."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.formats.sheets import Columns, Row


@register("casme")
class Casme(CodedCorpus):
    """Sheet: Subject, Filename, OnsetF, ApexF1, ApexF2, OffsetF, AU, Emotion; 189 to 195 rows.

    An apex that lasts has two frames; the first, ApexF1, is taken. Frames are named after their
    clip, ``EP01_12-7.jpg``; some folders pad the number to three digits, others do not.
    """

    about = DataSheet(
        title="CASME",
        what="Chinese students suppress what they feel before videos; two cameras.",
        apply="Signed licence agreement: http://casme.psych.ac.cn/casme/e1",
        licence="research only, no redistribution",
        citation='Yan, Wu, Liu, Wang, Fu, "CASME Database", FG 2013',
        fps="60",
        clips=195,
        subjects=19,
        layouts=(
            Layout(
                "raw",
                "CASME_raw_selected/sub01/EP01_12/EP01_12-1.jpg",
                ("CASME[-_]raw*/sub*/*", "CASME[-_]RAW*/sub*/*", "sub*/EP*"),
                r"EP\w+-(\d{1,2}|\d{3})\.jpg",
            ),
            Layout(
                "cropped",
                "Cropped/sub01/EP01_12/reg_EP01_12-1.jpg",
                ("Cropped*/sub*/*",),
                r"reg_EP\w+-(\d{1,2}|\d{3})\.jpg",
            ),
        ),
        sheets=("casme.xlsx", "CASME.xlsx", "CASME[-_ ]*.xlsx", "casme*.csv", "CASME[-_ ]*.csv"),
    )
    fps = Fraction(60)
    columns: ClassVar[Columns] = {
        "subject": ("Subject",),
        "clip": ("Filename",),
        "onset": ("OnsetF", "OnsetFrame"),
        "apex": ("ApexF1", "ApexFrame"),
        "offset": ("OffsetF", "OffsetFrame"),
        "aus": ("AU", "AUs", "Action Units"),
        "emotion": ("Emotion", "Estimated Emotion"),
    }

    def mark(self, row: Row) -> Mark:
        subject = f"sub{row.whole('subject'):02d}"
        return Mark.of_row(row, subject, f"{subject}/{row.text('clip')}")
