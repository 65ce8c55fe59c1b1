"""Writes BORIS' projects: one observation, project format 7.0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ma2mi.formats.annotation import Annotation, Span
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
from ma2mi.formats.tables import as_json
from ma2mi.records import EXPRESSIONS

EPOCH = "1970-01-01T00:00:00"  # the same input gives the same bytes, so no date of today
_KEYS = {"micro": "m", "macro": "a", "blink": "b", "speech": "s", APEX: "x"}
_PLAYERS = range(1, 9)
_ONE, _SEVERAL = 0, 1  # how many modifiers of a set may be chosen


class BorisMedia(NamedTuple):
    """A video: its path, how long it plays (s), its rate (1/s); None where that is not known."""

    path: str
    length_s: float | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class Behavior:
    """A code of the ethogram.

    Args:
        code: unique in the project.
        category: BORIS' behavioral category.
        meaning: a kind, ``EVENT`` or ``APEX``; "" where the code is the coder's own word.
        is_point: a point event; else a state event.
        classes, units: what can be chosen.
    """

    code: str
    category: str = ""
    meaning: str = ""
    is_point: bool = False
    classes: dict[str, None] = field(default_factory=dict)
    units: dict[str, None] = field(default_factory=dict)

    def like(self, other: Behavior) -> bool:
        """Whether one code can stand for both."""
        mine, theirs = ((one.category, one.meaning, one.is_point) for one in (self, other))
        return mine == theirs

    @property
    def sets(self) -> list[tuple[str, int, list[str]]]:
        """Name, how many can be chosen, and values of each set of modifiers."""
        if self.meaning == APEX:
            return [(APEX_SET, _ONE, list(self.classes))]
        units = (UNITS_SET, _SEVERAL, list(self.units))
        if self.meaning in EXPRESSIONS or (self.meaning and (self.classes or self.units)):
            return [(CLASS_SET, _ONE, list(self.classes)), units]
        return [units] if self.units else []

    def modifiers(self, label: str, units: Iterable[str]) -> str:
        """What an event's row says of the sets."""
        chosen = {CLASS_SET: label, APEX_SET: label, UNITS_SET: ",".join(units)}
        return "|".join(chosen[name] or NOTHING for name, _, _ in self.sets)

    def as_tree(self) -> dict[str, Any]:
        words = {APEX: "frame of the strongest movement"} | DESCRIPTIONS
        sets = {
            str(number): {
                "name": name,
                "description": "",
                "type": chosen,
                "ask at stop": False,
                "values": values,
            }
            for number, (name, chosen, values) in enumerate(self.sets)
        }
        return {
            "type": "Point event" if self.is_point else "State event",
            "key": _KEYS.get(self.code, "") if self.meaning else "",
            "code": self.code,
            "description": words.get(self.meaning, ""),
            "category": self.category,
            "modifiers": sets or "",
            "excluded": "",
            "coding map": "",
        }


def boris_project(
    annotations: Sequence[Annotation],
    media: Sequence[BorisMedia] = (),
    *,
    name: str = "observation",
    version: str = "",
    description: str = "",
    faces: Iterable[str] = (),
    behaviors: Iterable[Behavior] = (),
) -> str:
    """The annotations of one video as a project with one observation, to a millisecond.

    An event of a kind is coded by its kind, with class and action units as modifiers, so that they
    can be chosen anew in BORIS; any other by its word. A state is two rows of one code, start and
    stop; an apex is a point whose modifier is the code of its event. Score and flags are the
    comment of the start. BORIS pairs the rows of a code in turn; what overlaps gets a code "...
    (2)".

    Args:
        annotations: in any order.
        media: of the observation; by default those that the annotations name.
        name: of the observation, and of the project.
        version: of ma2mi.
        description: of the observation.
        faces: subjects that are there even without events.
        behaviors: of the ethogram, even if nothing was coded by them.
    """
    found = media or [BorisMedia(one) for one in dict.fromkeys(a.media for a in annotations)]
    coding = _Coding(behaviors)
    for one in sorted(annotations, key=lambda one: one.start_s):
        coding.add(one)
    rows = coding.rows()
    codes = list(coding.behaviors.values())
    subjects = dict.fromkeys((*faces, *(one.shown for one in annotations if one.shown)))
    project = {
        "time_format": "hh:mm:ss",
        "project_date": EPOCH,
        "project_name": name,
        "project_description": f"{AUTHOR} {version}".strip(),
        "project_format_version": "7.0",
        "subjects_conf": {
            str(number): {"key": "", "name": subject, "description": ""}
            for number, subject in enumerate(subjects)
        },
        "behaviors_conf": {str(number): one.as_tree() for number, one in enumerate(codes)},
        "behavioral_categories": sorted({one.category for one in codes} - {""}),
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "observations": {name: _observation(found, rows, description)},
        "converters": {},
    }
    return as_json(project)


