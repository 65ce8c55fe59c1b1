"""Writes ELAN's annotation documents: EAF 3.0."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ma2mi.formats.annotation import Annotation, Span, free_lane
from ma2mi.formats.eaf.tiers import APEX, NOTES, UNITS, type_of
from ma2mi.records import EXPRESSIONS

EPOCH = "1970-01-01T00:00:00+00:00"  # the same input gives the same bytes, so no date of today
APEX_MS = 40  # ELAN knows no points: long enough to be seen and clicked
_DEFAULT_TIER = "expression"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA = {
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
}
"""What other readers, pympi among them, want a document to say of itself."""

_CONSTRAINTS = {
    type_of(APEX): "Included_In",
    type_of(UNITS): "Symbolic_Association",
    type_of(NOTES): "Symbolic_Association",
}
_STEREOTYPES = {
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps "
    "are allowed",
}  # as ELAN words them


class ElanMedia(NamedTuple):
    """A video: its address, the way to it from the document, its MIME type."""

    address: str
    way: str
    mime: str = "video/*"


class Tier(NamedTuple):
    """What annotations of one tier share; ``subject`` is ``Annotation.shown``."""

    layer: str
    subject: str
    kind: str = ""


def xml_text(text: str) -> str:
    """Text that XML can hold: characters that it forbids become U+FFFD."""
    return _NO_XML.sub("\ufffd", text)


def eaf_document(
    annotations: Sequence[Annotation],
    media: Iterable[ElanMedia] = (),
    *,
    author: str = "",
    tiers: Iterable[Tier] = (),
) -> bytes:
    """The annotations of one video as a document, to a millisecond.

    ::

        face0.micro                |--- negative ---|    the class; the tier's type tells the kind
        face0.micro.apex                 |---|           within its event (Included_In)
        face0.micro.action_units   |--- AU4+AU7 ----|    of its event (Symbolic_Association), ...
        face0.micro.notes          |- #2; score 0.75 |   ... with which ELAN moves and deletes it

    Annotations of one tier never overlap in ELAN; one that does goes to a tier "... (2)".

    Args:
        annotations: in any order.
        media: of the document; by default those that the annotations name.
        author: of the document; its first word is the annotator of every tier.
        tiers: are there even if they are empty; those of expressions with tiers for apex and
            units.
    """
    names = media or [ElanMedia(one, one) for one in dict.fromkeys(a.media for a in annotations)]
    root = ET.Element("ANNOTATION_DOCUMENT", {"AUTHOR": xml_text(author), "DATE": EPOCH})
    for name, value in ({"FORMAT": "3.0", "VERSION": "3.0"} | _SCHEMA).items():
        root.set(name, value)
    header = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    for one in names:
        about = {"MEDIA_URL": one.address, "RELATIVE_MEDIA_URL": one.way, "MIME_TYPE": one.mime}
        ET.SubElement(header, "MEDIA_DESCRIPTOR", {k: xml_text(v) for k, v in about.items()})
    used = ET.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    body = _Body(root, xml_text(author.split()[0]) if author else "")
    for tier in tiers:
        body.open(tier)
    for annotation in sorted(annotations, key=lambda one: one.start_s):
        body.add(annotation)
    used.text = str(body.count)
    body.close()
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


class _Body:
    """Time slots, tiers and their types, as annotations come."""

    def __init__(self, root: ET.Element, annotator: str) -> None:
        self.root, self.annotator = root, annotator
        self.order = ET.SubElement(root, "TIME_ORDER")
        self.count = 0
        self._tiers: dict[str, ET.Element] = {}
        self._names: dict[Tier, str] = {}
        self._taken: dict[str, list[Span]] = {}
        self._ends: list[tuple[int, ET.Element, str]] = []

    def open(self, tier: Tier) -> str:
        """The name of the tier, which is there from now on."""
        name = self._name(tier)
        self._tier(name, tier, tier.kind)
        if tier.kind in EXPRESSIONS:
            self._tier(f"{name}.{APEX}", tier, APEX, name)
            self._tier(f"{name}.{UNITS}", tier, UNITS, name)
        return name

    def add(self, one: Annotation) -> None:
        """Write one annotation and what belongs to it."""
        begin = round(1000 * one.start_s)
        span = (begin, max(round(1000 * one.end_s), begin + 1))
        tier = Tier(one.layer, one.shown, one.kind)
        name = free_lane(self._name(tier), span, self._taken)
        event = self._aligned(self._tier(name, tier, one.kind), span, one.label)
        if one.apex_s is not None:
            apex = min(round(1000 * one.apex_s), span[1] - 1)
            within = self._tier(f"{name}.{APEX}", tier, APEX, name)
            self._aligned(within, (apex, min(apex + APEX_MS, span[1])), "apex")
        for role, words in ((UNITS, one.aus), (NOTES, one.notes)):
            if words:
                beside = self._tier(f"{name}.{role}", tier, role, name)
                self._annotation(beside, "REF_ANNOTATION", words).set("ANNOTATION_REF", event)

    def close(self) -> None:
        """Write slots in the order of their times, which ELAN wants, and types."""
        for place, (value, one, end) in enumerate(sorted(self._ends, key=lambda e: e[0]), 1):
            slot = {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(value)}
            ET.SubElement(self.order, "TIME_SLOT", slot)
            one.set(end, f"ts{place}")
        types = dict.fromkeys(t.get("LINGUISTIC_TYPE_REF", "") for t in self._tiers.values())
        stereotypes = {_CONSTRAINTS[name] for name in types if name in _CONSTRAINTS}
        for name in types or [type_of("")]:
            about = {
                "LINGUISTIC_TYPE_ID": name,
                "TIME_ALIGNABLE": str(_CONSTRAINTS.get(name) != "Symbolic_Association").lower(),
                "GRAPHIC_REFERENCES": "false",
            }
            if name in _CONSTRAINTS:
                about["CONSTRAINTS"] = _CONSTRAINTS[name]
            ET.SubElement(self.root, "LINGUISTIC_TYPE", about)
        for name, words in _STEREOTYPES.items():
            if name in stereotypes:
                about = {"STEREOTYPE": name, "DESCRIPTION": words}
                ET.SubElement(self.root, "CONSTRAINT", about)

    def _name(self, tier: Tier) -> str:
        """The layer; "layer@subject.kind" where another subject or kind has that tier."""
        if tier not in self._names:
            name = xml_text(tier.layer) or _DEFAULT_TIER
            if name in self._names.values():
                name += f"@{xml_text(tier.subject)}.{tier.kind}"
            self._names[tier] = name
        return self._names[tier]

    def _tier(self, name: str, tier: Tier, role: str, parent: str = "") -> ET.Element:
        if name not in self._tiers:
            about = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": type_of(role)}
            about["PARTICIPANT"] = xml_text(tier.subject)
            if self.annotator:
                about["ANNOTATOR"] = self.annotator
            if parent:
                about["PARENT_REF"] = parent
            self._tiers[name] = ET.SubElement(self.root, "TIER", about)
        return self._tiers[name]

    def _annotation(self, tier: ET.Element, tag: str, words: str) -> ET.Element:
        self.count += 1
        holder = ET.SubElement(tier, "ANNOTATION")
        one = ET.SubElement(holder, tag, {"ANNOTATION_ID": f"a{self.count}"})
        ET.SubElement(one, "ANNOTATION_VALUE").text = xml_text(words)
        return one

    def _aligned(self, tier: ET.Element, span: Span, words: str) -> str:
        one = self._annotation(tier, "ALIGNABLE_ANNOTATION", words)
        self._ends += [(span[0], one, "TIME_SLOT_REF1"), (span[1], one, "TIME_SLOT_REF2")]
        return one.get("ANNOTATION_ID", "")
