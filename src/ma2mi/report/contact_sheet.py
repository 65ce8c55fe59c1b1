"""Contact sheets: every crop as a picture with its key below, page after page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from ma2mi.arrays import Image
from ma2mi.errors import optional_part

with optional_part("cv2", "video"):
    import cv2

COLUMNS, ROWS = 8, 6
PER_PAGE = COLUMNS * ROWS
SIDE = 128  # px that a crop is shown at
CAPTION_LINES, LINE = 3, 13  # px a line
GAP = 8
FONT, SCALE = cv2.FONT_HERSHEY_PLAIN, 0.7


def draw_pages(crops: Iterable[tuple[str, Image]]) -> Iterator[bytes]:
    """Pages of ``PER_PAGE`` crops, as PNG; only one page is in memory at a time.

    Args:
        crops: key and crop, uint8 [S, S, 3] RGB, of any S.
    """
    rest = iter(crops)
    while some := list(islice(rest, PER_PAGE)):
        cells = [_cell(key, crop) for key, crop in some]
        rows = -(-len(cells) // COLUMNS)
        height, width = cells[0].shape[:2]
        page = np.full((rows * height, min(len(cells), COLUMNS) * width, 3), 255, np.uint8)
        for place, cell in enumerate(cells):
            top, left = place // COLUMNS * height, place % COLUMNS * width
            page[top : top + height, left : left + width] = cell
        yield cv2.imencode(".png", cv2.cvtColor(page, cv2.COLOR_RGB2BGR))[1].tobytes()


def _cell(key: str, crop: Image) -> Image:
    cell = np.full((SIDE + CAPTION_LINES * LINE + GAP, SIDE + GAP, 3), 255, np.uint8)
    cell[:SIDE, :SIDE] = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for number, line in enumerate(_wrapped(key)):
        at = (0, SIDE + LINE * (number + 1) - 2)
        cv2.putText(cell, line, at, FONT, SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return cell


def _wrapped(key: str) -> list[str]:
    """Lines no wider than a crop; of a key that needs more, the end, which tells clips apart."""
    lines = [""]
    for letter in key:
        (width, _), _ = cv2.getTextSize(lines[-1] + letter, FONT, SCALE, 1)
        if width > SIDE:
            lines.append("")
        lines[-1] += letter
    return lines[-CAPTION_LINES:]
