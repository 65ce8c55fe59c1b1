"""BORIS' projects (.boris, formats 1 to 7) and the events that it exports: in and out."""

from __future__ import annotations

import gzip
import io
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any

from ma2mi.errors import CorpusError
from ma2mi.formats.base import Annotation, Source, focal_subject
from ma2mi.formats.cells import LARGEST_BYTES, decode_text, parse_number, read_bytes, shorten
from ma2mi.formats.eaf import flat
from ma2mi.formats.sheets import Row

_NAMELESS = ("", "na", "n/a", "none", "nan")


@dataclass(frozen=True, slots=True)
class _Event:
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


@dataclass(frozen=True, slots=True)
class _Playlist:
    """Media that were played one after the other.

    Args:
        names: of the media.
        starts_s: when each begins, on the player's clock.
        end_s: when the last one ends; None if it is not known.
    """

    names: tuple[str, ...]
    starts_s: tuple[Fraction, ...]

    def place(self, start_s: Fraction, end_s: Fraction) -> tuple[str, Fraction] | None:
        """The media in which an interval lies and when that begins; None if it lies in two."""
        first = max(bisect_right(self.starts_s, start_s) - 1, 0)
        last = max(bisect_left(self.starts_s, end_s) - 1, first if end_s == start_s else 0)
        return (self.names[first], self.starts_s[first]) if first == last else None


# Projects


def read_boris(source: Source) -> Iterator[Annotation]:
    """Every stretch and point of a project's observations of media.

    Observations live and of pictures have no video; they are named, as are events that cannot be
    read and states that never stop.

    Raises:
        CorpusError: it is no BORIS project.
    """
    project = _project(source)
    behaviors = {}
    for one in _dict(project.get("behaviors_conf")).values():
        if isinstance(one, dict):
            behaviors[str(one.get("code"))] = one
    for name, observation in project["observations"].items():
        place = f"observation {name}"
        if not isinstance(observation, dict):
            source.say("error", place, "is no observation", "Save the project in BORIS")
            continue
        kind = str(observation.get("type") or "MEDIA").upper()
        if kind != "MEDIA":
            source.say(
                "warning",
                place,
                f"is {'live' if kind == 'LIVE' else shorten(kind.lower())}, not of a video",
                "Nothing to do if no video was coded in it",
            )
            continue
        try:
            playlists = _playlists(observation, source, place)
        except CorpusError as error:
            source.note(error)
            continue
        events = _events(observation, behaviors, source, name)
        for one in _pair(events, source):
            placed = _on_media(one, playlists, source)
            if placed:
                yield placed


def _project(source: Source) -> dict[str, Any]:
    content = read_bytes(source.file)
    try:
        if content.startswith(b"\x1f\x8b"):  # BORIS packs large projects
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(LARGEST_BYTES)
        # Numbers as text: exact ones, and none of a million digits.
        project = json.loads(
            decode_text(content, source.file).removeprefix("\ufeff"),
            parse_float=str,
            parse_int=str,
            parse_constant=str,
        )
        if not isinstance(project["observations"], dict):
            raise TypeError("its observations are no dictionary")
        project["observations"].items()
    except (ValueError, KeyError, TypeError, RecursionError, EOFError, OSError) as error:
        missing = isinstance(error, KeyError)
        raise source.error(
            "",
            f"is no BORIS project ({f'no {error}' if missing else shorten(error)})",
            "Save it in BORIS",
        ) from error
    return dict(project)


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _seconds(value: object, source: Source, place: str) -> Fraction:
    return source.seconds("" if value is None else value, place)


def _playlists(
    observation: Mapping[str, Any], source: Source, place: str
) -> list[tuple[_Playlist, Fraction]]:
    """What each player showed, and what its clock is behind the observation's.

    Raises:
        CorpusError: no player showed anything, or nobody knows how long the media last.
    """
    info = _dict(observation.get("media_info"))
    lengths, delays = _dict(info.get("length")), _dict(info.get("offset"))
    # BORIS adds the offset of the observation to the times that it stores.
    offset_s = _seconds(observation.get("time offset") or 0, source, f"{place}, time offset")
    created = _dict(info.get("media_creation_time"))
    if observation.get("media_creation_date_as_offset") not in (True, "true", "True"):
        created = {}
    found = []
    for player, media in _dict(observation.get("file")).items():
        media = [media] if isinstance(media, str) and media else media
        if not isinstance(media, list) or not media:
            continue
        names = tuple(str(one) for one in media)
        delay = delays.get(player)
        if delay is None and player == "2":
            delay = observation.get("time offset second player")  # before format 7
        behind_s = offset_s + _seconds(delay or 0, source, f"{place}, player {player}")
        if names[0] in created:
            behind_s += _seconds(created[names[0]], source, f"{place}, player {player}")
        ends = accumulate(_length(name, lengths, source, place) for name in names[:-1])
        found.append((_Playlist(names, (Fraction(0), *ends)), behind_s))
    if not found:
        raise source.error(place, "names no video", "Add the media file in BORIS")
    return found


