"""What requests ask for, in both dialects: the fields that edgewise/dialects/chat.py does not take, and prompts.

Nothing is encoded or opened here.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from edgewise.dialects.chat import ChatRequest, parse_chat_request
from edgewise.wire.errors import BadRequestError, MalformedJsonError, UnsupportedParameterError

CHOICES_MAX = 64
"""Answers that one request may ask for, over all its prompts."""
COMPLETION_TOKENS = 16
"""What OpenAI gives a completion whose request names no limit."""

Ids = tuple[int, ...]
Id = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)]


class ChatExtras(msgspec.Struct):
    """Fields of a chat request beside those of ChatRequest."""

    n: Choices | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    return_token_ids: bool | None = None


class CompletionExtras(msgspec.Struct):
    """Fields of a completion request beside those that a chat has too.

    `output_ids` is the answer so far, where another worker began it: with the same seed it goes on as that one would
    have.
    """

    prompt: str | list[str | Id | list[Id]]
    n: Choices | None = None
    best_of: int | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    return_token_ids: bool | None = None
    output_ids: list[Id] | None = None


T = TypeVar("T", ChatExtras, CompletionExtras)


class Wish(msgspec.Struct, frozen=True):
    """One request: `n` answers to each of `prompts`, which are texts or ids; none in a chat, whose messages it has."""

    request: ChatRequest
    prompts: tuple[str | Ids, ...] = ()
    n: int = 1
    logprobs: bool = False
    token_ids: bool = False
    output_ids: Ids = ()


def chat_wish(body: bytes) -> Wish | None:
    """A chat that asks for more than a plain one does; None for a plain one, and for what parse_chat_request refuses.

    Raises BadRequestError, UnsupportedParameterError.
    """
    try:
        fields = _fields(body)
    except BadRequestError:
        return None
    extras = _taken(fields, ChatExtras, "chat completion")
    logprobs, token_ids = bool(extras.logprobs), bool(extras.return_token_ids)
    if extras.top_logprobs:
        raise _unsupported("top_logprobs")
    if (extras.n or 1) == 1 and not logprobs and not token_ids:
        return None
    request = parse_chat_request(msgspec.json.encode(fields))
    return Wish(request, n=extras.n or 1, logprobs=logprobs, token_ids=token_ids)


def completion_wish(body: bytes) -> Wish:
    """A completion request. Raises MalformedJsonError, BadRequestError, UnsupportedParameterError."""
    fields = _fields(body)
    extras = _taken(fields, CompletionExtras, "completion")
    n, prompts = extras.n or 1, _prompts(extras.prompt)
    refused = {
        "echo": bool(extras.echo),
        "suffix": bool(extras.suffix),
        "best_of": extras.best_of not in (None, n),
        "logprobs": (extras.logprobs or 0) > 1,
    }
    for name in (name for name, asked in refused.items() if asked):
        raise _unsupported(name)
    if len(prompts) * n > CHOICES_MAX:
        raise BadRequestError(
            f"The request asks for {len(prompts) * n} answers", where="prompt and n", expected=f"at most {CHOICES_MAX}"
        )
    if extras.output_ids and (len(prompts), n) != (1, 1):
        raise BadRequestError("One answer alone can go on", where="output_ids", expected="one prompt, and n of 1")
    fields["messages"] = msgspec.Raw(b'[{"role":"user","content":""}]')
    request = parse_chat_request(msgspec.json.encode(fields), "completion")
    request.messages = []
    if request.budget is None:
        request.max_tokens = COMPLETION_TOKENS
    return Wish(
        request,
        prompts,
        n,
        logprobs=extras.logprobs is not None,
        token_ids=bool(extras.return_token_ids),
        output_ids=tuple(extras.output_ids or ()),
    )


def _prompts(given: str | list[Any]) -> tuple[str | Ids, ...]:
    """OpenAI's four forms: a text, texts, the ids of one prompt, or of several."""
    alone = isinstance(given, str) or all(isinstance(part, int) for part in given)
    parts: list[Any] = [given] if alone else list(given)
    if not all(parts) or len({type(part) for part in parts}) != 1:
        raise BadRequestError(
            "The prompt is empty, or is none",
            where="prompt",
            expected="a text, texts, token ids, or lists of token ids; none of them empty",
        )
    return tuple(part if isinstance(part, str) else tuple(part) for part in parts)


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise BadRequestError(f"The request body is no object: {error}", where="request body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJsonError(
            f"The request body is not JSON: {error}", where="request body", expected="a JSON object in UTF-8"
        ) from error


def _taken(fields: dict[str, msgspec.Raw], extras: type[T], name: str) -> T:
    """Take the fields of `extras` out of `fields`, and decode them."""
    named = {each.name: fields.pop(each.name) for each in msgspec.structs.fields(extras) if each.name in fields}
    try:
        return msgspec.json.decode(msgspec.json.encode(named), type=extras)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(
            f"The request body is not a {name} request: {error}",
            where="request body",
            remedy=f"compare it with the OpenAI {name}s reference",
        ) from error


def _unsupported(name: str) -> UnsupportedParameterError:
    return UnsupportedParameterError(
        f"The parameter {name} is not supported", where=name, remedy=f"leave {name} out of the request"
    )
