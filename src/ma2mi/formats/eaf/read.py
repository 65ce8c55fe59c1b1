"""Reads ELAN's annotation documents: EAF 2.7 to 3.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, AnnotationFile
from ma2mi.formats.cells import parse_number, read_bytes, shorten
from ma2mi.formats.eaf.events import TierAnnotation, join
from ma2mi.formats.eaf.tiers import NOTES, UNITS, role_of

_UNITS_S = {
    "milliseconds": Fraction(1, 1000),
    "PAL-frames": Fraction(1, 25),
    "NTSC-frames": Fraction(1001, 30000),
}
_MOST_PARENTS = 100  # tiers above a tier

Times = Mapping[str, Fraction]
"""Time slot to seconds; unaligned slots are missing."""


def read_elan(source: AnnotationFile) -> Iterator[Annotation]:
    """Every annotation of a document, tier by tier.

    Unaligned slots lie evenly between their aligned neighbours of the tier, and
    annotations that subdivide another one share its time evenly, as ELAN shows them. What our own
    tiers say of an event (``eaf_document``) comes with it, also from documents of ``analyze`` as
    earlier versions wrote them.

    Raises:
        CorpusError: it is no ELAN document.
    """
    root = _document(source)
    unit_s = _UNITS_S[_time_units(source, root)]
    media, others = _media(source, root)
    order, times = _slots(source, root, unit_s)
    known: dict[str, tuple[Element, str]] = {}
    tiers = [(tier, tier.get("TIER_ID", "")) for tier in root.iter("TIER")]
    for tier, layer in tiers:
        for one in _annotations(tier):
            known.setdefault(one.get("ANNOTATION_ID", ""), (one, layer))
    by_tier: dict[str, Times] = {
        layer: {**times, **_between(tier, order, times, source, layer)} for tier, layer in tiers
    }
    parts = {}
    for tier, _ in tiers:
        parts.update(_parts(tier))
    marks = []
    for tier, layer in tiers:
        for one in _annotations(tier):
            name = one.get("ANNOTATION_ID", "")
            place = f"tier {layer}, annotation {name}"
            try:
                start_s, end_s = _ends(one, layer, known, by_tier, parts, source, place)
            except CorpusError as error:
                # What is about an event goes with it: another program than ELAN may leave it.
                is_part = role_of(tier.get("LINGUISTIC_TYPE_REF")) in (UNITS, NOTES)
                source.note(error, "warning" if is_part else "error")
                continue
            words = (one.findtext("ANNOTATION_VALUE") or "").strip()
            parent = one.get("ANNOTATION_REF", "")
            span = (start_s + media[1], end_s + media[1])
            marks.append(TierAnnotation(tier, name, parent, *span, words, place))
    for found in join(marks, source):
        yield replace(found, media=media[0], others=others)


def _document(source: AnnotationFile) -> Element:
    content = read_bytes(source.file)
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise source.error("", f"is no XML ({error})", "Save it in ELAN") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise source.error("", f"is no ELAN document but {shorten(root.tag)}", "Save it in ELAN")
    return root


def _time_units(source: AnnotationFile, root: Element) -> str:
    header = root.find("HEADER")
    units = (header.get("TIME_UNITS") if header is not None else None) or "milliseconds"
    if units not in _UNITS_S:
        raise source.error("", f"counts in {shorten(units)!r}", f"Known are {', '.join(_UNITS_S)}")
    return units


def _media(
    source: AnnotationFile, root: Element
) -> tuple[tuple[str, Fraction], tuple[tuple[str, Fraction], ...]]:
    """The first video with what its own clock is ahead, and the others against the first."""
    found = []
    for one in root.findall("HEADER/MEDIA_DESCRIPTOR"):
        if (one.get("MIME_TYPE") or "video").startswith("audio"):
            continue
        name = one.get("RELATIVE_MEDIA_URL") or one.get("MEDIA_URL") or ""
        origin = (one.get("TIME_ORIGIN") or "0").strip()
        if not re.fullmatch(r"-?[0-9]{1,10}", origin):
            source.say("error", f"media {name}", f"its origin {shorten(origin)!r} is no number")
            continue
        is_video = (one.get("MIME_TYPE") or "video").startswith("video")
        found.append((not is_video, (name, Fraction(int(origin), 1000))))
    media = [one for _, one in sorted(found, key=lambda one: one[0])] or [("", Fraction(0))]
    first = media[0]
    return first, tuple((name, origin_s - first[1]) for name, origin_s in media[1:])


def _slots(source: AnnotationFile, root: Element, unit_s: Fraction) -> tuple[dict[str, int], Times]:
    """Every slot's place in the order, and the seconds of those that are aligned."""
    order: dict[str, int] = {}
    times: dict[str, Fraction] = {}
    for one in root.iter("TIME_SLOT"):
        name, value = one.get("TIME_SLOT_ID", ""), one.get("TIME_VALUE")
        if name in order:
            source.say("warning", f"time slot {name}", "is there twice; the first is taken")
            continue
        order[name] = len(order)
        if value is None or not value.strip():
            continue
        try:
            time_s = parse_number(value) * unit_s
        except ValueError:
            source.say("warning", f"time slot {name}", f"{shorten(value)!r} is no time")
            continue
        if 0 <= time_s < 10**7:
            times[name] = time_s
        else:
            source.say("warning", f"time slot {name}", f"{shorten(value)} is no time of a video")
    return order, times


