"""Fakes of SMIC's three cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ma2mi.datasets.smic import SmicHs, SmicNir, SmicVis
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import CodedFake, FakeClip

_SHORT = {"negative": "ne", "positive": "po", "surprise": "sur"}


class _FakeSmic(CodedFake):
    faults = ("missing-frames", "wrong-padding", "truncated-image")
    layouts = layout_names(SmicHs.about.layouts)
    small = ("negative", "positive", "surprise")
    part: ClassVar[str]

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"s{int(subject[1:])}_{_SHORT[emotion]}_{number:02d}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        folder = f"{self.part}/{clip.subject}/micro/{clip.emotion}/{clip.name}"
        if layout == "cropped":
            return f"SMIC_all_cropped/{folder}/reg_image{number:06d}.bmp"
        return f"{folder}/image{number:06d}.jpg"

    def frame_numbers(self, clip: FakeClip, layout: str) -> range:
        return range(clip.onset, clip.offset + 1)

    def write_sheet(self, out: Path, clips: Sequence[FakeClip], version: str, fault: str) -> None:
        """There is none."""


@fake_of("smic")
class FakeSmicHs(_FakeSmic):
    corpus = SmicHs
    part = "HS"
    # Sixteen subjects with numbers up to twenty.
    subjects = tuple(f"s{n:02d}" for n in range(1, 21) if n not in (7, 10, 16, 17))


@fake_of("smic-vis")
class FakeSmicVis(_FakeSmic):
    corpus = SmicVis
    part = "VIS"
    subjects = tuple(f"s{n:02d}" for n in (11, 12, 13, 14, 15, 18, 19, 20))
    frames_long = (8, 12)


@fake_of("smic-nir")
class FakeSmicNir(_FakeSmic):
    corpus = SmicNir
    part = "NIR"
    subjects = FakeSmicVis.subjects
    frames_long = (8, 12)
    grey = True
