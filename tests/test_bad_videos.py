"""Videos in which little can be found: each has an outcome, and it is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

import ma2mi
from ma2mi.analysis import AnalysisSettings, VideoAnalyzer
from ma2mi.face.detect import FaceDetector
from ma2mi.records import Analysis
from ma2mi.spotting import Spotted
from ma2mi.video import Frame, read_frames, write_video

Image = np.ndarray
CLIPS = Path(__file__).parents[2] / "shared" / "clips"
FPS = 25


@cache
def detector() -> FaceDetector:
    return FaceDetector()


@cache
def portrait() -> Image:
    """Uint8 [240, 240, 3] with one face, about 100 px wide: NASA's Eileen Collins."""
    return np.ascontiguousarray(astronaut()[0:240, 100:340])


def noisy(images: Iterable[Image]) -> list[Image]:
    """As from a camera: no two frames are the same."""
    rng = np.random.default_rng(0)
    films = (image + rng.normal(0, 1.5, image.shape) for image in images)
    return [np.clip(np.rint(film), 0, 255).astype(np.uint8) for film in films]


def analyzed(
    tmp_path: Path, images: Iterable[Image], fps: Fraction | int = FPS, most_faces: int = 4
) -> Analysis:
    write_video(tmp_path / "bad.mp4", images, fps)
    settings = AnalysisSettings(most_faces=most_faces)
    return ma2mi.analyze(
        tmp_path / "bad.mp4", weights=None, videos=False, detector=detector(), settings=settings
    )


def is_reported(analysis: Analysis, words: str) -> bool:
    """Whether the verdict, a face's reasons or the notes say so."""
    lines = [*analysis.reasons, *analysis.notes]
    for face in analysis.faces:
        lines += face.reasons
    return any(words in line for line in lines)


def test_a_clip_shorter_than_an_event(tmp_path: Path) -> None:
    analysis = analyzed(tmp_path, noisy([portrait()] * 5))
    assert analysis.frames == 5
    assert analysis.level == "red"
    assert is_reported(analysis, "the face is seen for 0.2 s only")
    assert analysis.events == ()


def test_a_face_for_a_third_of_a_second(tmp_path: Path) -> None:
    blank = [np.full_like(portrait(), 128)]
    analysis = analyzed(tmp_path, noisy([*blank * 25, *[portrait()] * 8, *blank * 25]))
    assert analysis.level == "red"
    # It counts as seen where it was until the next look, a twentieth of a second later.
    assert any(is_reported(analysis, f"the face is seen for {time} s only") for time in (0.3, 0.4))
    assert analysis.events == ()
    (face,) = analysis.faces
    assert face.first_s == pytest.approx(1.0, abs=0.3)


def test_a_slide_show(tmp_path: Path) -> None:
    """Each picture for two seconds; a face that comes twice is one face."""
    other = cv2.GaussianBlur(np.ascontiguousarray(astronaut()[260:500, 0:240]), (0, 0), 2)
    slides = [portrait(), other, portrait(), other[::-1]]
    analysis = analyzed(tmp_path, [slide for slide in slides for _ in range(50)])
    assert is_reported(analysis, "3 hard cuts")
    assert [face.face_id for face in analysis.faces] == [0]
    assert analysis.faces[0].frames == pytest.approx(100, abs=3)
    assert analysis.events == ()


def test_a_slide_show_of_one_frame_a_picture(tmp_path: Path) -> None:
    slides = [portrait(), np.full_like(portrait(), 90), portrait(), portrait()]
    analysis = analyzed(tmp_path, slides, Fraction(1, 2))
    assert analysis.fps == pytest.approx(0.5)
    assert analysis.level == "red"
    assert is_reported(analysis, "0.5 frames a second")
    assert analysis.events == ()


def grid(faces: int) -> Image:
    """A video call: two rows of tiles."""
    tiles = [portrait(), np.ascontiguousarray(portrait()[:, ::-1])] * 3
    tiles = [cv2.resize(tile, (160, 160)) for tile in tiles[:faces]]
    tiles += [np.full((160, 160, 3), 60, np.uint8)] * (6 - faces)
    return np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])


