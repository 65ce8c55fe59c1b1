"""Scores of ``benchmarks/spotting/evaluate.py``, pooled over subjects; worked out by hand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

from ma2mi.evaluation.statistics import spotting_f1_of

FOLDER = Path(__file__).parents[1] / "benchmarks" / "spotting"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))  # it imports ``videos``, which lies beside it
    try:
        import evaluate

        yield evaluate
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def results(benchmark):
    def found(kind, onset, apex, offset, emotion="none"):
        return benchmark.Found(kind, onset, apex, offset, emotion)

    one = benchmark.Result(
        "1", 25.0, 1500,
        (found("micro", 10, 15, 20, "positive"), found("macro", 50, 60, 75, "surprise"),
         found("blink", 90, 92, 95, "other")),
        {"floor": (),
         "learned": (found("micro", 10, 17, 20, "positive"), found("micro", 300, 302, 305),
                     found("blink", 90, 92, 95))},
    )  # fmt: skip
    other = benchmark.Result(
        "2", 25.0, 3000,
        (found("micro", 10, 15, 20, "negative"),),
        {"floor": (), "learned": (found("macro", 10, 12, 20, "negative"),)},
    )  # fmt: skip
    return [one, other]


def test_counts_keep_the_kinds_apart(benchmark, results):
    one, other = results
    assert benchmark.counts_of(one, "learned", "micro") == [1, 1, 0, 0]
    assert benchmark.counts_of(one, "learned", "macro") == [0, 0, 1, 0]
    assert benchmark.counts_of(one, "learned", "micro", "macro") == [1, 1, 1, 0]
    # A micro-expression that is called macro is a miss and a false alarm.
    assert benchmark.counts_of(other, "learned", "micro", "macro") == [0, 1, 1, 0]
    assert benchmark.counts_of(one, "learned", "blink") == [1, 0, 0, 0]


def test_an_event_on_another_movement_is_neither_hit_nor_false(benchmark):
    yawn = benchmark.Found("other", 100, 140, 199)
    found = [
        benchmark.Found("macro", 104, 140, 190),  # most of the yawn
        benchmark.Found("micro", 110, 112, 119),  # within it
        benchmark.Found("macro", 190, 200, 239),  # a fifth of it lies in the yawn
    ]
    result = benchmark.Result("1", 25.0, 1500, (yawn,), {"learned": tuple(found)})
    assert benchmark.counts_of(result, "learned", "micro") == [0, 0, 0, 1]
    assert benchmark.counts_of(result, "learned", "macro") == [0, 1, 0, 1]
    assert benchmark.counts_of(result, "learned", "micro", "macro") == [0, 1, 0, 2]


def test_apexes_count_whichever_kind_they_are_called(benchmark, results):
    one, other = results
    assert benchmark.apexes_of(one, "learned") == (1, 80_000, 1)  # 2 frames of 40 ms
    assert benchmark.apexes_of(other, "learned") == (1, 120_000, 1)
    assert benchmark.apexes_of(one, "floor") == (0, 0, 0)


def test_the_table_adds_up_over_subjects(benchmark, results):
    rows = list(benchmark.table(results, "learned"))
    micro = next(row for row in rows if row.startswith("| micro"))
    # 1 hit, 1 false alarm, 1 miss; one false alarm in three minutes. Drawing the same subject
    # twice gives F1 2/3 or 0, and 1 or 0 false alarms a minute.
    assert (
        micro == "| micro | 2 | 2 | 0 | 1 | 0.50 | 0.50 | 0.50 [0.00, 0.67] | 0.33 [0.00, 1.00] |"
    )
    assert "apex of 2 hits: off by 100 [80, 120] ms; inside 100%" in "\n".join(rows)
    assert rows[-1] == "2 subjects, 3.0 minutes"


def test_one_subject_has_no_interval(benchmark, results):
    rows = list(benchmark.table(results[:1], "learned"))
    wanted = "| micro | 1 | 2 | 0 | 1 | 0.50 | 1.00 | 0.67 | 1.00 |"
    assert any(row.startswith(wanted) for row in rows)


def test_the_interval_is_that_of_drawn_subjects(benchmark):
    counts = np.array([[9, 1, 1], [5, 5, 5], [8, 2, 2], [10, 0, 0], [7, 3, 3]])
    words = benchmark.interval(counts, spotting_f1_of, digits=3)
    value, low, high = (float(word.strip("[],")) for word in words.split())
    assert value == pytest.approx(0.78)
    rng = np.random.default_rng(1)
    draws = counts[rng.integers(0, 5, (4000, 5))].sum(axis=1)
    theirs = np.quantile(spotting_f1_of(draws), (0.025, 0.975))
    assert (low, high) == (
        pytest.approx(theirs[0], abs=0.03),
        pytest.approx(theirs[1], abs=0.03),
    )
    assert words == benchmark.interval(counts, spotting_f1_of, digits=3)


def test_an_interrupted_run_goes_on(benchmark, results, tmp_path, monkeypatch):
    watched = []

    def watch(what, video, model, crf):
        if len(watched) == 1 and not resumed:
            raise KeyboardInterrupt
        watched.append(what.seed)
        return {"floor": [], "learned": []}

    monkeypatch.setattr(benchmark, "watch", watch)
    monkeypatch.setattr(benchmark, "load_model", lambda weights: "model")
    monkeypatch.setattr(benchmark, "plan", lambda what, lifelike: what)
    monkeypatch.setattr(benchmark, "result_of", lambda name, video, events: results[int(name) - 7])
    monkeypatch.setattr(benchmark, "state", lambda weights: "abc")
    options = argparse.Namespace(
        subjects=2, seed=7, minutes=0.1, density=1.0, coded=False, crf=20, renderer="faces",
        lifelike=False, weights="zero", cache=tmp_path / "cache",
    )  # fmt: skip
    resumed = False
    with pytest.raises(KeyboardInterrupt):
        list(benchmark.results_of(options, 30))
    resumed = True
    assert list(benchmark.results_of(options, 30)) == results
    assert watched == [7, 8]
    options.coded = True  # another video: nothing is taken from the cache
    list(benchmark.results_of(options, 30))
    assert watched == [7, 8, 7, 8]
