"""Where the double keeps everything: one file of SQLite, or memory.

One lock is around every act, so that what it writes stands or falls together.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMORY = ":memory:"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
  created INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, seq);
CREATE TABLE IF NOT EXISTS answered (
  key TEXT PRIMARY KEY, digest TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, due REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0);
"""


class Delivery(NamedTuple):
    """A webhook that was not taken yet."""

    seq: int
    body: str
    tries: int


class Shelf:
    """Objects by id, answers by idempotency key, webhooks that wait. Threads may use it at once."""

    def __init__(self, place: Path | None = None) -> None:
        """In a file that is made when absent; in memory without one."""
        self._lock = threading.RLock()
        self._sql = sqlite3.connect(
            str(place or MEMORY), check_same_thread=False, isolation_level=None
        )
        self._sql.executescript(_SCHEMA)
        self._depth = 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._sql.close()

    @contextmanager
    def act(self) -> Iterator[None]:
        """All that the block writes, or nothing of it; one inside another is part of it."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._sql.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if outermost:
                    self._sql.execute("ROLLBACK")
                raise
            else:
                if outermost:
                    self._sql.execute("COMMIT")
            finally:
                self._depth -= 1

    def put(self, thing: dict[str, Any]) -> dict[str, Any]:
        """Keep an object, a new one or a changed one."""
        with self._lock:
            self._sql.execute(
                "INSERT INTO object (id, kind, created, body) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                [thing["id"], thing["object"], thing["created"], json.dumps(thing)],
            )
        return thing

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object of a kind."""
        with self._lock:
            row = self._sql.execute(
                "SELECT body FROM object WHERE id = ? AND kind = ?", [name, kind]
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def newest(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind, the newest first."""
        with self._lock:
            rows = self._sql.execute(
                "SELECT body FROM object WHERE kind = ? ORDER BY seq DESC", [kind]
            ).fetchall()
        return [json.loads(body) for (body,) in rows]

    def answer(self, key: str) -> tuple[str, int, str] | None:
        """Digest, status and body of what was answered under an idempotency key."""
        with self._lock:
            row = self._sql.execute(
                "SELECT digest, status, body FROM answered WHERE key = ?", [key]
            ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def keep_answer(self, key: str, digest: str, status: int, body: str) -> None:
        """Answer so from now on."""
        with self._lock:
            self._sql.execute(
                "INSERT OR IGNORE INTO answered VALUES (?, ?, ?, ?)", [key, digest, status, body]
            )

    def send(self, body: str, due: float) -> None:
        """A webhook is to be delivered, once its time has come."""
        with self._lock:
            self._sql.execute("INSERT INTO delivery (body, due) VALUES (?, ?)", [body, due])

    def due(self, now: float, most: int) -> list[Delivery]:
        """Webhooks whose time has come, in the order of their events."""
        with self._lock:
            rows = self._sql.execute(
                "SELECT seq, body, tries FROM delivery WHERE due <= ? ORDER BY seq LIMIT ?",
                [now, most],
            ).fetchall()
        return [Delivery(*row) for row in rows]

    def waiting(self) -> int:
        """How many webhooks were not taken yet."""
        with self._lock:
            (count,) = self._sql.execute("SELECT count(*) FROM delivery").fetchone()
        return int(count)

    def delivered(self, seq: int) -> None:
        """It was taken, or is given up."""
        with self._lock:
            self._sql.execute("DELETE FROM delivery WHERE seq = ?", [seq])

    def later(self, seq: int, due: float) -> None:
        """It is tried again then."""
        with self._lock:
            self._sql.execute(
                "UPDATE delivery SET due = ?, tries = tries + 1 WHERE seq = ?", [due, seq]
            )
