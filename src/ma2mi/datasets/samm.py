"""SAMM: spontaneous micro-expressions of a diverse group, grey, at 200 frames per second."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.formats.sheets import Columns, Row


@register("samm")
class Samm(CodedCorpus):
    """Sheet: ``SAMM_Micro_FACS_Codes_v2.xlsx``, thirteen rows of text above the header.

    Subjects are text ("006"), which spreadsheet programs like to turn into 6; a missing apex is
    -1; frame numbers have five digits, sometimes four.
    """

    about = DataSheet(
        title="SAMM",
        what="People of 13 ethnicities keep a straight face before videos; grey, frontal.",
        apply="Signed licence agreement: http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php",
        licence="research only, no redistribution",
        citation='Davison, Lansley, Costen, Tan, Yap, "SAMM", IEEE Trans. Affective Computing, '
        "2018",
        fps="200",
        clips=159,
        subjects=29,
        emotions={
            "anger": 57,
            "happiness": 26,
            "other": 26,
            "surprise": 15,
            "contempt": 12,
            "disgust": 9,
            "fear": 8,
            "sadness": 6,
        },
        layouts=(
            Layout(
                "raw",
                "006/006_1_2/006_05562.jpg",
                (*(f"{above}[0-9][0-9][0-9]/[0-9]*_*_*" for above in ("", "SAMM/", "*/")),),
                r"\d{3}_\d{4,5}\.jpg",
            ),
        ),
        sheets=("SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM_Micro_FACS_Codes*.xlsx", "SAMM*.csv"),
    )
    fps = Fraction(200)
    columns: ClassVar[Columns] = {
        "subject": ("Subject",),
        "clip": ("Filename",),
        "onset": ("Onset Frame",),
        "apex": ("Apex Frame",),
        "offset": ("Offset Frame",),
        "aus": ("Action Units",),
        "emotion": ("Estimated Emotion",),
        "objective": ("Objective Classes",),
    }
    optional = ("objective",)

    def mark(self, row: Row) -> Mark:
        return Mark.of_row(row, f"{row.whole('subject'):03d}", row.text("clip"))

    def clip_of(self, folder: Path) -> str:
        return folder.name

    def subject_of(self, clip: str) -> str:
        return clip.split("_")[0]
