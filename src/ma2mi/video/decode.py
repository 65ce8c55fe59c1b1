"""The frames of a video file in order, each with its true time."""

from __future__ import annotations

import statistics
import warnings
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ma2mi.video.container import (
    AS_STORED,
    Decoder,
    average_frame_rate,
    falls_short,
    has_clock,
    note_form,
    open_video,
    read_orientation,
    turn_upright,
    undecodable_error,
)
from ma2mi.video.frame import (
    ClockRestart,
    DamagedVideo,
    Frame,
    TruncatedVideo,
    add_note,
    check_size,
)
from ma2mi.video.steps import RECENT_STEPS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

STRAY_STEPS = (
    3  # typical steps between two frames, beyond which neither contradicts the one between
)


def read_file(path: Path, start: int, fps: Fraction | None) -> Iterator[Frame]:
    with open_video(path) as (container, stream):
        clock, decoder = Clock(container, stream, path), Decoder(container, stream)
        count, end_s = 0, Fraction(0)
        size: tuple[int, int] | None = None
        sizes, turn = 1, AS_STORED
        for frame, following in with_next(decoder.frames()):
            if count == 0:
                note_form(frame, container, stream, path, is_known=fps is not None)
            if size is not None and size != (frame.width, frame.height):
                sizes += 1
                if sizes == 2:
                    now = f"{frame.width}x{frame.height}"
                    words = f"the picture changes from {size[0]}x{size[1]} to {now}"
                    add_note(path, f"{words} at frame {count}")
                check_size(frame.width, frame.height, path)
            size = frame.width, frame.height
            turn = read_orientation(frame, turn)
            time_s = clock.read(frame, following)
            end_s = time_s + ((frame.duration or 0) * clock.tick(frame) or clock.typical_step_s)
            if count >= start:
                yield Frame(count, time_s, turn_upright(frame, turn))
            count += 1
        if count == 0:
            raise undecodable_error(path)
        clock.close()
        if decoder.headless:
            missing = f"the first {decoder.headless} packets"
            add_note(path, f"begins without a key frame: {missing} give no picture, or a poor one")
        if decoder.lost:
            many = "1 packet does" if decoder.lost == 1 else f"{decoder.lost} packets do"
            first = decoder.first_lost
            after = f"the first after frame {first - 1}" if first else "the first at the start"
            add_note(path, f"{many} not decode, {after}; the others are read", DamagedVideo)
        end_s = max(end_s, clock.furthest_s)
        short = decoder.broken or falls_short(container, end_s, clock.typical_step_s)
        if decoder.concealed - (short and decoder.last_concealed):
            many = "1 frame is" if decoder.concealed == 1 else f"{decoder.concealed} frames are"
            add_note(path, f"{many} damaged and partly concealed by the decoder", DamagedVideo)
        if short:
            words = f"breaks off after frame {count - 1} ({float(clock.time_s):.3f} s)"
            add_note(path, words, TruncatedVideo)


def with_next(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, VideoFrame | None]]:
    """Each frame and the one after it, None after the last one."""
    before = None
    for frame in frames:
        if before is not None:
            yield before, frame
        before = frame
    if before is not None:
        yield before, None


class Clock:
    """Rising times of the frames of one file, in showing order, as exact as its time stamps.

    Attributes:
        time_s: of the newest frame, on the container's own clock, its start offset kept.
        furthest_s: the latest time that any frame bears, right or wrong; so the header counts.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        self._path = path
        self._tick_s = Fraction(stream.time_base or 0)
        self._average_step_s = 1 / average_frame_rate(stream)
        self._has_clock = has_clock(container)
        self._steps: deque[Fraction] = deque(maxlen=RECENT_STEPS)
        self.furthest_s = Fraction(0)
        self.time_s = (stream.start_time or 0) * self._tick_s - self._average_step_s
        # They store no times of showing: what they give as pts is in the order of decoding.
        self._no_pts = container.format.name in ("avi", "asf")
        self._newest: dict[str, Fraction] = {}
        self._faults = {"pts": 0, "dts": 0}
        self._kind, self._shift_s = "pts", Fraction(0)
        self._frames = self._restarts = 0

    @property
    def typical_step_s(self) -> Fraction:
        """Seconds from frame to frame: the median of the newest steps."""
        return statistics.median_low(self._steps) if self._steps else self._average_step_s

    def tick(self, frame: VideoFrame) -> Fraction:
        """Seconds of one unit of the frame's time stamps."""
        return Fraction(frame.time_base or self._tick_s)

    def read(self, frame: VideoFrame, following: VideoFrame | None) -> Fraction:
        """When the next frame is seen, later than the one before it, and before ``following``."""
        before, self.time_s = self.time_s, self.time_s + self.typical_step_s
        kind, stamp = self._stamp(frame, following)
        if stamp is not None and self._has_clock:
            time_s = stamp * self.tick(frame) + self._shift_s
            restarts = self._frames > 0 and time_s <= before
            if kind != self._kind or restarts:
                self._shift_s += self.time_s - time_s
                if kind == self._kind:
                    self._warn_of_restart(before - time_s)
                self._kind = kind
            else:
                self.time_s = time_s
            if self._frames:
                self._steps.append(self.time_s - before)
        self._frames += 1
        return self.time_s

    def close(self) -> None:
        """Warn of the number of pieces, if there were more than two."""
        if self._restarts > 1:
            words = f"the clock jumps back {self._restarts} times in all"
            warnings.warn(f"{self._path}: {words}", ClockRestart, stacklevel=3)

    def _stamp(
        self, frame: VideoFrame, following: VideoFrame | None
    ) -> tuple[str, Fraction | None]:
        """The better of a frame's two time stamps: the one that failed to rise less often.

        ffmpeg's own best-effort time stamps choose so, too (``guess_correct_pts``).
        """
        pts = None if frame.pts is None else Fraction(frame.pts)
        dts = None if frame.dts is None else Fraction(frame.dts)
        before, after = self._newest.get("pts"), following.pts if following else None
        if pts is not None:
            self.furthest_s = max(self.furthest_s, pts * self.tick(frame))
        if pts is not None and before is not None and after is not None:
            step = self.typical_step_s / (self.tick(frame) or 1)
            agree = before < after <= before + STRAY_STEPS * step
            # Of two that do not rise the one that is farther from where it should be is wrong.
            worse = abs(pts - before - step) > abs(after - before - 2 * step)
            if agree and worse and not before < pts < after:
                pts = (before + after) / 2
        for kind, stamp in (("pts", pts), ("dts", dts)):
            if stamp is not None:
                self._faults[kind] += stamp <= self._newest.get(kind, stamp - 1)
                self._newest[kind] = stamp
        by_dts = self._no_pts or self._faults["pts"] > self._faults["dts"]
        return ("dts", dts) if by_dts else ("pts", pts)

    def _warn_of_restart(self, back_s: Fraction) -> None:
        self._restarts += 1
        if self._restarts == 1:
            warnings.warn(
                f"{self._path}: the clock jumps back by {float(back_s):.3f} s after frame"
                f" {self._frames - 1}; the pieces are laid end to end",
                ClockRestart,
                stacklevel=4,
            )
