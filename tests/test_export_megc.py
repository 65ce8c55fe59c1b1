"""Events of analyses as the files of the grand challenge, read back by the scorer's readers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ma2mi.evaluation.files import read_megc2022, read_megc2024
from ma2mi.formats.tables import write_json
from ma2mi.records import Analysis, DetectedEvent, Reading

pytest.importorskip("typer")


def event(number, kind, onset, offset, reading=None):
    return DetectedEvent(
        kind,
        onset,
        onset + 1,
        offset,
        face=0,
        event_id=number,
        onset_s=onset / 25,
        apex_s=(onset + 1) / 25,
        offset_s=offset / 25,
        score=0.9,
        floor_multiple=5.0,
        reading=reading,
    )


@pytest.fixture
def results(tmp_path):
    sure = Reading("1", {"negative": 0.8, "positive": 0.2})
    unsure = replace(sure, abstained=True)
    events = (
        event(1, "micro", 3, 9, sure),
        event(2, "blink", 10, 14),
        event(3, "macro", 20, 60, unsure),
    )
    for name in ("talk", "walk"):
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        analysis = Analysis(
            name=name,
            source=f"videos/s1/{name}.mp4",
            version="1",
            width=64,
            height=48,
            fps=25.0,
            frames=80,
            start_s=0.0,
            duration_s=3.2,
            level="green",
            reasons=(),
            faces=(),
            events=events,
        )
        write_json(analysis, folder)
    return tmp_path / "results"


def test_spotting(ma2mi, results, tmp_path):
    code, out, _ = ma2mi("export", "megc", results, "--out", "spotted.csv")
    assert code == 0
    assert "4 events of 2 videos" in out
    back = read_megc2022(tmp_path / "spotted.csv")
    assert [(e.video, e.kind, e.onset, e.offset) for e in back][:2] == [
        ("talk", "micro", 3, 9),
        ("talk", "macro", 20, 60),
    ]


def test_spot_then_recognize(ma2mi, results, tmp_path):
    words = ("--out", "strs.csv", "--task", "strs", "--subjects", "folder")
    code, out, _ = ma2mi("export", "megc", results / "talk", results / "walk", *words)
    assert code == 0
    assert "2 events without a class are left out" in out
    back = read_megc2024(tmp_path / "strs.csv")
    assert [(e.subject, e.video, e.onset, e.emotion) for e in back] == [
        ("s1", "talk", 3, "negative"),
        ("s1", "walk", 3, "negative"),
    ]


def test_nothing_to_write_is_one_line(ma2mi, tmp_path):
    code, _, err = ma2mi("export", "megc", tmp_path, "--out", "spotted.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "no analysis found" in err