def _annotations(tier: Element) -> Iterator[Element]:
    for holder in tier.findall("ANNOTATION"):
        yield from holder


def _between(
    tier: Element, order: dict[str, int], times: Times, source: AnnotationFile, layer: str
) -> Times:
    """The unaligned slots of a tier, evenly between those beside them."""
    named = (one.get(f"TIME_SLOT_REF{end}") for one in _annotations(tier) for end in (1, 2))
    slots = sorted({slot for slot in named if slot in order}, key=order.__getitem__)
    aligned = [at for at, slot in enumerate(slots) if slot in times]
    found: dict[str, Fraction] = {}
    for first, last in pairwise(aligned):
        for at in range(first + 1, last):
            share = Fraction(at - first, last - first)
            begin, end = times[slots[first]], times[slots[last]]
            found[slots[at]] = begin + share * (end - begin)
    if found:
        source.say(
            "note",
            f"tier {layer}",
            f"{len(found)} unaligned times lie evenly between their neighbours, as in ELAN",
            "Align them in ELAN if they matter",
        )
    return found


def _parts(tier: Element) -> dict[Element, tuple[int, int]]:
    """Which part of how many an annotation is of the one that it subdivides."""
    groups: dict[str, list[Element]] = {}
    for one in _annotations(tier):
        if one.tag == "REF_ANNOTATION":
            groups.setdefault(one.get("ANNOTATION_REF", ""), []).append(one)
    parts = {}
    for group in groups.values():
        after = {one.get("PREVIOUS_ANNOTATION"): one for one in group}
        chain: list[Element] = []
        key = None
        while key in after:
            chain.append(after.pop(key))
            key = chain[-1].get("ANNOTATION_ID")
        for place, one in enumerate(chain if len(chain) == len(group) else group):
            parts[one] = (place, len(group))
    return parts


def _ends(
    one: Element,
    layer: str,
    known: dict[str, tuple[Element, str]],
    by_tier: dict[str, Times],
    parts: dict[Element, tuple[int, int]],
    source: AnnotationFile,
    place: str,
) -> tuple[Fraction, Fraction]:
    """When an annotation begins and ends, seconds on ELAN's clock.

    Raises:
        CorpusError: it refers to none with times, to itself by a circle, or ends too early.
    """
    shares = []
    seen: set[str] = set()
    while one.tag == "REF_ANNOTATION":
        shares.append(parts.get(one, (0, 1)))
        parent = one.get("ANNOTATION_REF", "")
        if parent in seen or len(seen) >= _MOST_PARENTS:
            what = "refers to itself by a circle" if parent in seen else "is nested too deep"
            raise source.error(place, what, "Correct it in ELAN")
        seen.add(parent)
        if parent not in known:
            raise source.error(
                place, f"refers to {shorten(parent)!r}, which is not there", "Correct it in ELAN"
            )
        one, layer = known[parent]
    slots = [one.get(f"TIME_SLOT_REF{end}", "") for end in (1, 2)]
    times = by_tier.get(layer, {})
    if missing := [slot for slot in slots if slot not in times]:
        raise source.error(place, f"has no time (slot {missing[0]!r})", "Align it in ELAN")
    start_s, end_s = (times[slot] for slot in slots)
    source.rise(start_s, end_s, place)
    for at, count in reversed(shares):
        step_s = (end_s - start_s) / count
        start_s, end_s = start_s + at * step_s, start_s + (at + 1) * step_s
    return start_s, end_s