def _length(name: str, lengths: Mapping[str, Any], source: Source, place: str) -> Fraction:
    try:
        length_s = parse_number(str(lengths[name]))
    except (KeyError, ValueError):
        length_s = source.length_s(name) or Fraction(0)
    if length_s <= 0:
        raise source.error(
            place,
            f"plays several videos one after the other, and how long {shorten(name)} lasts is not "
            "known",
            "Put the video beside the project, or save the project in BORIS again",
        )
    return length_s


def _events(
    observation: Mapping[str, Any], behaviors: Mapping[str, Any], source: Source, name: str
) -> Iterator[_Event]:
    events = observation.get("events")
    if not isinstance(events, list):
        source.say("error", f"observation {name}", "holds no list of events", "Save it in BORIS")
        return
    for number, event in enumerate(events, 1):
        place = f"observation {name}, event {number}"
        try:
            if not isinstance(event, list) or len(event) < 3:
                raise source.error(
                    place, "is not a time, a subject and a behavior", "Correct it in BORIS"
                )
            time_s = _seconds(event[0], source, place)
            if event[2] is None or not str(event[2]).strip():
                raise source.error(place, "names no behavior", "Correct it in BORIS")
        except CorpusError as error:
            source.note(error)
            continue
        code, subject = str(event[2]).strip(), focal_subject(event[1])
        known = _dict(behaviors.get(str(event[2])))
        is_point = str(known.get("type") or "").lower().startswith("point")
        modifiers = str(event[3] or "") if len(event) > 3 else ""
        yield _Event(
            place,
            time_s,
            code,
            str(known.get("category") or ""),
            subject,
            (name, subject, code, modifiers),
            "POINT" if is_point else "",
        )


def _pair(events: Iterable[_Event], source: Source) -> Iterator[tuple[_Event, Fraction]]:
    """Starts with the times of their stops; what has no other half is named."""
    running: dict[tuple[str, ...], _Event] = {}

    def lose(event: _Event, what: str) -> None:
        source.say("error", event.place, f"{shorten(event.label)!r} {what}", "Fix unpaired events")

    for event in sorted(events, key=lambda event: (event.time_s, event.role == "START")):
        if event.role == "POINT":
            yield event, event.time_s
        elif event.role == "STOP" or (event.role == "" and event.state in running):
            if start := running.pop(event.state, None):
                yield start, event.time_s
            else:
                lose(event, "stops and never started")
        else:
            if before := running.pop(event.state, None):
                lose(before, "starts and never stops")
            running[event.state] = event
    for event in running.values():
        lose(event, "starts and never stops")


def _on_media(
    pair: tuple[_Event, Fraction],
    playlists: Sequence[tuple[_Playlist, Fraction]],
    source: Source,
) -> Annotation | None:
    """The annotation on the clock of the video that was seen, and of those beside it."""
    start, stop_s = pair
    seen = []
    for playlist, behind_s in playlists:
        placed = playlist.place(start.time_s - behind_s, stop_s - behind_s)
        if placed:
            seen.append((placed[0], behind_s + placed[1]))
    if not seen:
        source.say(
            "error",
            start.place,
            f"{shorten(start.label)!r} begins in one video and ends in the next",
            "Split it at the end of the first in BORIS",
        )
        return None
    media, shift_s = seen[0]
    return Annotation(
        start.time_s - shift_s,
        stop_s - shift_s,
        start.label,
        start.layer,
        media,
        start.subject,
        where=source.where(start.place),
        others=tuple((name, shift_s - other_s) for name, other_s in seen[1:]),
    )


# Exported events

AGGREGATED = {
    "label": ("behavior",),
    "start": ("start (s)",),
    "stop": ("stop (s)",),
    "layer": ("behavioral category",),
    "media": ("media file name", "media file", "media file path"),
    "subject": ("subject",),
    "source": ("source",),
    "offset": ("time offset (s)",),
    "type": ("observation type",),
    "index": ("image index start",),
    "fps": ("fps (frame/s)", "fps"),
}
TABULAR = {
    "label": ("behavior",),
    "time": ("time",),
    "role": ("behavior type", "status"),
    "layer": ("behavioral category",),
    "media": ("media file name", "media file", "media file path"),
    "subject": ("subject",),
    "modifiers": ("modifiers", "modifier #1"),
    "observation": ("observation id",),
    "source": ("source",),
    "offset": ("time offset (s)",),
    "type": ("observation type",),
    "index": ("image index",),
    "fps": ("fps (frame/s)", "fps"),
}


