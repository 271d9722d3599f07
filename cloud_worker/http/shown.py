"""How several answers to one request are shown: chunks and whole bodies of both dialects, from the entries of logs.

A pure function of the entries, as edgewise/dialects/render.py is for a plain chat.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    ErrorEntry,
    ProbabilitiesEntry,
    TokensEntry,
    decode_entry,
)
from edgewise.streams.log import Record
from edgewise.wire.errors import RemoteError

_FINISHES = frozenset({"stop", "length", "content_filter", "tool_calls"})


class TokenText(Protocol):
    """What is needed of a tokenizer to name tokens."""

    def token_bytes(self, token: int) -> bytes: ...


class Part(msgspec.Struct, frozen=True):
    """What one record adds to one answer. `logprobs` are those of `ids`; null where nobody told."""

    text: str = ""
    ids: tuple[int, ...] = ()
    logprobs: tuple[float | None, ...] = ()
    finish: str | None = None


class Offsets:
    """Where tokens stand in the text of an answer: in characters, of which several tokens may make one."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at = 0

    def of(self, tokens: Iterable[bytes]) -> list[int]:
        """The characters that were whole before each of the next tokens, which are given by their bytes."""
        return [self._before(token) for token in tokens]

    def _before(self, token: bytes) -> int:
        before = self._at
        self._at += len(self._decoder.decode(token))
        return before


@dataclass
class Said:
    """One answer as far as it was read: feeds on its records from the first on."""

    index: int
    prompt_ids: tuple[int, ...] = ()
    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    end: EndEntry | None = None
    finish: str | None = None
    begun: bool = False
    offsets: Offsets = field(default_factory=Offsets)
    _told: dict[int, float] = field(default_factory=dict)

    def read(self, record: Record) -> Part | None:
        """What the record adds; None for nothing that is shown. Raises RemoteError for the error that ends it."""
        match entry := decode_entry(record.payload):
            case ProbabilitiesEntry():
                self._told |= dict(enumerate(entry.logprobs, entry.n0))
            case TokensEntry():
                places = range(entry.n0, entry.n0 + len(entry.ids))
                return self._add(Part(entry.text, entry.ids, tuple(self._told.pop(place, None) for place in places)))
            case ErrorEntry():
                raise RemoteError(entry.error)
            case EndEntry():
                self.end = entry
                return self._add(Part(entry.text, finish=entry.finish if entry.finish in _FINISHES else "stop"))
            case CancelEntry():
                return self._add(Part(finish="stop"))
        return None

    def _add(self, part: Part) -> Part:
        self.text += part.text
        self.ids += part.ids
        self.logprobs += part.logprobs
        self.finish = part.finish
        return part


class Dialect(Protocol):
    """One shape of bodies. `part` adds to what `said` was before it; `said` alone is a whole answer."""

    id_prefix: str
    chunk: str
    whole: str

    def added(self, said: Said, part: Part, names: Names | None) -> dict[str, Any]:
        """A choice of a chunk."""
        ...

    def full(self, said: Said, names: Names | None) -> dict[str, Any]:
        """A choice of a whole body."""
        ...


class Names:
    """Tokens by name, for those that asked for log-probabilities."""

    def __init__(self, tokenizer: TokenText) -> None:
        self._tokenizer = tokenizer

    def bytes_of(self, token: int) -> bytes:
        """A token's own bytes, which may be a part of a character."""
        return self._tokenizer.token_bytes(token)

    def text_of(self, token: int) -> str:
        """Its bytes as text."""
        return self.bytes_of(token).decode("utf-8", errors="replace")


class ChatDialect:
    """`chat.completion` with several choices, log-probabilities or token ids."""

    id_prefix, chunk, whole = "chatcmpl", "chat.completion.chunk", "chat.completion"

    def added(self, said: Said, part: Part, names: Names | None) -> dict[str, Any]:
        delta: dict[str, Any] = {} if said.begun else {"role": "assistant"}
        if part.text or not said.begun:
            delta["content"] = part.text
        said.begun = True
        return {"index": said.index, "delta": delta, **self._rest(part.ids, part.logprobs, part.finish, names)}

    def full(self, said: Said, names: Names | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": said.text, "refusal": None}
        return {"index": said.index, "message": message, **self._rest(said.ids, said.logprobs, said.finish, names)}

    def _rest(
        self, ids: Sequence[int], logprobs: Sequence[float | None], finish: str | None, names: Names | None
    ) -> dict[str, Any]:
        told = None
        if names is not None:
            content = [
                {
                    "token": names.text_of(token),
                    "logprob": logprob,
                    "bytes": list(names.bytes_of(token)),
                    "top_logprobs": [],
                }
                for token, logprob in zip(ids, logprobs, strict=True)
            ]
            told = {"content": content, "refusal": None}
        return {"logprobs": told, "finish_reason": finish}


class TextDialect:
    """`text_completion`."""

    id_prefix, chunk, whole = "cmpl", "text_completion", "text_completion"

    def added(self, said: Said, part: Part, names: Names | None) -> dict[str, Any]:
        said.begun = True
        return self._choice(said.index, part.text, part.ids, part.logprobs, part.finish, names, said.offsets)

    def full(self, said: Said, names: Names | None) -> dict[str, Any]:
        return self._choice(said.index, said.text, said.ids, said.logprobs, said.finish, names, Offsets())

    def _choice(
        self,
        index: int,
        text: str,
        ids: Sequence[int],
        logprobs: Sequence[float | None],
        finish: str | None,
        names: Names | None,
        offsets: Offsets,
    ) -> dict[str, Any]:
        told = None
        if names is not None:
            tokens = [names.text_of(token) for token in ids]
            places = offsets.of(names.bytes_of(token) for token in ids)
            told = {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": None, "text_offset": places}
        return {"index": index, "text": text, "logprobs": told, "finish_reason": finish}
