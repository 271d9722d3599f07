"""From what a driver says to what an operator reads: one typed error per fault of the database below us."""

from __future__ import annotations

from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from control_plane.errors import (
    DatabaseBusyError,
    DatabaseConflictError,
    DatabaseReadOnlyError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    DiskFullError,
)
from edgewise.wire.errors import DataDirError, EdgewiseError

_CALLERS_FAULTS = (IntegrityError, DataError, NotSupportedError)
_CALLERS_CLASSES = {"22", "23"}
"""SQLSTATE classes of data that cannot be stored and of broken constraints: only the caller knows what they mean."""


class TypedErrors:
    """Turns driver faults into errors that name the fault and the remedy.

    `connecting` also takes the operating system's errors, which inside of a transaction may be the caller's own.
    """

    def __init__(self, url: URL, *, connecting: bool = False) -> None:
        self._url = url
        self._connecting = connecting

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PoolTimeoutError):
            raise _pool_empty(self._url) from error
        if error is None or isinstance(error, EdgewiseError | InvalidRequestError):
            return
        state = sqlstate(error)
        _forget_details(error)
        if _is_callers(error, state):
            return
        if isinstance(error, DBAPIError) or state:
            raise storage_error(_words(error), self._url, state) from error
        if isinstance(error, ConnectionError) or (self._connecting and isinstance(error, OSError)):
            raise storage_error(_words(error), self._url) from error


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five-character code of a driver's error, wrapped or not; empty where there is none."""
    for each in (error, getattr(error, "orig", None), error.__cause__):
        code = getattr(each, "sqlstate", None)
        if isinstance(code, str):
            return code
    return ""


def _forget_details(error: BaseException) -> None:
    """PostgreSQL's details quote the row that it refused, and a traceback in a log would quote them again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(getattr(cause, "detail", None), str) and not isinstance(cause, EdgewiseError):
            cause.detail = None  # type: ignore[attr-defined]
        cause = cause.__cause__


def _is_callers(error: BaseException, state: str) -> bool:
    if state:
        return state[:2] in _CALLERS_CLASSES
    return isinstance(error, (*_CALLERS_FAULTS, ProgrammingError))


def _words(error: BaseException) -> str:
    """The driver's own sentence, without statement and parameters."""
    found = getattr(error, "orig", None) or error
    message = str(found) or type(found).__name__
    return message.partition(">: ")[2] if message.startswith("<class ") else message


# PostgreSQL, by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) ---------------------------

_SAY_URL = "correct EDGEWISE_DATABASE_URL"
_REFUSALS = {
    "28P01": f"{_SAY_URL}: user or password is wrong",
    "28000": f"{_SAY_URL}, or allow this host and user in pg_hba.conf",
    "3D000": f"create the database (createdb NAME), or {_SAY_URL}",
    "42501": "make the role the owner of the database: ALTER DATABASE … OWNER TO …",
}
_SCHEMA = "start the control plane of this release once: it brings the schema up to date"
_OTHERS: dict[str, tuple[type[EdgewiseError], str, str]] = {
    "53100": (
        DiskFullError,
        "The disk below PostgreSQL is full",
        "free space on the database server; nothing was half-written",
    ),
    "53200": (DatabaseUnavailableError, "PostgreSQL is out of memory", "give the database server more memory"),
    "53300": (
        DatabaseBusyError,
        "PostgreSQL takes no more connections",
        "lower EDGEWISE_DATABASE_POOL_SIZE on each gateway, raise max_connections, or put a pooler in between",
    ),
    "25006": (
        DatabaseReadOnlyError,
        "This PostgreSQL server is a read-only replica",
        "point EDGEWISE_DATABASE_URL at the primary; with several hosts, add ?target_session_attrs=read-write",
    ),
    "40001": (DatabaseConflictError, "Two transactions changed the same rows", "try again"),
    "40P01": (DatabaseConflictError, "Two transactions waited for each other, and this one gave way", "try again"),
    "55P03": (
        DatabaseBusyError,
        "Another process holds a lock for too long",
        "look for it in pg_locks; then try again",
    ),
    "57014": (
        DatabaseBusyError,
        "PostgreSQL took longer than the statement's time limit",
        "see what keeps the database server busy (pg_stat_activity); then try again",
    ),
    "42P01": (DatabaseUnavailableError, "A table is missing in the database", _SCHEMA),
    "42703": (DatabaseUnavailableError, "A column is missing in the database", _SCHEMA),
    "57P03": (DatabaseUnavailableError, "PostgreSQL is starting up or shutting down", "wait until it is up"),
}


def storage_error(message: str, url: URL, state: str = "") -> EdgewiseError:
    """The typed error for a driver's message and SQLSTATE; `message` holds no statement and no parameters."""
    where = url.render_as_string(hide_password=True)
    first_line = message.splitlines()[0] if message else "no reason given"
    if state in _REFUSALS:
        return DatabaseRefusedError(
            f"PostgreSQL refuses us: {first_line}", where=where, expected="a role that owns its database",
            remedy=_REFUSALS[state],
        )  # fmt: skip
    if state in _OTHERS:
        kind, what, remedy = _OTHERS[state]
        return kind(what, where=where, remedy=remedy)
    if url.get_backend_name() != "sqlite" and "no space left" not in message.lower():
        return _unavailable(first_line, where)
    return _of_a_file(message, where) or _unavailable(first_line, where)


def _unavailable(reason: str, where: str) -> EdgewiseError:
    return DatabaseUnavailableError(
        f"The database does not answer: {reason}",
        where=where,
        expected="a database server that can be reached from here",
        remedy="check that it runs and that EDGEWISE_DATABASE_URL names its host and port",
    )


def _of_a_file(message: str, where: str) -> EdgewiseError | None:
    """SQLite has no SQLSTATE; its sentences are fixed."""
    lowered = message.lower()
    if "is full" in lowered or "no space left" in lowered or "disk i/o" in lowered:
        return DiskFullError(
            "The disk below the database is full", where=where, remedy="free space on it; nothing was half-written"
        )
    if "unable to open" in lowered or "readonly database" in lowered or "not a database" in lowered:
        return DataDirError(
            f"The database file cannot be used: {message}",
            where=where,
            expected="a readable and writable SQLite file in a writable directory",
            remedy="choose another --data-dir, or correct its owner and mode",
        )
    if "locked" in lowered:
        return DatabaseBusyError(
            "Another process holds the database",
            where=where,
            remedy="run one control plane per SQLite file; several need PostgreSQL",
        )
    return None


def _pool_empty(url: URL) -> EdgewiseError:
    return DatabaseBusyError(
        "Every connection to the database is in use",
        where=url.render_as_string(hide_password=True),
        remedy="raise EDGEWISE_DATABASE_POOL_SIZE, or see what keeps the database busy",
    )
