"""Puts the annotations of our own tiers together again: an event, its apex, units and notes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ma2mi.formats.annotation import (
    Annotation,
    AnnotationFile,
    face_number,
    focal_subject,
    of_lane,
    read_notes,
    read_words,
)
from ma2mi.formats.eaf.tiers import APEX, NOTES, UNITS, role_of
from ma2mi.records import KINDS

_EARLIER_TYPE = "movement"
_EARLIER_TIER = re.compile(rf"face([0-9]+)\.({'|'.join(KINDS)}|{APEX})( \([0-9]+\))?")


class TierAnnotation(NamedTuple):
    """One annotation as it stands in its tier, in seconds of the video's clock.

    Args:
        tier: the element that holds it.
        name: its identifier.
        parent: the identifier of the annotation that it is about, "" if it has times of its own.
        place: in the file, for complaints.
    """

    tier: Element
    name: str
    parent: str
    start_s: Fraction
    end_s: Fraction
    words: str
    place: str

    @property
    def layer(self) -> str:
        return self.tier.get("TIER_ID", "")

    @property
    def role(self) -> str | None:
        return role_of(self.tier.get("LINGUISTIC_TYPE_REF"))

    @property
    def earlier(self) -> re.Match[str] | None:
        """Face and kind of a tier that ``analyze`` wrote in an earlier version."""
        is_ours = self.tier.get("LINGUISTIC_TYPE_REF") == _EARLIER_TYPE
        return _EARLIER_TIER.fullmatch(self.layer) if is_ours else None


def join(marks: Sequence[TierAnnotation], source: AnnotationFile) -> Iterator[Annotation]:
    """Annotations in the order of the file; each event has what our tiers say of it.

    An apex outside its event, and what is about an event that is gone, are left out with a
    warning: somebody moved or deleted the event.
    """
    about: dict[tuple[str, str], str] = {}
    apexes, events = [], []
    for mark in marks:
        if mark.role in (UNITS, NOTES):
            about.setdefault((mark.parent, mark.role), mark.words)
        elif mark.role == APEX or (mark.earlier and mark.earlier[2] == APEX):
            apexes.append(mark)
        else:
            events.append(mark)
    tiers = {mark.layer for mark in marks}
    found = [_annotation(mark, about, tiers, source) for mark in events]
    hosts = _Hosts(events, found)
    for apex in apexes:
        host = hosts.find(apex)
        if host is None:
            source.say(
                "warning",
                apex.place,
                "is the apex of an event that is not there or that ends elsewhere",
                "Move it between the onset and the offset in ELAN, or delete it",
            )
        elif found[host].apex_s is None:
            found[host] = replace(found[host], apex_s=apex.start_s)
    yield from found


def _annotation(
    mark: TierAnnotation, about: dict[tuple[str, str], str], tiers: set[str], source: AnnotationFile
) -> Annotation:
    layer = of_lane(mark.layer, tiers)
    shown = focal_subject(mark.tier.get("PARTICIPANT"))
    plain = Annotation(mark.start_s, mark.end_s, mark.words, layer, where=source.where(mark.place))
    if mark.earlier:
        words = read_words(mark.words)
        kind = words.kind or mark.earlier[2]
        one = replace(plain, label=words.label, aus=words.aus, kind=kind, number=words.number)
    elif mark.role is None:
        return replace(plain, subject=shown)
    else:
        aus = about.get((mark.name, UNITS), "")
        notes = read_notes(about.get((mark.name, NOTES), ""))
        layer = layer.removesuffix(f"@{mark.tier.get('PARTICIPANT', '')}.{mark.role}")
        one = replace(plain, layer=layer, aus=aus, kind=mark.role, **notes._asdict())
    by_layer = re.match(r"face([0-9]{1,4})\.", layer)
    face = int(by_layer[1]) if by_layer else face_number(shown)
    return replace(one, face=face, subject="" if face_number(shown) is not None else shown)


class _Hosts:
    """Finds the event to which an apex belongs, by its place in the list of events."""

    def __init__(self, events: Sequence[TierAnnotation], found: Sequence[Annotation]) -> None:
        self._events = events
        self._by_tier: dict[str, list[int]] = {}
        self._by_number: dict[tuple[str, int | None], int] = {}
        for at in sorted(range(len(events)), key=lambda at: events[at].start_s):
            self._by_tier.setdefault(events[at].layer, []).append(at)
            if earlier := events[at].earlier:
                self._by_number[earlier[1], found[at].number] = at

    def find(self, apex: TierAnnotation) -> int | None:
        """The event of the same number, or the one in which the apex lies; None: there is none."""
        if apex.earlier is None:
            return self._around(apex, apex.tier.get("PARENT_REF", ""))
        face, number = apex.earlier[1], read_words(apex.words).number
        if number is not None and (face, number) in self._by_number:
            at = self._by_number[face, number]
            return at if self._holds(at, apex) else None
        layers = [layer for layer in self._by_tier if layer.startswith(f"face{face}.")]
        around = (self._around(apex, layer) for layer in layers)
        return next((at for at in around if at is not None), None)

    def _around(self, apex: TierAnnotation, layer: str) -> int | None:
        inside = self._by_tier.get(layer, [])
        place = bisect_right(inside, apex.start_s, key=lambda at: self._events[at].start_s) - 1
        return inside[place] if place >= 0 and self._holds(inside[place], apex) else None

    def _holds(self, at: int, apex: TierAnnotation) -> bool:
        return self._events[at].start_s <= apex.start_s < self._events[at].end_s