def test_a_video_call_with_more_faces_than_are_followed(tmp_path: Path) -> None:
    analysis = analyzed(tmp_path, noisy([grid(6)] * 8))
    assert len(analysis.faces) == 4
    # Two, or three: the tiles' search takes a corner of the portrait for a face, too.
    assert is_reported(analysis, "2 further faces") or is_reported(analysis, "3 further faces")
    assert is_reported(analysis, "most_faces")
    whole = analyzed(tmp_path, noisy([grid(6)] * 8), most_faces=6)
    assert len(whole.faces) == 6
    assert not is_reported(whole, "further faces")


def test_a_face_that_joins_a_full_video_call(tmp_path: Path) -> None:
    images = [grid(1)[:160, :320]] * 10 + [grid(2)[:160, :320]] * 45
    analysis = analyzed(tmp_path, noisy(images), fps=10, most_faces=1)
    assert len(analysis.faces) == 1
    assert is_reported(analysis, "1 further face ")


def cartoon() -> Image:
    """Circles that only humans see as a face."""
    image = np.full((240, 320, 3), 240, np.uint8)
    cv2.circle(image, (160, 120), 80, (250, 220, 60), -1)
    for x in (130, 190):
        cv2.circle(image, (x, 100), 8, (0, 0, 0), -1)
    cv2.ellipse(image, (160, 140), (40, 25), 0, 20, 160, (0, 0, 0), 3)
    return image


def test_a_cartoon(tmp_path: Path) -> None:
    analysis = analyzed(tmp_path, noisy([cartoon()] * 30))
    assert (analysis.level, analysis.reasons) == ("red", ("no face is seen",))
    assert analysis.faces == analysis.events == ()


def test_an_animation_without_a_human_face(tmp_path: Path) -> None:
    path = CLIPS / "pyfeat" / "no_face.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    images = [cv2.resize(frame.image, (480, 270)) for frame in islice(read_frames(path), 40)]
    analysis = analyzed(tmp_path, images)
    assert analysis.level == "red"
    assert is_reported(analysis, "no face is seen") or is_reported(
        analysis, "face is seen for 0.0 s only"
    )
    assert analysis.events == ()


def test_a_face_upside_down(tmp_path: Path) -> None:
    """Found and tracked, or reported as missing."""
    analysis = analyzed(tmp_path, noisy([np.ascontiguousarray(portrait()[::-1, ::-1])] * 60))
    if analysis.faces:
        assert analysis.faces[0].last_s == pytest.approx(59 / 25)
    else:
        assert (analysis.level, analysis.reasons) == ("red", ("no face is seen",))
    assert analysis.events == ()


def test_real_faces_upside_down(tmp_path: Path) -> None:
    path = CLIPS / "pyfeat" / "single_face.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    images = [frame.image[::-1, ::-1] for frame in islice(read_frames(path), 30)]
    analysis = analyzed(tmp_path, images)
    if analysis.faces:  # found at one of the looks for faces, and followed from then on
        assert analysis.faces[0].last_s == pytest.approx(29 / 25)
    else:
        assert (analysis.level, analysis.reasons) == ("red", ("no face is seen",))


def masked() -> Image:
    """The portrait behind a plain blue mask."""
    (face,) = detector().detect(portrait())
    outline = [93, 58, 136, 149, 152, 378, 365, 288, 323, 280, 6, 50]
    image = portrait().copy()
    cv2.fillPoly(image, [np.round(face.points[outline]).astype(np.int32)], (150, 185, 215))
    return image


def test_a_masked_face(tmp_path: Path) -> None:
    analysis = analyzed(tmp_path, noisy([masked()] * 60))
    assert is_reported(analysis, "parts of the face are hidden: mouth 100%, nose 100% of the time")
    assert analysis.faces[0].quality["hidden_eyes"] == 0


def test_nothing_is_read_where_the_face_is_hidden() -> None:
    analyzer = VideoAnalyzer(detector())
    for index, image in enumerate(noisy([masked()] * 30)):
        analyzer.push(Frame(index, Fraction(index, FPS), image))
    (face,) = analyzer.faces.values()
    mouth = Spotted("macro", 5, 10, 15, 0.9, 9.0, ("upper_lip", "left_inner_brow"))
    decided = face.decide(mouth, 1, RefusesToRead())
    assert "mouth hidden meanwhile" in decided.event.flags
    assert decided.event.reading is None
    brow = replace(mouth, regions=("left_inner_brow",))
    assert not any("hidden" in flag for flag in face.decide(brow, 2, None).event.flags)


class RefusesToRead:
    """In place of a recognizer."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"asked for {name}")
