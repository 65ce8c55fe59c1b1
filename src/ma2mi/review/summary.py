"""What the page is given of a video: events, candidates, quality, and their words."""

from __future__ import annotations

from typing import Any

from ma2mi.motion.facs import ACTION_UNITS, EMOTIONS
from ma2mi.records import KINDS, Analysis, DetectedEvent
from ma2mi.review.actions import EVENT_KINDS, ReviewState, target_of
from ma2mi.review.movement import HEAD, LANES, lane_of
from ma2mi.review.recordings import ReviewedVideo
from ma2mi.review.sound import has_sound

ABSTAINS = (
    "The recognizer abstains: its probabilities are too even, or too unlike what it has seen, for "
    "an answer; they are what it leans to. The movement itself was measured."
)
SILENT = "The recognizer was not asked: it names expressions only, in recordings good enough."
LANE_NAMES = (*LANES, HEAD)
#: Further classes that a coder may name beside those of the recognizer.
MORE_CLASSES = ("others",)


def list_video(video: ReviewedVideo, state: ReviewState) -> dict[str, Any]:
    """One line of the list of videos: what it is, and how far its review is."""
    analysis = video.analysis
    expressions = [e for e in analysis.events if _is_expression(e)] if analysis else []
    decided = sum(
        bool(state.decisions[target].verdict)
        for target in map(target_of, expressions)
        if target in state.decisions
    )
    return {
        "number": video.number,
        "name": video.name,
        "analyzed": analysis is not None,
        "events": len(expressions),
        "decided": decided,
        "added": sum(decision.added for decision in state.decisions.values()),
    }


def describe_video(video: ReviewedVideo) -> dict[str, Any]:
    """Everything about a video that does not change while it is reviewed."""
    analysis = video.analysis
    width, height = video.size()
    times = video.times_s()
    cut = _cut(analysis)
    return {
        "number": video.number,
        "name": video.name,
        "source": str(video.path or (analysis.source if analysis else "")),
        "status": video.status,
        "problem": video.problem,
        "width": width,
        "height": height,
        "frames": len(times),
        "fps": analysis.fps if analysis else _rate(times),
        # Of a slow-motion file the sound does not fit the times.
        "sound": video.fps is None and video.path is not None and has_sound(video.path),
        "lanes": LANE_NAMES,
        "kinds": EVENT_KINDS,
        "classes": _classes(analysis),
        "unit_names": {unit.number: unit.name for unit in ACTION_UNITS.values()},
        "abstains": ABSTAINS,
        "silent": SILENT,
        "kind_words": KINDS,
        "quality": _quality(analysis),
        "faces": _faces(video),
        "events": [_event(e, cut) for e in analysis.events] if analysis else [],
        "candidates": [_event(e, cut) for e in analysis.candidates] if analysis else [],
        "version": analysis.version if analysis else "",
    }


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _classes(analysis: Analysis | None) -> list[str]:
    if analysis is None or not analysis.classes:
        return list(EMOTIONS)
    return [*analysis.classes, *(name for name in MORE_CLASSES if name not in analysis.classes)]


def _quality(analysis: Analysis | None) -> dict[str, Any] | None:
    if analysis is None:
        return None
    return {
        "level": analysis.level,
        "reasons": list(analysis.reasons),
        "notes": list(analysis.notes),
    }


def _faces(video: ReviewedVideo) -> list[dict[str, Any]]:
    table = video.movement
    if table is None:
        return []
    return [
        {"face": face, "floor_px": None if one.floor_px != one.floor_px else one.floor_px}
        for face, one in table.faces.items()
    ]


def _cut(analysis: Analysis | None) -> float:
    """The score that an event had to reach."""
    settings = analysis.settings.get("settings", {}) if analysis else {}
    least = settings.get("spotting", {}).get("least_score")
    if least is not None:
        return float(least)
    from ma2mi.spotting import SpottingSettings  # loads scipy's interpolation: 1 s before a page

    return SpottingSettings().cut


def _is_expression(event: DetectedEvent) -> bool:
    return event.kind in ("micro", "macro")


def _event(event: DetectedEvent, cut: float) -> dict[str, Any]:
    """A candidate as the page shows it; ``doubt`` is 1 where its score is the threshold."""
    reading = event.reading
    widest = max(cut, 1 - cut)
    return {
        "target": target_of(event),
        "number": event.event_id,
        "kind": event.kind,
        "face": event.face,
        "onset": event.onset,
        "apex": event.apex,
        "offset": event.offset,
        "duration_ms": event.duration_ms,
        "score": event.score,
        "multiple": event.floor_multiple,
        "regions": [region.replace("_", " ") for region in event.regions],
        "lanes": sorted({lane_of(region) for region in event.regions}),
        "flags": list(event.flags),
        "reason": event.reason,
        "label": event.emotion,
        "units": list(event.action_units),
        "doubt": 1 - abs(event.score - cut) / widest,
        "expression": _is_expression(event),
        "reading": None
        if reading is None
        else {
            "probabilities": reading.probabilities,
            "units": reading.action_units,
            "abstained": reading.abstained,
            "present": reading.expression,
            "intensity": reading.intensity,
        },
    }


def describe_state(state: ReviewState) -> dict[str, Any]:
    """A coder's decisions as the page holds them."""
    last = state.last
    return {
        "revision": state.revision,
        "last": None if last is None else {"kind": last.kind, "target": last.target},
        "ranges": [
            {"target": target, "onset": first, "offset": end}
            for target, (first, end) in state.ranges.items()
        ],
        "decisions": {
            target: {
                "verdict": one.verdict,
                "added": one.added,
                "onset": one.onset,
                "apex": one.apex,
                "offset": one.offset,
                "kind": one.event_kind,
                "label": one.label,
                "units": one.units,
                "confidence": one.confidence,
                "note": one.note,
            }
            for target, one in state.decisions.items()
        },
    }
