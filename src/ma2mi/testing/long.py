"""What fakes share whose recordings hold several expressions, or whose classes are not counted."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from ma2mi.testing.coded import CodedFake, FakeClip


class UncountedFake(CodedFake):
    """A fake of a corpus that may lack published counts by emotion: its words go round then."""

    words: ClassVar[tuple[str, ...]] = ("disgust", "surprise", "happiness", "fear")

    def _shown(self, full_size: bool) -> list[tuple[str, str]]:
        if not full_size or self.corpus.about.emotions:
            return super()._shown(full_size)
        count = self.corpus.about.clips
        subjects = sorted(self.subjects[turn % len(self.subjects)] for turn in range(count))
        return [(one, self.words[turn % len(self.words)]) for turn, one in enumerate(subjects)]


class LongFake(UncountedFake):
    """A fake of long recordings: what several clips would be is one after the other in one.

    ::

        frame      1 ........ 24 25 ......... 50
        clip 1        (5, 20)
        clip 2                      (29, 46)
    """

    def recording(self, clip: FakeClip) -> str:
        """Which recording the clip is part of; by default a subject has one."""
        return clip.subject

    def plan(self, full_size: bool) -> list[FakeClip]:
        ends: dict[str, int] = {}
        clips = []
        for clip in super().plan(full_size):
            where = self.recording(clip)
            shift = ends.get(where, clip.first - 1) + 1 - clip.first
            ends[where] = clip.last + shift
            clips.append(
                replace(
                    clip,
                    first=clip.first + shift,
                    last=clip.last + shift,
                    onset=clip.onset + shift,
                    apex=int(clip.apex) + shift,
                    offset=clip.offset + shift,
                )
            )
        return clips
