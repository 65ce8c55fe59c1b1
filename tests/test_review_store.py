"""Decisions: the state that follows from actions, undo, several writers, and kill -9."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reviewing
from ma2mi.errors import StoreError
from ma2mi.review.actions import Action, effective, fold, read_action, target_of
from ma2mi.review.store import DecisionStore

TIMES = [Fraction(number * 1001, 30000) for number in range(100)]
VIDEO = "0123abcd"


@pytest.fixture
def store(tmp_path):
    opened = DecisionStore(tmp_path / "review.sqlite")
    yield opened
    opened.close()


def act(store, kind, target="t", *, coder="anna", key=None, **values):
    key = key or f"{coder}-{random.random()}"
    action = Action(kind, target, key, **values)
    return store.add(action, video=VIDEO, coder=coder, times=TIMES)


def test_a_decision_is_kept_with_who_when_and_where(store, tmp_path):
    act(store, "accept", "micro-face0@3-9", onset=3, apex=5, offset=9)
    (row,) = sqlite3.connect(store.path).execute(
        "SELECT coder, video, kind, target, onset, onset_s, apex_s, offset_s, version, at"
        " FROM actions"
    )
    assert row[:4] == ("anna", VIDEO, "accept", "micro-face0@3-9")
    assert row[4:8] == (3, "1001/10000", "1001/6000", "3003/10000")
    assert row[8] and row[9].endswith("+00:00")


def test_the_state_is_what_the_last_actions_say(store):
    act(store, "accept", "a", onset=3, apex=5, offset=9)
    act(store, "edit", "a", onset=4, label="positive", units=("L12C",))
    act(store, "reject", "a", note="a blink")
    state = act(store, "edit", "a", confidence=4)
    one = state.decisions["a"]
    assert (one.verdict, one.onset, one.apex, one.offset) == ("reject", 4, 5, 9)
    assert (one.label, one.units, one.note, one.confidence) == (
        "positive", ("L12C",), "a blink", 4
    )  # fmt: skip


def test_added_events_and_ranges_come_and_go(store):
    act(store, "add", "new", onset=7, apex=7, offset=7)
    state = act(store, "exclude", "gap", onset=20, offset=40)
    assert state.decisions["new"].added and state.ranges == {"gap": (20, 40)}
    act(store, "remove", "new")
    assert not act(store, "remove", "gap").ranges
    assert not store.state(video=VIDEO, coder="anna").decisions


def test_undo_goes_back_action_by_action_across_sessions(store):
    before = [store.state(video=VIDEO, coder="anna")]
    for number, kind in enumerate(("accept", "edit", "add", "exclude", "remove")):
        target = "new" if kind in ("add", "remove") else "a"
        before.append(act(store, kind, target, onset=number, offset=number + 1))
    again = DecisionStore(store.path)
    for number, state in enumerate(reversed(before[:-1])):
        undone = again.undo(f"undo{number}", video=VIDEO, coder="anna")
        assert (undone.decisions, undone.ranges) == (state.decisions, state.ranges)
    assert again.undo("one more", video=VIDEO, coder="anna").last is None
    assert len(again.actions(video=VIDEO, coder="anna")) == 10  # nothing is ever removed
    again.close()


def test_undo_touches_only_this_coder_and_this_video(store):
    act(store, "accept", "a", coder="anna")
    act(store, "reject", "a", coder="ben")
    store.add(Action("unsure", "a", "k"), video="other", coder="anna")
    store.undo("u", video=VIDEO, coder="anna")
    assert not store.state(video=VIDEO, coder="anna").decisions
    assert store.state(video=VIDEO, coder="ben").decisions["a"].verdict == "reject"
    assert store.state(video="other", coder="anna").decisions["a"].verdict == "unsure"
    assert store.coders(video=VIDEO) == ["anna", "ben"]


def test_an_action_that_is_sent_twice_counts_once(store):
    for _ in range(2):
        act(store, "accept", "a", key="same")
        store.undo("same undo", video=VIDEO, coder="anna")
    assert len(store.actions(video=VIDEO, coder="anna")) == 2


def test_rows_cannot_be_changed_or_removed(store):
    act(store, "accept")
    other = sqlite3.connect(store.path)
    for query in ("UPDATE actions SET kind = 'reject'", "DELETE FROM actions"):
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            other.execute(query)
    other.close()


KINDS = st.sampled_from(["accept", "reject", "unsure", "undecided", "edit", "add", "remove"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(KINDS, st.sampled_from("abc")) | st.just("undo"), max_size=25))
def test_undo_is_the_state_without_the_action(steps):
    """The fold with undo equals the fold of a plain list from which undo pops the last one."""
    log, plain = [], []
    for number, step in enumerate(steps, 1):
        if step == "undo":
            counted = effective(log)
            if counted:
                undo = Action("undo", "", f"{number}", number=number, undone=counted[-1].number)
                log.append(undo)
                plain.pop()
        else:
            one = Action(step[0], step[1], f"{number}", onset=number, offset=number, number=number)
            log.append(one)
            plain.append(one)
    assert fold(log).decisions == fold(plain).decisions


WRITER = """
    import sys
    from pathlib import Path
    from ma2mi.review.actions import Action
    from ma2mi.review.store import DecisionStore
    store = DecisionStore(Path(sys.argv[1]))
    coder = sys.argv[2]
    for number in range(int(sys.argv[3])):
        store.add(Action("accept", f"t{number}", f"{coder}{number}"), video="v", coder=coder)
        print(number, flush=True)
