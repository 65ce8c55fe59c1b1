"""Action units as coders write them in sheets: sides, strengths, doubts, commas of all kinds."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_SEPARATORS = re.compile(r"[+,;&＋，、；/\s]+")
_UNIT = re.compile(r"(?:AU)?([LRTBUMA]?)([0-9]{1,2})([A-E]?)([LR]?)")
_STATIC = re.compile(r"(?:AU)?[LRTBUM]?\d{1,2}[A-E]?\s*\(k\)", re.IGNORECASE)
#: How the hint begins where not one unit of a cell can be read.
NO_UNIT = "No unit is taken"
_NOTHING = frozenset(("", "-", "--", "NONE", "N/A", "NAN", "0", "/"))


class Units(NamedTuple):
    """What a cell says.

    Args:
        codes: such as ("4", "L10", "12B"): side, number, strength; each once, in their order.
        unread: the parts that are in doubt or make no sense, as they stand in the cell.
    """

    codes: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def taken(self) -> str:
        """What counts, for a hint: "4+L10 is taken"."""
        return f"{'+'.join(self.codes)} is taken" if self.codes else NO_UNIT


def parse_units(cell: object) -> Units:
    """Read a cell of action units.

    ``"4+L10"`` gives 4 and L10; ``"AU12B，T28"`` gives 12B and T28; ``12`` (a number) gives 12;
    ``"12R"`` gives R12. Of ``"12 or 14"`` the first is taken and "or 14" reported as unread; a unit
    with "?" is taken and reported. A unit marked ``(k)``, static in 4DME, is no movement and is
    dropped. Empty cells, "/", "-" and 0 are no unit. Prefixes are FACS' own: left, right, top,
    bottom, unilateral, asymmetric, and M for movements of the head.

    Args:
        cell: text, a whole number, or None.
    """
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    # Full-width digits, signs and brackets count as the plain ones.
    text = "" if cell is None else unicodedata.normalize("NFKC", str(cell)).strip()
    if text.upper() in _NOTHING:
        return Units((), ())
    codes: dict[str, None] = {}
    unread = []
    text = _STATIC.sub(" ", text)
    text = re.sub(r"\s*[?？]", "?", text)
    text = re.sub(r"\bAU\s+", "AU", text, flags=re.IGNORECASE)
    undecided = False
    for part in filter(None, _SEPARATORS.split(text)):
        if part.lower() == "or":
            undecided = True
            continue
        match = _UNIT.fullmatch(part.strip("?").upper())
        if match is None or undecided or part.endswith("?"):
            unread.append(f"or {part}" if undecided else part)
        if match and not undecided:
            side = match[1] or match[4]
            codes[f"{side}{int(match[2])}{match[3]}"] = None
        undecided = False
    return Units(tuple(codes), tuple(unread))
