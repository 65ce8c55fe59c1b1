"""Pairs the starts and stops of states, which BORIS keeps as rows of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from ma2mi.formats.annotation import AnnotationFile
from ma2mi.formats.cells import shorten


@dataclass(frozen=True, slots=True)
class CodedEvent:
    """A moment in which a state begins or ends, or a point.

    Args:
        place: in the file, for complaints.
        time_s: on the observation's clock.
        state: observation, subject, behavior, modifiers: what is paired.
        role: "START", "STOP", "POINT", or "" for a state that begins and ends by turns.
    """

    place: str
    time_s: Fraction
    label: str
    layer: str
    subject: str
    state: tuple[str, ...]
    role: str
    media: str = ""
    modifiers: str = ""
    comment: str = ""


def pair_events(
    events: Iterable[CodedEvent], source: AnnotationFile
) -> Iterator[tuple[CodedEvent, CodedEvent]]:
    """Starts with their stops, points twice; what has no other half is named."""
    running: dict[tuple[str, ...], CodedEvent] = {}

    def lose(event: CodedEvent, what: str) -> None:
        source.say("error", event.place, f"{shorten(event.label)!r} {what}", "Fix unpaired events")

    for event in sorted(events, key=lambda event: (event.time_s, event.role == "START")):
        if event.role == "POINT":
            yield event, event
        elif event.role == "STOP" or (event.role == "" and event.state in running):
            if start := running.pop(event.state, None):
                yield start, event
            else:
                lose(event, "stops and never started")
        else:
            if before := running.pop(event.state, None):
                lose(before, "starts and never stops")
            running[event.state] = event
    for event in running.values():
        lose(event, "starts and never stops")
