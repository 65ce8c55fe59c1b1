"""Decisions in SQLite beside the results: rows are only ever added, and a crash loses none."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from ma2mi._version import __version__
from ma2mi.errors import StoreError
from ma2mi.review.actions import Action, ReviewState, effective, fold

STORE = "review.sqlite"
APPLICATION = 0x6D613276  # "ma2v": says in the file's header whose it is
FORMAT = 1
BUSY_S = 10.0  # how long one writer waits for another, which needs milliseconds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS actions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL,
    coder TEXT NOT NULL,
    version TEXT NOT NULL,
    video TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    onset INTEGER, onset_s TEXT,
    apex INTEGER, apex_s TEXT,
    offset INTEGER, offset_s TEXT,
    event_kind TEXT,
    label TEXT,
    units TEXT,
    confidence INTEGER,
    note TEXT,
    undone INTEGER REFERENCES actions (number)
);
CREATE INDEX IF NOT EXISTS actions_of ON actions (video, coder, number);
CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    coder TEXT NOT NULL,
    version TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS actions_stay BEFORE UPDATE ON actions
BEGIN SELECT RAISE(ABORT, 'actions are only added'); END;
CREATE TRIGGER IF NOT EXISTS actions_remain BEFORE DELETE ON actions
BEGIN SELECT RAISE(ABORT, 'actions are only added'); END;
"""


class DecisionStore:
    """The actions of all coders on one or several videos, in one file.

    Several processes and threads may use one file at once. Every action is on disk when the call
    returns.

    Args:
        path: of the file; it is made if it is not there.

    Raises:
        StoreError: it cannot be written, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        if path.is_dir():
            raise StoreError("is a folder", where=path, hint="Name a file")
        with self._clear():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._prepare()

    def open_session(self, coder: str) -> None:
        """Note that a coder begins; shows at once whether the file can be written.

        Raises:
            StoreError: it cannot.
        """
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO sessions (at, coder, version) VALUES (?, ?, ?)",
                (_now(), coder, __version__),
            )

    def add(
        self, action: Action, *, video: str, coder: str, times: Sequence[Fraction] = ()
    ) -> ReviewState:
        """Keep one action; one whose key is known already changes nothing.

        Args:
            action: its frames get their exact times here.
            video: digest of the video.
            coder: who did it.
            times: of all frames, seconds.

        Raises:
            StoreError: it cannot be written.
        """
        ends = (action.onset, action.apex, action.offset)
        said = tuple(None if one is None else str(times[one]) for one in ends)
        action = replace(action, times=(said[0], said[1], said[2]))
        with self._writing() as connection:
            self._insert(connection, action, video, coder)
            return fold(self._read(connection, video, coder))

    def undo(self, key: str, *, video: str, coder: str) -> ReviewState:
        """Cancel this coder's newest action on a video that still counts, of any session.

        Args:
            key: names this undo.
            video, coder: as in ``add``.

        Raises:
            StoreError: it cannot be written.
        """
        with self._writing() as connection:
            actions = self._read(connection, video, coder)
            last = next(reversed(effective(actions)), None)
            if last is not None and all(action.key != key for action in actions):
                undo = Action("undo", "", key, undone=last.number)
                self._insert(connection, undo, video, coder)
                actions = self._read(connection, video, coder)
            return fold(actions)

    def state(self, *, video: str, coder: str) -> ReviewState:
        """What one coder has decided; nothing of what others did."""
        return fold(self.actions(video=video, coder=coder))

    def actions(self, *, video: str, coder: str) -> list[Action]:
        """Everything that one coder did with a video, undone actions included."""
        with self._clear(), self._lock:
            return self._read(self._connection, video, coder)

    def revision(self, *, video: str, coder: str) -> int:
        """Number of the newest action: it shows whether anything is new."""
        query = "SELECT MAX(number) FROM actions WHERE video = ? AND coder = ?"
        with self._clear(), self._lock:
            return int(self._connection.execute(query, (video, coder)).fetchone()[0] or 0)

    def coders(self, *, video: str) -> list[str]:
        """Who did anything with a video, by name."""
        query = "SELECT DISTINCT coder FROM actions WHERE video = ? ORDER BY coder"
        with self._clear(), self._lock:
            return [row["coder"] for row in self._connection.execute(query, (video,))]

    def close(self) -> None:
        self._connection.close()

    def _prepare(self) -> None:
        # Tables first: another process may be making them, and signs the file with them.
        tables = self._ask("SELECT COUNT(*) FROM sqlite_master")
        owner, version = self._ask("PRAGMA application_id"), self._ask("PRAGMA user_version")
        if owner != APPLICATION and (owner or tables):
            raise StoreError("is a database of another program", where=self.path, hint=_ELSEWHERE)
        if version > FORMAT:
            raise StoreError(
                "was written by a newer version of ma2mi", where=self.path, hint="Update ma2mi"
            )
        # A shared folder may refuse WAL; whatever mode it allows is as safe, and slower.
        self._ask("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA trusted_schema = OFF")
        if version < FORMAT:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {APPLICATION};"
                f" PRAGMA user_version = {FORMAT}; COMMIT;"
            )

    def _ask(self, query: str) -> Any:
        """One value; two processes that open a new file at once may have to wait."""
        until = time.monotonic() + BUSY_S
        while True:
            try:
                return self._connection.execute(query).fetchone()[0]
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > until:
                    raise
            time.sleep(0.02)

    def _insert(
        self, connection: sqlite3.Connection, action: Action, video: str, coder: str
    ) -> None:
        row = {
            **{name: getattr(action, name) for name in _PLAIN},
            **dict(zip(("onset_s", "apex_s", "offset_s"), action.times, strict=True)),
            "units": None if action.units is None else json.dumps(action.units),
            "at": _now(),
            "coder": coder,
            "version": __version__,
            "video": video,
        }
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(
            f"INSERT INTO actions ({names}) VALUES ({marks}) ON CONFLICT (key) DO NOTHING", row
        )

    @staticmethod
    def _read(connection: sqlite3.Connection, video: str, coder: str) -> list[Action]:
        query = "SELECT * FROM actions WHERE video = ? AND coder = ? ORDER BY number"
        return [_action(row) for row in connection.execute(query, (video, coder))]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is alone from its start, and on disk at its end."""
        with self._clear(), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """Errors of SQLite as one line.

        Raises:
            StoreError: instead of a ``sqlite3.Error``.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"decisions cannot be kept here ({error})", where=self.path, hint=_ELSEWHERE
            ) from error


_ELSEWHERE = "--store FILE keeps them elsewhere"
_PLAIN = (
    "key", "kind", "target", "onset", "apex", "offset", "event_kind", "label", "confidence",
    "note", "undone",
)  # fmt: skip
_READ = [f.name for f in fields(Action) if f.name not in ("times", "units")]


def _action(row: sqlite3.Row) -> Action:
    values: dict[str, Any] = {name: row[name] for name in _READ}
    units = None if row["units"] is None else tuple(json.loads(row["units"]))
    return Action(**values, times=(row["onset_s"], row["apex_s"], row["offset_s"]), units=units)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
