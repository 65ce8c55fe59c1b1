"""Fakes of CAS(ME)³: parts A and C."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ma2mi.datasets.casme3 import Casme3, Casme3C, Casme3Macro
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import FAULTS, FakeClip
from ma2mi.testing.long import LongFake
from ma2mi.testing.sheets import Table, write_tabs


class _FakePartA(LongFake):
    subjects = tuple(f"spNO.{number}" for number in range(1, 95))
    small = ("disgust", "surprise", "happy", "others")
    first_frame = 8  # the first seven are absent

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return "abcdefghijklm"[(number - 1) // 2 % 13]

    def recording(self, clip: FakeClip) -> str:
        return f"{clip.subject}/{clip.name}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        if layout == "clips":
            return f"Part_A_ME_clip/frame/{clip.subject}_{clip.name}_{clip.onset}/{number}.jpg"
        return f"part_A/{clip.subject}/{clip.name}/color/{number}.jpg"

    def frame_numbers(self, clip: FakeClip, layout: str) -> range:
        if layout == "clips":
            return range(clip.onset, clip.offset + 1)
        return super().frame_numbers(clip, layout)


@fake_of("casme3")
class FakeCasme3(_FakePartA):
    corpus = Casme3
    layouts = layout_names(Casme3.about.layouts)
    frames_long = (8, 28)  # most of the real ones are longer than half a second, too

    def write_sheet(self, out: Path, clips: Sequence[FakeClip], version: str, fault: str) -> None:
        header: list[object] = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU"]
        table: Table = [[*header, "Objective class", "emotion"]]
        for number, clip in enumerate(clips):
            apex = clip.onset if number % 16 == 5 else clip.apex
            aus = "T28+14" if number % 16 == 3 else clip.aus
            word = "Others" if clip.emotion == "others" and number % 3 else clip.emotion
            row: list[object] = [clip.subject, clip.name, clip.onset, apex, clip.offset, aus]
            table.append([*row, 1 + number % 7, word])
        if fault == "other-version":
            self.rename_onset(table)
        write_tabs(out / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": table})


@fake_of("casme3-macro")
class FakeCasme3Macro(_FakePartA):
    corpus = Casme3Macro
    layouts = layout_names(Casme3Macro.about.layouts)
    subjects = tuple(f"spNO.{number}" for number in range(1, 101))
    words = ("happy", "disgust", "surprise", "others", "sad", "anger", "fear")
    frames_long = (17, 28)

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        table: Table = [["sub", "seq", "onset", "apex", "offset", "au", "emotion"]]
        for clip in clips:
            row: list[object] = [clip.subject, clip.name, clip.onset, clip.apex, clip.offset]
            table.append([*row, clip.aus, clip.emotion])
        return "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx", table

    def rename_onset(self, table: Table) -> None:
        table[0][2] = "Begin"


@fake_of("casme3-c")
class FakeCasme3C(LongFake):
    corpus = Casme3C
    layouts = layout_names(Casme3C.about.layouts)
    faults = tuple(fault for fault in FAULTS if fault != "apex-slash")  # there are no apexes
    subjects = tuple(f"{number:02d}" for number in range(1, 32))
    small = ("fear", "disgust", "repression")
    frames_long = (8, 14)

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"{number}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        return f"part_C/{clip.subject}/a/color/{number}.jpg"

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        table: Table = [["sub", "count", "onset", "offset", "au", "PHY"]]
        for clip in clips:
            aus = "1，2" if len(table) == 1 else clip.aus  # a Chinese comma
            row: list[object] = [int(clip.subject), int(clip.name), clip.onset, clip.offset]
            table.append([*row, aus, 1])
        return "CAS(ME)3_part_C_ME.xlsx", table
