"""From videos to crops: what fails is named, the rest goes on, finished work stays."""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from ma2mi.clips import cutting, prepare
from ma2mi.clips.prepare import prepare_expressions, prepare_recordings
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.datasets import open_corpus
from ma2mi.datasets.synthetic import write_corpus
from ma2mi.errors import StoreError
from ma2mi.face.model_file import find_model
from ma2mi.records import Recording
from ma2mi.synthesis import SyntheticSettings
from ma2mi.video import read_frames, write_frames, write_video

RECIPE = Recipe(size=64, segment_s=0.4)
SHORT = SyntheticSettings(size=160, macro_duration_s=(0.6, 0.8), micro_duration_s=(0.16, 0.2))


@pytest.fixture(scope="module", autouse=True)
def face_model():
    """Every test here looks for faces; without the nets it is an error, not a pass."""
    return find_model()


@pytest.fixture(scope="module")
def macro(tmp_path_factory):
    root = tmp_path_factory.mktemp("macro")
    write_corpus("synthetic-macro", root, subjects=2, clips_per_subject=1, seed=0, settings=SHORT)
    return open_corpus("synthetic-macro", root)


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    root = tmp_path_factory.mktemp("micro")
    write_corpus("synthetic-micro", root, subjects=1, clips_per_subject=2, seed=0, settings=SHORT)
    return open_corpus("synthetic-micro", root)


@pytest.fixture(scope="module")
def wallpaper(tmp_path_factory):
    """A video of texture, without a face."""
    path = tmp_path_factory.mktemp("videos") / "wallpaper.mp4"
    coarse = np.random.default_rng(0).integers(60, 200, (20, 8, 8, 3), dtype=np.uint8)
    write_video(path, (np.kron(c, np.ones((16, 16, 1), np.uint8)) for c in coarse), Fraction(25))
    return Recording(path, "stranger", "wallpaper.mp4")


def files(store):
    return {p.name: p.read_bytes() for p in store.folder.rglob("*") if p.is_file()}


def test_whole_recordings_become_segments(macro, tmp_path):
    store = ClipStore(tmp_path, RECIPE)
    ticks = []
    recordings = macro.recordings()
    prepared = prepare_recordings(
        recordings, store, on_progress=lambda now: ticks.append((now.done, now.total))
    )
    assert ticks == [(1, 2), (2, 2)]
    assert [p.recording for p in prepared] == [r.key for r in recordings]
    for recording, one in zip(recordings, prepared, strict=True):
        assert one.failures == ()
        assert len(one.clips) >= 2
        frames = list(read_frames(recording.path))
        clips = [store.read(key) for key in one.clips]
        for clip in clips:
            assert clip.subject == recording.subject
            assert clip.frames.shape == (len(clip.frame_index), 64, 64, 3)
            assert clip.times_s == [frames[i].time_s for i in clip.frame_index]
            assert clip.times_s[-1] - clip.times_s[0] < 0.4
            # The face fills the crop: the stable points of its first frame lie well inside.
            assert 8 < clip.points[:, 0].mean() < 56
        seen = np.concatenate([clip.frame_index for clip in clips])
        assert np.array_equal(seen, np.arange(len(seen)))  # one after the other, none twice


def test_expressions_keep_their_marks(micro, tmp_path):
    store = ClipStore(tmp_path, RECIPE)
    expressions = micro.expressions()
    for expression, one in zip(expressions, prepare_expressions(expressions, store), strict=True):
        assert one.clips == (expression.key,)
        clip = store.read(expression.key)
        assert clip.marks["onset"] == expression.onset
        assert clip.marks["apex"] == expression.apex
        assert clip.marks["emotion"] == expression.emotion
        assert clip.marks["action_units"] == list(expression.action_units)
        first, last = clip.frame_index[[0, -1]]
        assert first <= expression.onset < expression.offset <= last
        lead = round(0.05 * 200)
        assert expression.onset - first <= lead
        assert last - expression.offset <= lead


