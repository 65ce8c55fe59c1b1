"""Boxes around faces, x0, y0, x1, y1 in pixels: area, middle, overlap."""

from __future__ import annotations

Box = tuple[float, float, float, float]


def area(box: Box) -> float:
    """In square pixels; 0 of a box whose edges are swapped."""
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def middle(box: Box) -> tuple[float, float]:
    """x, y of the middle."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def holds_middle(a: Box, b: Box) -> bool:
    """Whether the middle of ``b`` lies in ``a``."""
    x, y = middle(b)
    return a[0] <= x <= a[2] and a[1] <= y <= a[3]


def iou(a: Box, b: Box) -> float:
    """Shared area of two boxes over the area of both, in [0, 1]."""
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / max(area(a) + area(b) - shared, 1e-9)
