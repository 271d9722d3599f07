"""OpenAI chat completion requests: decoding, limits, and what we refuse by name instead of ignoring it."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from edgewise.generation.grammar import (
    ANY_OBJECT,
    Grammar,
    InvalidGrammarError,
    json_grammar,
    parse_grammar,
    regex_grammar,
)
from edgewise.generation.state import Message, Sampling
from edgewise.wire.errors import BadRequestError, MalformedJsonError, UnsupportedParameterError
from edgewise.wire.limits import MESSAGES_MAX, STOP_MAX_CHARS, STOPS_MAX

_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}

_TOKEN_ID = re.compile(r"[0-9]{1,9}", re.ASCII)
Count = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]


class ContentPart(msgspec.Struct):
    """One part of a message in list form; only text parts can be answered."""

    type: str
    text: str = ""


class ChatMessage(msgspec.Struct):
    role: str
    content: str | list[ContentPart] | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class EdgewiseOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Our own wishes in the body: `{"edgewise": {...}}`. The policy decides whether they are met."""

    mode: str = ""
    device: str = ""
    sensitivity: str = ""
    regex: str | None = None


class ChatRequest(msgspec.Struct):
    """The fields of a chat completion request that mean something here; unknown ones are ignored, as others do."""

    model: str
    messages: list[ChatMessage]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(ge=0.01, le=100)] | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None
    edgewise: EdgewiseOptions = msgspec.field(default_factory=EdgewiseOptions)

    @property
    def budget(self) -> int | None:
        """The client's limit on answer tokens, whichever of the two names it used."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


_decoder = msgspec.json.Decoder(ChatRequest)


def parse_chat_request(body: bytes, name: str = "chat completion") -> ChatRequest:
    """Decode and check a body, which errors call by `name`. Raises MalformedJsonError, BadRequestError,
    UnsupportedParameterError."""
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequestError(
            f"The request body is not a {name} request: {error}",
            where="request body",
            remedy=f"compare it with the OpenAI {name}s reference or with /docs",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJsonError(
            f"The request body is not JSON: {error}", where="request body", expected="a JSON object in UTF-8"
        ) from error
    _check(request)
    return request


def _check(request: ChatRequest) -> None:
    if not request.messages:
        raise BadRequestError("The list of messages is empty", where="messages", expected="at least one message")
    if len(request.messages) > MESSAGES_MAX:
        raise BadRequestError(
            f"There are {len(request.messages)} messages", where="messages", expected=f"at most {MESSAGES_MAX}"
        )
    if len(stops_of(request)) > STOPS_MAX or any(not s or len(s) > STOP_MAX_CHARS for s in stops_of(request)):
        raise BadRequestError(
            "A stop string is empty, too long, or there are too many",
            where="stop",
            expected=f"at most {STOPS_MAX} strings of 1 to {STOP_MAX_CHARS} characters",
        )
    _refuse_unsupported(request)


def _refuse_unsupported(request: ChatRequest) -> None:
    asked = {
        "n": request.n not in (None, 1),
        "tools": bool(request.tools),
        "logprobs": bool(request.logprobs),
    }
    for name, present in asked.items():
        if present:
            raise UnsupportedParameterError(
                f"The parameter {name} is not supported", where=name, remedy=f"leave {name} out of the request"
            )


def messages_of(request: ChatRequest) -> tuple[Message, ...]:
    """The messages with flat text content. Raises BadRequestError for an unknown role or a part that is not text."""
    return tuple(_message(index, message) for index, message in enumerate(request.messages))


def _message(index: int, message: ChatMessage) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise BadRequestError(
            f"Unknown role {message.role[:40]!r}", where=f"messages[{index}].role", expected="system, user or assistant"
        )
    if isinstance(message.content, str):
        return Message(role, message.content)
    parts = message.content or []
    if any(part.type != "text" for part in parts):
        raise UnsupportedParameterError(
            "Only text content can be answered", where=f"messages[{index}].content", remedy="send text parts only"
        )
    return Message(role, "".join(part.text for part in parts))


def sampling_of(request: ChatRequest) -> Sampling:
    """OpenAI's defaults where the request is silent. Raises BadRequestError for a bad key in logit_bias."""
    wished = request.logit_bias or {}
    if not all(_TOKEN_ID.fullmatch(token) for token in wished):
        raise BadRequestError(
            "A key of logit_bias is not a token id", where="logit_bias", expected="token ids as strings of digits"
        )
    bias = {int(token): value for token, value in wished.items()}
    return Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=request.top_k or 0,
        min_p=request.min_p or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        presence_penalty=request.presence_penalty or 0.0,
        logit_bias=bias,
        repetition_penalty=1.0 if request.repetition_penalty is None else request.repetition_penalty,
    )


def grammar_of(request: ChatRequest) -> str | None:
    """What `response_format` or `edgewise.regex` asks for, as `GenerationState.grammar`; None for plain text.

    Raises InvalidGrammarError, BadRequestError for a format that is none, UnsupportedParameterError for one unknown.
    """
    wished = _format_of(request)
    if request.edgewise.regex is None:
        return None if wished is None else json_grammar(wished)
    if wished is not None:
        raise BadRequestError(
            "The answer cannot follow two grammars", where="edgewise.regex", expected="a regex or a response_format"
        )
    return regex_grammar(request.edgewise.regex)


def _format_of(request: ChatRequest) -> dict[str, Any] | None:
    """The JSON schema of the answer; None for text. `strict` and `name` change nothing: a schema is always held to."""
    wished = request.response_format or {"type": "text"}
    match wished.get("type"):
        case "text":
            return None
        case "json_object":
            return ANY_OBJECT
        case "json_schema":
            described = wished.get("json_schema")
            schema = described.get("schema") if isinstance(described, dict) else None
            if isinstance(schema, dict):
                return schema
            raise InvalidGrammarError(
                "There is no JSON schema",
                where="response_format.json_schema.schema",
                expected='{"name": "…", "schema": {…}} in response_format.json_schema',
            )
        case other:
            raise UnsupportedParameterError(
                f"The response format {str(other)[:40]!r} is not supported",
                where="response_format.type",
                expected="text, json_object or json_schema",
            )


def format_fields(grammar: str | None, wishes: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request by which another Edgewise hears of a grammar; its other `wishes` are among them."""
    asked = Grammar() if grammar is None else parse_grammar(grammar)
    fields: dict[str, Any] = {"edgewise": wishes if asked.regex is None else wishes | {"regex": asked.regex}}
    if asked.json_schema is not None:
        described = {"name": "answer", "schema": asked.json_schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": described}
    return fields


def stops_of(request: ChatRequest) -> tuple[str, ...]:
    """The stop strings, however they were given."""
    if request.stop is None:
        return ()
    return (request.stop,) if isinstance(request.stop, str) else tuple(request.stop)
