"""Movements that landmarks show: excursions, and held movements that flow shows, too."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ma2mi.motion.shape import Shape
from ma2mi.spotting.excursions import Excursion, displacement, find_excursions, with_flow
from ma2mi.spotting.history import LEAST_SHAPES, History
from ma2mi.spotting.holds import Hold, Landmarks, Step, find_holds
from ma2mi.spotting.settings import KEPT, SpottingSettings


def excursions_by_landmarks(
    shapes: Collection[tuple[float, Shape]],
    history: History,
    names: tuple[str, ...],
    settings: SpottingSettings,
) -> list[Excursion]:
    """Excursions by rising onset, each with the share that flow shows; [] of too few shapes."""
    if len(shapes) < LEAST_SHAPES:
        return []
    moved = displacement(
        np.array([time for time, _ in shapes]),
        np.array([shape.positions for _, shape in shapes]),
        np.array([shape.turn for _, shape in shapes]),
        np.array([shape.mouth for _, shape in shapes]),
        np.array([shape.width for _, shape in shapes]),
        settings.neutral_s,
    )
    found = find_excursions(
        moved,
        names,
        least=KEPT * settings.excursion_threshold,
        least_px=KEPT * settings.least_excursion_px,
    )
    return [with_flow(one, history.times, history.displacements) for one in found]


def holds_by_landmarks(
    shapes: Collection[tuple[float, Shape]],
    history: History,
    names: tuple[str, ...],
    settings: SpottingSettings,
) -> tuple[list[Hold], list[Step]]:
    """Held movements, and flanks that nothing has undone yet; none of too few shapes."""
    if len(shapes) < LEAST_SHAPES:
        return [], []
    landmarks = Landmarks(
        np.array([time for time, _ in shapes]),
        np.array([shape.positions for _, shape in shapes]),
        np.array([shape.turn for _, shape in shapes]),
    )
    return find_holds(
        history.times,
        history.displacements,
        names,
        landmarks,
        least=KEPT * settings.excursion_threshold,
        least_px=settings.least_px,
    )
