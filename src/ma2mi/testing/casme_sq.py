"""Fakes of CAS(ME)²."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ma2mi.datasets.casme_sq import SUBJECTS_TAB, VIDEOS_TAB, CasmeSq, CasmeSqMacro
from ma2mi.testing.base import fake_of
from ma2mi.testing.coded import FAULTS, FakeClip
from ma2mi.testing.long import LongFake
from ma2mi.testing.sheets import Table, write_tabs

_VIDEOS = {
    f"{word}{take}": f"{1 + at:02d}{take:02d}"
    for at, word in enumerate(("disgust", "anger", "happy"))
    for take in (1, 2, 3)
}
_NUMBERS = (15, 16, *range(19, 28), *range(29, 39), 40)


class _FakeCasmeSq(LongFake):
    faults = tuple(fault for fault in FAULTS if fault != "other-version")  # there is no header
    layouts = ("raw",)
    subjects = tuple(f"s{number}" for number in _NUMBERS)
    words = ("negative", "positive", "surprise", "others")
    small = ("negative", "positive", "surprise")

    def name_clip(self, subject: str, number: int, emotion: str) -> str:
        video = list(_VIDEOS)[(number - 1) // 2 % len(_VIDEOS)]
        return f"{video}_{number}"

    def recording(self, clip: FakeClip) -> str:
        video = clip.name.split("_")[0]
        return f"{clip.subject}/{clip.subject[1:]}_{_VIDEOS[video]}{video}"

    def frame_path(self, clip: FakeClip, number: int, layout: str) -> str:
        return f"rawpic/{self.recording(clip)}/img{number}.jpg"

    def write_sheet(self, out: Path, clips: Sequence[FakeClip], version: str, fault: str) -> None:
        kind, other = "micro-expression", "macro-expression"
        if self.corpus is CasmeSqMacro:
            kind, other = other, kind
        codes: Table = []
        covered: set[str] = set()
        for clip in clips:
            subject = 1 + self.subjects.index(clip.subject)
            row: list[object] = [subject, clip.name, clip.onset, clip.apex, clip.offset, clip.aus]
            codes.append([*row, clip.emotion, kind, "nothing"])
            if self.recording(clip) not in covered:  # each recording has one of the other kind
                covered.add(self.recording(clip))
                first = clip.first
                codes.append([subject, f"{clip.name}0", first, first + 1, first + 2, 12])
                codes[-1] += ["positive", other, "nothing"]
        tabs: dict[str, Table] = {
            "CASFEcode_final": codes,
            SUBJECTS_TAB: [[f"s{n}", f"s{n}", at] for at, n in enumerate(_NUMBERS, 1)],
            VIDEOS_TAB: [[code, video] for video, code in _VIDEOS.items()],
        }
        write_tabs(out / "CAS(ME)^2code_final.xlsx", tabs)


@fake_of("casme-sq")
class FakeCasmeSq(_FakeCasmeSq):
    corpus = CasmeSq
    frames_long = (8, 14)


@fake_of("casme-sq-macro")
class FakeCasmeSqMacro(_FakeCasmeSq):
    corpus = CasmeSqMacro
    frames_long = (17, 28)
