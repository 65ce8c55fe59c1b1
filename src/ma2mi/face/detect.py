"""Find faces and their 478 landmarks with Google's nets, run directly and without any smoothing.

"Left" is the subject's left everywhere, which a camera shows on the right side of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ma2mi.arrays import Image
from ma2mi.errors import FaceError, optional_part
from ma2mi.face.boxes import Box, area, holds_middle, iou
from ma2mi.face.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, Face, Floats
from ma2mi.face.model_file import find_model, load_net

with optional_part("cv2", "video"):
    import cv2


# The detector (BlazeFace, short range; Bazarevsky et al. 2019, arXiv 1907.05047) sees 128 pixels
# through 896 anchors: two in each cell of a 16x16 grid, six in each cell of an 8x8 grid.
_DETECTOR_SIDE = 128
_GRIDS = ((16, 2), (8, 6))
_DETECTION_SCORE = 0.5

# In tiled scenes of the real clips in ``../shared`` every face scores 0.86 or more in a tile, and
# hands, chairs and prints on shirts stay below 0.65.
CONFIDENT_SCORE = 0.75
_TILE_SCORE = 0.65  # the same, where the landmark net confirms it
_SAME_FACE_IOU = 0.3
_TILE = 0.6  # of the short side
_FINE_TILE = 0.3
_FINE_FROM = 1000  # px, the short side: in smaller images such faces are too small to measure

# The landmark net (Kartynnik et al. 2019, arXiv 1907.06724) sees 256 pixels: the upright face box,
# widened by half.
_LANDMARK_SIDE = 256
_WIDEN = 1.5
_PRESENCE = 0.5


class _Region(NamedTuple):
    """A square to cut out: centre and side in pixels, turned by an angle in radians."""

    x: float
    y: float
    side: float
    angle: float

    def warp(self, side: int) -> NDArray[np.float64]:
        """Float64 [2, 3]: image pixels to the pixels of a cut-out of ``side`` pixels."""
        scale = side / self.side
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        middle = (side - 1) / 2
        return np.array(
            [
                [cos, sin, middle - cos * self.x - sin * self.y],
                [-sin, cos, middle + sin * self.x - cos * self.y],
            ]
        )


class FaceDetector:
    """Faces in single images; remembers nothing from one image to the next.

    Pickles as its settings, so that each worker process builds nets of its own.

    Args:
        model: a ``face_landmarker.task``; None searches the default paths (``find_model``).
        threads: for the nets; use 1 when several processes run.

    Raises:
        FaceError: the model file is missing or invalid.
    """

    def __init__(self, model: Path | None = None, threads: int = 1) -> None:
        self.model = find_model(model)
        self.threads = threads
        self._find_net = load_net(self.model.path, "face_detector.tflite", threads)
        self._landmark_net = load_net(self.model.path, "face_landmarks_detector.tflite", threads)

    def __reduce__(self) -> tuple[object, ...]:
        return FaceDetector, (self.model.path, self.threads)

    def detect(self, image: Image, known: Sequence[Face] = ()) -> list[Face]:
        """All faces of ``image`` (uint8 [H, W, 3], RGB), the largest first; [] if there is none.

        The net searches the whole image, and overlapping square tiles (nine of a 4:3 image),
        where small faces are larger; in large images that show none so, at smaller ones. Beside a
        face that the whole shows, a tile's must have a high score. A face that is found where one
        of the ``known`` is counts as that one, which is given as it is.

        Raises:
            FaceError: the image has another shape or type.
        """
        return self._detect(image, known, thorough=True)

    def detect_fast(self, image: Image, known: Sequence[Face] = ()) -> list[Face]:
        """As ``detect``, but the tiles are searched only if the whole image shows no face.

        A tenth of the time beside a face that is known; a small face beside a large one is missed.
        """
        return self._detect(image, known, thorough=False)

    def _detect(self, image: Image, known: Sequence[Face], *, thorough: bool) -> list[Face]:
        _check_image(image)
        height, width = image.shape[:2]
        whole = _Region((width - 1) / 2, (height - 1) / 2, max(height, width), 0.0)
        faces = self._faces(image, self._candidates(image, whole), known)
        if faces and not thorough:
            return faces
        near = np.concatenate([self._candidates(image, t) for t in _tiles(height, width)])
        if faces:
            near = near[near[:, 0] >= _TILE_SCORE]
        faces = self._faces(image, near, known, faces)
        if faces or min(height, width) < _FINE_FROM:
            return faces
        tiles = _tiles(height, width, _FINE_TILE)
        fine = np.concatenate([self._candidates(image, tile) for tile in tiles])
        return self._faces(image, fine[fine[:, 0] >= _TILE_SCORE], known)

    def propose(self, cut: Image) -> Floats:
        """Where faces may be in a cut-out: float32 [n, 9].

        Score in (0.5, 1]; box x0 y0 x1 y1, right eye x y and left eye x y in pixels of the cut-out.

        Args:
            cut: uint8 [128, 128, 3], RGB. Faces of an eighth of its width and more are found.
        """
        raw, logits = self._find_net(cut.astype(np.float32) / 127.5 - 1)
        scores = expit(logits.reshape(-1))
        keep = scores > _DETECTION_SCORE
        raw, anchors = raw.reshape(-1, 16)[keep], _ANCHORS[keep]
        centre, half = raw[:, 0:2] + anchors, raw[:, 2:4] / 2
        corners = [centre - half, centre + half, raw[:, 4:6] + anchors, raw[:, 6:8] + anchors]
        # The anchors count from the cut-out's edge, pixels from the first pixel's centre.
        points = np.concatenate(corners, axis=1) - 0.5
        proposed: Floats = np.hstack([scores[keep, None], points]).astype(np.float32)
        return proposed

    def face_at(self, image: Image, box: Box, angle: float = 0.0) -> Face | None:
        """The face whose box is roughly known, None where the landmark net sees none.

        Args:
            image: uint8 [H, W, 3], RGB.
            box: x0, y0, x1, y1 in its pixels.
            angle: of the line from the right to the left eye, radians.
        """
        _check_image(image)
        x0, y0, x1, y1 = box
        side = _WIDEN * max(x1 - x0, y1 - y0)
        face = self._landmarks(image, _Region((x0 + x1) / 2, (y0 + y1) / 2, side, angle))
        # Twice: the second region comes from the landmarks, which know the face better.
        return None if face is None else self._landmarks(image, _region_of(face.points))

    def follow(self, image: Image, face: Face) -> Face | None:
        """The landmarks of ``face`` in another ``image``, None where it is no longer there.

        The net is applied where ``face`` was, at the same scale and turn. Follow one and the same
        face through a short clip and nothing but the pixels can move the landmarks; follow the
        newest face through a long video and the region moves along.
        """
        _check_image(image)
        return self._landmarks(image, _region_of(face.points))

    def _faces(
        self, image: Image, candidates: Floats, known: Sequence[Face], others: Sequence[Face] = ()
    ) -> list[Face]:
        """The faces at some candidates, and the ``others``; the largest first."""
        faces = list(others)
        for candidate in _distinct(candidates):
            box = _box(candidate)
            if any(holds_middle(face.box, box) for face in others):
                continue
            face = next((one for one in known if iou(one.box, box) >= _SAME_FACE_IOU), None)
            if face is None:
                face = self.face_at(image, box, _angle(candidate[5:7], candidate[7:9]))
            if face is not None and all(iou(face.box, f.box) < _SAME_FACE_IOU for f in faces):
                faces.append(face)
        return sorted(faces, key=lambda face: area(face.box), reverse=True)

    def _candidates(self, image: Image, region: _Region) -> Floats:
        """Float32 [n, 9]: as ``propose``, in image pixels."""
        warp = region.warp(_DETECTOR_SIDE)
        found = self.propose(resample(image, warp, _DETECTOR_SIDE, border=cv2.BORDER_CONSTANT))
        back = cv2.invertAffineTransform(warp)
        points = found[:, 1:].reshape(-1, 2).astype(np.float64)
        points = (points @ back[:, :2].T + back[:, 2]).reshape(-1, 8)
        candidates: Floats = np.hstack([found[:, :1], points]).astype(np.float32)
        return candidates

    def _landmarks(self, image: Image, region: _Region) -> Face | None:
        warp = region.warp(_LANDMARK_SIDE)
        cut = resample(image, warp, _LANDMARK_SIDE)
        raw, flag, _ = self._landmark_net(cut.astype(np.float32) / np.float32(255))
        confidence = float(expit(flag.reshape(-1))[0])
        if confidence < _PRESENCE:
            return None
        back = cv2.invertAffineTransform(warp)
        solid = raw.reshape(478, 3).astype(np.float64)
        points = solid[:, :2] @ back[:, :2].T + back[:, 2]
        depths = solid[:, 2] * np.sqrt(abs(np.linalg.det(back[:, :2])))
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        box = (x0, y0, x1, y1)
        return Face(points.astype(np.float32), confidence, box, depths.astype(np.float32))


def resample(
    image: Image,
    warp: NDArray[np.float64],
    side: int,
    *,
    border: int = cv2.BORDER_REPLICATE,
) -> Image:
    """Cut a square of ``side`` pixels out of ``image`` [H, W, C] by ``warp`` (image to square).

    Bilinear. Where the image shrinks by more than 1.5, bilinear sampling would skip pixels, and
    what it skips changes with the slightest motion (aliasing): there each pixel is the mean of
    k x k bilinear samples, k the shrinkage rounded up.
    """
    shrinkage = 1 / np.sqrt(abs(np.linalg.det(warp[:, :2])))
    samples = int(np.ceil(shrinkage)) if shrinkage > 1.5 else 1
    fine = warp * samples
    fine[:, 2] += (samples - 1) / 2  # pixel centres are integers on both grids
    square = (side * samples, side * samples)
    # OpenCV warps four channels in half the time of three, to the same bits.
    quicker = image.shape[2] == 3 and image.size < 48 * square[0] * square[1]
    source = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA) if quicker else image
    cut: Image = cv2.warpAffine(source, fine, square, flags=cv2.INTER_LINEAR, borderMode=border)
    if samples > 1:
        cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cut, cv2.COLOR_RGBA2RGB) if quicker else cut


def _anchors() -> Floats:
    """Float32 [896, 2]: anchor centres x, y in the detector's pixels."""
    rows = []
    for cells, repeats in _GRIDS:
        ticks = (np.arange(cells) + 0.5) * _DETECTOR_SIDE / cells
        y, x = np.meshgrid(ticks, ticks, indexing="ij")
        rows.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(rows).astype(np.float32)


