"""The entries of a stream's log. What a client sees is a pure function of these, so they hold nothing incidental."""

from __future__ import annotations

import msgspec

from edgewise.wire.errors import ErrorInfo, LogUnavailableError


class TokensEntry(msgspec.Struct, frozen=True, array_like=True, tag="tok"):
    """Ids from index `n0` of the answer on, and the complete UTF-8 text that they released."""

    n0: int
    ids: tuple[int, ...]
    text: str


class ProbabilitiesEntry(msgspec.Struct, frozen=True, array_like=True, tag="prob"):
    """ln of the model's probabilities of the ids from index `n0` on, which stand in the next entry; only where they
    were asked for. The same index may come again, when what was held was not stored."""

    n0: int
    logprobs: tuple[float, ...]


class TierEntry(msgspec.Struct, frozen=True, array_like=True, tag="tier"):
    """From here on `tier` speaks, with model version `model_version`; `why` is chosen, fallback or continued."""

    tier: str
    kind: str
    model: str
    model_version: str
    why: str


class WarnEntry(msgspec.Struct, frozen=True, array_like=True, tag="warn"):
    """Something the reader may be told, such as a soft time-out; the answer goes on."""

    code: str
    message: str


class RevisionEntry(msgspec.Struct, frozen=True, array_like=True, tag="rev"):
    """A better whole answer than the one above (mode upgrade)."""

    text: str
    tier: str


class RetractEntry(msgspec.Struct, frozen=True, array_like=True, tag="ret"):
    """The text from character `start` on is taken back (mode audit, safety)."""

    start: int
    why: str


class ErrorEntry(msgspec.Struct, frozen=True, array_like=True, tag="err"):
    """What went wrong; an EndEntry follows when nothing more will come."""

    error: ErrorInfo


class CancelEntry(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Somebody asked to stop; terminal: nothing follows it."""

    by: str


class Timings(msgspec.Struct, frozen=True, array_like=True):
    """Seconds since the request arrived; `waste_tokens` counts what losers of a race had produced."""

    first_token_s: float = 0.0
    total_s: float = 0.0
    waste_tokens: int = 0


class EndEntry(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The one end of an answer: why, what it used, how long it took.

    `text` is what was held back until it was sure that nothing follows (half a character, the beginning of a stop
    string); it stands here so that it cannot be said twice when a writer dies between the two.
    """

    finish: str
    prompt_tokens: int
    completion_tokens: int
    timings: Timings = Timings()
    text: str = ""


Entry = (
    TokensEntry
    | ProbabilitiesEntry
    | TierEntry
    | WarnEntry
    | RevisionEntry
    | RetractEntry
    | ErrorEntry
    | CancelEntry
    | EndEntry
)

_decoder: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)
_encoder = msgspec.msgpack.Encoder()


def encode_entry(entry: Entry) -> bytes:
    """MessagePack bytes of one entry; equal entries give equal bytes."""
    return _encoder.encode(entry)


def decode_entry(payload: bytes) -> Entry:
    """Inverse of `encode_entry`. Raises LogUnavailableError when the stored bytes are not an entry."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise LogUnavailableError(f"A stored log entry does not decode: {error}") from error


def is_terminal(entry: Entry) -> bool:
    """Whether nothing may follow this entry."""
    return isinstance(entry, EndEntry | CancelEntry)
