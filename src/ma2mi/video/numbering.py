"""Frame numbers in the names of image files, and the gaps that they show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$")


class NumberedName(NamedTuple):
    """A file's name without suffix: "reg_img46a" is "reg_img", 46, "a"."""

    before: str
    number: int
    after: str


def read_number(file: Path) -> NumberedName | None:
    """The last run of digits in a file's name, and the text around it; None without digits."""
    match = _NUMBERED.match(file.stem)
    return match and NumberedName(match[1], int(match[2]), match[3])


def even_positions(files: Sequence[Path]) -> list[int]:
    """Position of each image on an even time grid, from 0: after a gap in the numbers, later.

    Numbers count if the same text stands around them in all names, they rise, and nearly all
    follow the one before by the same step; else (times as names, several pages) none counts.
    """
    even = list(range(len(files)))
    names = [name for file in files if (name := read_number(file)) is not None]
    if len(names) < len(files) or len(names) < 3 or len({(n[0], n[2]) for n in names}) != 1:
        return even
    numbers = [name.number for name in names]
    steps = [later - earlier for earlier, later in pairwise(numbers)]
    step, often = Counter(steps).most_common(1)[0]
    if step <= 0 or 2 * often < len(steps) or any(s <= 0 or s % step for s in steps):
        return even
    return [(number - numbers[0]) // step for number in numbers]
