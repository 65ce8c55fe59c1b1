"""A synthetic clip: one subject makes one expression, and every true value is known."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ma2mi.errors import SettingsError
from ma2mi.motion.facs import ACTION_UNITS, EMOTIONS, SIDES, parse_unit
from ma2mi.records import Kind
from ma2mi.synthesis.movement import Track, face_field, peak_displacement
from ma2mi.synthesis.settings import SyntheticSettings
from ma2mi.synthesis.subject import CANVAS, SyntheticSubject

if TYPE_CHECKING:
    from ma2mi.synthesis.render import Renderer


class SyntheticClip:
    """One expression of one subject; frames are rendered when asked for.

    Attributes:
        subject, kind, emotion, seed, fps, settings: as given.
        onset, apex, offset: frames, counted from 0; the movement is zero at onset and offset, and
            the apex is where the intensities' sum is largest.
        action_units: FACS codes such as ("1", "2") or ("L14",).
        intensities: float32 (frame_count, len(action_units)), 1 is FACS "E"; the mean of the
            sides that move.
        tracks: intensity of each (unit, side), distractors included, float32 (frame_count,).
        gaze: float32 (frame_count, 2), shift of the irises in canonical px.
        head: float64 (frame_count, 2, 3), from canonical to image pixels.
        light: float32 (frame_count,), brightness around 1.
    """

    def __init__(
        self,
        subject: SyntheticSubject,
        *,
        kind: Kind,
        emotion: str,
        seed: int,
        fps: Fraction,
        settings: SyntheticSettings,
    ) -> None:
        if emotion not in EMOTIONS:
            raise SettingsError(
                f"is no emotion of the FACS table ({', '.join(EMOTIONS)})", where=emotion
            )
        self.subject = subject
        self.kind = kind
        self.emotion = emotion
        self.seed = seed
        self.fps = Fraction(fps)
        self.settings = settings
        kind_key = 0 if kind == "micro" else 1
        streams = np.random.SeedSequence([seed, subject.seed, kind_key]).spawn(4)
        self.noise_seed = streams[3]
        self._plan_expression(np.random.default_rng(streams[0]))
        self._plan_distractors(np.random.default_rng(streams[1]))
        self._plan_camera(np.random.default_rng(streams[2]))

    # -- what happens when ---------------------------------------------------------------------

    def _plan_expression(self, rng: np.random.Generator) -> None:
        settings, micro = self.settings, self.kind == "micro"
        strengths = self._choose_units(rng)
        low, high = settings.micro_duration_s if micro else settings.macro_duration_s
        length = max(4, round(rng.uniform(low, high) * float(self.fps)))
        self.frame_count = length + 1 + 2 * settings.padding_frames
        self.onset = settings.padding_frames
        self.offset = self.onset + length
        rise, hold = rng.uniform(0.32, 0.45), rng.uniform(0.0, 0.06 if micro else 0.2)
        tracks: dict[Track, np.ndarray] = {}
        columns = []
        for number, (code, strength) in enumerate(strengths.items()):
            # The first unit spans the whole expression; the others lag a little.
            begin, end = (0.0, 0.0) if number == 0 else rng.uniform(0, 0.08, 2)
            course = np.zeros(self.frame_count, np.float32)
            course[self.onset : self.offset + 1] = strength * _course(
                length, begin, end, rise, hold, rng.uniform(0.85, 1.2)
            )
            weaker, lack = SIDES[rng.integers(2)], rng.uniform(0, settings.asymmetry)
            unit, sides = parse_unit(code)
            for side in sides:
                tracks[unit.number, side] = course * np.float32(1 - lack * (side == weaker))
            columns.append(np.mean([tracks[unit.number, side] for side in sides], axis=0))
        intensities = np.stack(columns, axis=1)
        self.apex = int(intensities.sum(axis=1).argmax())
        if micro:
            weights = {name: float(track[self.apex]) for name, track in tracks.items()}
            peak = peak_displacement(face_field(self.subject, weights))
            scale = np.float32(rng.uniform(*settings.micro_peak_px) / peak)
        else:
            scale = np.float32(rng.uniform(*settings.macro_intensity))
        self.tracks = {name: scale * track for name, track in tracks.items()}
        self.action_units = tuple(strengths)
        self.intensities = scale * intensities

    def _choose_units(self, rng: np.random.Generator) -> dict[str, float]:
        """The FACS codes of this expression, and how strong each is beside the others."""
        options = EMOTIONS[self.emotion]
        likely = 1 / (1.5 + np.arange(len(options)))
        codes = options[rng.choice(len(options), p=likely / likely.sum())]
        strengths = {code: float(rng.uniform(0.6, 1.0)) for code in codes}
        if rng.random() < self.settings.stray_unit_rate:
            taken = {parse_unit(code)[0].number for code in codes} | {"26", "43", "45"}
            stray = [number for number in ACTION_UNITS if number not in taken]
            strengths[stray[rng.integers(len(stray))]] = float(rng.uniform(0.3, 0.9))
        return strengths

    def _plan_distractors(self, rng: np.random.Generator) -> None:
        settings, count = self.settings, self.frame_count
        seconds = count / float(self.fps)
        time = np.arange(count) / float(self.fps)
        blink = np.zeros(count, np.float32)
        for _ in range(rng.poisson(settings.blink_rate * seconds)):
            start, closing = rng.uniform(-0.1, seconds), rng.uniform(0.06, 0.1)
            opening = rng.uniform(0.12, 0.2)
            shape = np.interp(
                time - start, (0, closing, closing + 0.02, closing + opening), (0, 1, 1, 0)
            )
            blink = np.maximum(blink, (shape * shape * (3 - 2 * shape)).astype(np.float32))
        if blink.any():
            for side in SIDES:
                self.tracks["45", side] = blink
        self.blink = blink
        gaze = np.tile(rng.normal(0, (1.2, 0.5)), (count, 1))
        for _ in range(rng.poisson(settings.gaze_rate * seconds)):
            turn = np.clip((time - rng.uniform(0, seconds)) / 0.04, 0, 1)
            gaze += turn[:, None] * rng.normal(0, (2.0, 0.7))
        self.gaze = np.clip(gaze, (-5, -2), (5, 2)).astype(np.float32)
        if rng.random() < settings.speech_rate:
            beat = np.abs(slow_curve(rng, time, 2.0, 6.0)).clip(0, 2) * 0.25
            for number, share in (("25", 1.0), ("26", 0.6), ("20", 0.3)):
                for side in SIDES:
                    earlier = self.tracks.get((number, side), 0)
                    self.tracks[number, side] = (earlier + share * beat).astype(np.float32)

    def _plan_camera(self, rng: np.random.Generator) -> None:
        settings = self.settings
        time = np.arange(self.frame_count) / float(self.fps)
        shift = rng.normal(0, 3, 2)[:, None] + np.stack(
            [
                settings.head_drift_px * slow_curve(rng, time, 0.1, 1.0)
                + settings.head_tremor_px * slow_curve(rng, time, 4.0, 9.0)
                for _ in range(2)
            ]
        )
        turn = np.deg2rad(
            rng.normal(0, 2) + settings.head_turn_deg * slow_curve(rng, time, 0.1, 1.0)
        )
        nearer = 0.004 * settings.head_drift_px * slow_curve(rng, time, 0.1, 0.6)
        zoom = settings.size / CANVAS * rng.uniform(1.06, 1.18) * (1 + nearer)
        cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
        centre, middle = CANVAS / 2, (settings.size - 1) / 2
        moved = settings.size / CANVAS * shift
        self.head = np.empty((self.frame_count, 2, 3))
        self.head[:, 0, 0], self.head[:, 0, 1] = cos, -sin
        self.head[:, 1, 0], self.head[:, 1, 1] = sin, cos
        self.head[:, 0, 2] = middle + moved[0] - (cos - sin) * centre
        self.head[:, 1, 2] = middle + moved[1] - (sin + cos) * centre
        mains = np.sin(2 * np.pi * rng.uniform(8, 14) * time + rng.uniform(0, 6))
        slow = slow_curve(rng, time, 0.2, 2.0)
        self.light = (1 + settings.flicker * (mains + slow) / 1.4).astype(np.float32)

    @cached_property
    def _renderer(self) -> Renderer:
        from ma2mi.synthesis.render import Renderer  # OpenCV only when frames are needed

        return Renderer(self)

    def frames(self) -> Iterator[np.ndarray]:
        """Every frame in order, uint8 (size, size, 3), RGB."""
        return (self.frame(index) for index in range(self.frame_count))

    def frame(self, index: int) -> np.ndarray:
        """One frame, uint8 (size, size, 3), RGB.

        Raises:
            IndexError: there is no such frame.
        """
        self._check(index)
        return self._renderer.frame(index)

    def true_flow(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """Where every skin pixel of one frame lies in another, head motion included.

        Args:
            first, second: frames.

        Returns:
            flow: float32 (size, size, 2), x right and y down, image px; 0 where undefined.
            mask: bool (size, size), True on the skin and hair of the first frame.

        Raises:
            IndexError: there is no such frame.
        """
        self._check(first)
        self._check(second)
        return self._renderer.true_flow(first, second)

    def _check(self, index: int) -> None:
        if not 0 <= index < self.frame_count:
            raise IndexError(f"frame {index} of a clip of {self.frame_count} frames")


def make_clip(
    subject: SyntheticSubject,
    *,
    kind: Kind,
    emotion: str,
    seed: int,
    fps: Fraction = Fraction(200),
    settings: SyntheticSettings | None = None,
) -> SyntheticClip:
    """A clip of ``subject``: same arguments, same frames.

    Args:
        subject: from ``make_subject``.
        kind: "micro" or "macro".
        emotion: a word of ``facs.EMOTIONS``.
        seed: any non-negative integer.
        fps: frames per second.
        settings: what else happens.

    Raises:
        SettingsError: the FACS table has no such emotion.
    """
    return SyntheticClip(
        subject,
        kind=kind,
        emotion=emotion,
        seed=seed,
        fps=fps,
        settings=settings or SyntheticSettings(),
    )


def _course(
    length: int, begin: float, end: float, rise: float, hold: float, power: float
) -> np.ndarray:
    """Onset, apex, offset as one smooth curve of ``length + 1`` values from 0 over 1 to 0."""
    time = (np.linspace(0, 1, length + 1) - begin) / (1 - begin - end)
    up = np.clip(time / rise, 0, 1)
    down = np.clip((1 - time) / (1 - rise - hold), 0, 1)
    curve = (0.5 - 0.5 * np.cos(np.pi * up)) * (0.5 - 0.5 * np.cos(np.pi * down))
    return np.asarray(curve**power, np.float32)


def slow_curve(
    rng: np.random.Generator, time: np.ndarray, low_hz: float, high_hz: float
) -> np.ndarray:
    """A smooth random curve of about unit deviation between two frequencies."""
    hertz = rng.uniform(low_hz, high_hz, 4)
    phase = rng.uniform(0, 2 * np.pi, 4)
    weight = rng.normal(0, 1, 4)
    waves = np.sin(2 * np.pi * hertz[:, None] * time + phase[:, None])
    return np.asarray(weight @ waves / np.sqrt(2))
