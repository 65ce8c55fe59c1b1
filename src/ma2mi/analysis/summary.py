"""The analysis of a whole video: faces, numbered events, candidates and notes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ma2mi._version import __version__
from ma2mi.analysis.stream import VideoAnalyzer
from ma2mi.records import Analysis, DetectedEvent, FaceFacts, Level
from ma2mi.video import (
    INTERLACED,
    inspect_video,
    needs_rate,
)
from ma2mi.video.times import picture_delay

TOO_POOR = "recording too poor to name a class"
LEVELS: tuple[Level, ...] = ("green", "amber", "red")


def summarise(
    analyzer: VideoAnalyzer,
    *,
    name: str,
    source: str,
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
    events: Iterable[DetectedEvent] = (),
) -> Analysis:
    """The analysis at the end; faces of poor quality get no reading.

    What has a reason against it goes to the candidates.

    Args:
        analyzer: after ``finish``.
        name, source, notes: as in the analysis.
        about: its settings.
        events: events and candidates, in any order; each kind is numbered anew by its onsets.
    """
    faces = {number: face.facts(analyzer.frames) for number, face in analyzer.faces.items()}
    decided, below = _number_events(events, faces)
    notes = (*notes, *_neutral_notes(analyzer), *_tracking_notes(analyzer))
    level, reasons = _overall_level(faces.values(), notes)
    recognizer = analyzer.recognizer
    return Analysis(
        name=name,
        source=source,
        version=__version__,
        width=analyzer.width,
        height=analyzer.height,
        fps=analyzer.fps,
        frames=analyzer.frames,
        start_s=float(analyzer.start_s or 0),
        duration_s=round(analyzer.last_s + 1 / analyzer.fps, 6),
        level=level,
        reasons=reasons,
        faces=tuple(faces.values()),
        events=decided,
        candidates=below,
        classes=recognizer.classes if recognizer else (),
        units=recognizer.units if recognizer else (),
        notes=notes,
        settings=about,
        **player_clock(Path(source), about.get("fps"), analyzer.start_s),
    )


def _number_events(
    events: Iterable[DetectedEvent], faces: Mapping[int, FaceFacts]
) -> tuple[tuple[DetectedEvent, ...], tuple[DetectedEvent, ...]]:
    """Events and candidates by rising onset, each numbered from 1."""
    ordered = sorted(events, key=lambda e: (e.onset, e.offset, e.face, e.event_id))
    decided: list[DetectedEvent] = []
    below: list[DetectedEvent] = []
    for event in ordered:
        if event.reason:
            below.append(replace(event, event_id=len(below) + 1, reading=None))
            continue
        if faces[event.face].level == "red":
            event = replace(event, reading=None, flags=(*event.flags, TOO_POOR))
        decided.append(replace(event, event_id=len(decided) + 1))
    return tuple(decided), tuple(below)


def _overall_level(
    faces: Collection[FaceFacts], notes: Iterable[str]
) -> tuple[Level, tuple[str, ...]]:
    """Level of the recording and its reasons: those of its best face."""
    # Others who pass by do not spoil a recording.
    best = min(faces, key=lambda one: (LEVELS.index(one.level), -one.frames), default=None)
    level, reasons = (best.level, best.reasons) if best else (LEVELS[-1], ("no face is seen",))
    if any(INTERLACED in note for note in notes):
        level = max(level, LEVELS[1], key=LEVELS.index)
        reasons = (*reasons, "the video is interlaced")
    return level, reasons


def _neutral_notes(analyzer: VideoAnalyzer) -> Iterator[str]:
    """In which faces the stretch that was named neutral is known."""
    if stretch := analyzer.settings.spotting.neutral_s:
        where = "neutral from {:g} to {:g} s".format(*stretch)
        for number, face in analyzer.faces.items():
            known = "" if face.knows_neutral else ", where it was not seen for a whole second"
            yield f"face {number}: {where}{known}"


def player_clock(video: Path, fps: str | None, start_s: Fraction | None) -> dict[str, float]:
    """Offset and factor of a player's clock against that of the analysis."""
    if start_s is None or not video.is_file() or needs_rate(video):
        return {}
    slowed = Fraction(1)
    if fps:
        slowed = inspect_video(video, fps=Fraction(fps)).fps / inspect_video(video).fps
    delay_s = picture_delay(video, [start_s * slowed])
    return {"picture_s": round(float(delay_s), 6), "slowed": round(float(slowed), 6)}


def _tracking_notes(analyzer: VideoAnalyzer) -> tuple[str, ...]:
    """Notes on the subjects that events belong to."""
    tracker, notes = analyzer.tracker, []
    if tracker.cuts:
        cuts = "1 hard cut" if tracker.cuts == 1 else f"{tracker.cuts} hard cuts"
        notes.append(f"{cuts}: measuring starts anew after each, and no event spans one")
    if tracker.passed_over:
        many = tracker.passed_over
        faces = "1 further face was" if many == 1 else f"{many} further faces were"
        notes.append(
            f"{faces} seen at a time, but not followed: more than {tracker.most} (most_faces)"
        )
    return tuple(notes)
