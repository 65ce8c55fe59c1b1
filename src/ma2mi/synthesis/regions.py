"""Where a synthetic expression moves the face: the ground truth of an attention map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ma2mi.synthesis.basis import TRACKS, subject_fields
from ma2mi.synthesis.clip import SyntheticClip

#: Of the largest movement: what moves so much belongs to the region that moves.
MOVES = 0.3
#: Cells that the crop's edge is left out for: what lies beyond it, the crop does not show.
EDGE = 4


def expression_field(clip: SyntheticClip) -> NDArray[np.float32]:
    """How far the expression moves the skin from onset to apex, [64, 64] over the aligned crop.

    In percent of the crop's side. Blinks, gaze and speech meanwhile are left out: of the tracks
    those of the expression's own action units count.
    """
    own = {"".join(c for c in unit if c.isdigit()) for unit in clip.action_units}
    fields = subject_fields(clip.subject)
    total = np.zeros(fields.shape[1:], np.float32)
    for (number, side), track in clip.tracks.items():
        if number in own:
            at = TRACKS.index(("45" if number == "43" else number, side))
            total += float(track[clip.apex] - track[clip.onset]) * fields[at]
    return np.asarray(np.hypot(total[0], total[1]))


def moves_at(clip: SyntheticClip, place: tuple[float, float], *, margin: float = 8 / 7) -> bool:
    """Whether a place of a network's input lies in the region that the expression moves.

    Args:
        clip: the ground truth.
        place: x and y as shares of the input's side.
        margin: side of the aligned crop over that of the input, which is its middle.
    """
    field = expression_field(clip)
    side = len(field)
    x, y = (((p - 0.5) / margin + 0.5) * side for p in place)
    largest = field[EDGE : side - EDGE, EDGE : side - EDGE].max()
    there = field[int(np.clip(y, 0, side - 1)), int(np.clip(x, 0, side - 1))]
    return bool(there >= MOVES * largest)
