"""Exports of an analysis: every format read back equals what was written."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest

from ma2mi.errors import StoreError
from ma2mi.formats.exports import EXPORTS, write_bids, write_boris, write_elan, write_events
from ma2mi.formats.responsible import CANDIDATES, RESPONSIBLE
from ma2mi.formats.sheets import unmask
from ma2mi.formats.tables import (
    FRAME_COLUMNS,
    FrameTable,
    as_table,
    cell,
    event_columns,
    read_json,
    write_json,
)
from ma2mi.motion import REGIONS
from ma2mi.records import KINDS, Analysis, DetectedEvent, FaceFacts, Reading
from ma2mi.report.review import CARDS, Card, Loop, best_events, read_curves, write_review

READING = Reading(
    "face0@10",
    {"negative": 0.25, "positive": 0.625, "surprise": 0.125},
    {"1": 0.125, "12": 0.75, "6": 0.5},
    intensity=0.875,
    expression=0.9375,
)


def event(event_id, kind="micro", onset=10, apex=14, offset=20, face=0, **changes):
    frames = {"onset": onset, "apex": apex, "offset": offset}
    times = {f"{name}_s": round(frame / 25, 6) for name, frame in frames.items()}
    known = times | {
        "score": 0.75,
        "floor_multiple": 6.5,
        "regions": ("left_lip_corner", "left_cheek"),
    }
    known |= {"event_id": event_id, "face": face}
    return DetectedEvent(kind, onset, apex, offset, **(known | changes))


@pytest.fixture
def analysis(tmp_path):
    source = tmp_path / "Gespräch 1.mp4"
    source.write_bytes(b"")
    return Analysis(
        name="Gespräch-1",
        source=str(source),
        version="0.1.0",
        width=640,
        height=480,
        fps=25.0,
        frames=200,
        start_s=1.4,
        duration_s=8.0,
        level="amber",
        reasons=("25 frames a second: a movement of 1/5 s gets 5.0 frames",),
        faces=(
            FaceFacts(0, 200, 0.0, 7.96, 84.5, "amber", ("slow",), {"fps": 25.0}),
            FaceFacts(1, 50, 1.0, 2.96, 40.25, "red", ("small & slow",)),
        ),
        events=(
            event(1, reading=READING),
            event(2, "blink", 12, 14, 16, floor_multiple=0.0, regions=()),
            event(3, "macro", 50, 60, 75, face=1, flags=("recording too poor",)),
            event(4, "micro", 100, 104, 108, reading=replace(READING, abstained=True)),
        ),
        candidates=(
            event(1, "macro", 20, 30, 40, score=0.04, reason="score 0.04 below 0.52"),
            event(
                2, "micro", 120, 124, 130, reason="follows the head", flags=("speech meanwhile",)
            ),
        ),
        classes=("negative", "positive", "surprise"),
        units=("1", "12", "6"),
        notes=("breaks off",),
        settings={"rate": 60.0},
    )


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    return out


def rows_of(path, delimiter=","):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_words_of_an_event():
    assert event(1, reading=READING).words == "micro positive 0.62 AU12 AU6"
    unsure = event(1, reading=replace(READING, abstained=True))
    assert unsure.emotion == ""
    assert unsure.words == "micro AU12 AU6"
    assert event(1, "blink").words == "blink"
    assert event(1).duration_ms == 400


def test_numbers_keep_six_decimals_and_no_more():
    given = (1.0, 0.1234567, 1e-9, -2.5, 3, "a", None, 10.0, 0.0)
    assert [cell(v) for v in given] == ["1", "0.123457", "0", "-2.5", "3", "a", "", "10", "0"]
    assert as_table([{"a": None, "b": 0.5}], ["a", "b"], "\t", "n/a") == "a\tb\nn/a\t0.5\n"


def test_events_csv_reads_back(analysis, folder):
    table, words = write_events(analysis, folder)
    rows = rows_of(table)
    first = rows[0]
    assert [int(row["event_id"]) for row in rows] == [1, 2, 3, 4]
    for row, made in zip(rows, analysis.events, strict=True):
        frames = [int(row[f"{name}_frame"]) for name in ("onset", "apex", "offset")]
        assert frames == [made.onset, made.apex, made.offset]
        assert int(row["face_id"]) == made.face
        for name in ("onset_s", "apex_s", "offset_s", "duration_ms", "score", "floor_multiple"):
            assert float(row[name]) == pytest.approx(getattr(made, name), abs=1e-6)
        assert tuple(r for r in row["regions"].split(";") if r) == made.regions
        assert tuple(f for f in row["flags"].split(";") if f) == made.flags
        assert (row["kind"], row["label"]) == (made.kind, made.emotion)
    assert {n: float(first[f"p_{n}"]) for n in analysis.classes} == READING.probabilities
    assert {n: float(first[f"au_{n}"]) for n in analysis.units} == READING.action_units
    assert first["action_units"] == "AU12;AU6"
    assert (rows[1]["p_negative"], rows[1]["abstained"]) == ("", "")
    assert rows[3]["abstained"] == "1"
    # A data dictionary for every column, and for nothing else.
    dictionary = json.loads(words.read_text("utf-8"))
    assert list(dictionary) == list(first)
    assert all(column["Description"] for column in dictionary.values())


def test_json_reads_back(analysis, folder):
    (path,) = write_json(analysis, folder)
    assert read_json(path) == analysis
    tree = json.loads(path.read_text("utf-8"))
    assert tree["about_events"] == CANDIDATES
    assert tree["responsible_use"] == list(RESPONSIBLE)
    path.write_text('{"name": "x"}')
    with pytest.raises(StoreError, match="is no readable analysis"):
        read_json(path)


def test_bids_reads_back(analysis, folder):
    table, sidecar = write_bids(analysis, folder)
    assert table.name == "sub-Gesprch1_task-video_events.tsv"
    rows = rows_of(table, "\t")
    assert list(rows[0])[:3] == ["onset", "duration", "trial_type"]
    assert [float(row["onset"]) for row in rows] == [e.onset_s for e in analysis.events]
    # The duration holds the offset frame, too.
    assert float(rows[0]["duration"]) == pytest.approx(11 / 25)
    assert [row["trial_type"] for row in rows] == [e.kind for e in analysis.events]
    assert rows[1]["p_negative"] == "n/a"
    assert "" not in {value for row in rows for value in row.values()}
    about = json.loads(sidecar.read_text("utf-8"))
    assert set(rows[0]) <= set(about)
    assert about["trial_type"]["Levels"] == KINDS


def annotations(path):
    """Tier to (begin ms, end ms, words), read with nothing but XML."""
    root = ET.parse(path).getroot()
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
    times = {
        a.get("ANNOTATION_ID"): (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")])
        for a in root.iter("ALIGNABLE_ANNOTATION")
    }
    return {
        tier.get("TIER_ID"): [
            (*times[a.get("ANNOTATION_REF") or a.get("ANNOTATION_ID")], a[0].text or "")
            for (a,) in tier.iter("ANNOTATION")
        ]
        for tier in root.iter("TIER")
    }


def test_elan_reads_back(analysis, folder):
    (path,) = write_elan(analysis, folder)
    tiers = annotations(path)
    for made in analysis.events:
        span = (round(1000 * made.onset_s), round(1000 * made.offset_s) + 40)
        assert (*span, made.emotion) in tiers[f"face{made.face}.{made.kind}"]
    assert tiers["face0.micro.apex"][0] == (560, 600, "apex")
    assert tiers["face0.micro.action_units"][0] == (400, 840, "AU12+AU6")
    assert tiers["face1.macro.notes"] == [(2000, 3040, "#3; score 0.75; recording too poor")]
    media = next(ET.parse(path).iter("MEDIA_DESCRIPTOR")).attrib
    assert media["MEDIA_URL"].startswith("file:///")
    assert media["RELATIVE_MEDIA_URL"] == "../Gespräch 1.mp4"
    assert (folder / media["RELATIVE_MEDIA_URL"]).samefile(analysis.source)
    assert media["MIME_TYPE"] == "video/mp4"


def test_elan_opens_with_pympi(analysis, folder):
    pympi = pytest.importorskip("pympi")
    (path,) = write_elan(analysis, folder)
    document = pympi.Elan.Eaf(str(path))
    assert document.get_annotation_data_for_tier("face0.blink") == [(480, 680, "")]
    assert document.get_annotation_data_for_tier("face1.micro") == []
    assert document.get_parameters_for_tier("face0.micro")["PARTICIPANT"] == "face0"


def test_elan_slots_are_in_the_order_of_time(analysis, folder):
    (path,) = write_elan(analysis, folder)
    slots = [
        (s.get("TIME_SLOT_ID"), int(s.get("TIME_VALUE"))) for s in ET.parse(path).iter("TIME_SLOT")
    ]
    assert [time for _, time in slots] == sorted(time for _, time in slots)
    assert [name for name, _ in slots] == [f"ts{n}" for n in range(1, len(slots) + 1)]
    assert len(slots) == 4 * len(analysis.events)


def test_elan_is_xml_whatever_a_class_or_a_file_is_called(analysis, folder, tmp_path):
    odd = "a\x00\x0b\x1b<&\ufffe\ud800"
    source = tmp_path / "b\x07 & co.mp4"
    source.write_bytes(b"")
    reading = Reading("", {odd: 1.0}, {})
    strange = replace(analysis, source=str(source), events=(event(1, reading=reading),))
    tiers = annotations(write_elan(strange, folder)[0])
    assert tiers["face0.micro"][0][2] == "a\ufffd\ufffd\ufffd<&\ufffd\ufffd"


def test_times_of_other_tools_count_from_the_start_of_the_file(analysis, folder):
    late = replace(analysis, picture_s=0.8)
    tiers = annotations(write_elan(late, folder)[0])
    assert tiers["face0.blink"] == [(1280, 1480, "")]
    project = json.loads(write_boris(late, folder)[0].read_text("utf-8"))
    (observation,) = project["observations"].values()
    assert states(observation)[0] == ("face0", "micro", 1.2, 1.64)
    assert list(observation["media_info"]["length"].values()) == [8.8]
    rows = rows_of(write_bids(late, folder)[0], "\t")
    assert float(rows[0]["onset"]) == pytest.approx(1.2)
    assert rows[0]["duration"] == "0.44"
    assert float(rows_of(write_events(late, folder)[0])[0]["onset_s"]) == pytest.approx(0.4)


def test_slow_motion_is_marked_where_it_plays(analysis, folder):
    slow = replace(analysis, slowed=8.0, picture_s=0.5)
    tiers = annotations(write_elan(slow, folder)[0])
    assert tiers["face0.blink"] == [(500 + 8 * 480, 500 + 8 * 680, "")]
    project = json.loads(write_boris(slow, folder)[0].read_text("utf-8"))
    (observation,) = project["observations"].values()
    assert states(observation)[0] == ("face0", "micro", 3.7, 7.22)
    assert list(observation["media_info"]["fps"].values()) == [3.125]
    rows = rows_of(write_bids(slow, folder)[0], "\t")
    assert (float(rows[0]["onset"]), float(rows[0]["duration"])) == pytest.approx((3.7, 3.52))


def test_no_cell_is_computed_and_pandas_reads_the_same(tmp_path):
    plain = ["happy", "-0.5", "+3e5", "a=b", "'quoted'", "x;y", 'say "so"', "two\nlines", "高兴"]
    risky = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "'=1"]
    path = tmp_path / "t.csv"
    path.write_text(as_table([{"a": text} for text in plain + risky], ["a"]), "utf-8")
    cells = [row["a"] for row in rows_of(path)]
    assert cells == plain + [f"'{text}" for text in risky]
    assert [unmask(text) for text in cells] == plain + risky
    pandas = pytest.importorskip("pandas")
    read = pandas.read_csv(path, dtype=str, keep_default_na=False)["a"]
    assert list(read) == cells
    assert list(read.str.replace(r"^'(?='?[=+@\t\r-])", "", regex=True)) == plain + risky


def test_a_name_that_is_no_unicode_reads_back(analysis, folder):
    odd = replace(analysis, source="a\udcff.mp4")
    (path,) = write_json(odd, folder)
    assert read_json(path) == odd


def test_elan_keeps_overlapping_events_apart(analysis, folder):
    clash = replace(analysis, events=(event(1), event(2, onset=15, apex=18, offset=30)))
    tiers = annotations(write_elan(clash, folder)[0])
    assert len(tiers["face0.micro"]) == 1
    assert len(tiers["face0.micro (2)"]) == 1


def test_boris_follows_its_project_format(analysis, folder):
    (path,) = write_boris(analysis, folder)
    project = json.loads(path.read_text("utf-8"))
    # What BORIS 7 to 9 read from a project (their own test.boris).
    for name in (
        "time_format", "project_date", "project_name", "subjects_conf", "behaviors_conf",
        "behavioral_categories", "independent_variables", "coding_map", "observations",
    ):  # fmt: skip
        assert name in project, name
    assert project["project_format_version"] == "7.0"
    codes = {b["code"] for b in project["behaviors_conf"].values()}
    assert codes == {*KINDS, "apex"}
    types = {b["code"]: b["type"] for b in project["behaviors_conf"].values()}
    assert types == dict.fromkeys(KINDS, "State event") | {"apex": "Point event"}
    assert [s["name"] for s in project["subjects_conf"].values()] == ["face0", "face1"]
    (observation,) = project["observations"].values()
    (media,) = observation["file"]["1"]
    assert media == analysis.source
    assert observation["media_info"]["fps"] == {media: 25.0}
    assert observation["media_info"]["length"] == {media: 8.0}
    assert states(observation) == [
        ("face0", "micro", 0.4, 0.84),
        ("face0", "blink", 0.48, 0.68),
        ("face1", "macro", 2.0, 3.04),
        ("face0", "micro", 4.0, 4.36),
    ]


def states(observation):
    """(subject, code, start, stop) as BORIS pairs rows: in turn, those with the same modifiers."""
    times = [row[0] for row in observation["events"]]
    assert times == sorted(times)
    opened, found = {}, []
    for time, subject, code, modifiers, _ in observation["events"]:
        if code == "apex":
            continue
        start = opened.pop((subject, code, modifiers), None)
        if start is None:
            opened[subject, code, modifiers] = time
        else:
            found.append((subject, code, start, time))
    assert not opened
    return sorted(found, key=lambda state: state[2])


def test_boris_pairs_overlapping_events(analysis, folder):
    clash = replace(analysis, events=(event(1), event(2, onset=15, apex=18, offset=30)))
    project = json.loads(write_boris(clash, folder)[0].read_text("utf-8"))
    (observation,) = project["observations"].values()
    assert states(observation) == [
        ("face0", "micro", 0.4, 0.84),
        ("face0", "micro (2)", 0.6, 1.24),
    ]


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_takes_nothing_found_and_repeats_itself(name, analysis, tmp_path):
    empty = replace(analysis, faces=(), events=(), candidates=(), classes=(), units=())
    for given in (empty, analysis):
        written = []
        for run in ("a", "b"):
            out = tmp_path / f"{run}{len(given.events)}"
            out.mkdir()
            written.append({p.name: p.read_bytes() for p in EXPORTS[name](given, out)})
            assert set(written[-1]) == {p.name for p in out.iterdir()}
        assert written[0] == written[1]
        assert all(written[0].values())


def frame_rows(count=200):
    for frame in range(count):
        moved = {f"{name}_px": 0.01 for name in REGIONS} | {"movement_px": 1.0 * (frame == 104)}
        yield {"frame": frame, "timestamp": frame / 25, "success": 1, "face_id": 0} | moved


def write_frames(folder, rows):
    table = FrameTable(folder)
    for row in rows:
        table.add(row)
    table.close()
    return table.path


def test_frames_csv_has_openface_names_and_a_dictionary(folder):
    lost = {"frame": 200, "timestamp": 8.0, "success": 0}
    path = write_frames(folder, [*frame_rows(), lost])
    rows = rows_of(path)
    assert list(rows[0])[:5] == ["frame", "face_id", "timestamp", "confidence", "success"]
    assert len(rows) == 201
    assert (rows[-1]["success"], rows[-1]["face_id"], rows[-1]["movement_px"]) == ("0", "", "")
    dictionary = json.loads((folder / "frames.columns.json").read_text("utf-8"))
    assert list(dictionary) == list(rows[0]) == list(FRAME_COLUMNS)


def test_curves_are_the_largest_of_each_bin(folder):
    (curve,) = read_curves(write_frames(folder, frame_rows()), 200)
    points = [tuple(map(float, p.split(","))) for p in curve.points.split()]
    assert len(points) == 200
    assert min(points, key=lambda p: p[1])[0] == 104 * 1200 // 200


def test_page_holds_all_and_loads_nothing(analysis, folder):
    frames = write_frames(folder, frame_rows())
    _, png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))
    asked = []

    def cards(one):
        asked.append(one.event_id)
        loop = Loop(b"strip", 3, 256, 128, "twice as far")
        return Card({"onset": png.tobytes(), "flow": png.tobytes()}, loop)

    write_review(analysis, frames, cards, folder / "report.html")
    page = (folder / "report.html").read_text("utf-8")
    assert asked == [1, 4, 3]  # micro before macro, blinks without a card
    for words in (
        CANDIDATES,
        "small &amp; slow",
        "abstains",
        "data:image/png;base64",
        "translateY",
    ):
        assert words in page, words
    assert page.count('<rect class="event') == 4
    assert all(words.split(";")[0][:40] in page for words in RESPONSIBLE)
    assert "http://" not in page
    assert "https://" not in page
    assert 'src="data:' in page
    assert page.count("src=") == page.count('src="data:')


def test_page_shows_the_best_events_only(analysis):
    many = (*(event(i, score=i / 200) for i in range(1, 151)), event(151, "macro", score=1.0))
    best = best_events(replace(analysis, events=many))
    assert [e.event_id for e in best] == list(range(150, 150 - CARDS, -1))


def test_columns_follow_the_recognizer(analysis):
    assert "p_negative" in event_columns(analysis)
    bare = event_columns(replace(analysis, classes=(), units=()))
    assert not [name for name in bare if name.startswith(("p_", "au_"))]
