"""Why an event, a measure or a record is refused: one error, and the codes it may carry."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """What was wrong. The values are the words of logs and of the wire."""

    NOT_NOW = "not-now"
    NO_NAME = "no-name"
    NO_TIME = "no-time"
    OWN_APPROVAL = "own-approval"
    SECOND_APPROVAL = "second-approval"
    OTHER_RUN = "other-run"
    SHRUNK = "totals-shrank"
    COUNTS = "bad-counts"
    OTHER_PLAN = "other-plan"
    RECORD = "bad-record"


class RolloutError(ValueError):
    """Something that was handed in makes no sense. `code` names the fault, str() says what and where."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
