"""Candidates below the thresholds: kept with their reason, and never mixed with events."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ma2mi.analysis import AnalysisSettings, ExaminedEvent
from ma2mi.analysis.evidence import Evidence, Stretch
from ma2mi.analysis.results_folder import find_done
from ma2mi.analysis.results_writer import ResultsWriter
from ma2mi.analysis.run import analyze_frames
from ma2mi.analysis.summary import summarise
from ma2mi.cli.analyze import count_events
from ma2mi.files import results_folder
from ma2mi.formats.tables import FrameTable, read_json, write_candidates, write_json
from ma2mi.records import Analysis, DetectedEvent, FaceFacts, Reading
from ma2mi.report.review import CARDS, LISTED, Card, write_review
from ma2mi.report.videos import write_magnified
from ma2mi.video import read_frames

LOW = "score 0.04 below 0.52"
LIDS = "led by the lids: blink"


def event(event_id, onset, reason="", kind="macro", **changes):
    frames = onset, onset + 5, onset + 15
    times = {f"{at}_s": f / 25 for at, f in zip(("onset", "apex", "offset"), frames, strict=True)}
    known = {"score": 0.04 if reason else 0.9, "floor_multiple": 5.5, "regions": ("chin",)}
    known |= times | {"event_id": event_id, "face": 0, "reason": reason}
    return DetectedEvent(kind, *frames, **(known | changes))


class FakeWatch:
    knows_neutral = True

    def facts(self, frames=None):
        return FaceFacts(0, 100, 0.0, 4.0, 80.0, "green")


class FakeAnalyzer:
    """Has analysed one face; ``finish`` gives what it is given."""

    def __init__(self, findings=()):
        self.faces, self.settings, self.recognizer = {0: FakeWatch()}, AnalysisSettings(), None
        self.width, self.height, self.fps, self.frames = 640, 480, 25.0, 100
        self.start_s, self.last_s = None, 3.96
        self.tracker = SimpleNamespace(cuts=0, passed_over=0, most=4)
        self.findings = list(findings)

    def finish(self):
        return self.findings


@pytest.fixture
def analysis():
    found = (event(7, 60), event(8, 10, LOW), event(9, 0), event(10, 40, LIDS, flags=("x", "y")))
    return summarise(FakeAnalyzer(), name="talk", source="talk.mp4", about={}, events=found)


def test_events_and_candidates_are_numbered_apart(analysis):
    assert [(e.event_id, e.onset) for e in analysis.events] == [(1, 0), (2, 60)]
    assert [(e.event_id, e.onset, e.reason) for e in analysis.candidates] == [
        (1, 10, LOW),
        (2, 40, LIDS),
    ]


def test_a_candidate_has_no_reading():
    read = Reading("face0@10", {"positive": 1.0}, {}, intensity=0.5, expression=0.5)
    found = (event(1, 10, reading=read), event(2, 30, LOW, reading=read))
    analysis = summarise(FakeAnalyzer(), name="a", source="a.mp4", about={}, events=found)
    assert analysis.events[0].reading == read
    assert analysis.candidates[0].reading is None


def test_candidates_csv_reads_back(analysis, tmp_path):
    table, words = write_candidates(analysis, tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["candidate_id"] for row in rows] == ["1", "2"]
    for row, made in zip(rows, analysis.candidates, strict=True):
        frames = [int(row[f"{name}_frame"]) for name in ("onset", "apex", "offset")]
        assert (*frames, int(row["face_id"])) == (made.onset, made.apex, made.offset, made.face)
        assert float(row["duration_ms"]) == 600
        assert (row["reason"], row["regions"]) == (made.reason, "chin")
        assert tuple(f for f in row["flags"].split(";") if f) == made.flags
    dictionary = json.loads(words.read_text("utf-8"))
    assert list(dictionary) == list(rows[0])
    assert all(column["Description"] for column in dictionary.values())
    assert set(dictionary["kind"]["Levels"]) == {"micro", "macro"}


def test_candidates_csv_has_a_header_without_candidates(analysis, tmp_path):
    table, _ = write_candidates(replace(analysis, candidates=()), tmp_path)
    (header,) = table.read_text("utf-8").splitlines()
    assert header.startswith("candidate_id,face_id,kind,")
    assert header.endswith(",reason")


def test_json_reads_back(analysis, tmp_path):
    (path,) = write_json(analysis, tmp_path)
    assert read_json(path) == analysis
    assert isinstance(read_json(path).candidates[1].flags, tuple)


def test_results_of_an_older_form_are_not_taken_as_done(analysis, tmp_path):
    folder = tmp_path / analysis.name

    def write(**changed):
        with results_folder(folder) as work:
            (path,) = write_json(analysis, work)
            tree = json.loads(path.read_text("utf-8"))
            path.write_text(json.dumps(tree | changed))

    write()
    assert find_done(folder, {}) == analysis
    assert find_done(folder, {"videos": True}) is None
    write(candidates="Events are candidates for a person")
    assert find_done(folder, {}) is None


def test_pictures_and_progress_are_for_events_only(tmp_path):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (5, 128, 128, 3), np.uint8)
    evidence = Evidence(Stretch([*range(5)], crops), 0, 2, 4, np.zeros((5, 128, 128, 2), "f4"))
    analyzer = FakeAnalyzer(
        [ExaminedEvent(event(1, 10), evidence), ExaminedEvent(event(2, 40, LOW), evidence)]
    )
    writer, found, reported = ResultsWriter(tmp_path, None, blur=False), [], []
    analyze_frames([], analyzer, writer, found, on_progress=reported.append)
    assert len(found) == 2
    assert [p.detail.event_id for p in reported if p.detail] == [1]
    assert {path.name[:21] for path in (tmp_path / "pictures").iterdir()} == {
        "face0-frame000010-000"
    }


def test_an_analysis_without_candidates_needs_no_word_about_them():
    bare = Analysis("a", "a.mp4", "1", 1, 1, 25.0, 1, 0.0, 0.04, "red", (), (), ())
    assert bare.candidates == ()


# The page and the command line


def page_of(analysis, tmp_path):
    table = FrameTable(tmp_path)
    for frame in range(100):
        table.add({"frame": frame, "face_id": 0, "timestamp": frame / 25, "movement_px": 0.1})
    table.close()
    asked = []

    def card(one):
        asked.append(one)
        return Card()

    write_review(analysis, table.path, card, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text("utf-8"), asked


def test_the_page_lists_candidates_folded_and_with_reasons(analysis, tmp_path):
    page, asked = page_of(analysis, tmp_path)
    assert [one.reason for one in asked] == ["", ""]
    folded = page[page.index('<details id="candidates">') :]
    folded = folded[: folded.index("</details>")]
    assert "2 candidates stay below the threshold" in folded
    rows = [row for row in folded.split("<tr") if 'id="candidate-' in row]
    assert len(rows) == 2
    for row, reason, height in zip(rows, (LOW, LIDS), (5.5, 5.5), strict=True):
        assert f">{reason}<" in row
        assert f">{height}<" in row
    assert page.count('<rect class="candidate macro"') == 2
    assert "No expression passed" not in page


def test_the_page_says_what_stays_below_when_nothing_passed(analysis, tmp_path):
    page, _ = page_of(replace(analysis, events=(event(1, 0, kind="blink"),)), tmp_path)
    assert "No expression passed the threshold; 2 candidates stay below it" in page
    assert "--least-score" in page
    assert "stood out" not in page
    one, _ = page_of(replace(analysis, events=(), candidates=analysis.candidates[:1]), tmp_path)
    assert "1 candidate stays below it" in one
    none, _ = page_of(replace(analysis, events=(), candidates=()), tmp_path)
    assert "No movement stood out from the noise floor" in none
    assert "<details" not in none


def test_flags_stand_on_the_card_and_speech_lies_beneath(analysis, tmp_path):
    talking = event(2, 8, kind="speech", regions=())
    brows = event(1, 10, flags=("speech meanwhile", "lasts beyond the recording"))
    page, _ = page_of(replace(analysis, events=(brows, talking)), tmp_path)
    card = page[page.index('<article id="event-1"') :]
    card = card[: card.index("</article>")]
    for flag in brows.flags:
        assert f'<span class="flag">{flag}</span>' in card
    # What is drawn later lies above: it is seen and can be clicked.
    assert page.index('<rect class="event speech"') < page.index('<rect class="event macro"')


def test_every_event_is_listed_also_without_a_card(analysis, tmp_path):
    many = tuple(event(number, number % 80, score=number / 1000) for number in range(1, 601))
    page, asked = page_of(replace(analysis, events=many), tmp_path)
    assert len(asked) == CARDS
    assert all(f'id="row-{number}"' in page for number in range(1, 601))


def test_of_very_many_candidates_the_best_are_listed(analysis, tmp_path):
    many = tuple(event(n, n % 80, LOW, score=n / 1000) for n in range(1, LISTED + 11))
    page, _ = page_of(replace(analysis, candidates=many), tmp_path)
    assert page.count('<tr id="candidate-') == LISTED
    assert 'id="candidate-10"' not in page
    assert 'id="candidate-11"' in page
    assert f"all {LISTED + 10} are in candidates.csv" in page


def test_the_console_counts_candidates(analysis):
    assert count_events(analysis) == "2 macro, 2 candidates below the threshold"
    one = replace(analysis, events=(), candidates=analysis.candidates[:1])
    assert count_events(one) == "no event, 1 candidate below the threshold"
    assert count_events(replace(analysis, events=(), candidates=())) == "no event"


def test_magnified_video_takes_loops_of_large_movements_too(tmp_path):
    """A movement that is large by itself is shown once, the others twice: one size all the same."""
    wide = np.full((3, 64, 128, 3), 90, np.uint8)
    narrow = np.full((3, 64, 64, 3), 160, np.uint8)
    path = tmp_path / "magnified.mp4"
    assert write_magnified([(event(1, 0), wide), (event(2, 20), narrow)], path)
    frames = list(read_frames(path))
    assert len(frames) == 12
    assert {frame.image.shape for frame in frames} == {(152, 256, 3)}
    assert frames[-1].image[100, 40].mean() < 200 < frames[-1].image[100, 200].mean()
