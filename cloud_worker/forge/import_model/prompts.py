"""The user's own prompts: a JSONL file of {prompt, language?, answer?}, checked before any work.

Errors name the line and never quote it: prompts are the user's and belong in no log.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgewise.facts.language import language_of
from edgewise.wire.errors import BadRequestError
from edgewise.wire.findings import LANGUAGES_MAX

FIELDS: Final = ("prompt", "language", "answer")
MOST_PROMPTS: Final = 10_000
MOST_BYTES: Final = 64 * 2**20


class PromptsFileError(BadRequestError):
    """A prompts file that cannot be read, or a line of it that no model can be asked."""

    number, code = 1870, "prompts_invalid"


@dataclass(frozen=True)
class OwnPrompt:
    """One question: its line, its language (by its script, where the file does not say) and its reference answer."""

    line: int
    prompt: str
    language: str
    answer: str


def read_prompts(path: Path) -> tuple[OwnPrompt, ...]:
    """Every prompt of the file; empty lines are passed over. Raises PromptsFileError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        kind = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise refuse(f"The prompts cannot be read: {kind}", str(path)) from error
    found = tuple(_prompt(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not 0 < len(found) <= MOST_PROMPTS:
        raise refuse(f"The file has {len(found)} prompts; 1 to {MOST_PROMPTS} can be judged", str(path))
    if len({each.language for each in found}) > LANGUAGES_MAX:
        raise refuse(f"The file has prompts in more than {LANGUAGES_MAX} languages", str(path))
    return found


def digest_of(prompts: tuple[OwnPrompt, ...]) -> str:
    """sha256 over questions, languages and answers in order: equal digests are the same examination."""
    rows = [[each.prompt, each.language, each.answer] for each in prompts]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def refuse(message: str, where: str) -> PromptsFileError:
    """The error for a file or a line of it."""
    return PromptsFileError(
        message,
        where=where,
        expected='one JSON object a line: {"prompt": "…", "language": "en", "answer": "…"}, the last two optional',
        remedy="correct the file",
    )


def _prompt(path: Path, number: int, line: str) -> OwnPrompt:
    where = f"{path}, line {number}"
    try:
        raw: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise refuse("The line is no JSON", where) from None
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name, ""), str) for name in FIELDS):
        raise refuse("The line is no object of texts", where)
    if unknown := sorted(set(raw) - set(FIELDS)):
        raise refuse(f"The line has a field that is not known: {unknown[0][:40]!r}", where)
    prompt, answer = raw.get("prompt", ""), raw.get("answer", "")
    if not prompt.strip():
        raise refuse("The line has no prompt", where)
    if not _is_text(prompt + answer):
        raise refuse("The line holds half a character (a lone surrogate)", where)
    language = raw.get("language") or language_of(prompt.lower())
    if not language.isascii() or not language.replace("-", "").isalnum() or len(language) > 16:
        raise refuse("The language is no language tag", where)
    return OwnPrompt(number, prompt, language.lower(), answer.strip())


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
