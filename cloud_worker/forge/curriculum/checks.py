"""Checks that read a reply by what it means: JSON, Python source, lists with conditions, texts with their capitals."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.curriculum.exercise import normalise

_SEPARATOR: Final = re.compile(r"\s*[,、，]\s*")
_END: Final = " .。"


@dataclass(frozen=True, slots=True)
class SameSigns:
    """The reply is the expected text with the same capitals; white space, width and a label before it are free."""

    expected: str

    def accepts(self, reply: str) -> bool:
        """True when what follows the label is equal in compatibility form."""
        return _signs(reply) == _signs(self.expected)


def _signs(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).rpartition(": ")[2].split()).rstrip(".。")


@dataclass(frozen=True, slots=True)
class JsonValue:
    """The reply is JSON of the same value: spacing and the order of keys are free."""

    expected: str

    def accepts(self, reply: str) -> bool:
        """True when the reply parses to the expected value (true is not 1 here)."""
        try:
            found = json.loads(reply)
        except ValueError:
            return False
        return _canonical(found) == _canonical(json.loads(self.expected))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class PythonSource:
    """The reply is Python source with the same syntax tree: quotes and spacing are free."""

    expected: str

    def accepts(self, reply: str) -> bool:
        """True when the reply parses to the tree of the expected source."""
        try:
            found = ast.parse(reply.strip())
        except (SyntaxError, ValueError):
            return False
        return ast.dump(found) == ast.dump(ast.parse(self.expected))


@dataclass(frozen=True, slots=True)
class Listing:
    """The reply lists `count` different members and nothing else."""

    members: frozenset[str]
    count: int

    def accepts(self, reply: str) -> bool:
        """True when every item is a member, none comes twice, and their number is right."""
        items = _SEPARATOR.split(normalise(reply).strip(_END))
        return len(items) == len(set(items)) == self.count and self.members.issuperset(items)
