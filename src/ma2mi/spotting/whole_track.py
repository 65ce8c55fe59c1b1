"""All events of a movement track that is whole already."""

from __future__ import annotations

from ma2mi.spotting.records import MovementTrack, Spotted
from ma2mi.spotting.settings import SpottingSettings
from ma2mi.spotting.spotter import Spotter


def spot(track: MovementTrack, settings: SpottingSettings | None = None) -> list[Spotted]:
    """All events of a track, by rising onset: the streaming ``Spotter`` run over it.

    Raises:
        MotionError: times that do not rise, or displacements that are not finite where a face is.
    """
    return [one for one in spot_candidates(track, settings) if not one.reason]


def spot_candidates(
    track: MovementTrack, settings: SpottingSettings | None = None
) -> list[Spotted]:
    """Events and candidates below the thresholds, by rising onset; see :func:`spot`."""
    spotter, found = Spotter(settings), []
    names = list(track.regions)
    for row, time in enumerate(track.times_s):
        displacements = {name: tuple(track.regions[name][row]) for name in names}
        found += spotter.push(
            float(time),
            displacements if track.present[row] else None,
            openings=None if track.openings is None else tuple(track.openings[row]),
            frame=row if track.frames is None else int(track.frames[row]),
            head=None if track.head is None else tuple(track.head[row]),
            shape=None if track.shapes is None else track.shapes[row],
        )
    return sorted(found + spotter.finish(), key=lambda event: (event.onset, event.offset))
