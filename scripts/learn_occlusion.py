"""Learn what hides parts of a face: ``python scripts/learn_occlusion.py``.

Rendered heads of all tones of skin, with beards, glasses and long hair
(``synthesis/head_video``), and the real clips of ``--clips``, if they are there, are seen
as they are and behind drawn things (``synthesis/occluders``), through bad cameras, some
of them with teeth shown. Landmarks are those that the net finds on the result. An area is a
positive if 0.6 of it is covered, a negative up to 0.15, and else not counted. Frames of the real
clips in which a hand is before the face are left out. A third of the faces, and the portrait of
Eileen Collins (NASA, public domain, from scikit-image), are seen once more with a fringe of hair
over the forehead, which hides nothing that moves.

With ``--leave-out`` is printed how often each area is called hidden in heads and real subjects that
were not learned from; what ships is learned from all.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.optimize import minimize
from skimage.data import astronaut

from ma2mi.face.detect import FaceDetector
from ma2mi.face.landmarks import Face
from ma2mi.face.occlusion import AREAS, HIDDEN, Network, measure_parts
from ma2mi.files import replace_file
from ma2mi.synthesis.head_video import make_head_video
from ma2mi.synthesis.long_video_settings import LongVideoSettings
from ma2mi.synthesis.occluders import OCCLUDERS, covered_areas
from ma2mi.video import read_frames

Image = NDArray[np.uint8]
Arrays = dict[str, NDArray[Any]]

FIRST_SUBJECT = 70_000
FRAMES_EACH = 4  # of a rendered head
EVERY = 6  # frames of a real clip
UNIT_PX = 80.0  # between the eyes, at most: drawing on larger faces takes long and shows no more
OPEN, BEHIND = 5, 9  # pictures made of each face: as it is, and behind something
FRINGED = 2, 4  # and with a fringe of hair
SHARES = {"mask": 0.35, "hand": 0.27, "sunglasses": 0.15, "cap": 0.11, "object": 0.12}
COVERED, CLEAR = 0.6, 0.15
HIDDEN_UNITS, DECAY, STEPS = 16, 5e-4, 400
TARGET = Path(__file__).parents[1] / "src/ma2mi/face/occlusion.safetensors"
CLIPS = Path(__file__).parents[2] / "shared" / "clips"

SUBJECTS = {  # of the sign-language clips, by their clothes
    "skull": "again brother help no student yes",
    "grey": "bird milk please sorry thanks",
    "yellow": "book learn school walk",
    "polka": "eat night sister",
    "check": "hungry want",
    "single": "single_face face_noface",
}
SUBJECT_OF = {clip: who for who, clips in SUBJECTS.items() for clip in clips.split()}
HANDS = {  # frames with a hand before the face, by eye
    "bird": (12, 48),
    "eat": (18, 36),
    "help": (24, 48),
    "brother": (18, 30),
    "learn": (24, 42),
    "thanks": (12, 30),
    "book": (24, 78),
}


@dataclass(frozen=True, eq=False)
class Seen:
    """One face in the open."""

    subject: str
    image: Image
    face: Face


# Faces in the open


def rendered(seed: int, folder: Path) -> list[Seen]:
    """Frames of one rendered head, kept in ``folder``."""
    file = folder / f"head{seed}.pkl"
    if file.is_file():
        kept: list[Seen] = pickle.loads(file.read_bytes())
        return kept
    rng, detector = np.random.default_rng(seed), FaceDetector()
    plan = LongVideoSettings(duration_s=120, micro_count=3, macro_count=12, speech_count=4)
    video = make_head_video(seed=seed, plan=plan, face_px=float(rng.uniform(80, 190)))
    seen = []
    for index in rng.choice(video.frame_count, FRAMES_EACH, replace=False):
        image = np.ascontiguousarray(video.frame(int(index)))
        seen += [cut(f"head{seed}", image, face) for face in detector.detect(image)[:1]]
    file.write_bytes(pickle.dumps(seen))
    return seen


def filmed(clips: Path) -> Iterator[Seen]:
    """Faces of real clips without a hand before them."""
    detector = FaceDetector()
    for path in sorted(clips.rglob("*")):
        if path.suffix not in (".mkv", ".mp4", ".mov", ".gif"):
            continue
        face, (start, stop) = None, HANDS.get(path.stem, (0, 0))
        every = EVERY * 4 if path.stem.startswith("cap13") else EVERY
        for frame in read_frames(path):
            if face is not None:
                face = detector.follow(frame.image, face)
            if frame.index % every:
                continue
            if face is None:
                face = next(iter(detector.detect(frame.image)), None)
            if face is not None and not start <= frame.index < stop:
                yield cut(SUBJECT_OF.get(path.stem, path.stem), frame.image, face)


def portrait(detector: FaceDetector) -> Seen:
    """Eileen Collins, whose hair falls on her forehead."""
    image = np.ascontiguousarray(astronaut()[0:260, 90:350])
    return cut("portrait", image, detector.detect(image)[0])


def numbered(faces: list[Seen]) -> Iterator[tuple[Seen, int]]:
    return ((seen, number) for number, seen in enumerate(faces))


def cut(subject: str, image: Image, face: Face) -> Seen:
    """The face with 0.8 of its width around it, at most 80 px between the eyes."""
    margin = 0.8 * (face.box[2] - face.box[0])
    left, top = (int(max(0, edge - margin)) for edge in face.box[:2])
    right, bottom = (int(edge + margin) for edge in face.box[2:])
    image, points = image[top:bottom, left:right], face.points - np.float32((left, top))
    image, points = shrunk(image, points, UNIT_PX / unit_of(points))
    return Seen(subject, image, face_at(points))


def shrunk(image: Image, points: Any, scale: float) -> tuple[Image, Any]:
    """Smaller by a scale below 1; as it is otherwise."""
    if scale >= 1:
        return np.ascontiguousarray(image), points
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small, ((points + 0.5) * scale - 0.5).astype(np.float32)


def face_at(points: Any) -> Face:
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(points.astype(np.float32), 1.0, (x0, y0, x1, y1))


def unit_of(points: Any) -> float:
    return float(np.hypot(*(points[263] - points[33])))


# What is done to them


def show_teeth(image: Image, face: Face, rng: np.random.Generator) -> Image:
    """A bright row between the lips, as in a grin, with gaps and shade."""
    points = face.points.astype(np.float64)
    unit, centre = unit_of(points), points[[13, 14, 78, 308]].mean(axis=0)
    up = points[10] - points[152]
    up /= np.hypot(*up)
    aside = np.array([-up[1], up[0]])
    width = max(float(np.abs((points[[78, 308]] - centre) @ aside).max()), 1.0)
    height = unit * rng.uniform(0.04, 0.16)
    along = np.linspace(-1, 1, 15) * rng.uniform(0.75, 1.1)
    lens, bow = np.sqrt(1 - (along / 1.12) ** 2), rng.uniform(0, 0.6) * height * along**2
    upper = centre + np.outer(along * width, aside)
    rims = [
        upper + np.outer(height * lens * rng.uniform(0.3, 1.0) + bow, up),
        upper + np.outer(-height * lens * rng.uniform(0.5, 1.3) + bow, up),
    ]
    shadow = np.zeros(image.shape[:2], np.uint8)
    outline = np.round(np.concatenate([rims[0], rims[1][::-1]])).astype(np.int32)
    cv2.fillPoly(shadow, [outline], 255, cv2.LINE_AA)
    share = cv2.GaussianBlur(shadow, (0, 0), max(0.5, unit * 0.01))[..., None] / 255
    x, y = np.round(points[50]).astype(int)
    light = image[max(0, y) : y + 3, max(0, x) : x + 3]
    bright = np.clip((light.mean() if light.size else 128) * rng.uniform(0.9, 1.5), 40, 245)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    off = np.stack([columns - centre[0], rows - centre[1]], axis=-1)
    out, high = off @ aside, off @ up
    shade = 1 - 0.35 * np.clip(np.abs(out) / width, 0, 1) ** 2
    gaps = np.cos(2 * np.pi * out / (unit * rng.uniform(0.07, 0.1))) > 0.85
    shade = shade * (1 - rng.uniform(0, 0.25) * gaps)
    if rng.random() < 0.5:  # two rows, dark between them
        between = np.abs(high - rng.normal(-0.2, 0.3) * height) < height * rng.uniform(0.05, 0.3)
        shade = shade * (1 - rng.uniform(0.3, 0.9) * between)
    teeth = bright * shade[..., None] * (1, 0.97, 0.88)
    return np.clip(image * (1 - share) + teeth * share, 0, 255).astype(np.uint8)


def film(image: Image, face: Face, rng: np.random.Generator) -> tuple[Image, Face]:
    """Through a bad camera: small, dark, grey, tinted, lit from aside, blurred, noisy, coded."""
    points = face.points
    if rng.random() < 0.6:
        image, points = shrunk(image, points, rng.uniform(28, 90) / unit_of(points))
    unit, look = unit_of(points), image.astype(np.float32) / 255
    if rng.random() < 0.5:
        look = look ** rng.uniform(0.6, 1.8)
    if rng.random() < 0.5:
        look = look * rng.uniform(0.35, 1.35)
    if rng.random() < 0.5:
        look = look * rng.uniform(0.8, 1.2, 3)
    if rng.random() < 0.3:
        aside = np.clip((np.arange(image.shape[1]) - points[4, 0]) / unit / 2, -1, 1)
        look = look * (1 + rng.uniform(-0.6, 0.6) * aside)[None, :, None]
    if rng.random() < 0.35:
        grey = (look @ (0.299, 0.587, 0.114))[..., None]
        share = 1.0 if rng.random() < 0.5 else rng.uniform(0.2, 0.8)
        look = look * (1 - share) + grey * share
    if rng.random() < 0.5:
        look = cv2.GaussianBlur(look, (0, 0), max(0.3, unit * rng.uniform(0.005, 0.04)))
    if rng.random() < 0.5:
        look = look + rng.normal(0, rng.uniform(1, 9) / 255, look.shape)
    image = np.clip(np.rint(look * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 85))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], 1))
    return image, face_at(points)


def add_fringe(image: Image, face: Face, rng: np.random.Generator) -> Image:
    """Hair over the forehead, down to somewhere above the brows."""
    points, unit = face.points.astype(np.float64), unit_of(face.points)
    up = points[10] - points[168]
    edge = points[[127, 70, 105, 9, 334, 300, 356]] + up * rng.uniform(0.0, 0.45)
    edge = edge + up * np.linspace(-1, 1, 7)[:, None] * rng.normal(0, 0.12)
    edge += rng.normal(0, 0.03 * unit, edge.shape)
    shadow = np.zeros(image.shape[:2], np.uint8)
    outline = np.round(np.concatenate([edge, edge[::-1] + up * 2])).astype(np.int32)
    cv2.fillPoly(shadow, [outline], 255, cv2.LINE_AA)
    share = cv2.GaussianBlur(shadow, (0, 0), max(0.6, unit * 0.03))[..., None] / 255
    streaks = cv2.GaussianBlur(rng.normal(0, 1, image.shape[:2]), (0, 0), 0.7, sigmaY=unit * 0.15)
    tone = np.array([1.0, rng.uniform(0.7, 0.9), rng.uniform(0.4, 0.8)]) * rng.uniform(20, 180)
    hair = tone * (1 + 0.25 * streaks / streaks.std())[..., None]
    return np.clip(image * (1 - share) + hair * share, 0, 255).astype(np.uint8)


def measure(
    seen: Seen,
    seed: int,
    detector: FaceDetector,
    counts: tuple[int, int] = (OPEN, BEHIND),
    fringe: bool = False,
) -> Arrays:
    """All pictures made of one face: inputs, share of each area that is covered, kind."""
    rng = np.random.default_rng([seed, 0x0CC1])
    kinds = ["open"] * counts[0]
    kinds += list(rng.choice(list(SHARES), counts[1], p=list(SHARES.values())))
    parts, covers, made = [], [], []
    for kind in kinds:
        image, face = seen.image, seen.face
        if fringe:
            image = add_fringe(image, face, rng)
        if rng.random() < 0.3:
            image = show_teeth(image, face, rng)
        cover = np.zeros(image.shape[:2], np.float32)
        if kind != "open":
            image, cover = OCCLUDERS[kind](image, face, rng)
        shares = covered_areas(face, cover)
        if kind != "open" or rng.random() < 0.8:
            image, face = film(image, face, rng)
        found = detector.follow(np.ascontiguousarray(image), face)
        if found is not None:
            parts.append(measure_parts(image, found))
            covers.append([shares[name] for name in AREAS])
            made.append(kind)
    return {
        "parts": np.array(parts, np.float32).reshape(len(made), -1),
        "covers": np.array(covers, np.float32).reshape(len(made), -1),
        "kinds": np.array(made),
        "subjects": np.full(len(made), seen.subject),
    }


# Learning


def fit(data: Arrays, seed: int = 0) -> Network:
    """The network that tells covered areas from clear ones, each class and area of equal weight."""
    covers, inputs = data["covers"], data["parts"].astype(np.float64)
    truth, weights = covers >= COVERED, np.zeros(covers.shape)
    for chosen in (truth, covers <= CLEAR):
        weights += 0.5 * chosen / np.maximum(chosen.sum(axis=0), 1)
    centre, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    steady = np.clip((inputs - centre) / scale, -6, 6)
    shapes = (steady.shape[1], HIDDEN_UNITS), (HIDDEN_UNITS,), (HIDDEN_UNITS, len(AREAS)), (4,)
    rng = np.random.default_rng(seed)
    start = [rng.normal(0, shape[0] ** -0.5, shape) * (len(shape) == 2) for shape in shapes]
    ends = np.cumsum([array.size for array in start])[:-1]

    def unpacked(flat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        arrays = zip(np.split(flat, ends), shapes, strict=True)
        return [array.reshape(shape) for array, shape in arrays]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        hidden, bias, out, out_bias = unpacked(flat)
        inner = np.tanh(steady @ hidden + bias)
        odds = inner @ out + out_bias
        value = float((weights * (np.logaddexp(0, odds) - truth * odds)).sum())
        value += DECAY * float((hidden**2).sum() + (out**2).sum())
        back = weights * (1 / (1 + np.exp(-odds)) - truth)
        inner_back = back @ out.T * (1 - inner**2)
        slopes = [
            steady.T @ inner_back + 2 * DECAY * hidden,
            inner_back.sum(axis=0),
            inner.T @ back + 2 * DECAY * out,
            back.sum(axis=0),
        ]
        return value, np.concatenate([slope.ravel() for slope in slopes])

    flat = np.concatenate([array.ravel() for array in start])
    best = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    names = "hidden", "hidden_bias", "out", "out_bias"
    arrays = dict(zip(names, unpacked(best), strict=True)) | {"centre": centre, "scale": scale}
    return Network({name: array.astype(np.float32) for name, array in arrays.items()})


def joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chosen(data: Arrays, rows: NDArray[np.bool_]) -> Arrays:
    return {name: array[rows] for name, array in data.items()}


def report(title: str, data: Arrays, odds: NDArray[Any]) -> None:
    """How often each area is called hidden where it is, by kind, and where it is not."""
    calls = 1 / (1 + np.exp(-odds)) > HIDDEN
    print(f"{title}\narea    " + "".join(f"{kind:>12}" for kind in SHARES) + "   in the open")
    for column, name in enumerate(AREAS):
        covered = data["covers"][:, column] >= COVERED
        cells = []
        for kind in SHARES:
            rows = covered & (data["kinds"] == kind)
            share = f"{calls[rows, column].mean():.1%}" if rows.sum() > 9 else "-"
            cells.append(f"{share:>12}")
        clear = data["kinds"] == "open"
        print(f"{name:8}" + "".join(cells) + f"{calls[clear, column].mean():>14.2%}")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--cache", type=Path, default=Path("occlusion-cache"))
    ask.add_argument("--clips", type=Path, default=CLIPS)
    ask.add_argument("--heads", type=int, default=90, help="rendered heads to learn from")
    ask.add_argument("--leave-out", action="store_true", help="test on each real subject in turn")
    ask.add_argument("--workers", type=int, default=1)
    given = ask.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SUBJECT, FIRST_SUBJECT + given.heads)
    make: Callable[..., Any] = delayed(rendered)
    sets = Parallel(n_jobs=given.workers)(make(seed, given.cache) for seed in seeds)
    detector = FaceDetector()

    def gathered(name: str, make: Callable[[], list[Arrays]]) -> Arrays:
        file = given.cache / f"{name}.pkl"
        if file.is_file():
            kept: Arrays = pickle.loads(file.read_bytes())
            return kept
        data = joined(make())
        file.write_bytes(pickle.dumps(data))
        return data

    faces = [seen for one in sets for seen in one]
    filmed_faces = list(filmed(given.clips)) if given.clips.is_dir() else []
    heads = gathered("heads", lambda: [measure(*one, detector) for one in numbered(faces)])
    sets_of = [heads]
    if filmed_faces:
        real = gathered("real", lambda: [measure(*one, detector) for one in numbered(filmed_faces)])
        sets_of.append(real)
    third = [*faces[::3], *filmed_faces[::3]]
    fringed = gathered(
        "fringed",
        lambda: [
            *(measure(*one, detector, FRINGED, fringe=True) for one in numbered(third)),
            *(measure(portrait(detector), seed, detector) for seed in range(5)),
        ],
    )
    whole = joined([*sets_of, fringed])
    if given.leave_out and filmed_faces:
        fifth = np.array(
            [name.startswith("head") and name[-1] in "05" for name in whole["subjects"]]
        )
        net = fit(chosen(whole, ~fifth))
        report("rendered heads left out", chosen(whole, fifth), net(whole["parts"][fifth]))
        odds = np.zeros(real["covers"].shape)
        for subject in sorted(set(real["subjects"])):
            net = fit(chosen(whole, whole["subjects"] != subject))
            odds[real["subjects"] == subject] = net(real["parts"][real["subjects"] == subject])
        report("real subjects, each left out", real, odds)
    net = fit(whole)
    replace_file(TARGET, save({name: net.arrays[name] for name in sorted(net.arrays)}))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