def test_what_fails_is_named_and_the_rest_goes_on(macro, wallpaper, tmp_path):
    good = macro.recordings()[0]
    words = tmp_path / "words.mp4"
    words.write_text("no video")
    one_frame = tmp_path / "one.mp4"
    write_video(one_frame, [next(read_frames(good.path)).image], Fraction(25))
    recordings = [
        wallpaper,
        Recording(words, "w", "words.mp4"),
        Recording(tmp_path / "gone.mp4", "g", "gone.mp4"),
        Recording(one_frame, "o", "one.mp4"),
        good,
    ]
    *bad, fine = prepare_recordings(recordings, ClipStore(tmp_path / "store", RECIPE))
    assert all(p.clips == () and len(p.failures) == 1 for p in bad)
    lines = [p.failures[0] for p in bad]
    assert lines[0] == f"{wallpaper.path}: no face in any frame"
    assert lines[1].startswith(f"{words}: is not a video that ffmpeg can read")
    assert lines[2].startswith(f"{tmp_path / 'gone.mp4'}: does not exist")
    assert lines[3].startswith(f"{one_frame}: no face that stays for 3 frames")
    assert all("\n" not in line for line in lines)
    assert fine.clips
    assert fine.failures == ()


def test_marks_beyond_the_end_are_named_and_the_rest_goes_on(micro, tmp_path):
    good = micro.expressions()[0]
    late = replace(good, onset=good.onset + 1, offset=10_000)
    [prepared] = prepare_expressions([late, good], ClipStore(tmp_path, RECIPE))
    assert prepared.clips == (good.key,)
    [line] = prepared.failures
    assert f"{late.key} lasts until frame 10000" in line
    assert str(good.recording.path) in line


def test_no_face_up_to_the_onset_is_named(wallpaper, tmp_path):
    from ma2mi.records import Expression

    expression = Expression("micro", 2, 5, 9, recording=wallpaper)
    [prepared] = prepare_expressions([expression], ClipStore(tmp_path, RECIPE))
    assert prepared.clips == ()
    assert prepared.failures == (f"{wallpaper.path}: no face up to the onset, frame 2",)


def test_finished_work_is_read_not_done_again(macro, wallpaper, tmp_path, monkeypatch):
    store = ClipStore(tmp_path, RECIPE)
    recordings = [*macro.recordings(), wallpaper]
    first, before = prepare_recordings(recordings, store), files(store)
    monkeypatch.setattr(prepare, "cut_segments", None)  # whoever cuts again fails
    assert prepare_recordings(recordings, store) == first
    assert files(store) == before


def test_two_processes_write_the_same_bytes(macro, tmp_path):
    stores = [ClipStore(tmp_path / name, RECIPE) for name in "ab"]
    results = [
        prepare_recordings(macro.recordings(), store, jobs=jobs)
        for store, jobs in zip(stores, (1, 2), strict=True)
    ]
    assert results[0] == results[1]
    assert files(stores[0]) == files(stores[1])


def test_a_deleted_clip_and_a_corrected_mark_are_prepared_again(micro, tmp_path):
    store = ClipStore(tmp_path, RECIPE)
    expression = micro.expressions()[0]
    prepare_expressions([expression], store)
    before = store.path(expression.key).read_bytes()
    store.path(expression.key).unlink()
    prepare_expressions([expression], store)
    assert store.path(expression.key).read_bytes() == before
    prepare_expressions([replace(expression, apex=expression.apex + 1)], store)
    assert store.read(expression.key).marks["apex"] == expression.apex + 1


def test_of_two_recordings_of_one_key_the_second_is_named(macro, wallpaper, tmp_path):
    good = macro.recordings()[0]
    twin = replace(good, path=tmp_path / "other.mp4")
    first, second, third = prepare_recordings([good, twin, wallpaper], ClipStore(tmp_path, RECIPE))
    assert first.clips
    assert second.clips == ()
    [line] = second.failures
    assert line.startswith(f"{twin.path}: is called as {good.path} is")
    assert third.failures == (f"{wallpaper.path}: no face in any frame",)


def test_two_expressions_from_one_frame_are_one_clip_and_a_line(micro, tmp_path):
    good = micro.expressions()[0]
    twin = replace(good, emotion="another")
    [prepared] = prepare_expressions([good, twin], ClipStore(tmp_path, RECIPE))
    assert prepared.clips == (good.key,)
    [line] = prepared.failures
    assert f"a second expression starts at frame {good.onset}" in line
    [alone] = prepare_expressions([good], store := ClipStore(tmp_path / "alone", RECIPE))
    assert len(store.read(alone.clips[0]).frames) == prepared.quality[0].frames


def test_two_studies_of_equal_names_do_not_mix(macro, tmp_path):
    """One store, one name, other pixels: each study reads its own, in any order."""
    one, other = macro.recordings()
    roots = {}
    for place, recording in (("A", one), ("B", other)):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "v.mp4"
        path.write_bytes(recording.path.read_bytes())
        roots[place] = Recording(path, "s1", "v", corpus="manifest")

    def crops(place, store):
        [done] = prepare_recordings([roots[place]], store)
        return np.concatenate([store.read(key).frames[0] for key in done.clips])

    wanted = {place: crops(place, ClipStore(tmp_path / f"only-{place}", RECIPE)) for place in "AB"}
    assert not np.array_equal(wanted["A"], wanted["B"])
    for place in "ABAB":
        shared = ClipStore(tmp_path / "shared", RECIPE)
        assert np.array_equal(crops(place, shared), wanted[place])


