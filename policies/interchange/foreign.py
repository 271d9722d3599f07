"""A foreign document as located nodes, with notes of what was left out. No format is known here."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Mapping as Table
from typing import Final

from policies.interchange.report import Unmapped
from policies.language.syntax import Fault
from policies.positions import Positions
from policies.problems import PolicyError, Problem
from policies.shape import Shape
from policies.source import Located, Mapping, Scalar, Sequence, SourceError, read_source

_LONGEST_SHOWN: Final = 200
_SECRET: Final = re.compile(r"key|token|secret|password|credential|auth|api_base|url", re.IGNORECASE)


class Foreign(Shape):
    """Reads one foreign document. `format`: what it should be, for messages.

    Raises PolicyError where the text is no YAML or JSON of the strict subset that policies are held to.
    """

    def __init__(self, source: str, format: str) -> None:
        super().__init__()
        self.source, self.format = source, format
        self._skipped: dict[tuple[str, str], Unmapped] = {}
        try:
            self.root = read_source(source)
        except SourceError as error:
            raise PolicyError(error.problems, source=source, name=format) from None
        self._positions = Positions.of(source)

    @property
    def unmapped(self) -> tuple[Unmapped, ...]:
        """What was left out, in the order of the text."""
        return tuple(sorted(self._skipped.values(), key=lambda each: (each.line, each.column)))

    def refused(self, message: str, expected: str) -> PolicyError:
        """The error for a document that is none of its format."""
        found = [*self.problems, Problem("wrong-document", message, self.root.line, self.root.column, "", expected)]
        return PolicyError(found, source=self.source, name=self.format)

    def skip(self, path: str, node: Located, reason: str) -> None:
        """Note that a node has no counterpart; once for each reason."""
        note = Unmapped(path, shown(path, node), reason, node.line, node.column)
        self._skipped.setdefault((path, reason), note)

    def known(
        self, node: Located, path: str, keys: Collection[str], left_out: Table[str, str] | None = None
    ) -> dict[str, Located]:
        """The entries under these keys; every other entry is noted, with the reason that `left_out` has for its key.

        A key without a value is absent. What is no map is a problem.
        """
        if not isinstance(node, Mapping):
            self.wrong(node, f"a map with {', '.join(keys)}")
            return {}
        reasons = left_out or {}
        found: dict[str, Located] = {}
        for key, value in node.entries:
            if key.raw in keys and not _is_empty(value):
                found[key.raw] = value
            elif key.raw not in keys:
                self.skip(under(path, key.raw), value, reasons.get(key.raw, "nothing is known of this key"))
        return found

    def tell_fault(self, fault: Fault, scalar: Scalar) -> None:
        """Note a fault of an expression, at its place in the document."""
        line, column = self._positions.locate(scalar, fault.span.start)
        self.problems.append(
            Problem(fault.code, fault.message, line, column, self.rule_id, fault.expected, fault.suggestion)
        )


def under(path: str, key: str) -> str:
    """The path of an entry."""
    word = key[:64]
    return f"{path}.{word}" if path else word


def shown(path: str, node: Located) -> str:
    """A short form of a node. Of a map only the keys, and nothing of a text whose key sounds like a secret."""
    match node:
        case Mapping():
            text = f"{{{', '.join(key.raw[:64] for key, _ in node.entries[:20])}}}"
        case Sequence():
            text = f"[{', '.join(shown(path, item) for item in node.items[:10])}]"
        case Scalar(value=str()) if _SECRET.search(path.rpartition(".")[2]):
            text = "…"
        case Scalar():
            text = node.raw
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _is_empty(node: Located) -> bool:
    return isinstance(node, Scalar) and node.value is None
