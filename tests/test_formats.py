"""Codecs in both directions: what is written reads back, also after the real tools had it."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")

from ma2mi.datasets import open_corpus
from ma2mi.formats.annotation import Annotation, read_notes, read_words
from ma2mi.formats.annotation_files import read_annotations, write_annotations
from ma2mi.formats.eaf.write import eaf_document
from ma2mi.formats.exports import event_annotation, write_bids, write_boris, write_elan
from ma2mi.records import Analysis, DetectedEvent, FaceFacts, Reading
from ma2mi.video import write_video

FILES = ("a.eaf", "a.boris", "sub-07_task-film_events.tsv", "a.csv")
EXPORTS = {"elan": write_elan, "boris": write_boris, "bids": write_bids}


def seconds(text):
    return Fraction(text)


def marked(start, end, label="", **known):
    known = {"media": "film.mp4", "layer": "face"} | known
    return Annotation(seconds(start), seconds(end), label, **known)


EVENTS = (
    marked("0.1", "0.5", "joy", kind="micro", aus="L10B+12+R4", apex_s=seconds("0.3"), face=0),
    marked("0.1", "0.5", "", kind="micro", aus="4", apex_s=seconds("0.2"), face=1, score=0.125),
    marked("0.2", "1.9", "fear|odd, word", kind="macro", apex_s=seconds("1.1"), face=0, score=1.0),
    marked("0.3", "0.7", "joy", kind="micro", apex_s=seconds("0.4"), face=0, flags=("far", "dim")),
    marked("0.5", "0.6", "", kind="blink", face=0, score=0.5, flags=("head moves meanwhile",)),
    marked("2", "2.25", "smile & <more>", subject="anna", aus="6+12"),
    marked("2.1", "3", "smile & <more>", subject="anna", kind="macro"),
    marked("2.1", "2.4", "smile & <more>", subject="ben", apex_s=seconds("2.2")),
    marked("3", "4", "", subject="ben", score=0.000001),
)


def same(found, layer="face"):
    """What is compared: all but the layers of formats that have none."""
    key = sorted(found, key=lambda one: (one.start_s, one.end_s, one.label, one.kind, one.shown))
    return [replace(one, layer=layer) for one in key]


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_reads_back(name, tmp_path):
    write_annotations(EVENTS, tmp_path / name)
    faults = []
    back = read_annotations(tmp_path / name, faults=faults)
    assert faults == []
    assert same(back) == same(EVENTS)
    if name in FILES[:2]:
        assert {one.layer for one in back} == {"face"}


@pytest.mark.parametrize("name", FILES)
def test_what_was_read_is_written_alike(name, tmp_path):
    """Every format holds what came from every other one."""
    for at, other in enumerate(FILES):
        folder = tmp_path / str(at)
        folder.mkdir()
        write_annotations(EVENTS, folder / other)
        write_annotations(read_annotations(folder / other), folder / name)
        assert same(read_annotations(folder / name)) == same(EVENTS)


def test_a_point_stays_one_but_in_elan(tmp_path):
    point = marked("0.5", "0.5", "peak", subject="anna", aus="12")
    for name in FILES[1:]:
        write_annotations([point], tmp_path / name)
        assert same(read_annotations(tmp_path / name)) == same([point])
    write_annotations([point], tmp_path / "a.eaf")
    (back,) = read_annotations(tmp_path / "a.eaf")
    assert back == replace(point, end_s=seconds("0.501"))


def test_tables_without_findings_have_their_columns_alone(tmp_path):
    write_annotations([marked("1", "2", "joy", aus="12")], tmp_path / "a.csv")
    header = "path,subject,start_s,apex_s,end_s,emotion,aus,kind,fps"
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == header
    write_annotations([marked("1", "2", "joy", aus="12")], tmp_path / "a_events.tsv")
    header = "onset\tduration\ttrial_type\tapex\taus\tkind\tmedia_file"
    assert (tmp_path / "a_events.tsv").read_text().splitlines()[0] == header


def test_columns_of_others_that_are_called_alike_are_none_of_ours(tmp_path):
    (tmp_path / "a_events.tsv").write_text(
        "onset\tduration\ttrial_type\tscore\tsubject\tlabel\n0.5\t0.5\tjoy\t7\tother\tx\n"
    )
    (one,) = read_annotations(tmp_path / "a_events.tsv")
    assert (one.label, one.score, one.subject, one.kind) == ("joy", None, "", "")
    (tmp_path / "a.csv").write_text("start_s,end_s,emotion,score\n0.5,1,joy,high\n")
    (one,) = read_annotations(tmp_path / "a.csv")
    assert (one.label, one.score) == ("joy", None)


# -- real tools ----------------------------------------------------------------------------------


def test_pympi_reads_it_and_writes_it_again(tmp_path):
    pympi = pytest.importorskip("pympi")
    write_annotations(EVENTS, tmp_path / "a.eaf")
    document = pympi.Elan.Eaf(str(tmp_path / "a.eaf"))
    assert document.get_ref_annotation_data_for_tier("face.action_units") == [
        (100, 500, "L10B+12+R4", "joy")
    ]
    document.to_file(str(tmp_path / "b.eaf"))
    assert (tmp_path / "b.eaf").read_bytes() != (tmp_path / "a.eaf").read_bytes()
    assert same(read_annotations(tmp_path / "b.eaf")) == same(EVENTS)


def test_pympi_keeps_what_an_analysis_found(analysis, tmp_path):
    pympi = pytest.importorskip("pympi")
    (path,) = write_elan(analysis, tmp_path)
    pympi.Elan.Eaf(str(path)).to_file(str(tmp_path / "b.eaf"))
    assert read_annotations(tmp_path / "b.eaf") == read_annotations(path)


@pytest.fixture
def boris(monkeypatch):
    """BORIS' own loader and writer, without its window and its player."""
    found = importlib.util.find_spec("boris")
    if found is None or not found.submodule_search_locations:
        pytest.skip("BORIS (boris-behav-obs) is not installed")
    package, player = types.ModuleType("boris"), types.ModuleType("boris.mpv2")
    package.__path__ = list(found.submodule_search_locations)
    player.sofile = "libmpv.so.2"
    monkeypatch.setitem(sys.modules, "boris", package)
    monkeypatch.setitem(sys.modules, "boris.mpv2", player)
    return types.SimpleNamespace(
        **{
            name: pytest.importorskip(f"boris.{name}")
            for name in ("project_functions", "db_functions", "utilities")
        }
    )


