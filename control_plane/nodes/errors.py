"""Errors of nodes as tiers: what a node reported becomes an error that the runner knows how to treat."""

from __future__ import annotations

from edgewise.wire.errors import ErrorInfo, TierError, error_table

_TABLE = error_table()


class NodeFailedError(TierError):
    """A node ended an attempt with an error of its own; number, code and remedy stay the node's."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(
            info.message,
            where=info.where,
            expected=info.expected,
            remedy=info.remedy,
            retry_after_s=info.retry_after_s,
        )
        self.remote = info

    def info(self) -> ErrorInfo:
        return self.remote


def tier_error(info: ErrorInfo) -> TierError:
    """The error that a reader of the attempt gets: the same class where the node's error is a tier's."""
    known = _TABLE.get(info.number)
    if known is None or not issubclass(known, TierError):
        return NodeFailedError(info)
    return known(
        info.message,
        where=info.where,
        expected=info.expected,
        remedy=info.remedy,
        retry_after_s=info.retry_after_s,
    )
