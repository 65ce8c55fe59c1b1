"""What a coder did, one action after the other, and the state that follows from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NoReturn, get_args

from ma2mi.errors import StoreError
from ma2mi.records import DetectedEvent

ActionKind = Literal[
    "accept", "reject", "unsure", "undecided", "edit", "add", "exclude", "remove", "undo"
]
Verdict = Literal["accept", "reject", "unsure", ""]

VERDICTS: dict[ActionKind, Verdict] = {
    "accept": "accept",
    "reject": "reject",
    "unsure": "unsure",
    "undecided": "",
}
EVENT_KINDS = ("micro", "macro", "blink", "speech", "head", "other")
LONGEST_NOTE = 4000  # characters
LONGEST_WORD = 120  # characters of a class, a target or a key
UNIT = re.compile(r"[LR]?[1-9][0-9]?[A-E]?", re.ASCII)
"""An action unit as FACS writes it: side, number, intensity from A (trace) to E (maximum)."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a coder did; what is None stays as it was.

    Args:
        kind: what was done.
        target: what to: a candidate (:func:`target_of`), or the name of an added event or range;
            empty where an action is undone.
        key: names the action, so that one that is sent twice counts once.
        onset, apex, offset: frames from 0, inclusive.
        times: of those three frames, exact seconds as text ("1001/30000"), in their order.
        event_kind: one of ``EVENT_KINDS``.
        label: the class.
        units: action units such as "L12C".
        confidence: the coder's own, 1 (low) to 5 (certain).
        note: free text.
        number: of the action in its store, rising; 0 before it is kept.
        undone: number of the action that an "undo" cancels.
        at, coder, version: when (UTC), who, and with which version of ma2mi.
    """

    kind: ActionKind
    target: str
    key: str
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    times: tuple[str | None, str | None, str | None] = (None, None, None)
    event_kind: str | None = None
    label: str | None = None
    units: tuple[str, ...] | None = None
    confidence: int | None = None
    note: str | None = None
    number: int = 0
    undone: int | None = None
    at: str = ""
    coder: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a coder holds of one candidate or added event; None is as the analysis has it.

    Args:
        verdict: empty while there is none.
        added: the coder marked it; the analysis has it not.
        onset, apex, offset, event_kind, label, units, confidence, note: as in ``Action``.
    """

    verdict: Verdict = ""
    added: bool = False
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    event_kind: str | None = None
    label: str | None = None
    units: tuple[str, ...] | None = None
    confidence: int | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewState:
    """Everything that one coder has decided about one video.

    Args:
        decisions: by target.
        ranges: frames that do not count, name to first and last frame, inclusive.
        revision: number of the newest action, undone ones included.
        last: the action that an undo would cancel; None if there is none.
    """

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    revision: int = 0
    last: Action | None = None


def target_of(event: DetectedEvent) -> str:
    """Names a candidate by what it is, not by its place in a list: "micro-face0@137-147"."""
    return f"{event.kind}-face{event.face}@{event.onset}-{event.offset}"


def effective(actions: Iterable[Action]) -> list[Action]:
    """The actions that are neither undone nor an undo, in their order."""
    actions = list(actions)
    undone = {action.undone for action in actions if action.kind == "undo"}
    return [a for a in actions if a.kind != "undo" and a.number not in undone]


def fold(actions: Iterable[Action]) -> ReviewState:
    """The state that one coder's actions lead to.

    Args:
        actions: of one coder and one video, by rising number.
    """
    actions = list(actions)
    decisions: dict[str, Decision] = {}
    ranges: dict[str, tuple[int, int]] = {}
    counted = effective(actions)
    for action in counted:
        if action.kind == "remove":
            ranges.pop(action.target, None)
            decisions.pop(action.target, None)
        elif action.kind == "exclude":
            ranges[action.target] = (action.onset or 0, action.offset or 0)
        else:
            decisions[action.target] = _decide(decisions.get(action.target), action)
    revision = max((action.number for action in actions), default=0)
    return ReviewState(decisions, ranges, revision, counted[-1] if counted else None)


_SAID = [f.name for f in fields(Decision) if f.name not in ("verdict", "added")]


def _decide(before: Decision | None, action: Action) -> Decision:
    now = before or Decision()
    said = {name: value for name in _SAID if (value := getattr(action, name)) is not None}
    if action.kind == "add":
        said |= {"added": True, "verdict": "accept"}
    elif action.kind in VERDICTS:
        said |= {"verdict": VERDICTS[action.kind]}
    return replace(now, **said)


def read_action(tree: Any, frames: int) -> Action:
    """An action as a page sends it, checked.

    Args:
        tree: JSON, with the names of ``Action``.
        frames: how many the video has.

    Raises:
        StoreError: it is none, names the field.
    """
    if not isinstance(tree, dict):
        raise StoreError("is no action", where="the request")
    kind: Any = tree.get("kind")
    if kind not in get_args(ActionKind) or kind == "undo":
        raise StoreError(f"{kind!r} is no kind of action", where="kind")
    event_kind = _text(tree, "event_kind", LONGEST_WORD)
    if event_kind is not None and event_kind not in EVENT_KINDS:
        raise StoreError(f"{event_kind!r} is none", where="event_kind")
    ends = [_number(tree, end, 0, frames - 1) for end in ("onset", "apex", "offset")]
    if kind in ("add", "exclude") and (ends[0] is None or ends[2] is None):
        raise StoreError("needs an onset and an offset", where=str(kind))
    known = [end for end in ends if end is not None]
    if known != sorted(known):
        raise StoreError("onset, apex and offset must rise", where="frames")
    return Action(
        kind,
        _text(tree, "target", LONGEST_WORD) or _missing("target"),
        _text(tree, "key", LONGEST_WORD) or _missing("key"),
        onset=ends[0],
        apex=ends[1],
        offset=ends[2],
        event_kind=event_kind,
        label=_text(tree, "label", LONGEST_WORD),
        units=_units(tree.get("units")),
        confidence=_number(tree, "confidence", 1, 5),
        note=_text(tree, "note", LONGEST_NOTE),
    )


def _missing(name: str) -> NoReturn:
    raise StoreError("is missing", where=name)


def _text(tree: Mapping[str, Any], name: str, longest: int) -> str | None:
    value = tree.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise StoreError(f"must be text of at most {longest} characters", where=name)
    # Lone surrogates are no text that SQLite could keep.
    return value.encode("utf-8", "replace").decode()


def _number(tree: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = tree.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise StoreError(f"{value!r} is not a whole number from {least} to {most}", where=name)
    return value


def _units(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > 50:
        raise StoreError("must be a list of action units", where="units")
    for one in value:
        if not isinstance(one, str) or not UNIT.fullmatch(one):
            raise StoreError(f"{one!r} is no action unit such as L12C", where="units")
    return tuple(value)
