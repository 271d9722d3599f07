"""Ids to text as they arrive: whole UTF-8 characters only, constant work for each token. Stops are in stops.py."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Protocol


class TokenBytes(Protocol):
    """What detokenization needs of a tokenizer."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; none for special tokens."""
        ...


class Detokenizer:
    """Turns ids into text; the concatenation does not depend on how the ids are split into pushes.

    A character whose bytes are not all here waits. Bytes that can never become a character turn into U+FFFD, an
    unfinished character only at `finish`.
    """

    def __init__(self, tokenizer: TokenBytes) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: Iterable[int]) -> str:
        """The text that these ids complete."""
        return self._decoder.decode(b"".join(map(self._tokenizer.token_bytes, ids)))

    def finish(self) -> str:
        """What is left: U+FFFD for an unfinished character, otherwise nothing."""
        return self._decoder.decode(b"", final=True)
