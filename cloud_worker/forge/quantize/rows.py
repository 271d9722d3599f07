"""The table as plain data: one frozen row for each method, canonical JSON, and Markdown for cards and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgewise.wire.findings import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Right answers out of `total` exercises of one grade and language."""

    grade: int
    language: str
    right: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRow:
    """One method. With a `reason` it was not made, and its figures are None.

    kept: right answers divided by those of the float row. speed_ratio: tokens/s divided by the float row's, measured in
    turns with it. agreement, largest_gap, kl: against the float row on the same rows of tokens.
    """

    method: str
    bits: int
    symmetric: bool
    static: bool
    granularity: str
    reason: str = ""
    bytes: int | None = None
    perplexity: float | None = None
    agreement: float | None = None
    largest_gap: float | None = None
    kl: float | None = None
    scores: tuple[Score, ...] = ()
    kept: float | None = None
    tokens_per_s: float | None = None
    speed_ratio: float | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of right answers (0..1) over all grades and languages."""
        total = sum(score.total for score in self.scores)
        return sum(score.right for score in self.scores) / total if total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodTable:
    """All rows of one run, and what they were measured on."""

    model: str
    parameters: int
    runtime: str
    trial_tokens: int
    exercises: int
    calibration_rows: int
    rows: tuple[MethodRow, ...]

    def canonical(self) -> bytes:
        """UTF-8 JSON, keys sorted, no spaces."""
        return msgspec.json.encode(self, order="sorted")

    def row(self, method: str) -> MethodRow | None:
        """The row of a method."""
        return next((row for row in self.rows if row.method == method), None)


HEAD = ("method", "bytes", "perplexity", "agreement", "gap", "KL", "right %", "kept", "tokens/s", "× fp32")


def shown(row: MethodRow) -> tuple[str, ...]:
    """A row's cells under HEAD; see `reasons` for rows without figures."""
    if row.reason:
        return (row.method, "not made", *("" for _ in HEAD[2:]))
    return (
        row.method,
        "" if row.bytes is None else f"{row.bytes:,}",
        _figure(row.perplexity, 4),
        _figure(row.agreement, 4),
        _figure(row.largest_gap, 3),
        _figure(row.kl, 5),
        "" if row.accuracy is None else f"{100 * row.accuracy:.1f}",
        _figure(row.kept, 3),
        "" if row.tokens_per_s is None else f"{row.tokens_per_s:,.0f}",
        _figure(row.speed_ratio, 2),
    )


def reasons(table: MethodTable) -> list[str]:
    """A line for each method that was not made, with the reason."""
    return [f"{row.method}: {row.reason}" for row in table.rows if row.reason]


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def markdown(table: MethodTable) -> str:
    """The table, why rows have no figures, then right answers in percent by grade and language for the others."""
    first = _table(HEAD, [shown(row) for row in table.rows])
    if why := reasons(table):
        first += "\n\n" + "\n".join(f"- {line}" for line in why)
    head, cells = by_cell(table)
    return f"{first}\n\n{_table(head, cells)}" if cells else first


def by_cell(table: MethodTable) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of the right answers in percent, by grade and language, of the methods that were made."""
    made = [row for row in table.rows if row.scores]
    groups = [(score.grade, score.language) for score in made[0].scores] if made else []
    head = ("method", *(f"g{grade} {language}" for grade, language in groups))
    return head, tuple((row.method, *(f"{100 * one.right / one.total:.1f}" for one in row.scores)) for row in made)


def card_tables(table: MethodTable) -> tuple[Table, Table]:
    """The tables for a card: what each method keeps and costs, and its right answers by grade and language."""
    not_made = " ".join(f"{line}." for line in reasons(table))
    methods = (
        f"Every method on the same float graph: {table.trial_tokens:,} predicted tokens for perplexity, agreement, the "
        f"largest logit gap and KL, {table.exercises:,} exercises for right answers, and tokens a second measured in "
        f"turns with the float graph ({table.runtime}). {not_made}"
    )
    head, cells = by_cell(table)
    return (
        Table(
            "Quantization methods", methods.rstrip(), HEAD, tuple(shown(row) for row in table.rows if not row.reason)
        ),
        Table("Quantization methods by grade", "Right answers in percent, of the same exercises.", head, cells),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
