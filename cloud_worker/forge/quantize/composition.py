"""What a calibration set is made of, against the mix that the model will meet: a biased set is refused by name.

Languages, families, tasks, grades and lengths. Parts that a set says nothing about (a user's own rows have no
families) are not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.quantize.calibration import CalibrationRow, CalibrationSet, CalibrationSetError

ROWS_MIN: Final = 64
TOKENS_MIN: Final = 2_000
RARE: Final = 0.005
"""A part below this share of the mix may be missing."""
LEAST_OF_SHARE: Final = 0.25
"""A language or grade needs at least this much of its share in the mix."""
MOST_OF_SHARE: Final = 4.0
SPARE: Final = 0.10
"""A part may have MOST_OF_SHARE times its share and this much more."""
LENGTHS: Final = ((64, "up to 64 tokens"), (256, "65 to 256 tokens"), (1 << 62, "above 256 tokens"))

Shares = Mapping[str, float]
_PARTS: Final[dict[str, Callable[[CalibrationRow], str]]] = {
    "language": lambda row: row.language,
    "family": lambda row: row.family,
    "task": lambda row: row.task,
    "grade": lambda row: str(row.grade) if row.grade else "",
    "length": lambda row: length_class(len(row.ids)),
}


@dataclass(frozen=True, slots=True)
class Composition:
    """Shares (0..1) of each part: {"language": {"en": 0.5, ...}, "family": ..., "task", "grade", "length"}."""

    rows: int
    tokens: int
    shares: Mapping[str, Shares]


def length_class(tokens: int) -> str:
    """The bucket of a row's length."""
    return next(name for most, name in LENGTHS if tokens <= most)


def composition(rows: CalibrationSet) -> Composition:
    """Count a set's parts; rows of unknown family, task, language or grade count for nothing there."""
    shares = {part: _shares(Counter(filter(None, map(named, rows.rows)))) for part, named in _PARTS.items()}
    return Composition(len(rows.rows), rows.tokens, shares)


def _shares(counted: Counter[str]) -> dict[str, float]:
    total = sum(counted.values())
    return {name: count / total for name, count in sorted(counted.items())}


def faults(found: Composition, wanted: Composition) -> Iterator[str]:
    """What is wrong with a set, each in a few words; nothing for a set that is fit."""
    if not found.rows:
        yield "it is empty"
        return
    if found.rows < ROWS_MIN or found.tokens < TOKENS_MIN:
        yield f"it has {found.rows} rows and {found.tokens} tokens, at least {ROWS_MIN} and {TOKENS_MIN} are needed"
    for part, expected in wanted.shares.items():
        if part in ("language", "length") or found.shares.get(part):
            yield from _part_faults(part, found.shares.get(part, {}), expected)


def _part_faults(part: str, found: Shares, wanted: Shares) -> Iterator[str]:
    missing = [name for name, share in wanted.items() if share > RARE and not found.get(name)]
    if missing:
        yield f"{part} {', '.join(missing)} missing"
    for name, share in wanted.items():
        has = found.get(name, 0.0)
        if has and part in ("language", "grade") and has < LEAST_OF_SHARE * share:
            yield f"{part} {name} is {has:.0%} of it, {share:.0%} of the mix"
        if has > MOST_OF_SHARE * share + SPARE or (part == "language" and has > 1.0 - LEAST_OF_SHARE * (1.0 - share)):
            yield f"one-sided: {part} {name} is {has:.0%} of it, {share:.0%} of the mix"


def check_composition(rows: CalibrationSet, wanted: Composition) -> Composition:
    """The set's composition. Raises CalibrationSetError naming everything that is missing or too heavy."""
    found = composition(rows)
    if wrong := list(faults(found, wanted)):
        raise CalibrationSetError(
            f"The calibration set cannot be used: {'; '.join(wrong)}",
            where="calibration set",
            expected="rows in all languages, families and lengths of the curriculum's mix",
            remedy="add the missing rows, or leave --calibration out to draw them from the curriculum",
        )
    return found