def _observation(
    media: Sequence[BorisMedia], rows: list[list[Any]], description: str
) -> dict[str, Any]:
    """One observation; all its media are of the first player."""
    known = [one for one in media if one.length_s is not None and one.fps is not None]
    return {
        "file": {
            str(player): [one.path for one in media] if player == 1 else [] for player in _PLAYERS
        },
        "type": "MEDIA",
        "date": EPOCH,
        "description": description,
        "time offset": 0.0,
        "events": rows,
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "close_behaviors_between_videos": False,
        "scan_sampling_time": 0,
        "media_info": {
            "length": {one.path: one.length_s for one in known},
            "fps": {one.path: one.fps for one in known},
            "hasVideo": {one.path: True for one in media},
            "hasAudio": {one.path: False for one in media},
            "offset": {"1": 0.0},
        },
    }


class _Coding:
    """Codes for annotations, and their rows."""

    def __init__(self, behaviors: Iterable[Behavior]) -> None:
        self.behaviors = {one.code: one for one in behaviors}
        self._taken: dict[tuple[str, str], list[Span]] = {}
        self._coded: list[tuple[Annotation, Span, Behavior]] = []

    def add(self, one: Annotation) -> None:
        begin = round(1000 * one.start_s)
        end = begin if one.is_point else max(round(1000 * one.end_s), begin + 1)
        meaning = one.kind or ("" if one.label else EVENT)
        wanted = Behavior(meaning or one.label, one.layer, meaning, one.is_point)
        behavior = self._free(wanted, one.shown, (begin, end))
        if meaning and one.label:
            behavior.classes[one.label] = None
        behavior.units.update(dict.fromkeys(_units(one)))
        self._coded.append((one, (begin, end), behavior))

    def _free(self, wanted: Behavior, subject: str, span: Span) -> Behavior:
        """The behavior, or one with "(2)" and so on: the first that is free for this time."""
        code, number = wanted.code, 1
        while True:
            known = self.behaviors.get(code)
            taken = self._taken.setdefault((subject, code), [])
            clash = any(span[0] < end and begin < span[1] for begin, end in taken)
            if not clash and (known is None or known.like(wanted)):
                break
            number += 1
            code = f"{wanted.code} ({number})"
        taken.append(span)
        made = Behavior(code, wanted.category, wanted.meaning, wanted.is_point)
        return self.behaviors.setdefault(code, made)

    def rows(self) -> list[list[Any]]:
        """Time (s, on the file's clock), subject, code, modifiers, comment; sorted by time."""
        rows: list[list[Any]] = []
        apex = None
        if any(one.apex_s is not None for one, _, _ in self._coded):
            apex = self._free(Behavior(APEX, "", APEX, is_point=True), "", (0, 0))
        for one, (begin, end), behavior in self._coded:
            label = one.label if behavior.meaning else ""
            modifiers = behavior.modifiers(label, _units(one))
            for time, words in {end: "", begin: one.notes}.items():
                rows.append([time / 1000, one.shown, behavior.code, modifiers, words])
            if apex and one.apex_s is not None:
                apex.classes[behavior.code] = None
                time = round(1000 * one.apex_s)
                of = apex.modifiers(behavior.code, ())
                rows.append([time / 1000, one.shown, apex.code, of, ""])
        # Sorting keeps the order of equal times: a stop comes before the next start.
        return sorted(rows, key=lambda row: row[0])


def _units(one: Annotation) -> list[str]:
    """Units as modifiers, which cannot hold what BORIS puts between them."""
    return one.aus.replace("|", "/").split("+") if one.aus else []
