"""The rows of token ids that activation ranges are read from, with what is known of each; its check: composition.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.wire.errors import BadRequestError


class CalibrationSetError(BadRequestError):
    """A calibration set that is missing, empty, too small or one-sided."""

    number, code = 1866, "calibration_set_unfit"


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """One conversation as token ids, with its language (BCP 47), family, task and grade; empty or 0: unknown."""

    ids: tuple[int, ...]
    language: str
    family: str = ""
    task: str = ""
    grade: int = 0


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Rows in a fixed order."""

    rows: tuple[CalibrationRow, ...]

    @property
    def tokens(self) -> int:
        """Token ids in all rows."""
        return sum(len(row.ids) for row in self.rows)

    @classmethod
    def of(cls, rows: Sequence[CalibrationRow]) -> CalibrationSet:
        """A set of these rows."""
        return cls(tuple(rows))
