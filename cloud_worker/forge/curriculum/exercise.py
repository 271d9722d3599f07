"""What one exercise is: earlier turns, a question, its reference answer and the check that judges a reply."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Language(StrEnum):
    """Language of the question, as a BCP 47 tag."""

    ENGLISH = "en"
    CHINESE = "zh"


class Role(StrEnum):
    """Who speaks in a turn."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


class Task(StrEnum):
    """What kind of work is asked for: the task types that the request facts estimate too."""

    GREETING = "greeting"
    FACTUAL = "factual"
    CREATIVE = "creative"
    CODE = "code"
    TOOL = "tool"
    OTHER = "other"


class Kind(StrEnum):
    """Which part of the training mix an exercise belongs to."""

    SINGLE = "single"
    MULTI = "multi"
    TASK = "task"
    EDGE_CASE = "edge_case"


class Check(Protocol):
    """Judges a reply."""

    def accepts(self, reply: str) -> bool:
        """True when `reply` counts as right."""
        ...


def normalise(text: str) -> str:
    """Compatibility form, lower case, one space between words: full-width and half-width punctuation are one."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


@dataclass(frozen=True, slots=True)
class Exact:
    """The reply is the expected text, but for case, width and white space."""

    expected: str

    def accepts(self, reply: str) -> bool:
        """True when the normalised texts are equal."""
        return normalise(reply) == normalise(self.expected)


@dataclass(frozen=True, slots=True)
class FinalNumber:
    """The last whole number of the reply is the expected one; the worked steps before it are free."""

    expected: int

    def accepts(self, reply: str) -> bool:
        """True when the reply ends with the number (then punctuation at most)."""
        found = re.search(r"(?<!\d)(-?\d+)\D*$", normalise(reply))
        return found is not None and int(found.group(1)) == self.expected


@dataclass(frozen=True, slots=True)
class Exercise:
    """A graded question. `earlier` holds the turns before it (none for most families).

    `sensitive` marks a twin with made-up personal data, `long_context` a prompt of some hundred tokens.
    """

    family: str
    grade: int
    language: Language
    question: str
    answer: str
    check: Check
    held_out: bool
    earlier: tuple[Turn, ...] = ()
    task: Task = Task.OTHER
    sensitive: bool = False
    kind: Kind = Kind.SINGLE
    long_context: bool = False

    def turns(self) -> tuple[Turn, ...]:
        """The whole conversation, with the reference answer last."""
        return (*self.earlier, Turn(Role.USER, self.question), Turn(Role.ASSISTANT, self.answer))
