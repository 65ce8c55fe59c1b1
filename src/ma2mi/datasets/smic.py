"""SMIC: spontaneous micro-expressions seen by a fast, a usual and a near-infrared camera."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.base import DataSheet, Layout, register
from ma2mi.datasets.coded import CodedCorpus, Mark
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.formats.sheets import Row

CLASSES = ("negative", "positive", "surprise")


def _sheet(
    part: str, fps: str, clips: int, subjects: int, emotions: tuple[int, int, int]
) -> DataSheet:
    return DataSheet(
        title=f"SMIC-{part}",
        what="People hide what they feel before videos, under threat of a long questionnaire; "
        "short clips from onset to offset, no apex, no action units.",
        apply="Signed licence agreement: https://www.oulu.fi/cmvs/node/41319",
        licence="research only, no redistribution",
        citation='Li, Pfister, Huang, Zhao, Pietikäinen, "A Spontaneous Micro-expression '
        'Database", FG 2013',
        fps=fps,
        clips=clips,
        subjects=subjects,
        emotions=dict(zip(CLASSES, emotions, strict=True)),
        layouts=(
            Layout(
                "raw",
                f"{part}/s03/micro/positive/s3_po_05/image000001.jpg",
                tuple(
                    f"{above}{part}/s[0-9]*/micro/*/*"
                    for above in ("", "SMIC/", "SMIC_raw/", "SMIC_all_raw/")
                ),
                r"image\d{6}\.(jpg|bmp)",
            ),
            Layout(
                "cropped",
                f"SMIC_all_cropped/{part}/s03/micro/positive/s3_po_05/reg_image000001.bmp",
                tuple(
                    f"{above}{part}/s[0-9]*/micro/*/*"
                    for above in ("SMIC_all_cropped/", "*cropped*/")
                ),
                r"reg_image\d{6}\.(jpg|bmp)",
            ),
        ),
    )


class _Smic(CodedCorpus):
    """What the three cameras share: no sheet, the folders name class and subject.

    A clip lasts from onset to offset. The class is the folder's name, and ``ne``, ``po`` or
    ``sur`` in the clip's; subjects are written s3 or s03, here always s03.
    """

    part: ClassVar[str]
    database = "smic"

    def mark(self, row: Row) -> Mark | None:
        raise CorpusError("has no sheet", where=row.where(), hint="The folders hold everything")

    def marks(self) -> Iterator[Mark | CorpusError]:
        for clip, folder in self.folders.items():
            try:
                frames = self.index(clip)
                emotion = _class_of(folder)
            except Ma2miError as error:
                yield CorpusError(error.what, where=error.where, hint=error.hint)
            else:
                yield Mark(self.subject_of(clip), clip, frames.first, frames.last, emotion=emotion)

    def clip_of(self, folder: Path) -> str:
        # The cameras saw the same subjects at the same time; their clips must not share a name.
        return folder.name if self.part == "HS" else f"{self.part}/{folder.name}"

    def subject_of(self, clip: str) -> str:
        digits = re.match(r"s(\d+)_", Path(clip).name)
        return f"s{int(digits[1]):02d}" if digits else Path(clip).name


def _class_of(folder: Path) -> str:
    """The class that folder and name agree on.

    Raises:
        CorpusError: they contradict each other, or the folder is no class.
    """
    word = folder.parent.name.lower()
    if word not in CLASSES:
        raise CorpusError(
            f"lies in {folder.parent.name!r}, which is none of {', '.join(CLASSES)}",
            where=folder,
            hint="Move it to the folder of its class",
        )
    match = re.match(r"s\d+_(ne|po|sur)_", folder.name)
    if match and not word.startswith(match[1]):
        raise CorpusError(
            f"is called {match[1]}, but lies in {word}",
            where=folder,
            hint="Move it to the folder of its class",
        )
    return word


@register("smic")
class SmicHs(_Smic):
    """The camera of 100 frames per second, which most papers mean by SMIC."""

    about = _sheet("HS", "100", 164, 16, (70, 51, 43))
    fps = Fraction(100)
    part = "HS"


@register("smic-vis")
class SmicVis(_Smic):
    """The usual colour camera, 25 frames per second."""

    about = _sheet("VIS", "25", 71, 8, (28, 23, 20))
    fps = Fraction(25)
    part = "VIS"


@register("smic-nir")
class SmicNir(_Smic):
    """The near-infrared camera, 25 frames per second."""

    about = _sheet("NIR", "25", 71, 8, (28, 23, 20))
    fps = Fraction(25)
    part = "NIR"
