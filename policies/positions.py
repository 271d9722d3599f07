"""From a character of a YAML string back to its line and column in the document, whatever the string's style."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from policies.source import Scalar

_LINE_END: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Positions:
    """Looks up places in one document."""

    text: str
    line_starts: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Positions:
        """For a document's text."""
        return cls(text, (0, *(match.end() for match in _LINE_END.finditer(text))))

    def locate(self, scalar: Scalar, offset: int) -> tuple[int, int]:
        """Line and column, from 1, of character `offset` of `scalar.raw`."""
        at = self._offset_in_text(scalar, offset)
        line = bisect_right(self.line_starts, at)
        return line, at - self.line_starts[line - 1] + 1

    def _offset_in_text(self, scalar: Scalar, offset: int) -> int:
        """Walk string and source side by side.

        Signs that only the source has (quotes, indents, backslashes) are skipped; white space and escaped characters
        that only the string has take the place of what follows them.
        """
        at, last = self._body_start(scalar), scalar.start
        for sign in scalar.raw[: offset + 1]:
            if sign.isspace():
                last = at
                continue
            found = self.text.find(sign, at, scalar.end)
            if found >= 0:
                last, at = found, found + 1
        if offset < len(scalar.raw):
            return last
        return min(last + 1, scalar.end)

    def _body_start(self, scalar: Scalar) -> int:
        """Past the header line of a block scalar, past an opening quote, or the first character."""
        first = self.text[scalar.start : scalar.start + 1]
        if first in ("|", ">"):
            end = self.text.find("\n", scalar.start)
            return end + 1 if end >= 0 else scalar.end
        return scalar.start + (first in ("'", '"'))
