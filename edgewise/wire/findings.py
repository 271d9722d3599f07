"""findings.json: what one model version was measured to do, as data. Its card is this file in words.

The forge writes it, the control plane reads it without any runtime. Judging (gates.py) and rendering live elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgewise.wire.errors import ManifestError

FINDINGS_FILE = "findings.json"
FINDINGS_FORMAT = 1
LANGUAGES_MAX = 32
TARGETS_MAX = 16
"""Judging looks at every language and target by itself: without a bound a file of findings costs hours of it."""
_COUNT_MAX = 2**53
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,16}\Z")


class CellFound(msgspec.Struct, frozen=True, array_like=True):
    """One family × grade × language in known or held-out phrasings. `chance` is the percent right of always giving one
    answer; `answer_nll` the negative log-likelihood (natural) of the reference answers' `answer_tokens` tokens."""

    family: str
    grade: int
    language: str
    held_out: bool
    right: int
    total: int
    chance: float
    answer_tokens: int
    answer_nll: float


class AcceptedFound(msgspec.Struct, frozen=True, array_like=True):
    """Positions of a larger tier's greedy replies, of one grade and language, that this model would have said too.
    `passes`: forward passes of the larger tier at four drafted tokens."""

    target: str
    grade: int
    language: str
    accepted: int
    positions: int
    passes: int


class AgreementFound(msgspec.Struct, frozen=True, array_like=True):
    """Positions of the parent's greedy replies, in one language, that this model would have said too."""

    language: str
    same: int
    positions: int


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How the weights came about: one run of the forge."""

    recipe: str
    seed: int
    steps: int
    tokens: int
    seconds: float
    device: str
    ranks: int
    torch: str
    shape: str
    parameters: int
    context_tokens: int
    taught_by: str = ""


class ParentFound(msgspec.Struct, frozen=True, kw_only=True):
    """What this version was made from (a full-precision export, an earlier version), in the same examination."""

    name: str
    weights_digest: str
    cells: tuple[CellFound, ...]


class Table(msgspec.Struct, frozen=True):
    """A table that another part of the forge measured, and the paragraph before it."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a card says. `examination` is the sha256 of its questions: equal digests may be compared."""

    format: int = FINDINGS_FORMAT
    name: str
    tier: str
    runtime: str
    weights_digest: str
    weights_bytes: int
    tokenizer_digest: str
    template_digest: str
    examination: str
    examination_seed: int
    cells: tuple[CellFound, ...]
    accepted: tuple[AcceptedFound, ...] = ()
    agreement: tuple[AgreementFound, ...] = ()
    parent: ParentFound | None = None
    made: Making | None = None
    tables: tuple[Table, ...] = ()
    notes: str = ""

    def canonical(self) -> bytes:
        """UTF-8 JSON, keys sorted, no spaces, one newline at the end: the bytes of findings.json."""
        return msgspec.json.encode(self, order="sorted") + b"\n"

    def languages(self) -> list[str]:
        """The languages examined, sorted."""
        return sorted({cell.language for cell in self.cells})


def accuracy(cells: Iterable[CellFound]) -> float:
    """Share of right answers, 0..1; nan without any exercise."""
    pairs = [(cell.right, cell.total) for cell in cells]
    total = sum(count for _, count in pairs)
    return sum(right for right, _ in pairs) / total if total else math.nan


def perplexity(cells: Iterable[CellFound]) -> float:
    """exp of the mean negative log-likelihood of an answer token; nan without any token."""
    pairs = [(cell.answer_nll, cell.answer_tokens) for cell in cells]
    tokens = sum(count for _, count in pairs)
    return math.exp(min(700.0, sum(nll for nll, _ in pairs) / tokens)) if tokens else math.nan


def parse_findings(raw: bytes, where: str = FINDINGS_FILE) -> Findings:
    """Decode untrusted findings. Raises ManifestError for what is no findings.json of this format."""
    try:
        findings = msgspec.json.decode(raw, type=Findings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"The findings do not parse: {error}", where=where) from error
    if fault := _fault(findings):
        raise ManifestError(
            f"The findings cannot be right: {fault}", where=where, remedy="measure the model again with the forge"
        )
    return findings


def load_findings(directory: Path) -> Findings | None:
    """The findings of a model directory; None when it has none. Raises ManifestError."""
    path = directory / FINDINGS_FILE
    return parse_findings(path.read_bytes(), str(path)) if path.is_file() else None


def _fault(findings: Findings) -> str:
    """What JSON types cannot say: parts no larger than their wholes, finite figures. Empty when all is well."""
    if findings.format != FINDINGS_FORMAT:
        return f"format {findings.format}; this version of Edgewise reads format {FINDINGS_FORMAT}"
    parents = findings.parent.cells if findings.parent else ()
    for cell in (*findings.cells, *parents):
        counted = 0 <= cell.right <= cell.total <= _COUNT_MAX and 0 <= cell.answer_tokens <= _COUNT_MAX
        if not (counted and 0 <= cell.answer_nll < math.inf):
            return f"cell {cell.family[:40]} grade {cell.grade} {cell.language[:16]}"
    pairs = [(a.accepted, a.positions) for a in findings.accepted] + [(a.same, a.positions) for a in findings.agreement]
    if any(not 0 <= part <= whole <= _COUNT_MAX for part, whole in pairs):
        return "more positions accepted than there were"
    return _names_fault(findings)


def _names_fault(findings: Findings) -> str:
    """Too many languages or targets to judge each by itself, or such that are none."""
    parents = findings.parent.cells if findings.parent else ()
    languages = {cell.language for cell in (*findings.cells, *parents)}
    languages |= {row.language for row in findings.accepted} | {row.language for row in findings.agreement}
    targets = {row.target for row in findings.accepted}
    if wrong := [each for each in languages if not _LANGUAGE.match(each)]:
        return f"{wrong[0][:16]!r} is no language"
    if len(languages) > LANGUAGES_MAX or len(targets) > TARGETS_MAX or max(map(len, targets), default=0) > 64:
        return f"it names more than {LANGUAGES_MAX} languages or {TARGETS_MAX} targets, or a target too long"
    return ""
