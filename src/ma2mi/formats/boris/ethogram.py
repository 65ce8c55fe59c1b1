"""The behaviors of our own projects: events by their kind, classes and units as modifiers."""

from __future__ import annotations

from ma2mi.records import KINDS

AUTHOR = "ma2mi"
"""How the description of our own projects begins."""

OBSERVATION = "Events are candidates"
"""How the description of their observations begins (``responsible.CANDIDATES``): all that tables
exported from them keep of it."""

EVENT = "event"
DESCRIPTIONS = {str(kind): words for kind, words in KINDS.items()} | {EVENT: "event of no kind"}
"""Codes of behaviors that stand for kinds; BORIS wants a code even where there is no kind."""

CLASS_SET, UNITS_SET, APEX_SET = "class (ma2mi)", "action units (ma2mi)", "apex of (ma2mi)"
APEX = "apex"
NOTHING = "None"
"""What BORIS writes of a set of modifiers of which none was chosen."""
