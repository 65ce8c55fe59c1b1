"""Marked stretches of time in the files of ELAN, BORIS and BIDS, and in tables: in and out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ma2mi.errors import CorpusError
from ma2mi.files import replace_file

TABLE = ("path", "subject", "start_s", "apex_s", "end_s", "emotion", "aus", "kind", "fps")
"""Columns of a table of one's own; start_s and end_s are needed, the others may be absent."""

_BIDS = ("onset", "duration", "trial_type", "apex", "aus", "kind", "stim_file")
_NOBODY = ("", "no focal subject", "n/a")
_HEADER_WITHIN = 40  # rows; older exports of BORIS begin with rows of text


@dataclass(frozen=True, slots=True)
class Annotation:
    """What somebody marked, in seconds of the video that they looked at.

    ::

        frames   |--0--|--1--|--2--|--3--|
        marked         [-----------)          frames 1 and 2

    Args:
        start_s, end_s: from the moment in which the first frame appears to the moment in which
            the last one disappears; both are the same for a point.
        label: the coder's word.
        layer: ELAN's tier, BORIS' behavioral category.
        media: the video's name or path as the file gives it, "" if it does not.
        subject: who is seen, "" if the file does not say.
        apex_s: a time within, None where nobody marked one.
        aus: FACS units as written.
        kind: "micro", "macro" or "".
        fps: frames per second of a folder of frames.
        where: file and place, for complaints.
    """

    start_s: Fraction
    end_s: Fraction
    label: str = ""
    layer: str = ""
    media: str = ""
    subject: str = ""
    apex_s: Fraction | None = None
    aus: str = ""
    kind: str = ""
    fps: Fraction | None = None
    where: str = ""

    @property
    def is_point(self) -> bool:
        return self.start_s == self.end_s


class NoAnnotations(CorpusError):
    """A table whose columns are none that hold annotations."""


def read_annotations(file: Path | str) -> list[Annotation]:
    """Every annotation of a file, in its order.

    Understood are ELAN (.eaf), BORIS projects (.boris) and their exports of events, tabular or
    aggregated (.csv, .tsv), BIDS (``_events.tsv``), and tables with the columns of ``TABLE``.

    Raises:
        NoAnnotations: a table with other columns.
        CorpusError: another file, or a cell is wrong.
    """
    file = Path(file)
    readers = {".eaf": _read_elan, ".boris": _read_boris, ".csv": _read_table, ".tsv": _read_table}
    if file.suffix.lower() not in readers:
        raise CorpusError(
            "is no file of annotations",
            where=file,
            cure=f"Known are {', '.join(readers)} of ELAN, BORIS, BIDS and tables of your own",
        )
    return list(readers[file.suffix.lower()](file))


def write_annotations(annotations: Sequence[Annotation], file: Path | str) -> None:
    """Write the annotations of one video, to a millisecond.

    ELAN and BORIS hold times, words and layers; an apex becomes a point "apex" of its own, and
    units and kind are left to the other two.

    Args:
        annotations: in order of time.
        file: ends in .eaf (ELAN), .boris, _events.tsv (BIDS) or .csv (``TABLE``); is replaced.

    Raises:
        CorpusError: another suffix.
    """
    file = Path(file)
    writers = {".eaf": _elan, ".boris": _boris, ".tsv": _bids, ".csv": _table}
    if file.suffix not in writers:
        raise CorpusError(
            "is no file of annotations", where=file, cure=f"Name it {', '.join(writers)}"
        )
    replace_file(file, writers[file.suffix](annotations).encode())


# -- ELAN ----------------------------------------------------------------------------------------


