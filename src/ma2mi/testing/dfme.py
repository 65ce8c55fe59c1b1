"""A fake of DFME."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ma2mi.datasets.dfme import Dfme
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import FAULTS, FakeClip
from ma2mi.testing.long import UncountedFake
from ma2mi.testing.sheets import Table, write_table

_HEADER: tuple[object, ...] = (
    "subject",
    "filename",
    "fps",
    "onset",
    "apex",
    "offset",
    "emotion",
    "AUs",
)
_SHARES = {"train": 1856, "testA": 474, "testB": 299}


@fake_of("dfme")
class FakeDfme(UncountedFake):
    corpus = Dfme
    layouts = layout_names(Dfme.about.layouts)
    faults = tuple(fault for fault in FAULTS if fault != "wrong-padding")  # any padding is usual
    subjects = tuple(f"sub{number:04d}" for number in range(1, 201))
    words = ("happiness", "disgust", "anger", "surprise", "fear", "sadness", "contempt")

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"{subject}_{number:02d}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        return f"frames/{clip.subject}/{clip.name}/{number}.jpg"

    def write_sheet(self, out: Path, clips: Sequence[FakeClip], version: str, fault: str) -> None:
        start, total, whole = 0, 0, sum(_SHARES.values())
        for name, share in _SHARES.items():
            total += share
            stop = len(clips) * total // whole
            table: Table = [list(_HEADER)]
            for number, clip in enumerate(clips[start:stop], start):
                row: list[object] = [clip.subject, clip.name, (200, 300, 500)[number % 3]]
                table.append([*row, clip.onset, clip.apex, clip.offset, clip.emotion, clip.aus])
            if fault == "other-version":
                self.rename_onset(table)
            write_table(out / f"{name}.csv", table)
            start = stop
