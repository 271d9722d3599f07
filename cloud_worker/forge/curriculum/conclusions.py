"""Checks that read the end of a reply: how its worked steps are written is free, what follows the last arrow is not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloud_worker.forge.curriculum.exercise import normalise


def conclusion(reply: str) -> str:
    """What follows the last arrow or, without one, the last colon that a space follows; else all of it."""
    text = re.sub(r"->|=>", "→", normalise(reply.replace("：", ": ")))
    return re.split(r"→|: ", text)[-1].strip(" .。!")


def _items(text: str) -> list[str]:
    return [item for item in re.split(r"[\s,、;]+", text) if item]


@dataclass(frozen=True, slots=True)
class Concludes:
    """The conclusion is the expected text, but for case, width, spaces and quotation marks."""

    expected: str

    def accepts(self, reply: str) -> bool:
        """True when both conclusions are one text."""
        return self._bare(conclusion(reply)) == self._bare(normalise(self.expected))

    @staticmethod
    def _bare(text: str) -> str:
        return re.sub(r"[\s\"'“”‘’]", "", text)


@dataclass(frozen=True, slots=True)
class ConcludesList:
    """The conclusion is the expected items in this order; commas, spaces and 、 all part items."""

    expected: tuple[str, ...]

    def accepts(self, reply: str) -> bool:
        """True when the items are equal, but for case and width."""
        return _items(conclusion(reply)) == [normalise(item) for item in self.expected]


@dataclass(frozen=True, slots=True)
class Sequence:
    """The reply names exactly the expected numbers in this order; a target behind a slash (`3/7`) is not counted."""

    expected: tuple[int, ...]

    def accepts(self, reply: str) -> bool:
        """True when the numbers, read from left to right, are the expected ones."""
        text = re.sub(r"/\s*\d+", "", conclusion(reply))
        return [int(number) for number in re.findall(r"-?\d+", text)] == list(self.expected)
