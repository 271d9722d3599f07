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
