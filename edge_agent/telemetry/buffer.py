"""TelemetryRing: records on disk until the gateway has stored them, within a size and an age.

Sequence numbers are never used twice in a stream, not even across crashes, so the gateway keeps each record once.
A number that is missing was dropped here and `pending` counts it: a gap is reported, never papered over.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from itertools import islice, takewhile
from pathlib import Path

import msgspec

from edgewise.ids import new_id
from edgewise.node.telemetry import TelemetryBatch
from edgewise.wire.errors import DataDirError
from edgewise.wire.frames import TelemetryRecord
from edgewise.wire.limits import TELEMETRY_VALUES_MAX

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024 * 1024
MAX_AGE_S = 7 * 24 * 3600.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY, at_s REAL NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS stream (id TEXT NOT NULL, acked INTEGER NOT NULL);
"""

_FREED = "SELECT total(length(payload)) FROM record WHERE seq <= ?"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TelemetryRecord).decode


class TelemetryRing:
    """A TelemetrySource on SQLite. `now` is Unix seconds. Telemetry never stops the agent: a full disk costs records.

    Raises DataDirError when the file cannot be opened at all; a damaged one is set aside and a new stream begins.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float],
        stream_id: Callable[[], str] = new_id,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        self.wake = asyncio.Event()
        self._now = now
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._db = _open(path)
        with self._db:
            if self._db.execute("SELECT count(*) FROM stream").fetchone()[0] == 0:
                self._db.execute("INSERT INTO stream VALUES (?, 0)", (stream_id(),))
        self.stream, self.acked = _position(self._db)
        newest, used = self._db.execute("SELECT max(seq), total(length(payload)) FROM record").fetchone()
        self._next_seq = max(newest or 0, self.acked) + 1
        self._bytes = int(used)
        if newest is not None:
            self.wake.set()

    def append(self, record: TelemetryRecord) -> int:
        """Keep a record; returns its sequence number, which a record that could not be written uses up too.

        Values that no frame may hold (a number of more than 64 bits, a name that is too long) are left out.
        """
        seq = self._next_seq
        self._next_seq += 1
        payload = _payload(record) or _payload(_fitting(record))
        if payload is None:
            logger.warning("telemetry record %d lost: it does not fit into a frame", seq)
        else:
            self._keep(seq, record, payload)
        self.wake.set()
        return seq

    def _keep(self, seq: int, record: TelemetryRecord, payload: bytes) -> None:
        try:
            with self._db:
                self._db.execute("INSERT INTO record VALUES (?, ?, ?)", (seq, float(record.at_s), payload))
                used = self._trim(self._bytes + len(payload), seq)
            self._bytes = used
        except sqlite3.Error as error:
            logger.warning("telemetry record %d lost: %s", seq, error)

    def pending(self, after_seq: int, limit: int) -> TelemetryBatch | None:
        query = "SELECT seq, payload FROM record WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = self._db.execute(query, (after_seq, limit)).fetchall()
        if not rows:
            return None
        first = int(rows[0][0])
        run = takewhile(lambda numbered: numbered[1][0] == first + numbered[0], enumerate(rows))
        return TelemetryBatch(first, tuple(_decode(row[1]) for _, row in run), dropped=first - after_seq - 1)

    def ack(self, seq: int) -> None:
        if seq <= self.acked:
            return
        self.acked = min(seq, self._next_seq - 1)
        try:
            with self._db:
                self._db.execute("UPDATE stream SET acked = ?", (self.acked,))
                freed = self._db.execute(_FREED, (self.acked,)).fetchone()[0]
                self._db.execute("DELETE FROM record WHERE seq <= ?", (self.acked,))
            self._bytes -= int(freed)
        except sqlite3.Error as error:
            logger.warning("telemetry acknowledgement %d not kept: %s", seq, error)

    def close(self) -> None:
        self._db.close()

    def _trim(self, used: int, newest: int) -> int:
        """Drop the oldest records that are too old or one too many; never the newest. Returns the bytes left."""
        too_old = self._now() - self._max_age_s
        query = "SELECT seq, at_s, length(payload) FROM record WHERE seq < ? ORDER BY seq"
        last = 0
        for seq, at_s, size in self._db.execute(query, (newest,)):
            if used <= self._max_bytes and at_s >= too_old:
                break
            used, last = used - size, seq
        self._db.execute("DELETE FROM record WHERE seq <= ?", (last,))
        return used


def _payload(record: TelemetryRecord) -> bytes | None:
    """The record's bytes; None when a peer could not read them as a record."""
    try:
        payload = _encode(record)
        _decode(payload)
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError):
        return None
    return payload


def _fitting(record: TelemetryRecord) -> TelemetryRecord:
    """The record with those of its values that fit."""
    kept = {
        name: value
        for name, value in record.values.items()
        if _payload(TelemetryRecord(0.0, "value", {name: value})) is not None
    }
    return TelemetryRecord(record.at_s, record.kind, dict(islice(kept.items(), TELEMETRY_VALUES_MAX)))


def _position(db: sqlite3.Connection) -> tuple[str, int]:
    stream, acked = db.execute("SELECT id, acked FROM stream").fetchone()
    return str(stream), int(acked)


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            logger.warning("the telemetry buffer is damaged and was set aside: %s", error, extra={"path": str(path)})
            path.replace(path.with_suffix(".damaged"))
            for tail in ("-wal", "-shm"):
                path.with_name(path.name + tail).unlink(missing_ok=True)
            return _connect(path)
    except (OSError, sqlite3.Error) as error:
        raise DataDirError(
            f"The telemetry buffer cannot be opened: {error}",
            where=str(path),
            expected="a writable data directory with free space",
            remedy="free some space, mend its permissions, or choose another data directory",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # a number given out must never come back after a power cut
        db.executescript(_SCHEMA)
        db.execute("SELECT count(*) FROM record").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    return db
