"""Which frames make a pair, and pairs that are built once and read back."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from ma2mi.clips.pair_store import build_pairs, count_left_out, counted
from ma2mi.clips.pairs import PairSettings
from ma2mi.clips.sampling import (
    NOT_LARGER,
    before_apex,
    difference,
    early_and_late,
    near_future,
    onset_apex,
)
from ma2mi.clips.store import ClipStore, PreparedClip, Recipe
from ma2mi.errors import StoreError
from ma2mi.motion import REGIONS

SIDE = 40


def clip(key="s@0", fps=100, frames=100, subject="s", first_frame=0, **marks):
    """A pattern that slides to the right, a quarter of a pixel a frame."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    images = []
    for t in range(frames):
        slid = x - t / 4
        grey = 127 + 60 * np.sin(0.5 * slid) + 50 * np.sin(0.4 * y + 0.1 * slid)
        images.append(np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2))
    return PreparedClip(
        key,
        subject,
        np.stack(images),
        np.arange(first_frame, first_frame + frames),
        [Fraction(i, fps) for i in range(frames)],
        np.eye(2, 3),
        np.zeros((478, 2), np.float32),
        marks,
    )


@pytest.mark.parametrize("fps", [25, 100, 200])
def test_the_future_is_as_near_as_asked(fps):
    one = clip(fps=fps, frames=fps)
    drawn = near_future(one, 200, interval_s=(0.05, 0.2))
    assert len(drawn) == 200
    elapsed = np.array([float(abs(one.times_s[b] - one.times_s[a])) for a, b in drawn])
    assert elapsed.min() >= 0.05 - 0.5 / fps
    assert elapsed.max() <= 0.2 + 1e-9
    # Uniform: its mean is the interval's middle, but for what falls behind the end.
    assert 0.1 < elapsed.mean() < 0.14
    backwards = sum(b < a for a, b in drawn)
    assert 70 < backwards < 130


def test_slow_video_takes_the_next_frame():
    drawn = near_future(clip(fps=5, frames=10), 20)
    assert len(drawn) == 20
    assert {abs(a - b) for a, b in drawn} == {1}


def test_two_steps_into_the_future_are_equal():
    drawn = near_future(clip(), 50, reach=2)
    assert all(c - b == b - a != 0 for a, b, c in drawn)


def test_same_seed_same_pairs():
    one = clip()
    assert near_future(one, 9, seed=4) == near_future(one, 9, seed=4)
    assert near_future(one, 9, seed=4) != near_future(one, 9, seed=5)
    assert near_future(one, 9, seed=4) != near_future(replace(one, key="t@0"), 9, seed=4)


