"""Pictures of a face beside the plain frame: close, its movement as arrows, and magnified."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ma2mi.arrays import Flow, Image
from ma2mi.errors import FaceError, optional_part
from ma2mi.face.align import Template, Warp, estimate_warp, warp_image
from ma2mi.face.boxes import iou
from ma2mi.face.track import Detector, default_detector
from ma2mi.motion import expressive_mask, flow, magnify, remove_rigid
from ma2mi.motion.regions import face_mask
from ma2mi.review.frames import ImageFormat, encode_image, shrink
from ma2mi.review.recordings import ReviewedVideo

with optional_part("cv2", "video"):
    import cv2

View = Literal["full", "face", "flow", "magnified"]

ALIGNED = Template(size=256)  # of the flow and of what is magnified
SHOWN_SIDE = 2 * ALIGNED.size  # px of the picture that shows it
WIDEN = 1.5  # a close picture is so many times as wide as the landmarks
ARROW_STEP = 12  # px of the crop from arrow to arrow
LONGEST_ARROW_PX = 24.0  # of the crop, at the apex
LEAST_ARROW_PX = 1.5  # shorter ones are points
MAGNIFIED_PX = 12.0  # how far a magnified movement goes at the apex, px of the crop
MOST_TIMES = 20.0
UNKNOWN_TIMES = 8.0  # where no movement is marked
PEAK = 0.995  # quantile of the face's pixels that says how far it moves
_ARROW, _HALO = (255, 214, 10), (20, 20, 20)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """What a picture of a face shows.

    Args:
        view: which of ``View``, not "full".
        frame: that is shown.
        anchor: frame whose face says what is cut out, and from which movement counts: the onset.
        peak: frame of the strongest movement: it says how much is magnified.
        face: its number.
    """

    view: View
    frame: int
    anchor: int
    peak: int
    face: int = 0


class FaceViews:
    """The pictures of the faces of one video.

    Args:
        video: whose frames can be seen.
        detector: finds landmarks; by default :class:`ma2mi.FaceDetector`, loaded when needed.
    """

    def __init__(self, video: ReviewedVideo, detector: Detector | None = None) -> None:
        self._video = video
        self._detector = detector
        self._lock = threading.Lock()
        self._warps: dict[tuple[int, int], Warp] = {}
        self._boxes: dict[tuple[int, int], Box] = {}
        self._peaks: dict[tuple[int, int, int], float] = {}

    def picture(self, asked: ViewRequest, width: int = 0, kind: ImageFormat = "jpeg") -> bytes:
        """The picture as a file.

        Args:
            asked: what it shows.
            width: no wider than this, px; 0 leaves it as it is.
            kind: of file.

        Raises:
            VideoError: no such frame.
            FaceError: there is no face at the anchor.
            MotionError: nothing can be measured there.
        """
        key = (self._video.path, asked, width, kind)
        coded = self._video.cache.coded.get(key)
        if coded is None:
            coded = encode_image(shrink(self._draw(asked), width), kind)
            self._video.cache.coded.put(key, coded)
        return coded

    def times(self, asked: ViewRequest) -> float:
        """How many times longer arrows are, or how many times as far magnified movement goes.

        It is the same for all frames of an event.

        Raises:
            VideoError, FaceError, MotionError: as ``picture``.
        """
        if asked.view == "face":
            return 1.0
        if asked.peak == asked.anchor:
            return UNKNOWN_TIMES
        key = (asked.face, asked.anchor, asked.peak)
        if key not in self._peaks:
            _, moved = self._movement(replace(asked, frame=asked.peak))
            skin = expressive_mask(moved.shape[:2])
            length = np.hypot(moved[..., 0], moved[..., 1])[skin]
            self._peaks[key] = max(float(np.quantile(length, PEAK)), 1e-6)
        shown = LONGEST_ARROW_PX if asked.view == "flow" else MAGNIFIED_PX
        return float(np.clip(round(shown / self._peaks[key], 1), 1, MOST_TIMES))

    def _draw(self, asked: ViewRequest) -> Image:
        if asked.view == "face":
            image = self._video.frames.image(asked.frame)
            return cut_out(image, self._box(asked.face, asked.anchor))
        times = self.times(asked)
        crop, moved = self._movement(asked)
        if asked.view == "magnified":
            mask = face_mask(moved.shape[:2])
            large = magnify(crop[None], times, moved=moved[None], mask=mask)[0]
            return _enlarge(np.asarray(large))
        return draw_arrows(_enlarge(crop), times * moved, SHOWN_SIDE / ALIGNED.size)

    def _movement(self, asked: ViewRequest) -> tuple[Image, Flow]:
        """The aligned crop of a frame, and its movement from the anchor, head motion removed."""
        warp = self._warp(asked.face, asked.anchor)
        anchor = warp_image(self._video.frames.image(asked.anchor), warp, ALIGNED)
        crop = warp_image(self._video.frames.image(asked.frame), warp, ALIGNED)
        if asked.frame == asked.anchor:
            return crop, np.zeros((*crop.shape[:2], 2), np.float32)
        moved, _ = remove_rigid(flow(anchor, crop)[0])
        return crop, np.asarray(moved)

    def _warp(self, face: int, anchor: int) -> Warp:
        key = (face, anchor)
        with self._lock:
            if key not in self._warps:
                self._find(face, anchor)
            return self._warps[key]

    def _box(self, face: int, anchor: int) -> Box:
        known = self._known_box(face, anchor)
        if known is not None:
            return known
        with self._lock:
            if (face, anchor) not in self._boxes:
                self._find(face, anchor)
            return self._boxes[face, anchor]

    def _known_box(self, face: int, anchor: int) -> Box | None:
        """Where the analysis saw the face: x, y, width, height."""
        table = self._video.movement
        if table is None or face not in table.faces or anchor >= len(table.times_s):
            return None
        x, y, width, height = table.faces[face].boxes[anchor].tolist()
        return (x, y, width, height) if np.isfinite(x) else None

    def _find(self, face: int, anchor: int) -> None:
        if self._detector is None:
            self._detector = default_detector()
        faces = self._detector.detect(self._video.frames.image(anchor))
        if not faces:
            raise FaceError("no face is found", where=f"frame {anchor}")
        known = self._known_box(face, anchor)
        if known is None:
            one = faces[min(face, len(faces) - 1)]
        else:
            corners = (known[0], known[1], known[0] + known[2], known[1] + known[3])
            one = max(faces, key=lambda found: iou(found.box, corners))
        x0, y0, x1, y1 = one.box
        self._boxes[face, anchor] = (x0, y0, x1 - x0, y1 - y0)
        self._warps[face, anchor] = estimate_warp(one, ALIGNED)


def cut_out(image: Image, box: Box) -> Image:
    """The square around a face at the image's own resolution; border pixels go on outside.

    Args:
        image: uint8 [H, W, 3].
        box: x, y, width, height of the landmarks.
    """
    x, y, width, height = box
    side = max(8, round(WIDEN * max(width, height)))
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    rows = np.clip(np.arange(top, top + side), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, image.shape[1] - 1)
    return np.ascontiguousarray(image[rows[:, None], columns])


def draw_arrows(picture: Image, moved: Flow, scale: float) -> Image:
    """Arrows on a face where expressions show.

    Args:
        picture: uint8 [scale * H, scale * W, 3].
        moved: [H, W, 2], px: the arrows.
        scale: px of the picture over px of the flow.
    """
    drawn = picture.copy()
    skin = expressive_mask(moved.shape[:2])
    height, width = moved.shape[:2]
    for row in range(ARROW_STEP // 2, height, ARROW_STEP):
        for column in range(ARROW_STEP // 2, width, ARROW_STEP):
            if not skin[row, column]:
                continue
            start = np.array([column, row]) * scale
            end = start + moved[row, column] * scale
            _arrow(drawn, start, end, float(np.hypot(*moved[row, column])))
    return drawn


def _arrow(
    image: Image, start: NDArray[np.floating], end: NDArray[np.floating], length_px: float
) -> None:
    first, last = tuple(np.round(start).astype(int)), tuple(np.round(end).astype(int))
    if length_px < LEAST_ARROW_PX:
        cv2.circle(image, first, 1, _ARROW, cv2.FILLED, cv2.LINE_AA)
        return
    for colour, thick in ((_HALO, 3), (_ARROW, 1)):
        cv2.arrowedLine(image, first, last, colour, thick, cv2.LINE_AA, tipLength=0.3)


def _enlarge(crop: Image) -> Image:
    return np.asarray(
        cv2.resize(crop, (SHOWN_SIDE, SHOWN_SIDE), interpolation=cv2.INTER_CUBIC), np.uint8
    )
