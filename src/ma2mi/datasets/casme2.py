"""CASME II: spontaneous micro-expressions at 200 frames per second."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.formats.sheets import Columns, Row, Sheet


@register("casme2")
class Casme2(CodedCorpus):
    """Sheet: ``CASME2-coding-20140508.xlsx``, or ``-20190701``, which adds Objective Classes.

    Action Units may be a number or text such as "4+L10"; an ApexFrame may be "/". Frame numbers
    in names are not padded, and count from the recording's start also in the cropped layout.
    """

    about = DataSheet(
        title="CASME II",
        what="Chinese students suppress what they feel before videos; close frontal faces.",
        apply="Signed licence agreement: http://casme.psych.ac.cn/casme/e2",
        licence="research only, no redistribution",
        citation='Yan, Li, Wang, Zhao, Liu, Chen, Fu, "CASME II", PLoS ONE 9(1), 2014',
        fps="200",
        clips=255,
        subjects=26,
        emotions={
            "happiness": 32,
            "disgust": 63,
            "repression": 27,
            "surprise": 25,
            "others": 99,
            "sadness": 7,
            "fear": 2,
        },
        layouts=(
            Layout(
                "raw",
                "CASME2-RAW/sub01/EP02_01f/img1.jpg",
                (
                    "CASME2[-_]RAW*/sub*/*",
                    "CASME2[-_]RAW*/CASME2[-_]RAW*/sub*/*",
                    "sub*/EP*",
                ),
                r"img[1-9]\d*\.jpg",
            ),
            Layout(
                "cropped",
                "Cropped-updated/Cropped/sub01/EP02_01f/reg_img46.jpg",
                ("Cropped*/Cropped/sub*/*", "Cropped*/sub*/*"),
                r"reg_img[1-9]\d*\.jpg",
            ),
        ),
        sheets=("CASME2-coding-20190701.xlsx", "CASME2-coding-*.xlsx", "CASME2-coding-*.csv"),
    )
    fps = Fraction(200)
    columns: ClassVar[Columns] = {
        "subject": ("Subject",),
        "clip": ("Filename",),
        "onset": ("OnsetFrame",),
        "apex": ("ApexFrame", "ApexFrame1"),
        "offset": ("OffsetFrame",),
        "aus": ("Action Units",),
        "emotion": ("Estimated Emotion",),
        "objective": ("Objective Classes", "Objective Class"),
    }
    optional = ("objective",)

    def mark(self, row: Row) -> Mark:
        subject = f"sub{row.whole('subject'):02d}"
        return Mark.of_row(row, subject, f"{subject}/{row.text('clip')}")

    def version(self, sheet: Sheet) -> str:
        return "20190701" if "objective" in sheet.columns else "20140508"