_ANCHORS = _anchors()


def _tiles(height: int, width: int, share: float = _TILE) -> list[_Region]:
    """Squares of a share of the short side, at least 3 x 3, neighbours overlapping by a third."""
    side = share * min(height, width)

    def middles(length: int) -> NDArray[np.float64]:
        count = max(3, int(np.ceil((length - side) / (side * 2 / 3))) + 1)
        return np.linspace(side / 2, length - side / 2, count) - 0.5

    return [_Region(x, y, side, 0.0) for y in middles(height) for x in middles(width)]


def _distinct(candidates: Floats) -> list[Floats]:
    """The best candidate of each cluster of overlapping ones, best first."""
    kept: list[Floats] = []
    for candidate in candidates[np.argsort(-candidates[:, 0], kind="stable")]:
        if all(iou(_box(candidate), _box(other)) < _SAME_FACE_IOU for other in kept):
            kept.append(candidate)
    return kept


def _box(candidate: Floats) -> Box:
    x0, y0, x1, y1 = candidate[1:5].tolist()
    return x0, y0, x1, y1


def _region_of(points: Floats) -> _Region:
    """The region as the tracker of Google's own pipeline chooses it from landmarks."""
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    side = _WIDEN * max(x1 - x0, y1 - y0)
    angle = _angle(points[RIGHT_EYE_OUTER], points[LEFT_EYE_OUTER])
    return _Region((x0 + x1) / 2, (y0 + y1) / 2, side, angle)


def _angle(right_eye: Floats, left_eye: Floats) -> float:
    dx, dy = (left_eye - right_eye).tolist()
    return float(np.arctan2(dy, dx))


def _check_image(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise FaceError(
            f"image is {image.dtype} {list(image.shape)}", hint="Give uint8 [H, W, 3], RGB"
        )
