"""A stretch of region displacements on an even grid of times, and its matched responses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LIDS = ("right_upper_lid", "left_upper_lid", "right_lower_lid", "left_lower_lid")
BROWS = ("right_inner_brow", "left_inner_brow", "right_outer_brow", "left_outer_brow")
JAW = ("lower_lip", "chin")
MOUTH = ("right_lip_corner", "left_lip_corner", "upper_lip", "lower_lip", "chin")
AREAS: dict[str, tuple[str, ...]] = {
    "brows": BROWS,
    "mouth": (*MOUTH, "right_cheek", "left_cheek", "right_nose_wing", "left_nose_wing"),
}
"""Areas that move by themselves: what happens in one never hides what happens in the other. Gaze
and blinks move the lids all the time, so they may take part in an event, not make one."""
SCALES_S = (0.13, 0.18, 0.26, 0.37, 0.52, 0.75, 1.06, 1.5, 2.1, 3.0)
TURN_PX = 0.1
"""Apparent movement for each degree that the head turns meanwhile, px: what flow shows of outer
brows in real turns (``../shared/clips``, cap13_edit2.mp4), beyond ``TURN_FREE`` degrees, which are
the landmarks' own noise."""
TURN_FREE = 1.5
HEAD_S = 0.2  # the head's speed is its way over this long


class Block:
    """A stretch on an even grid of times, with its responses at all widths.

    Args:
        times: [T] seconds, even.
        displacements: [T, R, 2], px of the crop.
        eye, mouth: [T], openings; NaN where they were not measured.
        head: [T], where the head has gone, right + 1j down, px of the crop.
        row_times, row_frames: of the frames that it was made from.
        names: of the regions.
    """

    def __init__(
        self,
        times: Floats,
        displacements: Floats,
        eye: Floats,
        mouth: Floats,
        head: NDArray[np.complex128],
        step_s: float,
        row_times: Floats,
        row_frames: NDArray[np.intp],
        names: tuple[str, ...],
    ) -> None:
        self.times, self.displacements = times, displacements
        self.eye, self.mouth = eye, mouth
        self.step_s, self.names = step_s, names
        self._row_times, self._row_frames = row_times, row_frames
        radius = max(1, round(HEAD_S / 2 / step_s))
        way = np.pad(head, radius, mode="edge")
        self.head_px_s = np.abs(way[2 * radius :] - way[: -2 * radius]) / (2 * radius * step_s)
        self.responses = np.stack([_matched(displacements, scale / step_s) for scale in SCALES_S])

    def members(self, area: str) -> NDArray[np.intp]:
        """Which of the regions belong to an area."""
        return np.array([i for i, name in enumerate(self.names) if name in AREAS[area]], np.intp)

    def frames_of(self, onset_s: float, apex_s: float, offset_s: float) -> tuple[int, int, int]:
        """The nearest frames, in order."""
        at = np.interp((onset_s, apex_s, offset_s), self._row_times, self._row_frames)
        onset, apex, offset = (round(float(frame)) for frame in at)
        return onset, min(max(apex, onset), offset), offset


def pulse(width: float) -> Floats:
    """A cosine pulse of ``width`` grid steps, blind to constants and drift; peak response 1.

    Its support is twice as wide: the rest on either side separates it from a step. The response to
    a pulse of the same width and of height 1 is 1, so that responses are pixels.
    """
    half = max(int(np.ceil(width)), 2)
    at = np.arange(-half, half + 1)
    bump = np.where(np.abs(at) < width / 2, 0.5 + 0.5 * np.cos(2 * np.pi * at / width), 0.0)
    blind = bump - bump.mean()  # it is even, so drift is seen as little as constants are
    return np.asarray(blind / (blind @ bump))


def _matched(displacements: Floats, width: float) -> Floats:
    """Correlation of every column of [T, R, 2] with the pulse, same shape; borders repeat."""
    kernel = pulse(width)
    half = len(kernel) // 2
    size = len(displacements) + 2 * half
    padded = np.pad(displacements, ((half, half), (0, 0), (0, 0)), mode="edge")
    length = 1 << int(np.ceil(np.log2(size + len(kernel))))
    spectrum = np.fft.rfft(padded, length, axis=0)
    spectrum *= np.fft.rfft(kernel[::-1], length)[:, None, None]
    return np.fft.irfft(spectrum, length, axis=0)[2 * half : 2 * half + len(displacements)]


def smooth(curve: Floats, width: float) -> Floats:
    """Gaussian mean, about ``width`` rows wide; the ends are held."""
    sd = max(0.3 * width, 0.35)
    radius = int(np.ceil(3 * sd))
    kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sd))
    return np.convolve(np.pad(curve, radius, mode="edge"), kernel / kernel.sum(), mode="valid")


def turned(turns: Floats, radius: int) -> Floats:
    """[T], degrees between ``radius`` rows before and after, of turns [T, 3]; the ends are held."""
    way = np.pad(turns, ((radius, radius), (0, 0)), mode="edge")
    return np.asarray(np.linalg.norm(way[2 * radius :] - way[: -2 * radius], axis=1))


def shared_time(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Shared time over the shorter of both."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0.0) / max(min(one[1] - one[0], other[1] - other[0]), 1e-9)


def time_iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Shared time over that of both together."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    both = max(one[1], other[1]) - min(one[0], other[0])
    return max(shared, 0.0) / max(both, 1e-9)


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