"""


def write(path, coder, count):
    words = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), coder, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_write_one_new_file_at_once(tmp_path):
    path = tmp_path / "review.sqlite"
    writers = [write(path, coder, 40) for coder in ("anna", "ben")]
    for writer in writers:
        _, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err
    store = DecisionStore(path)
    for coder in ("anna", "ben"):
        assert len(store.state(video="v", coder=coder).decisions) == 40
    store.close()


def test_kill_9_loses_no_action_that_was_confirmed(tmp_path):
    path, draw = tmp_path / "review.sqlite", random.Random(1)
    for turn in range(5):
        writer = write(path, f"coder{turn}", 10**6)
        confirmed = [writer.stdout.readline() for _ in range(draw.randint(1, 12))][-1]
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        text = confirmed + rest
        confirmed = text[: text.rindex("\n")].split("\n")  # the last line may be cut off
        store = DecisionStore(path)
        kept = store.state(video="v", coder=f"coder{turn}").decisions
        assert len(kept) > int(confirmed[-1])
        assert list(kept) == [f"t{number}" for number in range(len(kept))]
        assert store._ask("PRAGMA integrity_check") == "ok"
        store.close()


def test_other_files_are_refused_in_one_line(tmp_path):
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE mine (a)")
    other.commit()
    other.close()
    (tmp_path / "text").write_text("no database, but some words that are long enough\n" * 40)
    newer = DecisionStore(tmp_path / "newer.sqlite")
    newer._connection.execute("PRAGMA user_version = 99")
    newer.close()
    for name, what in (
        ("other.sqlite", "another program"),
        ("text", "not a database"),
        ("newer.sqlite", "newer version"),
        (".", "is a folder"),
        ("missing/review.sqlite", "unable to open"),
    ):
        with pytest.raises(StoreError, match=what) as caught:
            DecisionStore(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "text").read_text().startswith("no database")


def test_a_full_disk_is_one_line(store):
    pages = store._ask("PRAGMA page_count")
    store._ask(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"full.*--store FILE"):
        for number in range(500):
            act(store, "edit", f"t{number}", note="x" * 3000)
    store._ask("PRAGMA max_page_count = 100000")
    act(store, "accept", "after")  # and it goes on once there is room


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ([], "no action"),
        ({"kind": "undo", "target": "a", "key": "k"}, "kind"),
        ({"kind": "drop table", "target": "a", "key": "k"}, "kind"),
        ({"kind": "accept", "key": "k"}, "target"),
        ({"kind": "accept", "target": "a"}, "key"),
        ({"kind": "accept", "target": "a" * 200, "key": "k"}, "target"),
        ({"kind": "edit", "target": "a", "key": "k", "onset": 100}, "onset"),
        ({"kind": "edit", "target": "a", "key": "k", "onset": -1}, "onset"),
        ({"kind": "edit", "target": "a", "key": "k", "onset": True}, "onset"),
        ({"kind": "edit", "target": "a", "key": "k", "onset": 1.5}, "onset"),
        ({"kind": "edit", "target": "a", "key": "k", "onset": 9, "offset": 3}, "rise"),
        ({"kind": "add", "target": "a", "key": "k", "onset": 9}, "offset"),
        ({"kind": "edit", "target": "a", "key": "k", "units": ["X1"]}, "action unit"),
        ({"kind": "edit", "target": "a", "key": "k", "units": "12"}, "units"),
        ({"kind": "edit", "target": "a", "key": "k", "confidence": 6}, "confidence"),
        ({"kind": "edit", "target": "a", "key": "k", "event_kind": "nano"}, "event_kind"),
        ({"kind": "edit", "target": "a", "key": "k", "note": "x" * 5000}, "note"),
    ],
)
def test_what_is_no_action_is_refused(tree, what):
    with pytest.raises(StoreError, match=what):
        read_action(tree, 100)


def test_an_event_of_one_frame_is_an_event(store):
    tree = {"kind": "add", "target": "a", "key": "k", "onset": 0, "apex": 0, "offset": 0}
    state = store.add(read_action(tree, 1), video=VIDEO, coder="anna", times=TIMES)
    assert (state.decisions["a"].onset, state.decisions["a"].offset) == (0, 0)


def test_a_candidate_is_named_by_what_it_is():
    assert target_of(reviewing.EVENTS[0]) == "micro-face0@10-20"
    targets = {target_of(one) for one in (*reviewing.EVENTS, *reviewing.CANDIDATES)}
    assert len(targets) == 5
