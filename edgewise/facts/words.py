"""Word lists of two languages side by side, searched as one."""

from __future__ import annotations

import re


class Words:
    """English words at word borders, Chinese words anywhere. All methods take text in lower case."""

    def __init__(self, *, english: str, chinese: str) -> None:
        self._english = re.compile(rf"\b(?:{english})\b")
        self._chinese = re.compile(chinese)

    def found(self, text: str) -> bool:
        """Whether any of the words is there."""
        return bool(self._english.search(text)) or (not text.isascii() and bool(self._chinese.search(text)))

    def count(self, text: str) -> int:
        """How many of them are there, repeats counted."""
        chinese = 0 if text.isascii() else len(self._chinese.findall(text))
        return len(self._english.findall(text)) + chinese
