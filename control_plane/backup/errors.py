"""Errors of backup and restore (172x)."""

from __future__ import annotations

from edgewise.wire.errors import EdgewiseError


class BackupInvalidError(EdgewiseError):
    """The archive is not one of ours, is cut short, or was changed."""

    number, code, http_status = 1720, "backup_invalid", 422


class BackupTooNewError(EdgewiseError):
    """The archive was made by a later release than this one."""

    number, code, http_status = 1721, "backup_too_new", 409


class TargetNotEmptyError(EdgewiseError):
    """What would be restored over holds something already."""

    number, code, http_status = 1722, "restore_target_not_empty", 409


class BackupFileError(EdgewiseError):
    """The archive cannot be written or read where it should lie."""

    number, code = 1723, "backup_file_unusable"


def invalid(path: object, what: str) -> BackupInvalidError:
    """The archive at `path` cannot be trusted; nothing of it was used."""
    return BackupInvalidError(
        f"This is no backup that can be restored: {what}",
        where=str(path),
        expected="a file that `edgewise backup` wrote, unchanged",
        remedy="take another copy of it; nothing was restored",
    )
