"""Movements as candidates: frames, kind, regions and the evidence of each."""

from __future__ import annotations

import numpy as np

from ma2mi.records import DetectedKind
from ma2mi.spotting.assessment import Assessment
from ma2mi.spotting.block import Block
from ma2mi.spotting.excursions import Excursion
from ma2mi.spotting.history import History
from ma2mi.spotting.holds import Hold
from ma2mi.spotting.pulses import Pulse
from ma2mi.spotting.records import Spotted
from ma2mi.spotting.settings import SpottingSettings


def pulse_candidate(
    one: Pulse, assessment: Assessment, block: Block, settings: SpottingSettings
) -> Spotted:
    """The candidate that a movement pulse becomes."""
    frames = block.frames_of(one.onset_s, one.apex_s, one.offset_s)
    kind = _kind(one.offset_s - one.onset_s, settings)
    regions = tuple(block.names[index] for index in one.regions)
    return Spotted(
        kind,
        *frames,
        assessment.score,
        one.height,
        regions,
        one.features,
        assessment.flags,
        assessment.reason,
    )


def hold_candidate(
    one: Hold,
    assessment: Assessment,
    history: History,
    names: tuple[str, ...],
    settings: SpottingSettings,
) -> Spotted:
    """The candidate that a held movement becomes."""
    evidence = {
        "height": float(np.log(one.height)),
        "height_px": float(np.log(one.height_px / settings.eye_distance_px)),
        "duration": float(np.log(one.offset_s - one.onset_s)),
        "turned": one.turned,
        "landmark_share": one.landmark_share,
    }
    kind = _kind(one.offset_s - one.onset_s, settings)
    return _held(one, kind, evidence, assessment, history, names)


def excursion_candidate(
    one: Excursion,
    assessment: Assessment,
    history: History,
    names: tuple[str, ...],
    settings: SpottingSettings,
) -> Spotted:
    """The candidate that an excursion becomes."""
    evidence = {
        "height": float(np.log(one.height)),
        "height_px": float(np.log(one.height_px / settings.eye_distance_px)),
        "slow_height": float(np.log(max(one.slow_height, 1e-3))),
        "duration": float(np.log(max(one.offset_s - one.onset_s, 1e-3))),
        "rise": float(np.log(max(one.rise_s, 0.04))),
        "fall": float(np.log(max(one.fall_s, 0.04))),
        "turned": one.turned,
        "flow_share": one.flow_share,
    }
    cut = one.begun or one.lasts  # of unknown length, so it is not called brief
    kind = "macro" if cut else _kind(one.offset_s - one.onset_s, settings)
    return _held(one, kind, evidence, assessment, history, names)


def _held(
    one: Excursion | Hold,
    kind: DetectedKind,
    evidence: dict[str, float],
    assessment: Assessment,
    history: History,
    names: tuple[str, ...],
) -> Spotted:
    """The candidate of a movement that landmarks found."""
    frames, regions = _placed(one, history, names)
    return Spotted(
        kind,
        *frames,
        assessment.score,
        one.height,
        regions,
        evidence,
        assessment.flags,
        assessment.reason,
        by_landmarks=True,
    )


def _placed(
    one: Excursion | Hold, history: History, names: tuple[str, ...]
) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Frames of onset, apex and offset, and the regions that move, strongest first."""
    at = np.interp((one.onset_s, one.apex_s, one.offset_s), history.times, history.frames)
    onset, apex, offset = (round(float(frame)) for frame in at)
    height = np.hypot(*one.moving.T)
    order = [int(i) for i in np.argsort(-height, kind="stable")]
    regions = tuple(names[i] for i in order if height[i] >= 0.5 * height[order[0]])
    return (onset, min(max(apex, onset), offset), offset), regions


def _kind(duration_s: float, settings: SpottingSettings) -> DetectedKind:
    return "micro" if duration_s <= settings.micro_s else "macro"
