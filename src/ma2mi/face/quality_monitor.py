"""Quality of a face over a video of any length, sampled in constant memory."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np

from ma2mi.arrays import Image
from ma2mi.face.landmarks import Face
from ma2mi.face.occlusion import AREAS, hidden_areas
from ma2mi.face.quality import FrameQuality, measure_frame
from ma2mi.face.suitability import UNEVEN, Limits, Suitability, assess_suitability
from ma2mi.video import FrameSteps

KEPT = 4096

# Longer absences, and longer pauses of the recording, count as so long: only a short one is a face
# or a frame that got lost.
ABSENT_S = 2.0
REMEMBERED_S = 120.0  # for so long it is known when an area was hidden


class QualityMonitor:
    """Gathers samples at a video of any length in constant memory.

    Args:
        every_s: time between samples; doubles whenever 4096 are kept, of which half then go.
        limits: by default ``Limits()``.
    """

    def __init__(self, every_s: float = 0.2, limits: Limits | None = None) -> None:
        self._checked = 0
        self._hidden = dict.fromkeys(AREAS, 0)
        self._hidden_lately: deque[tuple[float, tuple[str, ...]]] = deque()
        self.limits = limits or Limits()
        self._every_s = every_s
        self._next_s = -np.inf
        self._kept: list[tuple[float, FrameQuality]] = []
        self._steps = FrameSteps()
        self._frames = self._with_face = 0
        self._missed = 0.0  # frames without the face between its appearances
        self._gone = 0  # frames since its newest one
        self._seen_s = -np.inf

    def push(
        self, image: Image, face: Face | None, time_s: float | Fraction
    ) -> FrameQuality | None:
        """Count a frame, and measure it if a sample is due; push frames without a face, too.

        Raises:
            FaceError: as ``measure_frame``.
        """
        time = float(time_s)
        self._steps.push(time_s)
        self._frames += 1
        if face is None:
            self._gone += 1
            return None
        if self._with_face:
            self._missed += self._gone * min(1.0, ABSENT_S / max(time - self._seen_s, 1e-9))
        self._with_face += 1
        self._gone, self._seen_s = 0, time
        if time < self._next_s:
            return None
        sample = measure_frame(image, face)
        self._kept.append((time, sample))
        self._count_hidden(image, face, time)
        self._next_s = time + self._every_s
        if len(self._kept) > KEPT:
            self._kept = self._kept[::2]
            self._every_s *= 2
        return sample

    def hidden_between(self, start_s: float, stop_s: float, share: float = 0.0) -> tuple[str, ...]:
        """The areas of the face that were hidden in a stretch of the last two minutes.

        Args:
            start_s, stop_s: the stretch.
            share: of the samples from one before the stretch to one after it, in which an area must
                be hidden; by default in any.
        """
        margin_s = self._every_s
        lately = [
            areas
            for time, areas in self._hidden_lately
            if start_s - margin_s <= time <= stop_s + margin_s
        ]
        counts = {name: sum(name in areas for areas in lately) for name in AREAS}
        return tuple(name for name, n in counts.items() if n and n >= share * len(lately))

    def _count_hidden(self, image: Image, face: Face, time: float) -> None:
        hidden = hidden_areas(image, face)
        self._checked += 1
        for name in hidden:
            self._hidden[name] += 1
        self._hidden_lately.append((time, hidden))
        while time - self._hidden_lately[0][0] > REMEMBERED_S:
            self._hidden_lately.popleft()

    def assess(self, frames: int | None = None) -> Suitability:
        """The suitability of what was pushed so far.

        The face is assessed over the time that it is in view; ``values["present"]`` is the share of
        the recording that shows it.

        Args:
            frames: of the whole recording; by default as many as were pushed.
        """
        if self._frames < 2:
            return Suitability("red", ("a single frame shows no movement",), {})
        steps = np.minimum(self._steps.sample, ABSENT_S)
        typical_s = self._steps.typical_s or 1e-9
        if self._with_face and not self._kept:
            return Suitability("red", ("the face is tiny or lies outside the picture",), {})
        return assess_suitability(
            [sample for _, sample in self._kept],
            [time for time, _ in self._kept],
            fps=1 / typical_s,
            seen=self._with_face / max(self._with_face + self._missed, 1),
            visible_s=self._with_face * typical_s,
            present=self._with_face / max(frames or self._frames, 1),
            gap=self._steps.longest_s / typical_s,
            lost=float(
                (steps - typical_s)[steps > UNEVEN * typical_s].sum() / max(steps.sum(), 1e-9)
            ),
            hidden={name: count / max(self._checked, 1) for name, count in self._hidden.items()},
            limits=self.limits,
        )
