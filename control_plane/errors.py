"""Errors of the control plane's own storage (17xx). Those of clients, nodes and streams are in edgewise.wire.errors."""

from __future__ import annotations

from edgewise.wire.errors import ConfigError, EdgewiseError


class DatabaseUnavailableError(EdgewiseError):
    """The database does not answer; the same request may succeed later."""

    number, code, http_status, retryable = 1700, "database_unavailable", 503, True


class DatabaseBusyError(DatabaseUnavailableError):
    """Another writer held the database for longer than the busy timeout."""

    number, code = 1701, "database_busy"


class DiskFullError(DatabaseUnavailableError):
    """The disk below the database has no room left; nothing of the transaction was kept."""

    number, code, http_status = 1702, "disk_full", 507


class DatabaseTooNewError(ConfigError):
    """The database was migrated by a later release than this one."""

    number, code = 1703, "database_too_new"


class AppendOnlyError(EdgewiseError):
    """Something tried to change or delete an audit entry."""

    number, code = 1704, "append_only"


class DatabaseRefusedError(ConfigError):
    """The database server knows us not, or not well enough: password, database name, privileges, version."""

    number, code = 1705, "database_refused"


class DatabaseReadOnlyError(DatabaseUnavailableError):
    """The database server is a replica, or was made one by a fail-over."""

    number, code = 1706, "database_read_only"


class DatabaseConflictError(DatabaseUnavailableError):
    """Two transactions could not both be kept; nothing of this one was, and the same again may succeed."""

    number, code = 1707, "database_conflict"


class LogServerTooOldError(ConfigError):
    """The token log's server lacks what the log's scripts need."""

    number, code = 1708, "log_server_too_old"
