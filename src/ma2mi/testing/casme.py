"""A fake of CASME."""

from __future__ import annotations

from collections.abc import Sequence

from ma2mi.datasets.casme import Casme
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import FakeClip
from ma2mi.testing.long import UncountedFake
from ma2mi.testing.sheets import Table


@fake_of("casme")
class FakeCasme(UncountedFake):
    corpus = Casme
    layouts = layout_names(Casme.about.layouts)
    subjects = tuple(f"sub{number:02d}" for number in range(1, 20))
    words = ("disgust", "repression", "tense", "surprise", "sadness", "happiness")
    small = ("disgust", "tense", "surprise", "happiness")
    frames_long = (10, 24)

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"EP{1 + number % 13:02d}_{number}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        # Early subjects are not padded, later ones are.
        digits = f"{number}" if clip.subject < "sub02" else f"{number:03d}"
        if layout == "cropped":
            return f"Cropped/{clip.subject}/{clip.name}/reg_{clip.name}-{digits}.jpg"
        return f"CASME_raw_selected/{clip.subject}/{clip.name}/{clip.name}-{digits}.jpg"

    def frame_numbers(self, clip: FakeClip, layout: str) -> range:
        if layout == "cropped":
            return range(clip.onset, clip.offset + 1)
        return super().frame_numbers(clip, layout)

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        header: list[object] = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2"]
        table: Table = [[*header, "OffsetF", None, "AU", "Emotion"]]
        for clip in clips:
            row: list[object] = [int(clip.subject[3:]), clip.name, None, clip.onset, clip.apex]
            table.append([*row, None, clip.offset, None, clip.aus, clip.emotion])
        return "casme.xlsx", table