def _read_elan(file: Path) -> Iterator[Annotation]:
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise CorpusError(f"is no XML ({error})", where=file, cure="Save it in ELAN") from error
    media, origin = "", 0
    for one in reversed(root.findall("HEADER/MEDIA_DESCRIPTOR")):
        if one.get("MIME_TYPE", "video").startswith("video"):
            media = one.get("RELATIVE_MEDIA_URL") or one.get("MEDIA_URL") or ""
            origin = int(one.get("TIME_ORIGIN", 0))
    slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    known = {one.get("ANNOTATION_ID"): one for one in root.iter() if one.get("ANNOTATION_ID")}
    for tier in root.iter("TIER"):
        layer = tier.get("TIER_ID", "")
        for one in (element for holder in tier.findall("ANNOTATION") for element in holder):
            where = f"{file}, tier {layer}, annotation {one.get('ANNOTATION_ID')}"
            timed = one
            while timed.get("ANNOTATION_REF") in known:  # a comment on another annotation
                timed = known[timed.get("ANNOTATION_REF")]
            ends = [slots.get(timed.get(f"TIME_SLOT_REF{end}")) for end in (1, 2)]
            if None in ends:
                raise CorpusError("has no time", where=where, cure="Align it in ELAN")
            start_s, end_s = (Fraction(int(end or 0) + origin, 1000) for end in ends)
            yield Annotation(
                start_s,
                end_s,
                (one.findtext("ANNOTATION_VALUE") or "").strip(),
                layer,
                media,
                tier.get("PARTICIPANT", ""),
                where=where,
            )


