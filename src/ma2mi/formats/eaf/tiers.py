"""The roles of our tiers, known by their linguistic types, whatever a user calls the tiers."""

from __future__ import annotations

from ma2mi.records import KINDS

APEX, UNITS, NOTES = "apex", "action_units", "notes"
_EVENT, _OURS = "event", "ma2mi "


def type_of(role: str) -> str:
    """The linguistic type of a role: a kind of event, "" for one of no kind, or what is with it."""
    return _OURS + (role or _EVENT)


def role_of(linguistic_type: str | None) -> str | None:
    """A kind, "" for events of no kind, ``APEX``, ``UNITS`` or ``NOTES``; None: not ours."""
    roles = {type_of(role): role for role in ("", *KINDS, APEX, UNITS, NOTES)}
    return roles.get(linguistic_type or "")
