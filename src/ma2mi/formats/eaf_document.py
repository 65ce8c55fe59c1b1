"""ELAN: an annotation document, EAF 3.0 (Wittenburg et al. 2006; The Language Archive)."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

from ma2mi.formats.eaf import SCHEMA, free_tier, xml_text
from ma2mi.records import KINDS, Analysis, Event

EPOCH = "1970-01-01T00:00:00+00:00"  # the same input gives the same bytes, so no date of today
MIME = {".mp4": "video/mp4", ".mov": "video/quicktime", ".mpg": "video/mpeg"}


def write_elan(analysis: Analysis, folder: Path) -> list[Path]:
    """``NAME.eaf``: one tier for each face and kind, and one for the apexes of a face.

    Annotations of one tier never overlap in ELAN; where two events of a kind do, the second goes
    to a tier "... (2)". Times count from the start of the file, as ELAN's do. The video is named
    by its address and by the way to it from ``folder``.
    """
    tiers = _tiers(analysis)
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"ma2mi {analysis.version}",
            "DATE": EPOCH,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            **SCHEMA,
        },
    )
    header = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    source = Path(analysis.source)
    if source.is_file():
        ET.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            {
                "MEDIA_URL": source.resolve().as_uri(),
                "RELATIVE_MEDIA_URL": xml_text(_way(folder, source)),
                "MIME_TYPE": MIME.get(source.suffix.lower(), "video/*"),
            },
        )
    count = sum(len(spans) for spans in tiers.values())
    used = ET.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    used.text = str(count)
    order = ET.SubElement(root, "TIME_ORDER")
    number = 0
    ends: list[tuple[int, ET.Element, str]] = []
    for tier, spans in tiers.items():
        element = ET.SubElement(
            root,
            "TIER",
            {
                "TIER_ID": xml_text(tier),
                "LINGUISTIC_TYPE_REF": "movement",
                "PARTICIPANT": tier.split(".")[0],
                "ANNOTATOR": "ma2mi",
            },
        )
        for begin, end, words in spans:
            number += 1
            holder = ET.SubElement(element, "ANNOTATION")
            annotation = ET.SubElement(
                holder,
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{number}"},
            )
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = xml_text(words)
            ends += [(begin, annotation, "TIME_SLOT_REF1"), (end, annotation, "TIME_SLOT_REF2")]
    # ELAN wants the slots in the order of their times.
    for place, (value, annotation, end_of) in enumerate(sorted(ends, key=lambda one: one[0]), 1):
        slot = {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(value)}
        ET.SubElement(order, "TIME_SLOT", slot)
        annotation.set(end_of, f"ts{place}")
    ET.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {
            "LINGUISTIC_TYPE_ID": "movement",
            "TIME_ALIGNABLE": "true",
            "GRAPHIC_REFERENCES": "false",
        },
    )
    path = folder / f"{analysis.name}.eaf"
    ET.indent(root)
    path.write_bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    return [path]


def _tiers(analysis: Analysis) -> dict[str, list[tuple[int, int, str]]]:
    """Tier to (begin ms, end ms, words), in order of time."""
    tiers: dict[str, list[tuple[int, int, str]]] = {
        f"face{face.face_id}.{kind}": [] for face in analysis.faces for kind in (*KINDS, "apex")
    }
    for event in analysis.events:
        face = f"face{event.face_id}"
        _put(tiers, f"{face}.{event.kind}", event.onset_s, event.offset_s, analysis, event)
        _put(tiers, f"{face}.apex", event.apex_s, event.apex_s, analysis, event)
    return tiers


def _put(
    tiers: dict[str, list[tuple[int, int, str]]],
    tier: str,
    first_s: float,
    last_s: float,
    analysis: Analysis,
    event: Event,
) -> None:
    begin = round(1000 * analysis.player_s(first_s))
    end = max(round(1000 * analysis.player_s(last_s + analysis.frame_s)), begin + 1)
    spans = {name: [(one[0], one[1]) for one in found] for name, found in tiers.items()}
    place = free_tier(tier, (begin, end), spans)
    tiers.setdefault(place, []).append((begin, end, f"#{event.event_id} {event.words}"))


def _way(folder: Path, source: Path) -> str:
    """From a folder of results to a video, as ELAN writes it; "" where there is none."""
    try:
        way = Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return ""
    return way if way.startswith("../") else f"./{way}"
