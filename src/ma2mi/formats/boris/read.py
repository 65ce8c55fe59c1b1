"""Reads BORIS' projects: .boris and .boris.gz, formats 1 to 7."""

from __future__ import annotations

import gzip
import io
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, AnnotationFile, focal_subject
from ma2mi.formats.boris.events import Coded, Ethogram, as_dict, join
from ma2mi.formats.boris.pairs import CodedEvent, pair_events
from ma2mi.formats.cells import LARGEST_BYTES, decode_text, parse_number, read_bytes, shorten


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


def read_boris(source: AnnotationFile) -> Iterator[Annotation]:
    """Every stretch and point of a project's observations of media.

    Observations live and of pictures have no video; they are named, as are events that cannot be
    read and states that never stop.

    Raises:
        CorpusError: it is no BORIS project.
    """
    project = _project(source)
    ethogram = Ethogram(project)
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
        events = ethogram.loosen(list(_events(observation, ethogram, source, name)))
        pairs = pair_events(events, source)
        coded = (_on_media(start, stop, playlists, source) for start, stop in pairs)
        yield from join(filter(None, coded), ethogram, source)


def _project(source: AnnotationFile) -> dict[str, Any]:
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


def _seconds(value: object, source: AnnotationFile, place: str) -> Fraction:
    return source.seconds("" if value is None else value, place)


def _playlists(
    observation: Mapping[str, Any], source: AnnotationFile, place: str
) -> list[tuple[_Playlist, Fraction]]:
    """What each player showed, and what its clock is behind the observation's.

    Raises:
        CorpusError: no player showed anything, or the length of the media is not known.
    """
    info = as_dict(observation.get("media_info"))
    lengths, delays = as_dict(info.get("length")), as_dict(info.get("offset"))
    # BORIS adds the offset of the observation to the times that it stores.
    offset_s = _seconds(observation.get("time offset") or 0, source, f"{place}, time offset")
    created = as_dict(info.get("media_creation_time"))
    if observation.get("media_creation_date_as_offset") not in (True, "true", "True"):
        created = {}
    found = []
    for player, media in as_dict(observation.get("file")).items():
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


def _length(name: str, lengths: Mapping[str, Any], source: AnnotationFile, place: str) -> Fraction:
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
    observation: Mapping[str, Any], ethogram: Ethogram, source: AnnotationFile, name: str
) -> Iterator[CodedEvent]:
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
        known = as_dict(ethogram.behaviors.get(str(event[2])))
        is_point = str(known.get("type") or "").lower().startswith("point")
        modifiers = str(event[3] or "") if len(event) > 3 else ""
        yield CodedEvent(
            place,
            time_s,
            code,
            str(known.get("category") or ""),
            subject,
            (name, subject, code, modifiers),
            "POINT" if is_point else "",
            modifiers=modifiers,
            comment=str(event[4] or "") if len(event) > 4 else "",
        )


def _on_media(
    start: CodedEvent,
    stop: CodedEvent,
    playlists: Sequence[tuple[_Playlist, Fraction]],
    source: AnnotationFile,
) -> Coded | None:
    """The annotation on the clock of the video that was seen, and of those beside it."""
    seen = []
    for playlist, behind_s in playlists:
        placed = playlist.place(start.time_s - behind_s, stop.time_s - behind_s)
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
    plain = Annotation(
        start.time_s - shift_s,
        stop.time_s - shift_s,
        start.label,
        start.layer,
        media,
        start.subject,
        where=source.where(start.place),
        others=tuple((name, shift_s - other_s) for name, other_s in seen[1:]),
    )
    return start, stop, plain
