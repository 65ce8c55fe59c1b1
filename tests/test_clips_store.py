"""Prepared clips come back as they were written, or with one clear line."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.numpy import save_file

from ma2mi.clips.store import ClipStore, PreparedClip, Recipe
from ma2mi.errors import StoreError


def clip(key="a@0", frames=4):
    rng = np.random.default_rng(3)
    return PreparedClip(
        key,
        "someone",
        rng.integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8),
        np.arange(5, 5 + frames, dtype=np.int64),
        [Fraction(1001 * i, 30000) + Fraction(1, 7) for i in range(frames)],
        rng.normal(size=(2, 3)),
        rng.normal(size=(478, 2)).astype(np.float32),
        {"onset": 5, "apex": None, "emotion": "joy", "action_units": ["4", "L10"]},
    )


def test_round_trip_is_exact(tmp_path):
    store, wanted = ClipStore(tmp_path, Recipe(size=16)), clip()
    assert wanted.key not in store
    store.write(wanted)
    assert wanted.key in store
    back = store.read(wanted.key)
    assert (back.key, back.subject, back.marks) == (wanted.key, wanted.subject, wanted.marks)
    assert back.times_s == wanted.times_s
    assert all(isinstance(t, Fraction) for t in back.times_s)
    for name in ("frames", "frame_index", "warp", "points"):
        one, other = getattr(back, name), getattr(wanted, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_same_clip_same_bytes(tmp_path):
    stores = [ClipStore(tmp_path / name, Recipe(size=16)) for name in "ab"]
    for store in stores:
        store.write(clip())
    one, other = (store.path("a@0").read_bytes() for store in stores)
    assert one == other
    assert stores[0].digest(["a@0"]) == stores[1].digest(["a@0"])


def test_digest_knows_content_and_order(tmp_path):
    store = ClipStore(tmp_path, Recipe(size=16))
    store.write(clip("a@0", 3))
    store.write(clip("b@0", 4))
    before = store.digest(["a@0", "b@0"])
    assert store.digest(["b@0", "a@0"]) != before
    store.write(clip("b@0", 5))
    assert store.digest(["a@0", "b@0"]) != before


def test_another_recipe_another_folder(tmp_path):
    recipes = [Recipe(), Recipe(size=96), Recipe(segment_s=0.5), Recipe(version=2)]
    assert len({ClipStore(tmp_path, recipe).folder for recipe in recipes}) == 4
    for wrong in ({"sise": 96}, {"size": 0}, {"size": 10**9}, {"segment_s": float("inf")}):
        with pytest.raises(ValidationError):
            Recipe(**wrong)


def test_clips_of_one_key_and_other_sources_lie_beside_each_other(tmp_path):
    store = ClipStore(tmp_path, Recipe(size=16))
    for source, frames in (("aa", 3), ("bb", 4)):
        store.knowing({"a@0": source}).write(clip(frames=frames))
    for source, frames in (("aa", 3), ("bb", 4)):
        assert len(store.knowing({"a@0": source}).read("a@0").frames) == frames
    assert "a@0" not in store
    assert {path.name for path in store.folder.iterdir()} == {
        "recipe.json", "a@0.aa.safetensors", "a@0.bb.safetensors"
    }  # fmt: skip


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def damage_text(path):
    path.write_text("no clip at all")


def damage_foreign(path):
    save_file({"x": np.zeros(3)}, path)


def damage_times(path):
    with safe_open(path, framework="numpy") as file:
        tensors, about = {n: file.get_tensor(n) for n in file.keys()}, file.metadata()  # noqa: SIM118
    save_file({**tensors, "times_s": np.zeros((4, 2), np.int64)}, path, about)


def damage_gone(path):
    path.unlink()


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_text, damage_foreign, damage_gone, damage_times]
)
def test_damaged_clip_is_one_line(tmp_path, damage):
    store = ClipStore(tmp_path, Recipe(size=16))
    store.write(clip())
    damage(store.path("a@0"))
    with pytest.raises(StoreError, match="is not a readable clip") as raised:
        store.read("a@0")
    assert str(store.path("a@0")) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_clip_has_no_digest(tmp_path):
    with pytest.raises(StoreError, match="is not a readable clip"):
        ClipStore(tmp_path, Recipe(size=16)).digest(["a@0"])


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\)"):
        ClipStore(tmp_path / "file", Recipe())
