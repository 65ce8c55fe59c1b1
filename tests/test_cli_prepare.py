"""From a licensed copy to prepared clips: recipes, sheets to look at, and what failed."""

from __future__ import annotations

import csv
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("cv2")
pytest.importorskip("openpyxl")

import cv2

from ma2mi.clips.prepare import prepare_expressions, prepare_recordings
from ma2mi.clips.quality import COLUMNS
from ma2mi.clips.store import ClipStore, Recipe, find_recipe
from ma2mi.errors import SettingsError
from ma2mi.records import Expression, Recording
from ma2mi.synthesis import SyntheticSettings, make_clip, make_subject
from ma2mi.testing import write_fake
from ma2mi.video import write_frames, write_video


def table(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A copy that lacks the apex of one clip and a frame within another."""
    return write_fake("casme2", tmp_path_factory.mktemp("fake") / "casme2", fault="missing-frames")


def test_a_corpus_becomes_clips_and_sheets(ma2mi, spoilt, tmp_path):
    words = ("prepare", "casme2", "--root", spoilt, "--out", "clips", "--size", 64, "--flow", "dis",
             "--jobs", 1)  # fmt: skip
    code, out, err = ma2mi(*words)
    assert (code, err) == (3, "")
    assert "8 clips in" in out
    assert "1 could not be used" in out
    sheets = tmp_path / "clips" / "casme2-face-64"
    [line] = (sheets / "failures.txt").read_text("utf-8").splitlines()
    assert "row 3, column ApexFrame: frame" in line
    assert line in out
    rows = table(sheets / "quality.csv")
    assert list(rows[0]) == [r["column"] for r in table(sheets / "quality-columns.csv")]
    assert list(rows[0]) == list(COLUMNS)
    assert all(r["meaning"] for r in table(sheets / "quality-columns.csv"))
    assert len(rows) == 8
    assert sorted(int(r["missing_frames"]) for r in rows) == [0] * 7 + [1]
    for row in rows:
        assert 60 < float(row["face_px"]) < 176
        assert float(row["confidence"]) > 0.9
        assert 0.05 < float(row["movement_px"]) < 3
        assert float(row["head_px"]) < 1
        assert 0 < float(row["blur"]) < 1
        assert 20 < float(row["luma"]) < 235
    page = cv2.imread(str(sheets / "contact-001.png"))
    assert page.shape[1] == 8 * 136
    # Every crop is shown: none of the places that crops stand at is empty.
    assert all(page[10:110, x : x + 100].std() > 10 for x in range(10, page.shape[1] - 100, 136))
    files = {p: p.read_bytes() for p in sheets.iterdir()}
    assert ma2mi(*words)[0] == 3
    assert {p: p.read_bytes() for p in sheets.iterdir()} == files


def test_several_corpora_are_one_and_rows_left_out_are_listed(ma2mi, spoilt, tmp_path):
    write_fake("smic", tmp_path / "smic")
    code, out, err = ma2mi(
        "benchmark", "--corpus", f"casme2={spoilt}", "--corpus", "smic=smic", "--model", "majority",
        "--protocol", "megc2019", "--size", 48, "--flow", "dis", "--jobs", 1,
    )  # fmt: skip
    assert (code, err) == (3, "")  # listed, and no warning of Python's
    assert "row 3, column ApexFrame: frame" in out
    assert "17 clips of 6 subjects" in out
    assert "run: runs/casme2+smic-majority" in out


def test_mistakes_are_one_line(ma2mi, spoilt):
    corpus = ("--corpus", f"casme2={spoilt}")
    out = ("--out", "clips")
    quick = ("--size", 48, "--flow", "dis", "--jobs", 1)
    cases = {
        ("benchmark", *corpus, "--corpus", "samm", "--root", "x"): "NAME=DIR for each",
        ("benchmark", *corpus, "--root", "x"): "NAME=DIR for each",
        ("benchmark", *corpus, "--layout", "cropped"): "in the layout 'cropped'",
        ("benchmark", *corpus, "--label", "calm"): "--label calm: is not WORD=CLASS",
        ("benchmark", *corpus, "--label", "happiness=joy", *quick): "joy",
        ("benchmark", *corpus, "--recipe", "cake"): "cake: is not a known recipe",
        ("benchmark", "--corpus", "synthetic-micro", "--no-repairs"): "has no option repairs",
        ("prepare", "casme9", "--root", spoilt, *out): "casme9: is no known corpus",
        ("prepare", "casme2", "--root", spoilt, "--margin", 2, *out): "recipe margin",
        ("prepare", "megc2019-flow", "--root", spoilt, *out): "prepared already",
    }
    for words, message in cases.items():
        code, _, err = ma2mi(*words)
        assert code == 2, words
        assert message in err
        assert err.count("\n") == 1


def test_recipes():
    assert find_recipe("face", size=96) == Recipe(size=96)
    assert find_recipe("head").margin > 0
    with pytest.raises(SettingsError, match="recipe aligner"):
        find_recipe("face", aligner="magic")


@pytest.fixture(scope="module")
def frames():
    scene = make_clip(
        make_subject(5),
        kind="micro",
        emotion="happiness",
        seed=5,
        fps=Fraction(100),
        settings=SyntheticSettings(size=176, padding_frames=2, micro_duration_s=(0.1, 0.1)),
    )
    return [scene.frame(i) for i in range(10)]


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("kind", ["video", "frames", "grey", "16-bit"])
def test_every_kind_of_recording(kind, frames, tmp_path):
    """The crops of a clip are the same picture, however it is stored."""
    path = tmp_path / ("clip.mkv" if kind == "video" else "clip")
    if kind == "video":
        write_video(path, frames, 100, lossless=True)
    elif kind == "frames":
        write_frames(path, frames)
    else:
        path.mkdir()
        for i, image in enumerate(frames):
            deep = grey(image).astype(np.uint16) * 257 if kind == "16-bit" else grey(image)
            cv2.imwrite(str(path / f"img{i + 1:04d}.png"), deep)
    fps = None if kind == "video" else Fraction(100)
    recording = Recording(path, "s", "clip", fps=fps)
    store = ClipStore(tmp_path / "store", Recipe(size=64, flow="dis"))
    [done] = prepare_expressions([Expression("micro", 1, 5, 8, recording=recording)], store)
    assert done.failures == ()
    [quality] = done.quality
    assert (quality.frames, quality.missing_frames) == (10, 0)
    assert quality.duration_s == pytest.approx(0.09)
    crops = store.read(done.clips[0]).frames
    assert np.array_equal(store.read_first(done.clips[0]), crops[0])
    colourless = kind in ("grey", "16-bit")
    assert (np.ptp(crops, axis=-1).max() == 0) == colourless
    # Landmarks of a grey face lie a little elsewhere.
    apart = np.abs(grey(crops[0]).astype(int) - expected_crop(frames, tmp_path)).mean()
    assert apart < (5 if colourless else 2)


def expected_crop(frames, tmp_path):
    write_frames(tmp_path / "plain", frames[:3])
    store = ClipStore(tmp_path / "plain-store", Recipe(size=64))
    recording = Recording(tmp_path / "plain", "s", "plain", fps=Fraction(100))
    [done] = prepare_recordings([recording], store)
    return grey(store.read_first(done.clips[0])).astype(int)


def test_a_margin_shows_more_and_as_is_shows_all(frames, tmp_path):
    write_frames(tmp_path / "clip", frames)
    recording = Recording(tmp_path / "clip", "s", "clip", fps=Fraction(100))
    shown = {}
    for name in ("face", "head", "as-is"):
        store = ClipStore(tmp_path / "store", find_recipe(name, size=64, flow="dis"))
        [done] = prepare_expressions([Expression("micro", 1, 5, 8, recording=recording)], store)
        shown[name] = store.read(done.clips[0])
    scale = {name: np.linalg.norm(clip.warp[:, 0]) for name, clip in shown.items()}
    assert scale["head"] == pytest.approx(scale["face"] / 1.5)
    assert scale["as-is"] == pytest.approx(64 / 176)
    # The middle of the template stays where it is.
    points = [shown[name].points[168] / 63 - 0.5 for name in ("face", "head")]
    assert points[1] == pytest.approx(points[0] / 1.5, abs=0.01)
    whole = cv2.resize(frames[0], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(shown["as-is"].frames[0].astype(int) - whole).mean() < 4


def test_a_picture_without_a_face_is_prepared_as_it_is(tmp_path):
    coarse = np.random.default_rng(0).integers(60, 200, (9, 6, 8, 3), dtype=np.uint8)
    write_frames(tmp_path / "clip", [np.kron(c, np.ones((8, 8, 1), np.uint8)) for c in coarse])
    recording = Recording(tmp_path / "clip", "s", "c", fps=Fraction(100))
    expression = Expression("micro", 1, 5, 8, recording=recording)
    [no_face] = prepare_expressions([expression], ClipStore(tmp_path, Recipe(size=64)))
    assert no_face.clips == ()
    store = ClipStore(tmp_path, find_recipe("as-is", size=64))
    [done] = prepare_expressions([expression], store)
    clip, [quality] = store.read(done.clips[0]), done.quality
    assert clip.frames.shape == (8, 64, 64, 3)
    assert np.isnan(clip.points).all()
    assert (quality.face_px, quality.confidence, quality.head_px) == (None, None, None)
    [again] = prepare_expressions([expression], store)
    assert again == done


def test_frames_that_a_video_dropped_are_counted(frames, tmp_path):
    from ma2mi.clips.quality import measure_clip
    from ma2mi.clips.store import PreparedClip

    times = [Fraction(i, 100) for i in (0, 1, 2, 5, 6, 8)]
    crops = np.stack([cv2.resize(f, (64, 64)) for f in frames[:6]])
    clip = PreparedClip(
        "a@0", "s", crops, np.arange(6), times, np.eye(2, 3), np.zeros((478, 2), np.float32)
    )
    quality = measure_clip(clip, tmp_path / "a.mp4", Recipe(flow="dis"))
    assert quality.missing_frames == 3


def test_contact_sheets_show_every_key_once():
    from ma2mi.report.contact_sheet import PER_PAGE, draw_pages

    crops = [(f"corpus_subject_a-long-name-{i}@0", np.full((32, 32, 3), 90)) for i in range(50)]
    pages = [
        cv2.imdecode(np.frombuffer(page, np.uint8), cv2.IMREAD_COLOR)
        for page in draw_pages((key, crop.astype(np.uint8)) for key, crop in crops)
    ]
    cell = pages[0].shape[0] // 6
    assert [page.shape[0] for page in pages] == [6 * cell, cell]
    assert pages[1].shape[1] == 2 * pages[0].shape[1] // 8
    assert PER_PAGE == 48
    assert (pages[0][10:120, 10:120] == 90).all()
    assert pages[0][130:160, :128].min() < 128  # the key below
