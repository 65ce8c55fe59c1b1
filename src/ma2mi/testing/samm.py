"""A fake of SAMM."""

from __future__ import annotations

from collections.abc import Sequence

from ma2mi.datasets.samm import Samm
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import CodedFake, FakeClip
from ma2mi.testing.sheets import Table

_HEADER: tuple[object, ...] = (
    "Subject",
    "Filename",
    "Inducement Code",
    "Onset Frame",
    "Apex Frame",
    "Offset Frame",
    "Duration",
    "Micro",
    "Action Units",
    "Estimated Emotion",
    "Objective Classes",
    "Notes",
)


@fake_of("samm")
class FakeSamm(CodedFake):
    corpus = Samm
    layouts = layout_names(Samm.about.layouts)
    subjects = tuple(f"{number:03d}" for number in range(6, 35))
    unclassed = ("034",)
    first_frame = 9985  # so that numbers grow from four digits to five
    grey = True

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"{subject}_{1 + number // 3}_{1 + number % 3}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        return f"{clip.subject}/{clip.name}/{clip.subject}_{number:04d}.jpg"

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        table: Table = [[f"Text above the header, line {line}"] for line in range(1, 14)]
        table.append(list(_HEADER))
        for number, clip in enumerate(clips):
            apex = -1 if number in (40, 80, 120) else clip.apex  # three rows lack it
            row: list[object] = [clip.subject, clip.name, int(clip.name.split("_")[1])]
            row += [clip.onset, apex, clip.offset, clip.offset - clip.onset, "Micro - 1/2"]
            row += [clip.aus, clip.emotion.capitalize(), 1 + len(table) % 7, None]
            table.append(row)
        return "SAMM_Micro_FACS_Codes_v2.xlsx", table
