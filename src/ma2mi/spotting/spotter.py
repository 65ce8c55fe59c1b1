"""The streaming spotter: places frame by frame in, events with bounded delay out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ma2mi.errors import MotionError
from ma2mi.spotting.blinks import _blinks, _without_blinks
from ma2mi.spotting.block import _Block, _shared
from ma2mi.spotting.pulses import _movements
from ma2mi.spotting.records import MovementTrack, Spotted
from ma2mi.spotting.settings import SpottingSettings
from ma2mi.spotting.speech import _Speech, _talking

Floats = NDArray[np.float64]


def spot(track: MovementTrack, settings: SpottingSettings | None = None) -> list[Spotted]:
    """All events of a track, by rising onset: the streaming ``Spotter`` run over it.

    Raises:
        MotionError: times that do not rise, or places that are not finite where a face is.
    """
    spotter, found = Spotter(settings), []
    names = list(track.regions)
    for row, time in enumerate(track.times_s):
        places = {name: tuple(track.regions[name][row]) for name in names}
        found += spotter.push(
            float(time),
            places if track.present[row] else None,
            openings=None if track.openings is None else tuple(track.openings[row]),
            frame=row if track.frames is None else int(track.frames[row]),
            head=None if track.head is None else tuple(track.head[row]),
        )
    return sorted(found + spotter.finish(), key=lambda event: (event.onset, event.offset))


class Spotter:
    r"""Takes places frame by frame and gives events with bounded delay and constant memory.

    ::

        place of a region            __
                             _______/  \____________/\/\/\___
        matched with            __-^-__              (speech)
        at ten widths            event
                                   |------ margin ------| hop |   told here

    Each region's place is correlated with swells of ten widths that are blind to constants and to
    steady drift. The person's own noise floor is, at each width and region, what most seconds of
    the last minute and a half stay at, or that of a stretch that is known to be neutral.
    Responses in floors are put together over the strongest regions; tops over time and width are
    candidates, the highest first. Onset and offset are the feet of the movement projected on the
    way it goes.

    Blinks are read off the opening of the eyes, speech off repeated movement of the mouth.

    Args:
        settings: by default ``SpottingSettings()``.

    Attributes:
        knows_neutral: the noise floor is that of the named neutral stretch.
    """

    def __init__(self, settings: SpottingSettings | None = None) -> None:
        self.settings = settings or SpottingSettings()
        self._names: tuple[str, ...] = ()
        self._floors: deque[Floats] = deque()
        self.knows_neutral = False
        self._step_s = 0.0
        self._count = 0
        self._open_eye: deque[float] = deque()
        self._forget()

    def _forget(self) -> None:
        self._rows: list[_Row] = []
        self._decided_s = -np.inf
        self._told: list[tuple[float, float]] = []
        self._speaking: _Speech | None = None

    def push(
        self,
        time_s: float | Fraction,
        regions_px: Mapping[str, Sequence[float]] | None,
        present: bool = True,
        *,
        openings: Sequence[float] | None = None,
        frame: int | None = None,
        head: Sequence[float] | None = None,
    ) -> list[Spotted]:
        """Take the next frame; return the events that are decided by now.

        Args:
            time_s: rises from frame to frame; the frame rate may vary.
            regions_px: each region's place (right, down); always the same names. None is no face.
            present: False is no face, too.
            openings: of eyes and mouth (``face.movement.openings``), if measured.
            frame: its number; by default frames pushed are counted. Numbers may leave frames out.
            head: where it has gone (right, down), px of the crop, if measured.

        Raises:
            MotionError: a time that does not rise, other regions than before, no finite place.
        """
        time, number = float(time_s), self._count if frame is None else frame
        self._count += 1
        if self._rows and time <= self._rows[-1].time_s:
            raise MotionError(f"time {time:g} s does not rise", where=f"frame {number}")
        found: list[Spotted] = []
        if self._rows and time - self._rows[-1].time_s > self._longest_gap():
            found = self._flush()
        if regions_px is None or not present:
            return found
        names = tuple(regions_px)
        if self._names and names != self._names:
            raise MotionError("other regions than before", where=f"frame {number}")
        self._names = names
        places = np.array([regions_px[name] for name in names], np.float64)
        if places.shape != (len(names), 2) or not np.isfinite(places).all():
            raise MotionError("places must be finite pairs", where=f"frame {number}")
        eye, mouth = openings if openings is not None else (np.nan, np.nan)
        x, y = head if head is not None else (0.0, 0.0)
        self._rows.append(_Row(time, number, places, float(eye), float(mouth), complex(x, y)))
        if not np.isfinite(self._decided_s):
            self._decided_s = time
        if time - self._decided_s >= self.settings.delay_s:
            found += self._decide(time - self.settings.margin_s)
        return found

    def finish(self) -> list[Spotted]:
        """The events still undecided at the end; then the spotter may start on another stretch."""
        return self._flush()

    def _longest_gap(self) -> float:
        return max(self.settings.gap_s, 2.5 * self._step_s)

    def _flush(self) -> list[Spotted]:
        found = self._decide(np.inf) if len(self._rows) >= 8 else []
        self._forget()
        return found

    def _decide(self, until_s: float) -> list[Spotted]:
        """Events with an apex in [decided, until); older rows are dropped."""
        settings, since_s = self.settings, self._decided_s
        block = self._block()
        inside = (block.times >= since_s) & (block.times < until_s)
        self._remember(block, inside)
        floor = np.quantile(np.stack(self._floors), 0.5, axis=0)
        eye = np.concatenate([list(self._open_eye), block.eye])
        blinks = _blinks(block, float(np.nanmedian(eye)), settings) if block.has_openings else []
        talking = _talking(block, settings) if block.has_openings else np.zeros(len(block.times))
        found = [
            Spotted(*block.frames_of(*times), "blink", score, 0.0, ())
            for *times, score in blinks
            if since_s <= times[1] < until_s
        ]
        found += self._utterances(block, talking > 0, inside, last=not np.isfinite(until_s))
        near = (block.times > since_s - 2.5) & (block.times < until_s + 2.5)
        for movement in _movements(block, floor, blinks, talking > 0, near, settings):
            if not since_s <= movement.apex_s < until_s:
                continue
            if any(_shared(movement.interval, told) > 0.3 for told in self._told):
                continue
            self._told.append(movement.interval)
            found.append(movement.told(block, self._names, settings))
        self._told = [told for told in self._told if told[1] > since_s - settings.margin_s]
        keep = until_s - settings.margin_s
        self._rows = [row for row in self._rows if row.time_s >= keep]
        self._decided_s = until_s
        return sorted(found, key=lambda event: (event.onset, event.offset))

    def _block(self) -> _Block:
        """The rows on an even grid: filters need one, variable frame rates have none."""
        times = np.array([row.time_s for row in self._rows])
        if not self._step_s:
            self._step_s = max(float(np.median(np.diff(times))), 0.01)
        # On multiples of the step, so that one and the same moment has one grid in all blocks.
        first, last = np.ceil(times[0] / self._step_s), np.floor(times[-1] / self._step_s)
        even = np.arange(first, last + 1) * self._step_s
        flat = np.stack([row.places.ravel() for row in self._rows])
        places = np.stack([np.interp(even, times, column) for column in flat.T], axis=1)
        eye, mouth, head = (
            np.interp(even, times, [getattr(row, name) for row in self._rows])
            for name in ("eye", "mouth", "head")
        )
        places = places.reshape(len(even), len(self._names), 2)
        masked = _without_blinks(places, eye, self._names, self._usual_eye(eye), self.settings)
        frames = np.array([row.frame for row in self._rows])
        return _Block(even, masked, eye, mouth, head, self._step_s, times, frames, self._names)

    def _usual_eye(self, eye: Floats) -> float:
        return float(np.median(np.concatenate([list(self._open_eye), eye])))

    def _remember(self, block: _Block, inside: NDArray[np.bool_]) -> None:
        """Add the noise of these seconds to the memory, and forget the oldest."""
        length = max(1, round(1.0 / block.step_s))
        where = np.flatnonzero(inside)
        memory = max(1, round(self.settings.floor_memory_s))
        for start in range(0, len(where), length):
            rows = where[start : start + length]
            if named := self._is_named(block.times[rows]):
                if not self.knows_neutral:
                    self._floors.clear()
                    self._open_eye.clear()
                self.knows_neutral = True
            if self.knows_neutral and not named:
                continue
            power = np.square(block.responses[:, rows]).sum(axis=-1)  # [scales, rows, regions]
            # The median of the squared length of a Gaussian pair is 2 ln 2 variances.
            self._floors.append(np.sqrt(np.median(power, axis=1) / (2 * np.log(2))))
            self._open_eye.append(float(np.median(block.eye[rows])))
        while len(self._floors) > memory and not self.knows_neutral:
            self._floors.popleft()
            self._open_eye.popleft()

    def _is_named(self, times: Floats) -> bool:
        """Whether these times lie in the stretch that the user calls neutral."""
        stretch = self.settings.neutral_s
        return bool(stretch and stretch[0] <= times[0] and times[-1] <= stretch[1])

    def _utterances(
        self, block: _Block, talking: NDArray[np.bool_], inside: NDArray[np.bool_], last: bool
    ) -> list[Spotted]:
        """Stretches of talking, put together over the blocks; long ones are cut, to bound delay."""
        found = []
        for row in np.flatnonzero(inside):
            now = float(block.times[row])
            if talking[row]:
                wide = float(block.mouth[row])
                if self._speaking is None:
                    self._speaking = _Speech(now, now, now, wide)
                self._speaking.end_s = now
                if wide > self._speaking.widest:
                    self._speaking.widest, self._speaking.widest_s = wide, now
            if self._speaking is not None:
                length = self._speaking.end_s - self._speaking.start_s
                if not talking[row] or length > 10.0:
                    found.append(self._speaking.told(block))
                    self._speaking = None
        if last and self._speaking is not None:
            found.append(self._speaking.told(block))
            self._speaking = None
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    time_s: float
    frame: int
    places: Floats
    eye: float
    mouth: float
    head: complex  # x + iy
