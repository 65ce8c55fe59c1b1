"""Facial action units: one table of what each muscle moves, which way, and in which emotions.

Sources: Ekman, Friesen & Hager, *Facial Action Coding System* (2002), for units, muscles and
appearance changes; the emotion combinations of its Investigator's Guide and of EMFACS (Friesen &
Ekman 1983); Yan et al., "CASME II" (PLoS ONE 2014), for combinations seen in micro-expressions,
where a unit often stands alone. Directions are the manual's; amounts are ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Region = Literal[
    "forehead",
    "inner brow",
    "outer brow",
    "nose root",
    "upper lid",
    "lower lid",
    "cheek",
    "nose wing",
    "lip corner",
    "upper lip",
    "lower lip",
    "chin",
    "jaw",
]
Side = Literal["L", "R"]
SIDES: tuple[Side, Side] = ("L", "R")


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one region moves at full intensity (FACS "E"), on each side of the face.

    Args:
        region: the moving part.
        outward: away from the midline, in hundredths of the distance between the pupils.
        upward: towards the forehead, in the same unit.
    """

    region: Region
    outward: float
    upward: float


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """One FACS unit.

    Args:
        number: as FACS writes it, such as "12".
        name: the manual's name.
        muscle: what contracts (or relaxes).
        shifts: the regions that move; the first is the one that defines the unit.
        unilateral: coders often see it on one side alone.
    """

    number: str
    name: str
    muscle: str
    shifts: tuple[Shift, ...]
    unilateral: bool = False


_TABLE = (
    ActionUnit(
        "1",
        "inner brow raiser",
        "frontalis, pars medialis",
        (Shift("inner brow", 0, 10), Shift("forehead", 0, 4)),
    ),
    ActionUnit(
        "2",
        "outer brow raiser",
        "frontalis, pars lateralis",
        (Shift("outer brow", 1, 10), Shift("forehead", 0, 2)),
        unilateral=True,
    ),
    ActionUnit(
        "4",
        "brow lowerer",
        "corrugator supercilii, depressor supercilii",
        (Shift("inner brow", -5, -7), Shift("outer brow", -2, -3), Shift("nose root", 0, -3)),
    ),
    ActionUnit(
        "5", "upper lid raiser", "levator palpebrae superioris", (Shift("upper lid", 0, 6),)
    ),
    ActionUnit(
        "6",
        "cheek raiser",
        "orbicularis oculi, pars orbitalis",
        (Shift("cheek", -1, 7), Shift("lower lid", 0, 3), Shift("outer brow", -1, -1)),
    ),
    ActionUnit(
        "7",
        "lid tightener",
        "orbicularis oculi, pars palpebralis",
        (Shift("lower lid", -1, 5), Shift("upper lid", 0, -3)),
    ),
    ActionUnit(
        "9",
        "nose wrinkler",
        "levator labii superioris alaeque nasi",
        (
            Shift("nose wing", 0, 7),
            Shift("nose root", 0, 3),
            Shift("inner brow", -1, -4),
            Shift("upper lip", 0, 4),
        ),
    ),
    ActionUnit(
        "10",
        "upper lip raiser",
        "levator labii superioris",
        (Shift("upper lip", 0, 8), Shift("nose wing", 1, 4), Shift("cheek", 0, 2)),
        unilateral=True,
    ),
    ActionUnit(
        "12",
        "lip corner puller",
        "zygomaticus major",
        (Shift("lip corner", 9, 10), Shift("cheek", 1, 5)),
        unilateral=True,
    ),
    ActionUnit(
        "14",
        "dimpler",
        "buccinator",
        (Shift("lip corner", -6, 0), Shift("lower lip", 0, 1)),
        unilateral=True,
    ),
    ActionUnit(
        "15",
        "lip corner depressor",
        "depressor anguli oris",
        (Shift("lip corner", 1, -9), Shift("chin", 0, -1)),
        unilateral=True,
    ),
    ActionUnit("17", "chin raiser", "mentalis", (Shift("chin", 0, 8), Shift("lower lip", 0, 3))),
    ActionUnit(
        "20",
        "lip stretcher",
        "risorius with platysma",
        (Shift("lip corner", 9, -2), Shift("chin", 1, -1)),
        unilateral=True,
    ),
    ActionUnit(
        "23",
        "lip tightener",
        "orbicularis oris",
        (Shift("lip corner", -4, 0), Shift("upper lip", 0, -2), Shift("lower lip", 0, 2)),
    ),
    ActionUnit(
        "24",
        "lip pressor",
        "orbicularis oris",
        (Shift("lower lip", 0, 4), Shift("upper lip", 0, -3), Shift("chin", 0, 2)),
    ),
    ActionUnit(
        "25",
        "lips part",
        "depressor labii inferioris, or relaxed mentalis or orbicularis oris",
        (Shift("lower lip", 0, -7), Shift("upper lip", 0, 2)),
    ),
    ActionUnit(
        "26",
        "jaw drop",
        "masseter, temporalis and internal pterygoid relaxed",
        (Shift("jaw", 0, -16), Shift("lower lip", 0, -14)),
    ),
    ActionUnit(
        "43", "eye closure", "levator palpebrae superioris relaxed", (Shift("upper lid", 0, -20),)
    ),
    ActionUnit(
        "45",
        "blink",
        "levator palpebrae superioris relaxed, orbicularis oculi",
        (Shift("upper lid", 0, -20), Shift("lower lid", -1, 1)),
    ),
)

