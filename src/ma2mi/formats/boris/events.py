"""Puts the rows of our own projects together again: an event, its class, units, apex and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ma2mi.formats.annotation import (
    Annotation,
    AnnotationFile,
    face_number,
    of_lane,
    read_notes,
    read_words,
)
from ma2mi.formats.boris.ethogram import (
    APEX,
    APEX_SET,
    AUTHOR,
    CLASS_SET,
    DESCRIPTIONS,
    EVENT,
    NOTHING,
    UNITS_SET,
)
from ma2mi.formats.boris.pairs import CodedEvent

Coded = tuple[CodedEvent, CodedEvent, Annotation]
"""Start, stop, and the stretch between them on the clock of the video."""


class Ethogram:
    """What the codes of a project mean.

    Args:
        project: as BORIS keeps it, numbers as text.
    """

    def __init__(self, project: Mapping[str, Any]) -> None:
        self.behaviors: dict[str, Mapping[str, Any]] = {
            str(one.get("code")): one
            for one in as_dict(project.get("behaviors_conf")).values()
            if isinstance(one, dict)
        }
        self.is_ours = str(project.get("project_description") or "").startswith(AUTHOR)
        self._sets = {code: self._names(one) for code, one in self.behaviors.items()}

    @staticmethod
    def _names(behavior: Mapping[str, Any]) -> list[str]:
        sets = as_dict(behavior.get("modifiers"))
        return [str(as_dict(sets[number]).get("name")) for number in sorted(sets)]

    def is_apex(self, code: str) -> bool:
        return APEX_SET in self._sets.get(code, ())

    def kind(self, code: str) -> str | None:
        """The kind for which a code stands, "" for one of no kind; None: it is a coder's word."""
        base = of_lane(code, self.behaviors)
        described = self.is_ours and as_dict(self.behaviors.get(code)).get("description")
        if base in DESCRIPTIONS and (described or CLASS_SET in self._sets.get(code, ())):
            return "" if base == EVENT else base
        return None

    def chosen(self, event: CodedEvent) -> dict[str, str]:
        """What was chosen of each set of modifiers, "" where nothing was."""
        names = self._sets.get(event.label, [])
        values = event.modifiers.rsplit("|", len(names) - 1) if names else []
        return {
            name: "" if value == NOTHING else value
            for name, value in zip(names, values, strict=False)
        }

    def loosen(self, events: Sequence[CodedEvent]) -> list[CodedEvent]:
        """Rows of our own codes are paired without modifiers where BORIS could not pair them.

        A user who gives the start another class forgets the stop; events of one of our codes and
        subject do not overlap.
        """
        counts = Counter(one.state for one in events)
        odd = {state[:3] for state, count in counts.items() if count % 2}
        return [
            replace(one, state=one.state[:3])
            if one.state[:3] in odd and self.kind(one.label) is not None
            else one
            for one in events
        ]


def table_ethogram(events: Iterable[CodedEvent]) -> Ethogram:
    """What the codes of a table mean that BORIS exported from a project of ours."""
    chosen: dict[str, bool] = {}
    for one in events:
        chosen[one.label] = chosen.get(one.label, False) or bool(one.modifiers.strip("|"))
    behaviors = {}
    for code, has_modifiers in chosen.items():
        base = of_lane(code, chosen)
        names = [APEX_SET] if base == APEX else [CLASS_SET, UNITS_SET] if has_modifiers else []
        sets = {str(number): {"name": name} for number, name in enumerate(names)}
        behaviors[code] = {"code": code, "description": base, "modifiers": sets}
    return Ethogram({"project_description": AUTHOR, "behaviors_conf": behaviors})


def join(
    coded: Iterable[Coded], ethogram: Ethogram, source: AnnotationFile
) -> Iterator[Annotation]:
    """Annotations in the order of their ends; an event of ours has what its rows say of it."""
    found: list[Annotation] = []
    codes: list[str] = []
    apexes = []
    for start, stop, plain in coded:
        if ethogram.is_apex(start.label):
            apexes.append((start, plain))
        else:
            found.append(_annotation(start, stop, plain, ethogram, source))
            codes.append(start.label)
    for start, point in apexes:
        event = _event_around(point, ethogram.chosen(start).get(APEX_SET, ""), found, codes)
        if event is None:
            source.say(
                "warning",
                start.place,
                "is the apex of an event that is not there or that ends elsewhere",
                "Move it between the start and the stop in BORIS, or delete it",
            )
        else:
            found[event] = replace(found[event], apex_s=point.start_s)
    yield from found


def _annotation(
    start: CodedEvent,
    stop: CodedEvent,
    plain: Annotation,
    ethogram: Ethogram,
    source: AnnotationFile,
) -> Annotation:
    kind = ethogram.kind(start.label)
    chosen = ethogram.chosen(start)
    if kind is None and not (ethogram.is_ours or UNITS_SET in chosen):
        return plain
    if start.modifiers != stop.modifiers:
        source.say(
            "warning",
            start.place,
            f"starts with {start.modifiers!r} and stops with {stop.modifiers!r}; the first counts",
            "Give both rows the same modifiers in BORIS",
        )
    number, score, flags = read_notes(start.comment)
    label = "" if kind is not None else of_lane(start.label, ethogram.behaviors)
    aus = chosen.get(UNITS_SET, "").replace(",", "+")
    if kind is not None:
        label = chosen.get(CLASS_SET, "")
    if kind is not None and not chosen:  # class and units stood in the comment in earlier versions
        first, _, rest = start.comment.partition(";")
        words = read_words(first)
        if words.number is not None:
            number, label, aus = words.number, words.label, words.aus
            _, score, flags = read_notes(rest)
    face = face_number(start.subject)
    return replace(
        plain,
        label=label,
        aus=aus,
        kind=kind or "",
        face=face,
        subject=plain.subject if face is None else "",
        number=number,
        score=score,
        flags=flags,
    )


def _event_around(
    point: Annotation, code: str, found: Sequence[Annotation], codes: Sequence[str]
) -> int | None:
    """The event of that code in which an apex lies, else the shortest one, of the same subject."""
    face = face_number(point.subject)
    around = [
        at
        for at, one in enumerate(found)
        if one.start_s <= point.start_s < one.end_s
        and one.media == point.media
        and (one.face == face if face is not None else one.subject == point.subject)
        and one.apex_s is None
    ]
    of_code = [at for at in around if codes[at] == code]
    return min(of_code or around, key=lambda at: found[at].end_s - found[at].start_s, default=None)


def as_dict(value: object) -> Mapping[str, Any]:
    """A dictionary as it is, and an empty one for all else that may stand in a file."""
    return value if isinstance(value, dict) else {}