def _elan(annotations: Sequence[Annotation]) -> str:
    root = ElementTree.Element("ANNOTATION_DOCUMENT", FORMAT="3.0", VERSION="3.0", AUTHOR="")
    root.set("DATE", "2000-01-01T00:00:00+00:00")  # the same marks give the same bytes
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    for media in dict.fromkeys(one.media for one in annotations):
        ElementTree.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            MEDIA_URL=media,
            MIME_TYPE="video/*",
            RELATIVE_MEDIA_URL=media,
        )
    # ELAN knows no points: they last a millisecond.
    flat = [
        (layer or "expression", label, round(1000 * start_s), round(1000 * end_s), subject)
        for layer, label, start_s, end_s, subject in _flat(annotations)
    ]
    flat = [(*one[:3], max(one[3], one[2] + 1), one[4]) for one in flat]
    times = sorted({time for one in flat for time in one[2:4]})
    slots = {time: f"ts{number}" for number, time in enumerate(times, 1)}
    order = ElementTree.SubElement(root, "TIME_ORDER")
    for time, slot in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
    tiers: dict[str, ElementTree.Element] = {}
    for number, (layer, label, start_ms, end_ms, subject) in enumerate(flat, 1):
        if layer not in tiers:
            tiers[layer] = ElementTree.SubElement(
                root, "TIER", TIER_ID=layer, PARTICIPANT=subject, LINGUISTIC_TYPE_REF="default-lt"
            )
        one = ElementTree.SubElement(
            ElementTree.SubElement(tiers[layer], "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{number}",
            TIME_SLOT_REF1=slots[start_ms],
            TIME_SLOT_REF2=slots[end_ms],
        )
        ElementTree.SubElement(one, "ANNOTATION_VALUE").text = label
    ElementTree.SubElement(
        root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true"
    )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


# -- BORIS ---------------------------------------------------------------------------------------


def _read_boris(file: Path) -> Iterator[Annotation]:
    try:
        project = json.loads(file.read_text(encoding="utf-8-sig"), parse_float=str)
        behaviors = {one["code"]: one for one in project["behaviors_conf"].values()}
        observations = project["observations"].items()
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CorpusError(
            f"is no BORIS project ({error})", where=file, cure="Save it in BORIS"
        ) from error
    for name, observation in observations:
        media: list[str] = next((some for some in observation.get("file", {}).values() if some), [])
        if len(media) > 1:
            raise CorpusError(
                f"plays {len(media)} videos one after the other",
                where=f"{file}, observation {name}",
                cure="Export its aggregated events as CSV, and read that",
            )
        events = (
            _Event(
                f"{file}, observation {name}, event {number}",
                _seconds(str(time), f"{file}, observation {name}, event {number}"),
                str(code),
                behaviors.get(code, {}).get("category") or "",
                media[0] if media else "",
                _who(subject),
                "POINT"
                if str(behaviors.get(code, {}).get("type", "")).lower().startswith("point")
                else "",
                modifiers=str(modifiers),
            )
            for number, (time, subject, code, modifiers, *_) in enumerate(
                observation.get("events", []), 1
            )
        )
        yield from _pair(events)


@dataclass(frozen=True, slots=True)
class _Event:
    """A moment in which a state begins or ends (which: by turns), or a point."""

    where: str
    time_s: Fraction
    label: str
    layer: str
    media: str
    subject: str
    kind: str
    modifiers: str = ""


def _pair(events: Iterator[_Event]) -> Iterator[Annotation]:
    """Starts and stops as stretches.

    Raises:
        CorpusError: a state that never ends.
    """
    running: dict[tuple[str, ...], _Event] = {}
    for event in sorted(events, key=lambda event: event.time_s):
        state = (event.media, event.subject, event.label, event.modifiers)
        start = event if event.kind == "POINT" else running.pop(state, None)
        if start is None:
            running[state] = event
            continue
        yield Annotation(
            start.time_s,
            event.time_s,
            event.label,
            event.layer,
            event.media,
            event.subject,
            where=start.where,
        )
    for event in running.values():
        raise CorpusError(
            f"{event.label!r} starts and never stops",
            where=event.where,
            cure="Fix unpaired events in BORIS",
        )


def _boris(annotations: Sequence[Annotation]) -> str:
    flat = list(_flat(annotations))
    codes = {label: (layer, start_s == end_s) for layer, label, start_s, end_s, _ in flat}
    events = sorted(
        (float(time), subject, label, "", "")
        for _, label, *ends, subject in flat
        for time in dict.fromkeys(ends)
    )
    people = dict.fromkeys(one.subject for one in annotations if one.subject)
    media = list(dict.fromkeys(one.media for one in annotations))
    project = {
        "project_format_version": "7.0",
        "project_name": "ma2mi",
        "time_format": "hh:mm:ss",
        "subjects_conf": {str(i): {"key": "", "name": name} for i, name in enumerate(people)},
        "behaviors_conf": {
            str(i): {
                "type": "Point event" if is_point else "State event",
                "key": "",
                "code": label,
                "category": layer,
                "modifiers": "",
            }
            for i, (label, (layer, is_point)) in enumerate(codes.items())
        },
        "observations": {
            "observation": {
                "file": {"1": media},
                "type": "MEDIA",
                "time offset": 0,
                "events": events,
            }
        },
    }
    return json.dumps(project, indent=1, ensure_ascii=False) + "\n"


# -- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a table, by the lower-case names of its columns."""

    file: Path
    number: int
    cells: Mapping[str, str]

    def text(self, *columns: str) -> str:
        """The first of the columns that is there and not empty."""
        texts = (self.cells.get(column, "").strip() for column in columns)
        return next((text for text in texts if text.lower() not in ("", "n/a")), "")

    def where(self, column: str = "") -> str:
        return f"{self.file}, row {self.number}" + (f", column {column}" if column else "")

    def time(self, *columns: str) -> Fraction:
        return _seconds(self.text(*columns), self.where(columns[0]))

    def time_or_none(self, column: str) -> Fraction | None:
        return self.time(column) if self.text(column) else None


def _read_table(file: Path) -> Iterator[Annotation]:
    readers: dict[frozenset[str], Callable[[list[_Row]], Iterator[Annotation]]] = {
        frozenset(("behavior", "start (s)", "stop (s)")): _aggregated,
        frozenset(("behavior", "behavior type", "time")): _tabular,
        frozenset(("behavior", "status", "time")): _tabular,
        frozenset(("onset", "duration")): _events,
        frozenset(("start_s", "end_s")): _own,
    }
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError("is not in UTF-8", where=file, cure="Save it as UTF-8") from error
    for delimiter in "\t,;":
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter))
        for at, line in enumerate(lines[:_HEADER_WITHIN]):
            header = [cell.strip().lower() for cell in line]
            reader = next((read for needed, read in readers.items() if needed <= set(header)), None)
            if reader:
                # Cells beyond the header, and blank lines, say nothing.
                rows = [
                    _Row(file, number, dict(zip(header, cells, strict=False)))
                    for number, cells in enumerate(lines[at + 1 :], at + 2)
                    if any(cells)
                ]
                return reader(rows)
    raise NoAnnotations(
        "has no columns that are known",
        where=file,
        cure="Known are onset, duration (BIDS), Behavior with Start (s), Stop (s) or Behavior "
        f"type, Time (BORIS), and {', '.join(TABLE)}",
    )


