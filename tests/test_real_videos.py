"""The scores of ``benchmarks/spotting/real_videos.py``, on intervals worked out by hand."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest

from ma2mi.errors import CorpusError
from ma2mi.records import DetectedEvent, Reading

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "spotting" / "real_videos.py"
HEADER = "file,kind,onset_s,offset_s,sure,what\n"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


real_videos = load(BENCHMARK)
Marked = real_videos.Marked


def event(onset, offset, kind="macro", apex=None, reason=""):
    apex = (onset + offset) / 2 if apex is None else apex
    frames = [round(25 * time) for time in (onset, apex, offset)]
    read = Reading("x", {"positive": 1.0}, {}, intensity=0.1, expression=0.9)
    times = {"onset_s": onset, "apex_s": apex, "offset_s": offset}
    known = {"face": 0, "event_id": 1, "score": 0.5, "floor_multiple": 5.0, "regions": ("chin",)}
    return DetectedEvent(kind, *frames, **times, **known, reading=read, reason=reason)


def mark(onset, offset, kind="macro", sure=True):
    return Marked("a.mp4", kind, onset, offset, sure)


def evaluate(events, marks, duration_s=60.0, **others):
    return real_videos.evaluate("a.mp4", events, marks, duration_s=duration_s, **others)


def test_iou():
    assert real_videos.iou(mark(1, 3), event(2, 4)) == pytest.approx(1 / 3)
    assert real_videos.iou(mark(1, 3), event(1, 3)) == 1
    assert real_videos.iou(mark(1, 2), event(2, 3)) == 0
    assert real_videos.iou(mark(1, 2), event(5, 6)) == 0


@pytest.mark.parametrize(
    ("onset", "offset", "apex", "hit"),
    [
        (1.0, 1.8, 1.4, True),  # IoU 0.4
        (1.0, 1.78, 2.0, False),  # IoU 0.39, a factor of 2.6
        (2.4, 4.4, 2.6, True),  # IoU 0.18: as long, and the apex is inside
        (2.4, 4.4, 3.2, False),  # as long, but the apex is outside
        (2.9, 6.8, 2.95, True),  # a factor of 1.95
        (2.9, 7.0, 2.95, False),  # a factor of 2.05
        (1.0, 1.3, 1.1, False),
    ],
)
def test_a_hit_overlaps_or_has_its_apex_inside(onset, offset, apex, hit):
    assert real_videos.is_hit(mark(1, 3), event(onset, offset, apex=apex)) is hit


def test_hits_misses_and_false_events():
    marks = [mark(1, 2), mark(5, 6), mark(10, 12, sure=False), mark(20, 21, sure=False)]
    events = [
        event(1.1, 2.1),  # hits the first
        event(1.4, 1.7, "micro"),  # a splinter of it: neither a hit nor false
        event(10, 12),  # hits one in doubt: counts nowhere
        event(30, 31),
        event(40, 40.3, "micro"),
        event(41, 41.3, "micro"),
        event(50, 50.2, "blink"),
    ]
    score = evaluate(events, marks)
    assert [(m.onset_s, e.onset_s) for m, e in score.hits] == [(1, 1.1), (10, 10)]
    assert score.sure_hits == 1
    assert [m.onset_s for m, _ in score.misses] == [5]
    assert [m.onset_s for m, _ in score.unsure_misses] == [20]
    assert [e.onset_s for e in score.false] == [30, 40, 41]
    assert score.counted == 5  # the hit, its splinter, three false ones
    assert (score.false_a_minute("micro"), score.false_a_minute("macro")) == (2, 1)
    total = real_videos.summarise([score, evaluate([], [mark(1, 2)])])
    assert total.precision == pytest.approx(1 / 5)
    assert total.recall == pytest.approx(1 / 3)
    assert (total.false_micro, total.false_macro) == (1, 0.5)  # in two minutes


def test_one_event_hits_one_mark():
    score = evaluate([event(1, 3)], [mark(1, 1.9), mark(2, 3)])
    assert [m.onset_s for m, _ in score.hits] == [2]
    assert [m.onset_s for m, _ in score.misses] == [1]
    # The best pairs first: both events reach the first mark, one of them the second better.
    score = evaluate([event(1, 2.2), event(1.6, 3)], [mark(1, 2), mark(2, 3)])
    assert [(m.onset_s, e.onset_s) for m, e in score.hits] == [(1, 1), (2, 1.6)]


def test_misses_have_the_reason_of_the_best_candidate():
    candidates = [
        event(5.0, 5.3, reason="follows the head"),
        event(5.2, 6.0, reason="score 0.04 below 0.52"),
    ]
    score = evaluate([event(6.9, 8)], [mark(5, 6), mark(7, 30), mark(40, 41)], **{
        "candidates": candidates
    })  # fmt: skip
    assert [reason for _, reason in score.misses] == [
        "score 0.04 below 0.52 (5.20-6.00 s, IoU 0.80)",
        "macro event overlaps too little (6.90-8.00 s, IoU 0.04)",
        "no candidate",
    ]
    assert score.candidates == 2


def test_a_mark_beyond_the_end_counts_with_the_event_cut():
    # Marked to 9.0 s in a video of 2.4 s: compared with 0.6 to 2.4 s.
    score = evaluate([event(1.6, 2.36)], [mark(0.6, 9.0)], duration_s=2.4, frame_s=0.04)
    assert len(score.hits) == 1  # 0.8 s of 1.8 s: IoU 0.44
    assert score.hits[0][1].offset_s == 2.4
    short = evaluate([event(1.8, 2.36)], [mark(0.6, 9.0)], duration_s=2.4, frame_s=0.04)
    assert not short.hits  # IoU 0.33, a factor of 3


def test_head_movements_are_taken_for_nothing_else():
    head = mark(10, 11, "head")
    for found, taken in (
        ([event(10.2, 10.8)], 1),
        ([event(10.7, 12, "speech")], 1),
        ([event(10.9, 12, "speech")], 0),  # within the doubt about the edges
        ([event(10.95, 11.05, "micro")], 1),  # brief: half of it lies inside
        ([event(10.2, 10.8, "blink")], 0),
        ([event(11, 12)], 0),
    ):
        ((_, events),) = evaluate(found, [head]).heads
        assert len(events) == taken, found
    # What hits an expression that was marked beside it is that expression.
    score = evaluate([event(10.3, 12)], [head, mark(10.5, 12)])
    assert score.heads[0][1] == ()
    assert len(score.hits) == 1
    # An event on a head movement alone is a false one.
    assert len(evaluate([event(10.2, 10.8)], [head]).false) == 1


def test_speech_is_counted_once():
    speech = [event(1, 3, "speech"), event(2, 4, "speech"), event(6, 70, "speech")]
    score = evaluate(speech, [], duration_s=10.0)
    assert score.speech_s == pytest.approx(3 + 4)
    total = real_videos.summarise([score])
    assert total.speech == pytest.approx(0.7)
    assert math.isnan(total.recall)


def test_the_table_says_all(tmp_path):
    marks = [mark(1, 2), mark(5, 6), mark(8, 9, sure=False), mark(20, 21, "head")]
    found = [event(1, 2), event(20, 21), event(30, 31, "speech")]
    low = [event(5, 6, reason="follows the head")]
    score = evaluate(found, marks, candidates=low)
    page = "\n".join(real_videos.lines(score))
    for words in (
        "| 1.00-2.00 | macro | yes |  | hit: macro positive 1.00",
        "**missed**: follows the head (5.00-6.00 s, IoU 1.00)",
        "| 8.00-9.00 | macro | no |  | not found: no candidate |",
        "**taken for** macro",
        "- false: macro",
        "0.0 micro, 1.0 macro; speech: 1.0 s (2%)",
    ):
        assert words in page, words
    assert real_videos.summary_line([score]) == (
        "precision 0.50, recall 0.50 on 2 sure expressions; false a minute: 1.0 macro, 0.0 micro; "
        "2% called speech; 0 of 1 head movements left alone"
    )


# Ground truth


@pytest.fixture
def videos(tmp_path):
    (tmp_path / "one").mkdir()
    for name in ("one/a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_truth_is_read_by_video(videos):
    (videos / "truth.csv").write_text(
        HEADER + "one/a.mp4,macro,1.10,2.15,yes,brows\nb.mp4,head,0,1,yes,\n"
        "one/a.mp4,micro,3,3.4,no,\n"
    )
    one, other = real_videos.read_truth(videos / "truth.csv", videos)
    assert one.path == videos / "one/a.mp4"
    assert one.marks == (
        Marked("one/a.mp4", "macro", 1.1, 2.15, True, "brows"),
        Marked("one/a.mp4", "micro", 3.0, 3.4, False, ""),
    )
    assert other.marks == (Marked("b.mp4", "head", 0.0, 1.0),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c.mp4,macro,1,2,yes,", "column file: 'c.mp4' is not below"),
        ("b.mp4,smile,1,2,yes,", "column kind: 'smile' is not one of micro, macro, head"),
        ("b.mp4,macro,x,2,yes,", "column onset_s: 'x' is not a time in seconds"),
        ("b.mp4,macro,-1,2,yes,", "column onset_s: '-1' is not a time in seconds"),
        ("b.mp4,macro,nan,2,yes,", "column onset_s: 'nan' is not a time in seconds"),
        ("b.mp4,macro,2,2,yes,", "column offset_s: 2 s is not after onset_s"),
        ("b.mp4,macro,1,2,perhaps,", "column sure: 'perhaps' is neither yes nor no"),
    ],
)
def test_a_bad_row_is_one_line(videos, row, message):
    (videos / "truth.csv").write_text(HEADER + "b.mp4,macro,1,2,yes,\n" + row + "\n")
    with pytest.raises(CorpusError, match="row 3") as raised:
        real_videos.read_truth(videos / "truth.csv", videos)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_truth_without_rows_is_one_line(videos):
    (videos / "truth.csv").write_text(HEADER)
    with pytest.raises(CorpusError, match="marks nothing"):
        real_videos.read_truth(videos / "truth.csv", videos)


def test_a_corpus_of_annotations_is_read(tmp_path):
    """BORIS, ELAN, BIDS or a table of one's own; seconds are back where the coder put them."""
    av = pytest.importorskip("av")
    import numpy as np

    with av.open(str(tmp_path / "talk.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for _ in range(100):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "marks.csv").write_text(
        "path,start_s,end_s,emotion,aus,kind\n"
        "talk.mp4,1.0,2.0,happiness,6+12,macro\ntalk.mp4,2.4,2.8,disgust,,micro\n"
    )
    (video,) = real_videos.read_corpus(f"annotations={tmp_path}")
    assert video.path == tmp_path / "talk.mp4"
    times = [(m.kind, pytest.approx(m.onset_s), pytest.approx(m.offset_s)) for m in video.marks]
    assert times == [("macro", 1.0, 2.0), ("micro", 2.4, 2.8)]
    assert video.marks[0].what == "happiness AU6 AU12"
    (tmp_path / "marks.csv").write_text("path,start_s,end_s,emotion\n")
    with pytest.raises(CorpusError, match="marks no expression"):
        real_videos.read_corpus(f"annotations={tmp_path}")