def test_frames_that_were_replaced_and_another_rate_are_cut_anew(macro, tmp_path):
    one, other = (list(read_frames(r.path))[:12] for r in macro.recordings())
    recording = Recording(tmp_path / "f", "s", "f", fps=Fraction(30))
    write_frames(tmp_path / "f", [frame.image for frame in one])
    store = ClipStore(tmp_path / "store", RECIPE)
    before = store.read(prepare_recordings([recording], store)[0].clips[0])
    for path in (tmp_path / "f").iterdir():
        path.unlink()
    write_frames(tmp_path / "f", [frame.image for frame in other])
    after = store.read(prepare_recordings([recording], store)[0].clips[0])
    assert not np.array_equal(before.frames[0], after.frames[0])
    faster = replace(recording, fps=Fraction(60))
    again = store.read(prepare_recordings([faster], store)[0].clips[0])
    assert again.times_s[1] == Fraction(1, 60)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [halve, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("kind", ["*.safetensors", "*.whole.json"])
def test_damaged_caches_heal(macro, tmp_path, damage, kind):
    recordings = macro.recordings()[:1]
    store = ClipStore(tmp_path, RECIPE)
    first, before = prepare_recordings(recordings, store), files(store)
    damage(sorted(store.folder.glob(kind))[0])
    assert files(store) != before
    assert prepare_recordings(recordings, ClipStore(tmp_path, RECIPE)) == first
    assert files(store) == before


def test_whatever_one_recording_raises_is_a_line(macro, tmp_path, monkeypatch):
    good = macro.recordings()[0]
    loop, png = tmp_path / "loop.mp4", tmp_path / "huge"
    loop.symlink_to(loop)
    png.mkdir()
    # The header of a picture of 65000 x 65000 px, which OpenCV refuses to decode.
    head = b"IHDR" + (65000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    body = (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    (png / "img1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    latin = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    latin.write_bytes(good.path.read_bytes())
    broken = tmp_path / os.fsdecode(b"br\xe9.mp4")
    broken.write_text("no video")
    recordings = [
        Recording(loop, "l", "loop.mp4"),
        Recording(png, "p", "huge", fps=Fraction(30)),
        Recording(tmp_path / ("n" * 300 + ".mp4"), "n", "n" * 300),
        Recording(broken, broken.name, broken.name),
        Recording(latin, latin.name, latin.name),
        good,
    ]
    store = ClipStore(tmp_path / "store", RECIPE)
    *bad, accented, fine = prepare_recordings(recordings, store)
    for one in bad:
        [line] = one.failures
        assert one.clips == ()
        assert "\n" not in line
    assert accented.clips
    assert store.read(accented.clips[0]).subject == latin.name
    assert (fine.failures, bool(fine.clips)) == ((), True)

    def surprised(*_, **__):
        raise LookupError("two\nlines")

    monkeypatch.setattr(cutting, "read_frames", surprised)
    [odd] = prepare_recordings([good], ClipStore(tmp_path / "odd", RECIPE))
    (line,) = odd.failures
    assert line.startswith(f"{good.path}: LookupError: two lines. This is a fault of ma2mi")


def test_a_full_disk_ends_the_run_in_one_line(macro, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ma2mi.files.Path.write_bytes", full)
    with pytest.raises(StoreError, match=r"No space left on device\). Free the disk"):
        prepare_recordings(macro.recordings(), ClipStore(tmp_path, RECIPE))


def test_opening_a_store_writes_nothing(macro, tmp_path):
    ClipStore(tmp_path / "new", RECIPE)
    assert not (tmp_path / "new").exists()
    store = ClipStore(tmp_path, RECIPE)
    prepare_recordings(macro.recordings()[:1], store)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    prepare_recordings(macro.recordings()[:1], ClipStore(tmp_path, RECIPE))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_hook_that_raises_is_not_blamed_on_the_disk(wallpaper, tmp_path):
    def hook(now):
        raise OSError(28, "of the hook")

    with pytest.raises(OSError, match="of the hook"):
        prepare_recordings([wallpaper], ClipStore(tmp_path, RECIPE), on_progress=hook)