def _aggregated(rows: list[_Row]) -> Iterator[Annotation]:
    for row in rows:
        yield Annotation(
            row.time("start (s)"),
            row.time("stop (s)"),
            row.text("behavior"),
            row.text("behavioral category"),
            row.text("media file name", "media file", "media file path"),
            _who(row.text("subject")),
            where=row.where(),
        )


def _tabular(rows: list[_Row]) -> Iterator[Annotation]:
    return _pair(
        _Event(
            row.where(),
            row.time("time"),
            row.text("behavior"),
            row.text("behavioral category"),
            row.text("media file name", "media file", "media file path"),
            _who(row.text("subject")),
            row.text("behavior type", "status").upper(),
            row.text("modifiers", "modifier #1"),
        )
        for row in rows
    )


def _events(rows: list[_Row]) -> Iterator[Annotation]:
    for row in rows:
        start_s = row.time("onset")
        person = re.search(r"(?:^|_)sub-([A-Za-z0-9]+)_", row.file.name)
        yield Annotation(
            start_s,
            start_s + (row.time_or_none("duration") or 0),
            row.text("trial_type"),
            "trial_type",
            row.text("stim_file"),
            person[1] if person else "",
            row.time_or_none("apex"),
            row.text("aus"),
            row.text("kind"),
            where=row.where(),
        )


def _own(rows: list[_Row]) -> Iterator[Annotation]:
    for row in rows:
        yield Annotation(
            row.time("start_s"),
            row.time("end_s"),
            row.text("emotion"),
            "emotion",
            row.text("path"),
            row.text("subject"),
            row.time_or_none("apex_s"),
            row.text("aus"),
            row.text("kind"),
            row.time_or_none("fps"),
            row.where(),
        )


def _bids(annotations: Sequence[Annotation]) -> str:
    rows = [
        (one.start_s, one.end_s - one.start_s, one.label, one.apex_s, one.aus, one.kind, one.media)
        for one in annotations
    ]
    lines = [_BIDS, *([_cell(value) or "n/a" for value in row] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _table(annotations: Sequence[Annotation]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(TABLE)
    for one in annotations:
        row = (one.media, one.subject, one.start_s, one.apex_s, one.end_s, one.label, one.aus)
        table.writerow([_cell(value) for value in (*row, one.kind)] + [str(one.fps or "")])
    return text.getvalue()


# -- what they share -----------------------------------------------------------------------------


def _flat(annotations: Sequence[Annotation]) -> Iterator[tuple[str, str, Fraction, Fraction, str]]:
    """(layer, label, start, end, subject), an apex as a point of its own."""
    for one in annotations:
        yield one.layer, one.label, one.start_s, one.end_s, one.subject
        if one.apex_s is not None:
            yield "apex", "apex", one.apex_s, one.apex_s, one.subject


def _seconds(text: str, where: str) -> Fraction:
    """A number of seconds; a fraction and a comma for the point are fine.

    Raises:
        CorpusError: it is none.
    """
    try:
        return Fraction(text.replace(",", "."))
    except (ValueError, ZeroDivisionError) as error:
        raise CorpusError(
            f"{text!r} is no time in seconds", where=where, cure="Write such as 12.345"
        ) from error


def _cell(value: Any) -> str:
    """Times to a millisecond, the rest as it is."""
    if value is None:
        return ""
    return f"{float(value):.3f}" if isinstance(value, Fraction) else str(value)


def _who(subject: Any) -> str:
    text = str(subject or "").strip()
    return "" if text.lower() in _NOBODY else text
