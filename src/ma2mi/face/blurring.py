"""Anonymised faces: searched in every picture of a video, blurred, searched again.

Misses of the search are covered: where a face was and is no longer found, the whole
picture is blurred.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Image
from ma2mi.errors import optional_part
from ma2mi.face.boxes import Box, holds_middle, iou, middle
from ma2mi.face.cuts import CutDetector
from ma2mi.face.detect import CONFIDENT_SCORE, FaceDetector

with optional_part("cv2", "video"):
    import cv2

Floats = NDArray[np.float32]

CUT = 128  # px, the detector's input
SMALLEST_TILE = 128  # px: an eighth of it wide, all of 42 real faces were found in such tiles
NEXT_TILE = 8 / 3  # times the tile before: it shows faces from an eighth to a third of its width
UNCHANGED = 6  # of 255: a tile of which no 8 x 8 px changed by more shows what it showed before
SAME_FACE = 0.3  # IoU of boxes of one face
SAME_TRACK = 0.2  # IoU of a face's boxes in two pictures that follow one another
SEEN_TWICE = 2  # pictures, after which a face that is missing is missed
MOST_MISSING = 32  # that are remembered; one is enough to blur the whole picture
LEAVING_S = 0.5  # a face that would be outside so soon has left
STEADY_S = 0.3  # over which a face's speed is taken
FASTEST = 1.5  # face widths that a missing face goes in a second at most
NEAR_S = 1.2  # a face is blurred so long before it is found and after it has left
DOUBT_S = 0.4  # and a possible face so long
NEAR_EDGE = 1.0  # face widths from the picture's edge: a face came or went over it
CELLS = 4  # left across a blurred face: of 6, another detector still made faces
WHOLE_CELLS = 10  # left across a picture


@dataclass(frozen=True, slots=True)
class Seen:
    """Where faces are in one picture, boxes x0, y0, x1, y1 in its pixels.

    Args:
        time_s: of the picture, seconds.
        faces: number to box of the tracked ones.
        others: boxes of possible faces.
        is_complete: False where a face that was there is missing.
    """

    time_s: float
    faces: dict[int, Box]
    others: tuple[Box, ...] = ()
    is_complete: bool = True

    @property
    def boxes(self) -> list[Box]:
        return [*self.faces.values(), *self.others]


@dataclass(eq=False, slots=True)
class _BlurTrack:
    number: int
    box: Box
    born_s: float
    time_s: float
    frames: int = 1
    way: tuple[float, float] = (0.0, 0.0)  # px a second


class TileSearch:
    """All faces of a picture, small ones too, in tiles of several sizes.

    Of a tile that did not change since it was searched, the result is kept; so the pictures of
    a still camera take a fraction of the time.

    Args:
        detector: by default :class:`ma2mi.FaceDetector`.
    """

    def __init__(self, detector: FaceDetector | None = None) -> None:
        self.detector = detector or FaceDetector()
        self._shape: tuple[int, ...] = ()
        self._kept: dict[tuple[int, int, int], tuple[Image, Floats]] = {}

    def propose(self, image: Image) -> Floats:
        """Float32 [n, 9] as :meth:`FaceDetector.propose`, best first, no two of one face.

        Args:
            image: uint8 [H, W, 3], RGB.
        """
        if image.shape != self._shape:
            self._shape = image.shape
            self._kept.clear()
        tiles = _tiles(*image.shape[:2])
        found = np.concatenate([self._search(image, *tile) for tile in tiles])
        best: list[Floats] = []
        for one in found[np.argsort(-found[:, 0], kind="stable")]:
            if all(iou(_box(one), _box(other)) < SAME_FACE for other in best):
                best.append(one)
        return np.array(best, np.float32).reshape(-1, 9)

    def faces(self, image: Image) -> list[Box]:
        """Boxes of the faces that the landmark net confirms."""
        proposed = self.propose(image)
        return [_box(one) for one in proposed if self.is_face(image, one)]

    def is_face(self, image: Image, proposed: Floats) -> bool:
        """Whether the landmark net sees a face there; ``proposed`` is a row of ``propose``."""
        across = proposed[7:9] - proposed[5:7]
        angle = float(np.arctan2(across[1], across[0]))
        return self.detector.face_at(image, _box(proposed), angle) is not None

    def _search(self, image: Image, x: int, y: int, side: int) -> Floats:
        cut = image[y : y + side, x : x + side]
        scale = CUT / side
        height, width = (max(1, round(scale * length)) for length in cut.shape[:2])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        square = np.zeros((CUT, CUT, 3), np.uint8)
        square[:height, :width] = cv2.resize(cut, (width, height), interpolation=way)
        means = cv2.resize(square, (CUT // 8, CUT // 8), interpolation=cv2.INTER_AREA)
        before = self._kept.get((x, y, side))
        if before is not None and int(cv2.absdiff(before[0], means).max()) <= UNCHANGED:
            return before[1]
        found = self.detector.propose(square)
        found[:, 1:] = (found[:, 1:] + 0.5) / scale - 0.5 + np.tile((x, y), 4)
        self._kept[x, y, side] = means, found
        return found


class FaceSearch:
    """Every face of a video, picture by picture, and whether one is missing.

    A face is tracked from picture to picture. One that is no longer found, and did not leave over
    the edge, may have turned aside or be hidden for a moment: until it is found again near its
    position, or another shot begins, the search is incomplete.

    Args:
        tiles: by default a new :class:`TileSearch`.
    """

    def __init__(self, tiles: TileSearch | None = None) -> None:
        self.tiles = tiles or TileSearch()
        self._cuts = CutDetector()
        self._tracks: list[_BlurTrack] = []
        self._missing: list[_BlurTrack] = []
        self._count = 0

    def push(self, image: Image, time_s: float) -> Seen:
        """The next picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            time_s: seconds; rises.
        """
        proposed = list(self.tiles.propose(image))
        unusual = self._cuts.push(image, time_s) > 0
        kept, lost = self._match(proposed, time_s)
        if unusual:
            is_cut = not kept
            self._cuts.decide(is_cut=is_cut)
            if is_cut:
                lost, self._missing = [], []
        for track in lost:
            face = self.tiles.detector.face_at(image, track.box)
            if face is not None and iou(face.box, track.box) >= SAME_TRACK:
                track.box, track.time_s = face.box, time_s
                kept.append(track)
            elif (
                track.frames >= SEEN_TWICE
                and not _leaves(track, image)
                and not any(is_one(track.box, other.box) for other in kept)
            ):
                self._missing.append(track)
        others = []
        for one in proposed:
            box = _box(one)
            if any(iou(box, track.box) >= SAME_FACE for track in kept):
                continue
            if (
                one[0] < CONFIDENT_SCORE
                or any(is_one(box, track.box) for track in kept)
                or not self.tiles.is_face(image, one)
            ):
                others.append(box)
                continue
            kept.append(_BlurTrack(self._count, box, time_s, time_s))
            self._count += 1
            self._find_missing(box, time_s)
        self._tracks, self._missing = kept, self._missing[-MOST_MISSING:]
        faces = {track.number: track.box for track in kept}
        return Seen(time_s, faces, tuple(others), not self._missing)

    def _match(
        self, proposed: list[Floats], time_s: float
    ) -> tuple[list[_BlurTrack], list[_BlurTrack]]:
        """The faces that go on and those that do not; what they take leaves ``proposed``."""
        kept, lost = [], []
        for track in self._tracks:
            shares = [iou(track.box, _box(one)) for one in proposed]
            if not shares or max(shares) < SAME_TRACK:
                lost.append(track)
                continue
            _go_on(track, _box(proposed.pop(int(np.argmax(shares)))), time_s)
            kept.append(track)
        return kept, lost

    def _find_missing(self, box: Box, time_s: float) -> None:
        """A face appears: if one that is missing can be there by now, the nearest is found."""
        x, y = middle(box)
        reachable = []
        for one in self._missing:
            limit = (1 + FASTEST * (time_s - one.time_s)) * (one.box[2] - one.box[0])
            old_x, old_y = middle(one.box)
            way = float(np.hypot(x - old_x, y - old_y))
            if way <= limit:
                reachable.append((way, one.number, one))
        if reachable:
            self._missing.remove(min(reachable)[2])


@dataclass(eq=False)
class Blurred:
    """Counts what :func:`blur_faces` did.

    Attributes:
        pictures: blurred so far.
        whole: of these, blurred as a whole.
    """

    pictures: int = field(default=0)
    whole: int = field(default=0)


def with_neighbours(seen: Iterable[Seen]) -> Iterator[tuple[Seen, Sequence[Seen]]]:
    """Each with those of the time around it, ``NEAR_S`` before and after."""
    window, waiting = deque[Seen](), deque[Seen]()

    def next_one() -> tuple[Seen, Sequence[Seen]]:
        one = waiting.popleft()
        while window[0].time_s < one.time_s - NEAR_S:
            window.popleft()
        return one, [other for other in window if other.time_s <= one.time_s + NEAR_S]

    for newest in seen:
        window.append(newest)
        waiting.append(newest)
        while newest.time_s - waiting[0].time_s > NEAR_S:
            yield next_one()
    while waiting:
        yield next_one()


def blur_faces(
    pictures: Iterable[Image],
    near: Iterable[tuple[Seen, Sequence[Seen]]],
    count: Blurred | None = None,
) -> Iterator[Image]:
    """The pictures with every face blurred.

    A picture is blurred as a whole where the search is incomplete, or where it finds no face.

    Args:
        pictures: uint8 [H, W, 3], RGB.
        near: for each, what was seen in it, and in the pictures ``NEAR_S`` before and after it.
        count: counts the pictures.
    """
    count = count or Blurred()
    for image, (seen, around) in zip(pictures, near, strict=False):
        boxes = [*seen.boxes, *_coming_and_going(seen, around, image.shape)]
        count.pictures += 1
        if seen.is_complete and boxes:
            yield blur_boxes(image, boxes)
        else:
            count.whole += 1
            yield coarse(image, WHOLE_CELLS)


def blur_boxes(image: Image, boxes: Iterable[Box]) -> Image:
    """A copy in which only coarse cells are left of the faces in these boxes."""
    hidden = image.copy()
    # The largest last: no edge of a smaller one is left in it.
    for x0, y0, x1, y1 in sorted(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1])):
        width, height = x1 - x0, y1 - y0
        # The boxes end at the brows; hair, ears and chin belong to a face, too.
        left, right = (
            int(np.clip(v, 0, image.shape[1])) for v in (x0 - 0.3 * width, x1 + 0.3 * width + 1)
        )
        top, bottom = (
            int(np.clip(v, 0, image.shape[0])) for v in (y0 - 0.5 * height, y1 + 0.3 * height + 1)
        )
        if right > left and bottom > top:
            # Cells of what is blurred already: boxes that overlap bring nothing back.
            hidden[top:bottom, left:right] = coarse(hidden[top:bottom, left:right])
    return hidden


def coarse(image: Image, cells: int = CELLS) -> Image:
    """The image in so few cells a side that no subject is identified and no face found."""
    height, width = image.shape[:2]
    small = (min(cells, width), min(cells, height))
    means = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    out: Image = cv2.resize(means, (width, height), interpolation=cv2.INTER_LINEAR)
    return out


def _coming_and_going(seen: Seen, around: Sequence[Seen], shape: Sequence[int]) -> Iterator[Box]:
    """Where faces that are not in this picture were before, or will be.

    One that is near the edge came or went over it: there all is blurred up to the edge.
    """
    height, width = shape[:2]
    for other in around:
        if abs(other.time_s - seen.time_s) <= DOUBT_S:
            yield from other.others
        for number, (x0, y0, x1, y1) in other.faces.items():
            if number in seen.faces:
                continue
            near = NEAR_EDGE * (x1 - x0)
            yield (
                0.0 if x0 < near else x0,
                0.0 if y0 < near else y0,
                float(width) if x1 > width - near else x1,
                float(height) if y1 > height - near else y1,
            )


def _go_on(track: _BlurTrack, box: Box, time_s: float) -> None:
    step_s = max(time_s - track.time_s, 1e-3)
    share = min(1.0, step_s / STEADY_S)
    (x, y), (old_x, old_y), (way_x, way_y) = middle(box), middle(track.box), track.way
    track.way = (
        way_x + share * ((x - old_x) / step_s - way_x),
        way_y + share * ((y - old_y) / step_s - way_y),
    )
    track.box, track.time_s = box, time_s
    track.frames += 1


def _leaves(track: _BlurTrack, image: Image) -> bool:
    """Whether the face is cut by the picture's edge, or about to go over it."""
    x0, y0, x1, y1 = track.box
    height, width = image.shape[:2]
    most = NEAR_EDGE * (x1 - x0)
    x, y = np.clip(LEAVING_S * np.array(track.way), -most, most).tolist()
    return bool(
        min(x0, x0 + x) < 0
        or min(y0, y0 + y) < 0
        or max(x1, x1 + x) > width
        or max(y1, y1 + y) > height
    )


def _tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Corner x, y and side of each tile: the whole picture, and smaller squares that overlap."""
    sides, side = [max(height, width)], float(SMALLEST_TILE)
    while side < min(height, width):
        sides.append(round(side))
        side *= NEXT_TILE
    sides.append(min(height, width))
    return [
        (int(x), int(y), side)
        for side in dict.fromkeys(sides)
        for y in _corners(height, side)
        for x in _corners(width, side)
    ]


def _corners(length: int, side: int) -> NDArray[np.intp]:
    """Where tiles of one size begin, neighbours overlapping by a third."""
    count = int(np.ceil(max(length - side, 0) / (side * 2 / 3))) + 1
    return np.linspace(0, max(length - side, 0), count).round().astype(np.intp)


def _box(proposed: Floats) -> Box:
    x0, y0, x1, y1 = proposed[1:5].tolist()
    return x0, y0, x1, y1


def is_one(a: Box, b: Box) -> bool:
    """Whether the middle of one box lies in the other: one face, seen twice."""
    return holds_middle(a, b) or holds_middle(b, a)
