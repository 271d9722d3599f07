"""What is wrong with a pattern."""

from __future__ import annotations


class PatternError(ValueError):
    """A pattern that is refused. `message`: what was found and what to write; `offset`: where, in characters."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