ACTION_UNITS: dict[str, ActionUnit] = {unit.number: unit for unit in _TABLE}

# Most typical first.
_COMBINATIONS = {
    "happiness": "6+12 12 12+25 6+12+25 12+14 12+17",
    "surprise": "1+2 1+2+5 1+2+5+26 1+2+25 2 5",
    "disgust": "9 10 4+9 4+10 4+7+9 9+17 7+10",
    "anger": "4+7 4 4+5+7 4+7+23 4+24 23",
    "sadness": "1+4 1+4+15 15 15+17 1+15 17",
    "fear": "1+2+4 1+2+4+5 4+5+20 20 1+4+20+25",
    "contempt": "14 L14 R14 R12+R14 L10+L14",
    "repression": "14+17 15+17 17+24 24 15+24 4+17",
    "others": "4+14 L4 14+20 7 R2+4 10+24",
}

EMOTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    emotion: tuple(tuple(codes.split("+")) for codes in combinations.split())
    for emotion, combinations in _COMBINATIONS.items()
}
"""The combinations of units in which each emotion is seen, the most typical first."""

_CODED = re.compile(r"([LR]?)(\d+)")


def parse_unit(code: str) -> tuple[ActionUnit, tuple[Side, ...]]:
    """The unit that a code such as "12" (both sides) or "L10" names, and its sides.

    Raises:
        ValueError: the code names no unit of the table.
    """
    match = _CODED.fullmatch(code)
    if match is None or match[2] not in ACTION_UNITS:
        raise ValueError(f"{code!r} names no known action unit")
    sides: tuple[Side, ...] = SIDES
    if match[1] == "L":
        sides = ("L",)
    elif match[1] == "R":
        sides = ("R",)
    return ACTION_UNITS[match[2]], sides


CLASSES = ("negative", "positive", "surprise")
"""The three classes that databases with different emotions share (MEGC2019)."""

# Combination and how often it is drawn beside the others of its class. Which occur follows the
# manual, EMFACS and the coded micro-expressions that Yan et al. (2014) and Davison et al. (SAMM,
# 2018) describe: brow lowering leads among the negative ones, units often stand alone, and a
# smile that is held back comes with 14, 15, 17 or 24. How often is our round figure.
_CLASSES = {
    "negative": "4:9 4+7:7 7:3 4+9:3 9:2 4+7+9:2 10:2 4+10:2 L10:1 R10:1 4+7+10:1 14:2 L14:1 R14:1 "
    "15:2 17:2 15+17:2 1+4:2 1+4+15:1 4+15:1 4+17:1 14+17:1 17+24:1 24:1 23:1 20:1 7+20:1 4+5+7:1 "
    "1+2+4:1 4+7+23:1 9+17:1 10+14:1 4+14:1 9+10:1 L4:1 7+10:1 6+7+9:1 15+24:1",
    "positive": "12:8 6+12:6 L12:2 R12:2 12+14:2 12+15:1 12+17:1 12+24:1 12+25:2 6+12+25:2 "
    "6+7+12:2 7+12:2 6:2 6+12+15:1 6+12+17:1 12+25+26:1 12+23:1",
    "surprise": "1+2:8 1+2+5:4 2:3 L2:1 R2:1 1+2+25:2 1+2+26:1 1+2+5+25:1 1+2+5+26:1 5:2 25:1 "
    "25+26:2 26:1 1:2 5+25:1 1+2+14:1",
}


@lru_cache
def class_combinations(name: str) -> tuple[tuple[tuple[str, ...], ...], tuple[float, ...]]:
    """The combinations of units that a class of ``CLASSES`` shows, and the chance of each."""
    words = [word.split(":") for word in _CLASSES[name].split()]
    total = sum(int(times) for _, times in words)
    return tuple(tuple(codes.split("+")) for codes, _ in words), tuple(
        int(times) / total for _, times in words
    )
