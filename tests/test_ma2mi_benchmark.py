"""The study of ``benchmarks/ma2mi``: which data and rows there are, and a tiny run of it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ma2mi.models.catalog import build_model
from ma2mi.records import Recording

FOLDER = Path(__file__).parents[1] / "benchmarks" / "ma2mi"
MODULES = ("ablate", "data", "rows", "study", "tables")


@pytest.fixture(scope="module")
def study() -> Iterator[dict[str, Any]]:
    """The benchmark's modules, found as when it runs as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        for name in MODULES:
            patch.delitem(importlib.sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in MODULES}
        for name in MODULES:
            importlib.sys.modules.pop(name, None)


def test_first_videos_are_of_many_subjects_and_emotions(study: dict[str, Any]) -> None:
    clips = 3
    recordings = [
        Recording(Path(f"{subject}/{clip}"), str(subject), f"{subject}/{clip}")
        for subject in range(4)
        for clip in range(clips)
    ]
    order = study["data"].in_turn(recordings, clips)
    assert sorted(r.name for r in order) == sorted(r.name for r in recordings)
    assert [r.subject for r in order[:4]] == ["0", "1", "2", "3"]
    assert {r.name[-1] for r in order[:3]} == {"0", "1", "2"}


def test_every_row_is_held_against_a_row_before_it(study: dict[str, Any]) -> None:
    seen: set[str] = set()
    rows = study["rows"].all_rows(full=True)
    for row in rows:
        assert row.against in seen or row.name == study["rows"].RANDOM
        assert row.name not in seen
        seen.add(row.name)
    assert len({row.key for row in rows}) == len(rows)


def test_one_name_means_one_pretraining(study: dict[str, Any]) -> None:
    known: dict[str, Any] = {}
    for row in study["rows"].all_rows(full=True):
        for what in (row.learned, row.learned and row.learned.init):
            if what:
                assert known.setdefault(what.name, what) == what


def test_every_row_is_measured_once_under_each_seed(study: dict[str, Any]) -> None:
    rows = study["rows"].all_rows(full=True)
    tasks = [(row.name, seed) for row, seed in study["ablate"].in_order(rows, (0, 1, 2), True)]
    assert sorted(tasks) == sorted(
        (row.name, seed) for row in rows for seed in ((0, 1, 2) if row.seeded else (0,))
    )
    assert tasks[:2] == [(study["rows"].RANDOM, 0), ("MA2MI, 100 steps", 0)]
    fewer = study["ablate"].in_order(study["rows"].all_rows(False), (0, 1, 2), False)
    assert {seed for row, seed in fewer if row.learned and row.learned.steps < 300} == {0, 1}
    assert {seed for row, seed in fewer if row.name == study["rows"].OURS} == {0, 1, 2}


def test_compared_repeats_what_knows_no_draws(study: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    right = np.tile(2 * np.eye(3, dtype=np.int64), (6, 1, 1, 1))
    guess = rng.permuted(np.tile([2, 0, 0], (6, 4, 3, 1)), axis=-1)
    test = study["tables"].compared(right, guess)
    each = study["tables"].mean_uf1(guess.sum(0))
    assert test.difference == pytest.approx(1 - each)
    assert test.p < 0.05
    assert study["tables"].compared(guess, guess).p == 1


@pytest.mark.slow
def test_tiny_study_resumes_and_is_told(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablate, rows = study["ablate"], study["rows"]
    setup = study["data"].Setup(tmp_path, macro=2, micro=3, heads=2, clips=3, steps=2)

    # The heads take 20 s to load; what they are without anny is tested here.
    def no_heads(*_: object) -> None:
        raise study["study"].MissingPart("anny is not installed")

    monkeypatch.setattr(study["data"], "render_heads", no_heads)
    names = {rows.RANDOM, rows.OURS, "flow-pca", "pixels-rbf", "flow-pca of late movements"}
    some = [row for row in rows.all_rows(False) if row.name in names]
    ablate.opened.cache_clear()
    ablate.run(setup, some, (0,), jobs=1)
    measured = ablate.Study(setup, 1)
    result = measured.result(some[0], 0)
    assert result is not None and set(result) == {"painted"}
    assert {size: counts.shape for size, counts in result["painted"].items()} == {
        0: (3, 1, 3, 3),
        2: (3, 5, 3, 3),
    }
    assert all(counts.sum() == 9 * counts.shape[1] for counts in result["painted"].values())
    torch.manual_seed(0)
    start = build_model("miacnet-tiny", 2).state_dict()
    after = load_file(measured.folder(rows.BOTH, 0) / "model.safetensors")
    stem = "action_encoder.stem.0.weight"
    assert 0 < (after[stem] - start[stem]).abs().max() < 0.01  # learned, from the control's weights

    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("rows/*/*.json")}
    [first] = tmp_path.rglob(f"rows/{some[0].key}/0.json")
    before = json.loads(first.read_text())["confusions"]
    first.unlink()
    ablate.run(setup, some, (0,), jobs=1)
    assert json.loads(first.read_text())["confusions"] == before
    again = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("rows/*/*.json")}
    assert len(kept) == len(some)
    assert {file for file in kept if kept[file] != again[file]} == {first}

    page = study["tables"].readme(study["tables"].Table(measured, some, (0,)))
    assert page.count("| random weights |") >= 4
    assert "| MA2MI | 1 | 2 |" in page  # two steps, as told
    assert "no such subjects" in page
