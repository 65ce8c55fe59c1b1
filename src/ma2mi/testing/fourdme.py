"""A fake of 4DME."""

from __future__ import annotations

from collections.abc import Sequence

from ma2mi.datasets.fourdme import FLAGS, FourDme
from ma2mi.testing.base import fake_of, layout_names
from ma2mi.testing.coded import FAULTS, FakeClip
from ma2mi.testing.long import UncountedFake
from ma2mi.testing.sheets import Table


@fake_of("4dme")
class FakeFourDme(UncountedFake):
    corpus = FourDme
    layouts = layout_names(FourDme.about.layouts)
    faults = tuple(fault for fault in FAULTS if fault != "wrong-padding")  # any padding is usual
    subjects = ("S13", *(f"S{number:02d}" for number in range(20, 60)))
    words = FLAGS
    small = ("negative", "positive", "surprise")
    frames_long = (10, 24)
    first_frame = 200
    grey = True

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        return f"{subject}_{number:03d}_01"

    def session(self, clip: FakeClip) -> str:
        """S13 came twice."""
        odd = int(clip.name.split("_")[1]) % 2
        return clip.subject if clip.subject != "S13" else f"S13_{'1st' if odd else '2nd'}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        if int(clip.name.split("_")[1]) % 2 == 0:
            number -= clip.onset - 1  # some folders count from their own first frame
        return f"gray_micro/{self.session(clip)}/{clip.name}/{number}.jpg"

    def frame_numbers(self, clip: FakeClip, layout: str) -> range:
        return range(clip.onset, clip.offset + 1)

    def sheet(self, clips: Sequence[FakeClip], version: str) -> tuple[str, Table]:
        header: list[object] = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset"]
        table: Table = [[*header, "AUs", *(flag.capitalize() for flag in FLAGS)]]
        for number, clip in enumerate(clips):
            shown = {clip.emotion, "repression"} if number % 5 == 0 else {clip.emotion}
            aus = f"{clip.aus}+45(k)" if number % 5 == 0 else clip.aus
            row: list[object] = [self.session(clip), clip.name, clip.emotion.capitalize()]
            row += [clip.onset, clip.apex, clip.offset, aus]
            table.append([*row, *(int(flag in shown) for flag in FLAGS)])
        return "4DME_Labelling_Micro_release v1.xlsx", table