# BORIS never closes the project that it read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_boris_loads_it_pairs_it_and_saves_it_again(boris, tmp_path):
    write_annotations(EVENTS, tmp_path / "a.boris")
    _, changed, project, message = boris.project_functions.open_project_json(
        str(tmp_path / "a.boris")
    )
    assert (changed, message, "error" in project) == (False, "", False)
    (name,) = project["observations"]
    observation = project["observations"][name]
    paired = boris.project_functions.check_state_events_obs(
        name, project["behaviors_conf"], observation
    )
    assert paired == (True, "No problem detected")
    fine, said, base = boris.db_functions.load_aggregated_events_in_db(project, [], [name], [])
    assert fine, said
    spans = base.execute("select start, stop from aggregated_events where behavior != 'apex'")
    assert sorted(tuple(span) for span in spans) == sorted(
        (float(one.start_s), float(one.end_s)) for one in EVENTS
    )
    text = json.dumps(project, default=boris.utilities.decimal_default)
    (tmp_path / "b.boris").write_text(text)
    assert same(read_annotations(tmp_path / "b.boris")) == same(EVENTS)


def bids_data_set(root, analysis):
    folder = root / "sub-talk" / "beh"
    folder.mkdir(parents=True)
    about = {"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    (root / "README").write_text("Events of one video.\n")
    return write_bids(analysis, folder)


def test_bids_validator_takes_the_names(analysis, tmp_path):
    validator = pytest.importorskip("bids_validator").BIDSValidator()
    root = tmp_path / "set"
    for path in bids_data_set(root, analysis):
        assert validator.is_bids(f"/{path.relative_to(root).as_posix()}"), path.name


def test_bids_schema_validator_finds_no_error(analysis, tmp_path):
    program = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("bids-validator-deno is not installed")
    bids_data_set(tmp_path / "set", analysis)
    ran = subprocess.run(
        [program, str(tmp_path / "set"), "--json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [one for one in issues if one["severity"] == "error"] == []


# -- events of an analysis, corrected ------------------------------------------------------------

READING = Reading("k", {"negative": 0.99, "positive": 0.01}, {"4": 0.9, "7": 0.6})


def event(number, kind="micro", frames=(10, 14, 19), face=0, **known):
    names = ("onset_s", "apex_s", "offset_s")
    times = {name: round(at / 20, 6) for name, at in zip(names, frames, strict=True)}
    known = {"score": 0.75, "floor_multiple": 5.0, "face": face, "event_id": number} | known
    return DetectedEvent(kind, *frames, **times, **known)


@pytest.fixture
def film(tmp_path):
    """80 frames at 20 frames a second: frame i is seen from i * 50 ms."""
    path = tmp_path / "study" / "talk.mp4"
    path.parent.mkdir()
    write_video(path, [np.zeros((32, 32, 3), np.uint8)] * 80, 20)
    return path


@pytest.fixture
def analysis(film):
    return Analysis(
        name="talk",
        source=str(film),
        version="0.1.0",
        width=32,
        height=32,
        fps=20.0,
        frames=80,
        start_s=0.0,
        duration_s=4.0,
        level="green",
        reasons=(),
        faces=(FaceFacts(0, 80, 0, 3.95, 80, "green"),),
        events=(
            event(1, reading=READING, flags=("head moves meanwhile",)),
            event(2, "blink", (22, 24, 26), floor_multiple=0.0),
            event(3, "macro", (30, 40, 55), reading=replace(READING, abstained=True)),
            event(4, "speech", (48, 55, 60), floor_multiple=0.0),
            event(5, frames=(62, 64, 70), reading=Reading("k", {"negative": 0.2, "positive": 0.8})),
        ),
        candidates=(event(1, frames=(40, 42, 44), reason="score 0.04 below 0.52"),),
        classes=("negative", "positive"),
        units=("4", "7"),
    )


FOUND = [
    ("micro", 10, 14, 19, "negative", ("4", "7"), 0.75),
    ("macro", 30, 40, 55, "", ("4", "7"), 0.75),
    ("micro", 62, 64, 70, "positive", (), 0.75),
]


def labels(folder):
    return [
        (e.kind, e.onset, e.apex, e.offset, e.emotion, e.action_units, e.score)
        for e in open_corpus("annotations", folder).expressions()
    ]


@pytest.mark.parametrize("tool", EXPORTS)
@pytest.mark.parametrize("player", [{}, {"picture_s": 0.8}, {"picture_s": 0.5, "slowed": 8.0}])
def test_what_an_analysis_found_reads_back_on_the_players_clock(tool, player, analysis, tmp_path):
    seen = replace(analysis, **player)
    path = EXPORTS[tool](seen, tmp_path)[0]
    back = read_annotations(path)
    want = [event_annotation(seen, one) for one in seen.events]
    subject = "talk" if tool == "bids" else ""
    assert same([replace(one, media="", subject="") for one in back]) == same(want)
    assert {one.subject for one in back} == {subject}
    assert sorted(one.number for one in back) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("tool", EXPORTS)
def test_events_come_back_as_expressions_and_nothing_else_does(tool, analysis, film):
    EXPORTS[tool](analysis, film.parent)
    assert labels(film.parent) == FOUND
    (recording,) = open_corpus("annotations", film.parent).recordings()
    assert (recording.subject, recording.name) == ("talk", "talk.mp4")
    assert [one.severity for one in open_corpus("annotations", film.parent).findings()] == (
        [] if tool == "bids" else ["note"]
    )


@pytest.mark.parametrize("tool", EXPORTS)
def test_two_faces_are_two_subjects(tool, analysis, film):
    second = replace(analysis.events[0], face=1, event_id=6)
    both = replace(
        analysis,
        faces=(*analysis.faces, replace(analysis.faces[0], face_id=1)),
        events=(*analysis.events, second),
    )
    path = EXPORTS[tool](both, film.parent)[0]
    assert {(one.face, one.shown) for one in read_annotations(path) if one.number == 6} == {
        (1, "talk" if tool == "bids" else "face1")
    }
    (finding,) = open_corpus("annotations", film.parent).findings()
    assert "shows face 0 and face 1" in finding.what


CORRECTED = [
    ("micro", 10, 14, 24, "positive", ("4", "7"), 0.75),
    ("micro", 62, 64, 70, "positive", (), 0.75),
]


def earlier_elan(analysis, folder):
    """A document as ``analyze`` wrote it before its tiers had types of their own."""
    tiers = {}
    for one in analysis.events:
        mark = event_annotation(analysis, one)
        words = f"#{one.event_id} {one.words}"
        row = replace(mark, label=words, apex_s=None, aus="", kind="", score=None, flags=())
        row = replace(row, number=None)
        tiers.setdefault(f"face0.{one.kind}", []).append(row)
        apex = replace(row, start_s=mark.apex_s, end_s=mark.apex_s + Fraction(1, 20))
        tiers.setdefault("face0.apex", []).append(apex)
    rows = [replace(row, layer=tier) for tier, some in tiers.items() for row in some]
    document = eaf_document([replace(row, media="talk.mp4") for row in rows], author="ma2mi 0.1.0")
    path = folder / "talk.eaf"
    path.write_bytes(document.replace(b'"ma2mi event"', b'"movement"'))
    return [path]


@pytest.mark.parametrize("write", [write_elan, earlier_elan])
def test_corrections_in_elan(write, analysis, film):
    pympi = pytest.importorskip("pympi")
    (path,) = write(analysis, film.parent)
    unchanged = [(*one[:6], one[6] if write is write_elan else None) for one in FOUND]
    assert labels(film.parent) == unchanged
    document = pympi.Elan.Eaf(str(path))
    aligned = document.tiers["face0.micro"][0]
    first = next(name for name, one in aligned.items() if document.timeslots[one[0]] == 500)
    begin, end, value, svg = aligned[first]
    document.timeslots[end] = 1250  # one end is moved, ...
    aligned[first] = (begin, end, value.replace("negative", "positive"), svg)  # ... its class named
    document.remove_annotation("face0.macro", 2000)  # ... and another event deleted
    document.to_file(str(path))
    assert labels(film.parent) == [
        (*one[:6], u[6]) for one, u in zip(CORRECTED, unchanged, strict=False)
    ]
    # The participant's name is the subject's.
    document.tiers["face0.micro"][2]["PARTICIPANT"] = "anna"
    document.to_file(str(path))
    (recording,) = open_corpus("annotations", film.parent).recordings()
    assert recording.subject == "anna"


def test_an_event_that_is_shorter_than_its_apex_loses_it(analysis, film):
    pympi = pytest.importorskip("pympi")
    (path,) = write_elan(analysis, film.parent)
    document = pympi.Elan.Eaf(str(path))
    (_, end, _, _), _ = document.tiers["face0.micro"][0].values()
    document.timeslots[end] = 650
    document.to_file(str(path))
    assert labels(film.parent)[0] == ("micro", 10, None, 12, "negative", ("4", "7"), 0.75)
    said = [one for one in open_corpus("annotations", film.parent).findings()]
    assert [one.severity for one in said] == ["warning", "note"]
    assert said[0].place.startswith("tier face0.micro.apex")


def test_an_event_that_is_added_in_elan_has_the_kind_of_its_tier(analysis, film):
    pympi = pytest.importorskip("pympi")
    (path,) = write_elan(analysis, film.parent)
    document = pympi.Elan.Eaf(str(path))
    document.add_annotation("face0.micro", 1350, 1450, "sad")
    document.add_ref_annotation("face0.micro.action_units", "face0.micro", 1400, "L4")
    document.to_file(str(path))
    assert ("micro", 27, None, 28, "sad", ("L4",), None) in labels(film.parent)


def rows_of(path):
    project = json.loads(path.read_text("utf-8"))
    (observation,) = project["observations"].values()
    return project, observation["events"]


def earlier_boris(analysis, folder):
    """A project as ``analyze`` wrote it when class and units stood in the comment."""
    (path,) = write_boris(analysis, folder)
    project, rows = rows_of(path)
    rows[:] = [row for row in rows if row[2] != "apex"]
    del project["behaviors_conf"]["4"]
    for behavior in project["behaviors_conf"].values():
        behavior["modifiers"] = ""
    comments = {f"#{e.event_id}": f"#{e.event_id} {e.words}; score 0.75" for e in analysis.events}
    for row in rows:
        row[3:] = "", comments.get(row[4].split(";")[0], "")
    path.write_text(json.dumps(project))
    return [path]


@pytest.mark.parametrize("write", [write_boris, earlier_boris])
@pytest.mark.parametrize("forgetful", [False, True])
def test_corrections_in_boris(write, forgetful, analysis, film):
    (path,) = write(analysis, film.parent)
    apexes = write is write_boris
    unchanged = [one if apexes else (*one[:2], None, *one[3:]) for one in FOUND]
    assert labels(film.parent) == unchanged
    project, rows = rows_of(path)
    rows[:] = [row for row in rows if row[2] != "macro"]  # one is deleted, but not its apex
    start, stop = (row for row in rows if row[2] == "micro" and row[0] < 2)
    stop[0] = 1.25
    start[3], start[4] = (text.replace("negative", "positive") for text in start[3:5])
    if not forgetful:
        stop[3] = start[3]
    path.write_text(json.dumps(project))
    assert labels(film.parent) == [
        one if apexes else (*one[:2], None, *one[3:]) for one in CORRECTED
    ]
    said = [one.what for one in open_corpus("annotations", film.parent).findings()]
    assert any("the first counts" in one for one in said) == (forgetful and apexes)
    assert any("apex of an event that is not there" in one for one in said) == apexes
    for row in rows:
        row[1] = "anna"
    path.write_text(json.dumps(project))
    (recording,) = open_corpus("annotations", film.parent).recordings()
    assert recording.subject == "anna"


SAID = '"Events are candidates for a person to review, ranked by how far they stand out."'
CODED = "Observation id,Description,Subject,Behavior,Behavioral category,Modifier #1,Modifier #2"
TABULAR = f"""\
{CODED},Behavior type,Time,Media file name,Comment
talk,{SAID},face0,micro,,negative,"AU4,AU7",START,0.500,talk.mp4,#1; score 0.75
talk,{SAID},face0,apex,,micro,,POINT,0.700,talk.mp4,
talk,{SAID},face0,micro,,negative,"AU4,AU7",STOP,1.000,talk.mp4,
talk,{SAID},face0,blink,,,,START,1.100,talk.mp4,#2; score 0.75
talk,{SAID},face0,blink,,,,STOP,1.350,talk.mp4,
talk,{SAID},face0,macro,,None,"AU4,AU7",START,1.500,talk.mp4,#3; score 0.75
talk,{SAID},face0,macro,,None,"AU4,AU7",STOP,2.800,talk.mp4,
"""
AGGREGATED = f"""\
{CODED},Behavior type,Start (s),Stop (s),Media file name,Comment start
talk,{SAID},face0,micro,Not defined,negative,"AU4,AU7",STATE,0.500,1.000,talk.mp4,#1; score 0.75
talk,{SAID},face0,macro,Not defined,None,"AU4,AU7",STATE,1.500,2.800,talk.mp4,#3; score 0.75
talk,{SAID},face0,blink,Not defined,,,STATE,1.100,1.350,talk.mp4,#2; score 0.75
talk,{SAID},face0,apex,Not defined,micro,,POINT,0.700,0.700,talk.mp4,
"""


@pytest.mark.parametrize("text", [TABULAR, AGGREGATED], ids=["tabular", "aggregated"])
def test_tables_that_boris_exports_of_our_project(text, film):
    (film.parent / "events.csv").write_text(text)
    assert labels(film.parent) == [FOUND[0], ("macro", 30, None, 55, *FOUND[1][4:])]


def test_events_of_others_that_are_called_like_kinds_keep_their_word(film):
    text = TABULAR.replace(SAID, '"my study"').replace("face0", "anna")
    (film.parent / "events.csv").write_text(
        "\n".join(text.splitlines()[:2] + text.splitlines()[3:4])
    )
    (one,) = read_annotations(film.parent / "events.csv")
    assert (one.label, one.kind, one.subject) == ("micro", "", "anna")


@pytest.mark.parametrize("earlier", [False, True])
def test_corrections_in_the_table_of_bids(earlier, analysis, film):
    path = write_bids(analysis, film.parent)[0]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if earlier:  # without these two the table found its video by its name alone
        film.rename(film.with_name("sub-talk_task-video.mp4"))
        rows = [{k: v for k, v in row.items() if k not in ("apex", "media_file")} for row in rows]
    rows[0]["label"] = "positive"
    rows[0]["duration"] = "0.75" if not earlier else rows[0]["duration"]
    rows = [row for row in rows if row["trial_type"] != "macro"]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        table.writeheader()
        table.writerows(rows)
    last = 19 if earlier else 24
    assert labels(film.parent) == [(*CORRECTED[0][:3], last, *CORRECTED[0][4:]), CORRECTED[1]]


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#2 micro negative 0.99 AU4 AU12", (2, "micro", "negative", "AU4+AU12")),
        ("#2 micro AU4", (2, "micro", "", "AU4")),
        ("#12 blink", (12, "blink", "", "")),
        ("#2 macro very sad 0.50", (2, "macro", "very sad", "")),
        ("sad AUL10B", (None, "", "sad", "AUL10B")),
        ("", (None, "", "", "")),
    ],
)
def test_words_of_earlier_exports(text, words):
    assert read_words(text) == words


@pytest.mark.parametrize("one", EVENTS)
def test_notes_read_back(one):
    number, score, flags = read_notes(replace(one, number=7).notes)
    assert (number, score, flags) == (7, one.score, one.flags)


def test_a_remark_that_somebody_adds_is_a_flag():
    assert read_notes("#2; score 0.75; look again") == (2, 0.75, ("look again",))
    assert read_notes("look again") == (None, None, ("look again",))