def test_a_frame_shown_twice_is_no_pair():
    one = clip(frames=60)
    doubled = replace(one, frames=one.frames[np.arange(60) // 30 * 3])
    drawn = near_future(doubled, 50, interval_s=(0.01, 0.25))
    assert drawn
    assert all((a < 30) != (b < 30) for a, b in drawn)
    still = replace(one, frames=one.frames[np.zeros(60, int)])
    assert near_future(still, 50) == []


def test_no_pair_across_a_cut():
    one = clip(frames=60)
    cut = one.frames.copy()
    cut[30:] = 255 - cut[30:]
    assert difference(cut[29], cut[30]) > 25
    drawn = near_future(replace(one, frames=cut), 100)
    assert drawn
    assert all((a < 30) == (b < 30) for a, b in drawn)


def test_a_short_clip_gives_what_it_has():
    assert near_future(clip(frames=1), 5) == []
    assert near_future(clip(fps=100, frames=3), 5) == []  # 20 ms, asked for 30


def test_onset_and_apex_by_frame_number():
    one = clip(frames=20, first_frame=50, onset=53, apex=60, offset=65)
    assert onset_apex(one) == (3, 10)


def bulge(frames=25, apex=12, flash=20):
    """A pattern whose middle goes right and comes back; later the light goes on for a frame."""
    y, x = np.mgrid[0:96, 0:96].astype(np.float64)
    spot = np.exp(-((x - 48) ** 2 + (y - 62) ** 2) / 300)
    images = []
    for t in range(frames):
        slid = x - 3 * np.sin(np.pi * min(t / apex, 2 - t / apex) / 2) * spot
        grey = 127 + 45 * np.sin(0.5 * slid + 0.2 * y) + 40 * np.sin(0.4 * y - 0.3 * slid)
        grey = grey + 25 * (t == flash)
        images.append(np.repeat(np.rint(grey).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return replace(
        clip(frames=frames, first_frame=50, onset=50, apex=None, offset=50 + frames - 1),
        frames=np.stack(images),
    )


def test_unmarked_apex_is_where_the_face_has_moved_furthest():
    one = bulge()
    changes = [difference(one.frames[0], frame) for frame in one.frames]
    assert int(np.argmax(changes)) == 20  # what it was taken for
    onset, apex = onset_apex(one)
    assert (onset, abs(apex - 12) <= 1) == (0, True)


def test_unmarked_apex_lies_before_the_offset_however_short():
    one = bulge()
    for last in (50, 51, 52, 55):
        marks = {"onset": 50, "apex": None, "offset": last}
        onset, apex = onset_apex(replace(one, marks=marks))
        assert 0 == onset <= apex <= last - 50
    flat = replace(one, frames=np.full_like(one.frames, 90))
    assert onset_apex(flat) == (0, 0)


def test_unmarked_apex_of_a_face_is_no_blink():
    """Where the largest difference lies: at a blink or a change of light, never at the apex."""
    pytest.importorskip("ai_edge_litert")
    from ma2mi.face.align import Template, estimate_warp, warp_image, warp_points
    from ma2mi.face.detect import FaceDetector
    from ma2mi.motion.facs import EMOTIONS
    from ma2mi.synthesis import make_clip, make_subject

    template, detector = Template(size=128), FaceDetector()
    found, largest = [], []
    for seed in range(40, 46):
        emotion = list(EMOTIONS)[seed % len(EMOTIONS)]
        shown = make_clip(make_subject(100 + seed), kind="micro", emotion=emotion, seed=seed)
        images = list(shown.frames())
        face = detector.detect(images[0])[0]
        warp = estimate_warp(face, template)
        crops = np.stack([warp_image(image, warp, template) for image in images])
        points = warp_points(face.points, warp).astype(np.float32)
        marks = {"onset": shown.onset, "apex": None, "offset": shown.offset}
        times = [Fraction(i, 200) for i in range(len(crops))]
        one = PreparedClip("a@0", "s", crops, np.arange(len(crops)), times, warp, points, marks)
        found.append(abs(onset_apex(one)[1] - shown.apex))
        changes = [difference(crops[shown.onset], frame) for frame in crops[: shown.offset + 1]]
        largest.append(abs(int(np.argmax(changes)) - shown.apex))
    assert sum(error <= 5 for error in found) >= 4, found
    assert sum(error <= 5 for error in largest) == 0, largest


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({}, "carries no onset"),
        ({"onset": 3, "apex": 40, "offset": 9}, "has no frame 40"),
        ({"onset": 30, "apex": 4, "offset": 9}, "has no frame 30"),
    ],
)
def test_marks_that_do_not_fit(marks, message):
    with pytest.raises(StoreError, match=message) as raised:
        onset_apex(clip(frames=20, **marks))
    assert str(raised.value).startswith("s@0: ")


QUICK = {"method": "farneback"}


@pytest.fixture
def store(tmp_path):
    store = ClipStore(tmp_path, Recipe(size=SIDE))
    for i in range(10):
        store.write(
            clip(f"c{i}@0", frames=20, subject=f"p{i // 2}", onset=0, apex=8 + i, offset=19)
        )
    return store


KEYS = [f"c{i}@0" for i in range(10)]


def test_onset_apex_pairs_in_the_order_of_the_keys(store):
    ticks = []
    keys = KEYS[::-1]
    pairs, _ = build_pairs(
        store,
        keys,
        PairSettings(**QUICK),
        on_progress=lambda now: ticks.append((now.done, now.total)),
    )
    assert pairs.keys.tolist() == keys
    assert pairs.subjects.tolist() == [f"p{i // 2}" for i in reversed(range(10))]
    assert ticks == [(8, 10), (10, 10)]
    assert pairs.first.shape == pairs.second.shape == (10, SIDE, SIDE, 3)
    assert pairs.third.shape == (0, SIDE, SIDE, 3)
    one = store.read(keys[0])
    assert np.array_equal(pairs.first[0], one.frames[0])
    assert np.array_equal(pairs.second[0], one.frames[17])
    np.testing.assert_allclose(pairs.elapsed_s, [(8 + i) / 100 for i in reversed(range(10))])
    # The pattern slid to the right by a quarter of a pixel a frame.
    u, v = (np.median(pairs.action[-1, 8:-8, 8:-8, c].astype(float)) for c in (0, 1))
    assert u == pytest.approx(2.0, abs=0.4)
    assert v == pytest.approx(0.0, abs=0.2)
    assert pairs.action.dtype == np.float16
    assert len(list((store.folder).glob("pairs-*/part-*"))) == 0


def test_rows_of_pairs(store):
    pairs, _ = build_pairs(store, KEYS, PairSettings(**QUICK))
    some = pairs[np.array([7, 1])]
    assert len(some) == 2
    assert some.keys.tolist() == ["c7@0", "c1@0"]
    assert np.array_equal(some.action[1], pairs.action[1])
    assert len(some.third) == 0


def test_reach_two_keeps_the_third(store):
    settings = PairSettings(
        kind="near-future", per_clip=2, interval_s=(0.02, 0.05), reach=2, **QUICK
    )
    pairs, _ = build_pairs(store, KEYS[:3], settings)
    assert len(pairs) == len(pairs.third) == 6
    assert len(pairs[np.array([4])].third) == 1
    assert (pairs.elapsed_s < 0).any() or (pairs.elapsed_s > 0).any()
    assert (np.abs(pairs.elapsed_s) <= 0.05 + 1e-9).all()


def test_frames_before_the_apex_part_the_end_of_the_rise():
    assert before_apex(10, 110, 4) == [100, 90, 80, 70]
    assert before_apex(10, 15, 2) == [14, 13]
    assert before_apex(3, 5, 3) == [5, 4, 4]  # few frames: some stand twice, never the onset
    assert before_apex(3, 3, 2) == [3, 3]


def test_several_movements_stand_for_one_expression(store):
    one, _ = build_pairs(store, KEYS, PairSettings(**QUICK))
    assert len(one.more) == 0
    assert len(one.instances) == 1
    assert one.instances[0].action is one.action
    pairs, _ = build_pairs(store, KEYS, PairSettings(instances=3, **QUICK))
    assert pairs.keys.tolist() == KEYS
    assert np.array_equal(pairs.action, one.action)
    assert pairs.more.shape == (10, 2, SIDE, SIDE, 3)
    apex, later, earlier = (np.median(x.action[9, 8:-8, 8:-8, 0]) for x in pairs.instances)
    # A quarter of a pixel a frame; the apex is frame 17, the others 14 and 10.
    assert [apex, later, earlier] == pytest.approx([17 / 4, 14 / 4, 10 / 4], rel=0.15)
    assert np.array_equal(pairs[np.array([9])].instances[2].action[0], pairs.more[9, 1])


def test_pairs_of_one_instance_lie_where_they_lay_and_lack_no_file(store):
    pairs, _ = build_pairs(store, KEYS, PairSettings(**QUICK))
    (about,) = store.folder.glob("pairs-*/about.json")
    sheet = json.loads(about.read_bytes())
    del sheet["files"]["more.npy"]  # as versions wrote it that knew no instances
    (about.parent / "more.npy").unlink()
    about.write_text(json.dumps(sheet))
    before = about.stat().st_mtime_ns
    again, _ = build_pairs(store, KEYS, PairSettings(**QUICK))
    assert np.array_equal(again.action, pairs.action)
    assert len(again.more) == 0
    assert about.stat().st_mtime_ns == before


def read_bytes(store):
    return {p.relative_to(store.folder): p.read_bytes() for p in store.folder.glob("pairs-*/*")}


def test_built_once_and_the_same_with_two_processes(store, tmp_path, monkeypatch):
    build_pairs(store, KEYS, PairSettings(**QUICK))
    built = read_bytes(store)
    monkeypatch.setattr("ma2mi.clips.pair_store._build_chunk", None)
    build_pairs(store, KEYS, PairSettings(**QUICK))
    assert read_bytes(store) == built
    monkeypatch.undo()
    other = ClipStore(tmp_path / "other", Recipe(size=SIDE))
    for key in KEYS:
        other.write(store.read(key))
    build_pairs(other, KEYS, PairSettings(**QUICK), jobs=2)
    assert read_bytes(other) == built


def test_a_corrected_apex_gives_other_pairs(store):
    before = build_pairs(store, KEYS, PairSettings(**QUICK))[0].elapsed_s[0]
    store.write(clip("c0@0", frames=20, subject="p0", onset=0, apex=15, offset=19))
    after = build_pairs(store, KEYS, PairSettings(**QUICK))[0].elapsed_s[0]
    assert (before, after) == (0.08, 0.15)


def test_finished_parts_are_kept(store, monkeypatch):
    import ma2mi.clips.pair_store as module

    build, parts = module._build_chunk, []

    def dies_at_the_second(store, keys, settings, part):
        if len(parts) == 1:
            raise KeyboardInterrupt
        parts.append(part)
        return build(store, keys, settings, part)

    monkeypatch.setattr(module, "_build_chunk", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        build_pairs(store, KEYS, PairSettings(**QUICK))
    assert parts[0].is_file()
    monkeypatch.setattr(module, "_build_chunk", build)
    monkeypatch.setattr(
        store, "read", lambda key, read=store.read: read(key) if key in KEYS[8:] else 1 / 0
    )
    assert len(build_pairs(store, KEYS, PairSettings(**QUICK))[0]) == 10


def test_a_full_disk_is_one_line_and_the_next_try_goes_on(store, monkeypatch):
    resource = pytest.importorskip("resource")
    import ma2mi.clips.pair_store as module

    join, limit = module._join, resource.getrlimit(resource.RLIMIT_FSIZE)

    def join_on_a_small_disk(folder, counts, failures):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
        try:
            join(folder, counts, failures)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    monkeypatch.setattr(module, "_join", join_on_a_small_disk)
    with pytest.raises(StoreError, match=r"cannot be written \(File too large\)"):
        build_pairs(store, KEYS, PairSettings(**QUICK))
    monkeypatch.setattr(module, "_join", join)
    assert len(build_pairs(store, KEYS, PairSettings(**QUICK))[0]) == 10


def test_nothing_to_pair(store):
    store.write(clip("short@0", frames=1))
    with pytest.raises(StoreError, match="no clip gives a pair of frames"):
        build_pairs(store, ["short@0"], PairSettings(kind="near-future", **QUICK))


def test_a_pair_that_cannot_be_built_is_named_and_the_rest_goes_on(store):
    flat = clip("flat@0", frames=5, onset=0, apex=3, offset=4)
    store.write(replace(flat, frames=np.full_like(flat.frames, 90)))
    store.write(clip("late@0", frames=5, onset=0, apex=40, offset=41))
    keys = ["flat@0", *KEYS, "late@0"]
    pairs, failures = build_pairs(store, keys, PairSettings(**QUICK))
    assert pairs.keys.tolist() == KEYS
    assert [line.split(": ")[0] for line in failures] == [
        "flat@0, frames 0 and 3 of the crops",
        "late@0",
    ]
    assert "has no frame 40" in failures[1]
    again, told_again = build_pairs(store, keys, PairSettings(**QUICK))
    assert np.array_equal(again.action, pairs.action)
    assert told_again == failures


def test_pictures_without_structure_alone_are_an_error(store):
    flat = clip("flat@0", frames=5, onset=0, apex=3, offset=4)
    store.write(replace(flat, frames=np.full_like(flat.frames, 90)))
    with pytest.raises(StoreError, match=r"The first: flat@0, frames 0 and 3"):
        build_pairs(store, ["flat@0"], PairSettings(**QUICK))


def damage_halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def damage_delete(path):
    path.unlink()


@pytest.mark.parametrize("damage", [damage_halve, damage_flip, damage_delete])
@pytest.mark.parametrize("name", ["action.npy", "keys.npy", "about.json"])
def test_damaged_pairs_are_built_anew(store, damage, name):
    build_pairs(store, KEYS, PairSettings(**QUICK))
    built = read_bytes(store)
    damage(next(store.folder.glob(f"pairs-*/{name}")))
    build_pairs(store, KEYS, PairSettings(**QUICK))
    assert read_bytes(store) == built


def test_a_damaged_part_is_built_anew(store, monkeypatch):
    import ma2mi.clips.pair_store as module

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_join", dies)
    with pytest.raises(KeyboardInterrupt):
        build_pairs(store, KEYS, PairSettings(**QUICK))
    monkeypatch.undo()
    damage_halve(next(store.folder.glob("pairs-*/part-00000")))
    assert len(build_pairs(store, KEYS, PairSettings(**QUICK))[0]) == 10


def test_a_read_only_store_is_read(store, monkeypatch):
    """As on a read-only disk; root may write anywhere, so that writing itself is what fails."""
    build_pairs(store, KEYS, PairSettings(**QUICK))
    seen = sorted(path.stat().st_mtime_ns for path in store.folder.rglob("*"))

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("ma2mi.files.Path.replace", refused)
    monkeypatch.setattr("ma2mi.files.FileLock.acquire", refused)
    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    again = ClipStore(store.folder.parent, store.recipe)
    assert len(build_pairs(again, KEYS, PairSettings(**QUICK))[0]) == 10
    assert sorted(path.stat().st_mtime_ns for path in store.folder.rglob("*")) == seen
    with pytest.raises(StoreError, match="Read-only file system"):
        build_pairs(again, KEYS[:3], PairSettings(**QUICK))


def test_a_hook_that_raises_is_not_blamed_on_the_disk(store):
    def hook(now):
        raise OSError(28, "of the hook")

    with pytest.raises(OSError, match="of the hook"):
        build_pairs(store, KEYS, PairSettings(**QUICK), on_progress=hook)


def test_unknown_settings():
    with pytest.raises(ValidationError):
        PairSettings(method="magic")
    with pytest.raises(ValidationError):
        PairSettings(pairs=3)


def sway(key="w@0", fps=50, frames=50, amplitude=4.0, subject="s", noise=0.6):
    """A pattern whose middle bulges to the right, more and more, on a background that stays."""
    y, x = np.mgrid[0:96, 0:96].astype(np.float64)
    rng = np.random.default_rng(3)
    images = []
    for t in range(frames):
        bump = np.exp(-((x - 44) ** 2 + (y - 50) ** 2) / 300)
        slid = x - amplitude * t / frames * bump
        grey = 127 + 45 * np.sin(0.5 * slid + 0.2 * y) + 40 * np.sin(0.4 * y - 0.3 * slid)
        grey = grey + rng.normal(0, noise, grey.shape)
        images.append(np.repeat(np.rint(grey).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return PreparedClip(
        key,
        subject,
        np.stack(images),
        np.arange(frames),
        [Fraction(i, fps) for i in range(frames)],
        np.eye(2, 3),
        np.full((478, 2), np.nan, np.float32),
    )


@pytest.mark.parametrize("fps", [15, 25, 100])
def test_early_and_late_are_as_far_as_asked(fps):
    one, left_out = clip(fps=fps, frames=fps), Counter()
    drawn = list(itertools.islice(early_and_late(one, left_out=left_out), 200))
    assert len(drawn) == 200
    times = np.array([float(t) for t in one.times_s])
    early, late = (
        np.abs(times[[d[i] for d in drawn]] - times[[d[0] for d in drawn]]) for i in (1, 2)
    )
    assert early.min() >= min(0.03, 1 / fps) - 0.5 / fps
    assert early.max() <= max(0.16, 1 / fps) + 0.5 / fps
    assert late.min() >= 0.25 - 0.5 / fps
    assert late.max() <= 0.9 + 0.5 / fps
    assert (late >= 2 * early - 1e-9).all()
    backwards = sum(d[1] < d[0] for d in drawn)
    assert 70 < backwards < 130
    assert all((d[0] < d[1] < d[2]) or (d[0] > d[1] > d[2]) for d in drawn)
    again = list(itertools.islice(early_and_late(one, left_out=Counter()), 200))
    assert drawn == again


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (clip(frames=20), "clips shorter than the horizon"),
        (clip(fps=2, frames=4), "frame rate too low"),
        (clip(fps=2, frames=2), "clips shorter than the horizon"),
    ],
)
def test_a_clip_without_room_is_counted_once(one, reason):
    left_out = Counter()
    assert list(early_and_late(one, left_out=left_out)) == []
    [(reported, count)] = left_out.items()
    assert reported.startswith(reason)
    assert count == 1


def test_draws_across_a_cut_or_of_a_still_are_counted():
    one, left_out = clip(), Counter()
    still = replace(one, frames=one.frames[np.zeros(100, int)])
    assert list(early_and_late(still, left_out=left_out)) == []
    assert left_out == {"same frame shown twice": 8}
    cut = one.frames.copy()
    cut[50:] = 255 - cut[50:]
    left_out.clear()
    drawn = list(itertools.islice(early_and_late(replace(one, frames=cut), left_out=left_out), 50))
    assert all((min(d) >= 50) == (max(d) >= 50) for d in drawn)
    assert left_out["across a cut"] > 0


MOVEMENT = {"kind": "future-movement", "per_clip": 4, "method": "farneback"}


def test_a_movement_that_grows_is_kept_early_and_late(tmp_path):
    store = ClipStore(tmp_path, Recipe(size=96))
    store.write(sway())
    pairs, failures = build_pairs(store, ["w@0"], PairSettings(**MOVEMENT, reverse=0))
    assert failures == []
    assert len(pairs) == 4
    assert pairs.videos.tolist() == ["w"] * 4
    one = store.read("w@0")
    assert np.isnan(pairs.regions).all()
    assert pairs.regions.shape == (4, 17, 2)
    for row in range(4):
        at = [
            int(np.flatnonzero((one.frames == frame[row]).all((1, 2, 3)))[0])
            for frame in (pairs.first, pairs.second, pairs.third)
        ]
        assert at[0] < at[1] < at[2]
        # 4 px in 50 frames at the middle; some of it goes with the head that is taken out.
        early, late = (float(flow[row, 50, 44, 0]) for flow in (pairs.action, pairs.late))
        moved = 4 * (at[2] - at[0]) / 50
        assert 0.5 * moved < late < 1.2 * moved
        assert abs(early) < late
        assert pairs.elapsed_s[row] == pytest.approx((at[1] - at[0]) / 50)


def test_without_movement_nothing_is_kept_and_the_reason_is_reported(tmp_path):
    store = ClipStore(tmp_path, Recipe(size=96))
    store.write(sway("still@0", amplitude=0))
    with pytest.raises(StoreError, match=r"12 later movement not clearly larger than the early"):
        build_pairs(store, ["still@0"], PairSettings(**MOVEMENT))
    store.write(sway("moves@0"))
    settings = PairSettings(**MOVEMENT)
    pairs, _ = build_pairs(store, ["still@0", "moves@0"], settings)
    assert set(pairs.videos) == {"moves"}
    left_out = count_left_out(store, ["still@0", "moves@0"], settings)
    assert left_out[NOT_LARGER] >= 12
    assert counted(left_out).endswith("later movement not clearly larger than the early one")


def test_landmarks_give_the_centres_of_regions(tmp_path):
    store = ClipStore(tmp_path, Recipe(size=96))
    points = np.random.default_rng(0).uniform(20, 70, (478, 2)).astype(np.float32)
    store.write(replace(sway(), points=points))
    pairs, _ = build_pairs(store, ["w@0"], PairSettings(**MOVEMENT))
    chin = list(REGIONS).index("chin")
    np.testing.assert_allclose(
        pairs.regions[0, chin], points[list(REGIONS["chin"].landmarks)].mean(0), rtol=1e-3
    )


def test_the_usual_interval_depends_on_the_kind():
    assert PairSettings().interval_s == PairSettings(kind="near-future").interval_s == (0.03, 0.25)
    assert PairSettings(kind="future-movement").interval_s == (0.03, 0.16)
    assert PairSettings(kind="future-movement", interval_s=(0.1, 0.2)).interval_s == (0.1, 0.2)
    with pytest.raises(ValidationError, match="is empty"):
        PairSettings(horizon_s=(0.9, 0.3))
