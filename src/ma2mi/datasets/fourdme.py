"""4DME: micro-expressions seen in depth; here its grey videos at 60 frames per second."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.formats.sheets import Columns, Row

FLAGS = ("positive", "negative", "surprise", "repression", "others")


@register("4dme")
class FourDme(CodedCorpus):
    """Sheet ``4DME_Labelling_Micro_release v1.xlsx``: sub_ID, fold_name, ..., a flag an emotion.

    A clip may have several emotions; they are joined, "negative+repression". Action units marked
    "(k)" stay still and are dropped. S13_1st and S13_2nd are two sessions of one subject, here S13.
    Where a folder holds just the frames of its row, but numbers them from 1, the numbers are taken
    as counted from the onset.
    """

    about = DataSheet(
        title="4DME",
        what="People keep a straight face before videos; 4D meshes, colour, depth and grey video, "
        "of which the grey is read.",
        apply="Signed licence agreement: https://www.oulu.fi/en/university/faculties-and-units/"
        "faculty-information-technology-and-electrical-engineering/center-machine-vision",
        licence="research only, no redistribution",
        citation='Li, Cheng, Li, Behzad, Shen, Zafeiriou, Pantic, Zhao, "4DME", IEEE Trans. '
        "Affective Computing, 2022",
        fps="60",
        clips=267,
        layouts=(
            Layout(
                "grey",
                "gray_micro/S01/S01_001_01/1.jpg",
                ("gray_micro/*/*", "*/gray_micro/*/*"),
            ),
        ),
        sheets=("4DME_Labelling_Micro_release v1.xlsx", "4DME_Labelling_Micro*.xlsx"),
    )
    fps = Fraction(60)
    columns: ClassVar[Columns] = {
        "subject": ("sub_ID",),
        "clip": ("fold_name",),
        "emotion": ("Emotion",),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "aus": ("AUs", "AU"),
        **{flag: (flag,) for flag in FLAGS},
    }
    optional = ("emotion",)

    def mark(self, row: Row) -> Mark:
        session = row.text("subject")
        flags = [flag for flag in FLAGS if row.text(flag) not in ("", "0")]
        clip, emotion = f"{session}/{row.text('clip')}", "+".join(flags)
        emotion = emotion or row.text("emotion").lower()
        return self._as_numbered(Mark.of_row(row, _person(session), clip, emotion=emotion))

    def subject_of(self, clip: str) -> str:
        return _person(clip.split("/")[0])

    def clip_of(self, folder: Path) -> str:
        return f"{folder.parent.name}/{folder.name}"

    def _as_numbered(self, mark: Mark) -> Mark:
        """The mark in its folder's numbers, where these count from the onset."""
        if mark.clip not in self.folders:
            return mark
        frames = self.index(mark.clip)
        if mark.onset in frames.positions or len(frames.files) != mark.offset - mark.onset + 1:
            return mark
        shift = frames.first - mark.onset
        return replace(
            mark,
            onset=frames.first,
            offset=mark.offset + shift,
            apex=None if mark.apex is None else mark.apex + shift,
        )


def _person(session: str) -> str:
    """The subject of a session: S13 for S13_1st, S13_2nd and S13_2."""
    return re.sub(r"^(S\d+)_\d(st|nd|rd|th)?$", r"\1", session.strip())
