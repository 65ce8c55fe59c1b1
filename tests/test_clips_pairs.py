"""Which frames make a pair, and pairs that are built once and read back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from ma2mi.clips.pairs import PairSettings, build_pairs
from ma2mi.clips.sampling import difference, near_future, onset_apex
from ma2mi.clips.store import ClipStore, PreparedClip, Recipe
from ma2mi.errors import StoreError

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


def test_unmarked_apex_is_the_largest_change():
    one = clip(frames=20, first_frame=50, onset=52, apex=None, offset=65)
    frames = one.frames.copy()
    frames[9] = 255 - frames[2]
    frames[17] = 0  # after the offset
    assert onset_apex(replace(one, frames=frames)) == (2, 9)


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
        store, keys, PairSettings(**QUICK), hook=lambda done, of: ticks.append((done, of))
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


def read_bytes(store):
    return {p.relative_to(store.folder): p.read_bytes() for p in store.folder.glob("pairs-*/*")}


def test_built_once_and_the_same_with_two_processes(store, tmp_path, monkeypatch):
    build_pairs(store, KEYS, PairSettings(**QUICK))
    built = read_bytes(store)
    monkeypatch.setattr("ma2mi.clips.pairs._build_chunk", None)
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
    import ma2mi.clips.pairs as module

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
    import ma2mi.clips.pairs as module

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


def test_damaged_pairs_are_one_line(store):
    build_pairs(store, KEYS, PairSettings(**QUICK))
    next(store.folder.glob("pairs-*/action.npy")).write_bytes(b"none")
    with pytest.raises(StoreError, match="are no readable pairs"):
        build_pairs(store, KEYS, PairSettings(**QUICK))


def test_unknown_settings():
    with pytest.raises(ValidationError):
        PairSettings(method="magic")
    with pytest.raises(ValidationError):
        PairSettings(pairs=3)
