"""A fake of MMEW."""

from __future__ import annotations

from collections.abc import Sequence

from ma2mi.datasets.mmew import Mmew
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import CodedFake, FakeClip
from ma2mi.testing.sheets import Table

_HEADER: tuple[object, ...] = (
    "Subject",
    "Filename",
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    "Action Units",
    "Estimated Emotion",
    "remarks",
)


@fake_of("mmew")
class FakeMmew(CodedFake):
    corpus = Mmew
    layouts = layout_names(Mmew.about.layouts)
    subjects = tuple(f"S{number:02d}" for number in range(1, 31))
    small = ("happiness", "surprise", "disgust", "others")

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        kind = 1 + list(Mmew.about.emotions).index(emotion)
        return f"{subject}-{kind:02d}-{number:03d}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        folder = "repression" if clip.emotion == "others" else clip.emotion
        above = clip.subject if layout == "by-subject" else "Micro_Expression"
        return f"{above}/{folder}/{clip.name}/{number}.jpg"

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        table: Table = [list(_HEADER)]
        for clip in clips:
            row: list[object] = [int(clip.subject[1:]), clip.name, clip.onset, clip.apex]
            table.append([*row, clip.offset, clip.aus, clip.emotion, None])
        return "MMEW_Micro_Exp.xlsx", table