def aggregated(rows: Iterable[Row], source: Source) -> Iterator[Annotation]:
    """Rows with start and stop."""
    for row in rows:
        try:
            place = f"row {row.number}"
            start_s = source.seconds(row.text("start"), f"{place}, column Start (s)")
            stop_s = source.seconds(row.text("stop"), f"{place}, column Stop (s)")
            source.rise(start_s, stop_s, place)
            shift_s = _shift(row, start_s, source)
        except CorpusError as error:
            source.note(error)
            continue
        if shift_s is None:
            continue
        yield Annotation(
            start_s - shift_s,
            stop_s - shift_s,
            row.text("label"),
            row.text("layer"),
            _media(row),
            focal_subject(row.text("subject")),
            where=row.where(),
        )


def tabular(rows: Iterable[Row], source: Source) -> Iterator[Annotation]:
    """Rows with one time each, to be paired."""
    events, by_place = [], {}
    for row in rows:
        try:
            place = f"row {row.number}"
            time_s = source.seconds(row.text("time"), f"{place}, column Time")
            role = row.text("role").upper()
            shift_s = _shift(row, time_s, source, ends=role == "STOP")
        except CorpusError as error:
            source.note(error)
            continue
        if shift_s is None:
            continue
        label, subject = row.text("label"), focal_subject(row.text("subject"))
        role = role if role in ("START", "STOP", "POINT") else ""
        media = _media(row)
        state = (row.text("observation"), media, subject, label, row.text("modifiers"))
        event = _Event(
            place, time_s - shift_s, label, row.text("layer"), subject, state, role, media
        )
        events.append(event)
        by_place[place] = row
    for start, stop_s in _pair(events, source):
        yield Annotation(
            start.time_s,
            stop_s,
            start.label,
            start.layer,
            start.media,
            start.subject,
            where=by_place[start.place].where(),
        )


def _media(row: Row) -> str:
    text = row.text("media")
    return "" if text.lower() in _NAMELESS else text


def _shift(row: Row, time_s: Fraction, source: Source, *, ends: bool = False) -> Fraction | None:
    """What the observation's clock is ahead of the row's video; None where there is no video.

    Raises:
        CorpusError: several videos were played, and how long those before it last is not known.
    """
    kind = row.text("type").lower()
    if kind.startswith(("live", "image", "pictures")):
        source.note(row.error("type", f"is {kind}, not of a video", ""), "warning")
        return None
    offset = row.text("offset")
    offset_s = source.seconds(offset, f"row {row.number}") if offset else Fraction(0)
    players = re.findall(r"player #\d+:(.*?)(?=player #\d+:|$)", row.text("source"), re.DOTALL)
    for player in players:
        names = [name.strip() for name in re.split(r"[;,](?=\S)", player.strip(" ;,")) if name]
        at = next((i for i, name in enumerate(names) if _same(name, _media(row))), None)
        if at is None or len(names) == 1:
            continue
        lengths = [source.length_s(name) for name in names[:at]]
        if None not in lengths:
            return offset_s + sum((one for one in lengths if one), Fraction(0))
        try:
            # The number of the frame in its own file tells when that file began.
            within_s = parse_number(row.text("index")) / parse_number(row.text("fps"))
        except (ValueError, ZeroDivisionError) as error:
            raise row.error(
                "media",
                f"several videos were played, and how long {names[0]} lasts is not known",
                "Put the videos beside the file",
            ) from error
        return time_s - within_s
    return offset_s


def _same(one: str, other: str) -> bool:
    return re.split(r"[\\/]", one)[-1] == re.split(r"[\\/]", other)[-1]


# Writing


def boris_project(annotations: Sequence[Annotation]) -> str:
    """The annotations of one video as a project with one observation."""
    stretches = list(flat(annotations))
    codes = {label: (layer, start_s == end_s) for layer, label, start_s, end_s, _ in stretches}
    events = sorted(
        (float(time), subject, label, "", "")
        for _, label, *ends, subject in stretches
        for time in dict.fromkeys(ends)
    )
    subjects = dict.fromkeys(one.subject for one in annotations if one.subject)
    media = list(dict.fromkeys(one.media for one in annotations))
    project = {
        "project_format_version": "7.0",
        "project_name": "ma2mi",
        "time_format": "hh:mm:ss",
        "subjects_conf": {str(i): {"key": "", "name": name} for i, name in enumerate(subjects)},
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
