"""Coded events: when two coders marked the same one, its class and its action units."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.evaluation.labels import plain_word
from ma2mi.evaluation.spotting import Pairs, match_most
from ma2mi.formats.action_units import parse_units
from ma2mi.formats.annotation import Annotation


class MatchSettings(BaseModel):
    """When two coders marked the same event.

    Args:
        iou: least intersection over union of their intervals, in (0, 1]; 0.5 is the field's for
            spotting (MEGC 2020).
        tolerance_s: instead, seconds by which onset and offset may differ, each; None: by IoU.
        step_s: seconds of a frame, for agreement per frame.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    iou: float = Field(0.5, gt=0, le=1)
    tolerance_s: float | None = Field(None, gt=0)
    step_s: float = Field(0.01, gt=0, le=1)


def match_annotations(
    first: Sequence[Annotation], second: Sequence[Annotation], settings: MatchSettings
) -> Pairs:
    """Which annotations of one recording are of the same event, each in one pair at most.

    As many pairs as can be, and among those the ones that overlap most.

    Returns:
        positions in ``first`` and ``second``, rising in ``first``.
    """
    overlap = np.array([[overlap_of(one, other) for other in second] for one in first])
    overlap = overlap.reshape(len(first), len(second))
    if settings.tolerance_s is None:
        return match_most(overlap, overlap >= settings.iou)
    apart = np.array([[_apart_s(one, other) for other in second] for one in first])
    return match_most(overlap, apart.reshape(overlap.shape) <= settings.tolerance_s)


def overlap_of(one: Annotation, other: Annotation) -> float:
    """Intersection over union of two intervals of time, in [0, 1]; of equal points 1."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    whole = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return float(max(shared, Fraction(0)) / whole) if whole else 1.0


def _apart_s(one: Annotation, other: Annotation) -> float:
    """The larger difference of the two ends, seconds."""
    return float(max(abs(one.start_s - other.start_s), abs(one.end_s - other.end_s)))


def class_of(one: Annotation) -> str:
    """The class that an annotation names, in one spelling; "" without."""
    return plain_word(one.label)


def units_of(one: Annotation) -> frozenset[str]:
    """The numbers of its action units; side and strength do not count."""
    return frozenset("".join(filter(str.isdigit, code)) for code in parse_units(one.aus).codes)
