"""Fakes of SAMM Long Videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ma2mi.datasets.samm_lv import SammLv, SammLvMacro
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import FAULTS, FakeClip
from ma2mi.testing.long import LongFake
from ma2mi.testing.samm import FakeSamm
from ma2mi.testing.sheets import Table, write_table

_HEADER: tuple[object, ...] = (
    "Subject",
    "Filename",
    "Inducement Code",
    "Onset",
    "Apex",
    "Offset",
    "Duration",
    "Type",
    "Action Units",
    "Notes",
)


class _FakeSammLv(LongFake):
    faults = tuple(fault for fault in FAULTS if fault != "wrong-padding")  # any padding is usual
    layouts = layout_names(SammLv.about.layouts)
    versions = ("3", "2", "1")
    subjects = FakeSamm.subjects
    unclassed = FakeSamm.unclassed
    grey = True

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"{subject}_{1 + (number - 1) // 2}_{1 + (number - 1) % 2}"

    def recording(self, clip: FakeClip) -> str:
        return clip.name.rpartition("_")[0]

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        video = self.recording(clip)
        return f"SAMM_longvideos/{video}/{video}_{number:04d}.jpg"

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        macro = self.corpus is SammLvMacro
        table: Table = [[f"Text above the header, line {line}"] for line in range(1, 11)]
        table.append(list(_HEADER))
        covered: set[str] = set()
        for clip in clips:
            kinds = ("Macro", "Micro - 1/2") if macro else ("Micro - 1/2", "Macro")
            row: list[object] = [clip.subject, clip.name, int(clip.name.split("_")[1])]
            row += [clip.onset, clip.apex, clip.offset, clip.offset - clip.onset + 1]
            table.append([*row, kinds[0], clip.aus, None])
            video = self.recording(clip)
            if video not in covered:  # each video has one of the other kind
                covered.add(video)
                row = [clip.subject, f"{video}_9", row[2], clip.first, -1, clip.first + 2, 3]
                table.append([*row, kinds[1], 12, None])
        return f"SAMM_LongVideos_V{version}_Release.xlsx", table


@fake_of("samm-lv")
class FakeSammLv(_FakeSammLv):
    corpus = SammLv

    def write_sheet(self, out: Path, clips: Sequence[FakeClip], version: str, fault: str) -> None:
        super().write_sheet(out, clips, version, fault)
        name, emotions = FakeSamm().sheet(clips, "")
        write_table(out / name, emotions)


@fake_of("samm-lv-macro")
class FakeSammLvMacro(_FakeSammLv):
    corpus = SammLvMacro
    frames_long = (104, 116)
