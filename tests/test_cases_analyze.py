"""Cases on which the first version failed: outputs that destroy, containers, clocks, frames.

The inputs lie in ../shared/cases, each beside its right outcome in the README there.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")
PLAIN = ("--weights", "none", "--no-videos")


def tree(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def analysis_of(folder):
    return json.loads((folder / "analysis.json").read_text("utf-8"))


def rows_of(folder):
    with (folder / "frames.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def smile(place, name="talk.mp4"):
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(CASES / "video" / "00105.MTS", place / Path(name).with_suffix(".mts"))
    return place / Path(name).with_suffix(".mts")


def test_frames_that_are_input_are_never_deleted(ma2mi, tmp_path):
    frames = tmp_path / "f" / "s01"
    shutil.copytree(CASES / "frames" / "gap", frames)
    before = tree(frames)
    code, out, _ = ma2mi("analyze", frames, "--frame-rate", 25, "--out", tmp_path / "f", *PLAIN)
    assert code == 0, out
    assert tree(frames) == before
    (results,) = set((tmp_path / "f").iterdir()) - {frames}
    assert results.name.startswith("s01-")


def test_videos_of_one_name_keep_their_results(ma2mi, tmp_path):
    first = smile(tmp_path / "s1")
    second = tmp_path / "s2" / "talk.avi"
    second.parent.mkdir()
    shutil.copy(CASES / "video" / "bframes.avi", second)
    for path in (first, second):
        assert ma2mi("analyze", path, "--out", "res", *PLAIN)[0] == 0
    one, two = sorted((tmp_path / "res").iterdir())
    assert (one.name, two.name[:5]) == ("talk", "talk-")
    assert [len(rows_of(folder)) for folder in (one, two)] == [30, 75]
    # Again, together and in the other order: the same folders.
    before = tree(tmp_path / "res")
    assert ma2mi("analyze", second, first, "--out", "res", *PLAIN)[0] == 0
    assert tree(tmp_path / "res") == before


@pytest.mark.parametrize("change", ["note", "correction"])
def test_what_a_person_wrote_beside_results_is_kept(ma2mi, tmp_path, change):
    path = smile(tmp_path / "s1")
    assert ma2mi("analyze", path, "--out", "res", *PLAIN)[0] == 0
    eaf = tmp_path / "res" / "talk" / "talk.eaf"
    target = eaf if change == "correction" else eaf.with_name("notes.txt")
    target.write_text("by hand")
    before = tree(tmp_path / "res" / "talk")
    code, out, _ = ma2mi("analyze", path, "--out", "res", "--threshold", 6, *PLAIN)
    assert code == 0
    assert "talk was taken and is kept as it is" in out
    assert tree(tmp_path / "res" / "talk") == before
    # Without another option what is there is the result, and what was changed is named.
    code, out, _ = ma2mi("analyze", path, "--out", "res", *PLAIN)
    assert ("kept as they were changed since: talk.eaf" in out) == (change == "correction")
    assert tree(tmp_path / "res" / "talk") == before


@pytest.mark.parametrize("damage", ["missing", "halved"])
def test_damaged_results_are_made_anew(ma2mi, tmp_path, damage):
    path = smile(tmp_path / "s1")
    assert ma2mi("analyze", path, "--out", "res", *PLAIN)[0] == 0
    page = tmp_path / "res" / "talk" / "report.html"
    content = page.read_bytes()
    if damage == "missing":
        page.unlink()
    else:
        page.write_bytes(content[: len(content) // 2])
    code, out, _ = ma2mi("analyze", path, "--out", "res", *PLAIN)
    assert code == 0
    (output,) = [line for line in out.splitlines() if "report.html" in line]
    assert (tmp_path / output.split("; ")[-1].strip()).read_bytes()[-20:] == content[-20:]


def test_own_results_are_no_input(ma2mi, tmp_path):
    smile(tmp_path / "s1")
    for _ in range(3):
        code, _, _ = ma2mi("analyze", "s1", "--out", "s1/res", "--weights", "none")
        assert code == 0
    assert [path.name for path in (tmp_path / "s1" / "res").iterdir()] == ["talk"]


def test_a_folder_of_frames_is_known_by_its_content(ma2mi, tmp_path):
    frames = tmp_path / "s01"
    shutil.copytree(CASES / "frames" / "gap", frames)
    words = ("analyze", frames, "--frame-rate", 25, "--out", "res", *PLAIN)
    assert ma2mi(*words)[0] == 0
    names = sorted(path.name for path in frames.iterdir())
    contents = [(frames / name).read_bytes() for name in names]
    for name, content in zip(names, reversed(contents), strict=True):
        (frames / name).write_bytes(content)
    assert ma2mi(*words)[0] == 0
    assert len(list((tmp_path / "res").iterdir())) == 2


def test_odd_members_of_a_folder_end_no_batch(ma2mi, tmp_path):
    shelf = tmp_path / "shelf"
    smile(shelf, "good.mp4")
    try:
        Path(os.fsdecode(os.fsencode(shelf) + b"/odd\xff.mp4")).write_bytes(b"no video")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    (shelf / "(..).mp4").write_bytes(b"no video")
    (shelf / "loop").symlink_to(shelf)
    (shelf / "circle.mp4").symlink_to("circle.mp4")
    (shelf / "[").mkdir()
    (shelf / "[" / "b].mp4").write_bytes(b"")
    (shelf / ("x" * 250 + ".mp4")).write_bytes(b"no video")
    (tmp_path / "beside.txt").write_text("mine")
    code, out, err = ma2mi("analyze", "shelf", "--out", "res", *PLAIN)
    assert code == 3, err
    assert "good: " in out
    assert "Traceback" not in out + err
    failed = out[out.index("could not be used") :].splitlines()[1:]
    assert len([line for line in failed if line.strip()]) == 4
    assert (tmp_path / "beside.txt").read_text() == "mine"
    assert [path.name for path in (tmp_path / "res").iterdir()] == ["good"]


@pytest.mark.parametrize(
    ("name", "rows", "fps", "output"),
    [
        ("00105.MTS", 30, 25, ""),
        ("bframes.avi", 75, 25, ""),
        ("bad_h264.mp4", 73, 25, "2 packets do not decode"),
        ("bad_hevc.mp4", 73, 25, "2 packets do not decode"),
        ("bad_mpeg4.avi", 73, 25, "2 packets do not decode"),
        ("interlaced.mpg", 37, 25, "the video is interlaced"),
        ("joined_clock_restarts.ts", 60, 25, "the pieces are laid end to end"),
        ("mirrored_matrix.mp4", 30, 25, ""),
        ("slowmo_android.mp4", 75, 25, "recorded at 200 frames a second, plays at 25"),
    ],
)
def test_containers_and_clocks(ma2mi, tmp_path, name, rows, fps, output):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    shutil.copy(CASES / "video" / name, shelf)
    code, out, err = ma2mi("analyze", "shelf", "--out", "res", *PLAIN)
    assert code == 0, err
    (folder,) = (tmp_path / "res").iterdir()
    table, analysis = rows_of(folder), analysis_of(folder)
    assert len({row["frame"] for row in table}) == rows == analysis["frames"]
    assert analysis["fps"] == pytest.approx(fps, rel=0.01)
    assert output in out
    assert "face" not in " ".join(analysis["reasons"]) or "no face" not in str(analysis["reasons"])
    times = [float(row["timestamp"]) for row in table]
    assert times == sorted(times)


def test_the_true_rate_of_slow_motion(ma2mi, tmp_path):
    path = CASES / "video" / "slowmo_android.mp4"
    assert ma2mi("analyze", path, "--out", "slow", *PLAIN)[0] == 0
    assert ma2mi("analyze", path, "--frame-rate", 200, "--out", "true", *PLAIN)[0] == 0
    slow, true = (analysis_of(tmp_path / n / "slowmo_android") for n in ("slow", "true"))
    assert (slow["fps"], true["fps"]) == (pytest.approx(25), pytest.approx(200))
    assert slow["duration_s"] == pytest.approx(8 * true["duration_s"])


def test_frames_of_twelve_bits_show_their_whole_range(ma2mi, tmp_path):
    words = ("analyze", CASES / "frames" / "twelve_bits_in_16", "--frame-rate", 25)
    code, out, _ = ma2mi(*words, "--out", "res", *PLAIN)
    assert code == 0
    assert "dark" not in out


def test_a_gap_in_the_numbers_keeps_its_time(ma2mi, tmp_path):
    words = ("analyze", CASES / "frames" / "gap", "--frame-rate", 25, "--out", "res", *PLAIN)
    code, out, _ = ma2mi(*words)
    assert code == 0
    assert "10 images are missing" in out
    times = [float(row["timestamp"]) for row in rows_of(tmp_path / "res" / "gap")]
    assert times[9:11] == [pytest.approx(9 / 25), pytest.approx(20 / 25)]


def test_a_pipe_is_refused_in_one_line(ma2mi, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    code, out, err = ma2mi("analyze", tmp_path / "pipe.mp4", "--out", "res", *PLAIN)
    assert code == 3
    assert "is a stream, not a file" in out + err


def test_names_and_places_can_be_left_out(ma2mi, tmp_path):
    path = smile(tmp_path / "Erika Mustermann", "erika.mp4")
    code, _, _ = ma2mi("analyze", path, "--no-paths", "--out", "res", "--weights", "none")
    assert code == 0
    for place in (tmp_path / "res").rglob("*"):
        assert "erika" not in place.name.lower()
        if place.is_file():
            assert b"erika" not in place.read_bytes().lower()


def test_a_film_under_another_name_is_named(ma2mi, tmp_path):
    smile(tmp_path / "shelf")
    shutil.copy(CASES / "video" / "bframes.avi", tmp_path / "shelf" / "camera.dav")
    code, out, _ = ma2mi("analyze", "shelf", "--out", "res", *PLAIN)
    assert code == 0
    assert "camera.dav" in out
    assert [path.name for path in (tmp_path / "res").iterdir()] == ["talk"]
