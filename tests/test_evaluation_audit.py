"""The audit finds copies of a clip, and subjects on both sides."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import zoom

from ma2mi.errors import EvaluationError
from ma2mi.evaluation import run_benchmark
from ma2mi.evaluation.audit import (
    audit_run,
    audit_text,
    find_duplicates,
    fingerprint,
    read_fingerprints,
    write_fingerprints,
)
from ma2mi.training.baselines import Majority

SUBJECTS = [f"p{i // 3}" for i in range(12)]
LABELS = [i % 3 for i in range(12)]
KEYS = [f"clip{i}" for i in range(12)]


def run(**changes):
    return run_benchmark(
        Majority(3),
        np.zeros((12, 1)),
        LABELS,
        SUBJECTS,
        keys=KEYS,
        protocol="loso",
        classes=("negative", "positive", "surprise"),
        **changes,
    )


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    # Smooth pictures, as faces are: noise alone would flip bits at a touch.
    return zoom(rng.uniform(0, 255, (12, 2, 7, 7)), (1, 1, 10, 10), order=1).astype(np.uint8)


def prints(pictures):
    return [fingerprint(key, picture) for key, picture in zip(KEYS, pictures, strict=True)]


def test_a_clean_run_passes(pictures):
    sheet = audit_run(run(), prints(pictures))
    assert sheet.verdict == "passed"
    assert not sheet.faults
    assert [row["left_out"] for row in sheet.folds] == [["p0"], ["p1"], ["p2"], ["p3"]]


def test_an_exact_copy_under_another_person_is_a_fault(pictures):
    copied = pictures.copy()
    copied[7] = copied[1]
    sheet = audit_run(run(), prints(copied))
    assert sheet.verdict == "FAILED"
    assert sheet.faults == ("clip1 and clip7 are the same frames, under two subjects",)


def test_a_copy_with_noise_is_found_too(pictures):
    copied = pictures.copy()
    noise = np.random.default_rng(1).normal(0, 2, copied[1].shape)
    copied[7] = np.clip(copied[1] + noise, 0, 255).astype(np.uint8)
    faults = audit_run(run(), prints(copied)).faults
    assert faults == ("clip1 and clip7 are nearly the same picture, under two subjects",)


def test_a_clip_counted_twice_for_one_person_is_a_fault(pictures):
    copied = pictures.copy()
    copied[2] = copied[1]
    assert audit_run(run(), prints(copied)).faults == (
        "clip1 and clip2 are the same frames, counted twice",
    )


def test_a_person_in_pretraining_and_test_is_a_fault(pictures):
    sheet = audit_run(run(pretraining_subjects=("p2", "somebody")), prints(pictures))
    assert sheet.faults == ("fold p2: p2 left out, but in pre-training",)


def test_a_person_on_both_sides_of_a_fold_is_a_fault():
    honest = run()
    first = honest.folds[0]
    truth = replace(
        honest, folds=(first.model_copy(update={"train_subjects": ("p0", "p1")}), *honest.folds[1:])
    )
    assert audit_run(truth).faults == ("fold p0: p0 on both sides",)


def test_without_fingerprints_it_says_that_it_did_not_look():
    assert "duplicates were not searched" in audit_text(run(), audit_run(run()))


def test_fingerprints_read_back(tmp_path, pictures):
    found = prints(pictures)
    write_fingerprints(tmp_path / "prints.csv", found)
    assert read_fingerprints(tmp_path / "prints.csv") == found


def test_all_pairs_of_three_copies_are_named(pictures):
    same = [fingerprint(key, pictures[0]) for key in ("a", "b", "c")]
    assert [pair[:2] for pair in find_duplicates(same)] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_pictures_too_small_to_look_like_anything():
    tiny = fingerprint("a", np.zeros((1, 8, 8), np.uint8))
    assert (tiny.look, len(tiny.exact)) == ("", 64)
    assert find_duplicates([tiny, replace(tiny, key="b")]) == [("a", "b", "the same frames")]


@pytest.mark.parametrize(
    "content",
    [b"key,exact\na,b\n", b"key,exact,look\na,b,zz\n", b"key,exact,look\n,,\n", b"\xff\n"],
)
def test_damaged_fingerprints_are_one_line(tmp_path, content):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(EvaluationError, match="fingerprint"):
        read_fingerprints(tmp_path / "p.csv")
