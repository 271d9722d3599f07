"""The hot endpoints in the OpenAPI document: FastAPI does not see plain ASGI routes, so they are described here.

Error answers are JSON whatever a route's own content is, which FastAPI does not know either.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import FastAPI
from msgspec import Meta

from edgewise.dialects.chat import ChatRequest

_REF = "#/components/schemas/{name}"
_BEARER: list[dict[str, list[str]]] = [{"HTTPBearer": []}]
_ERRORS = {
    "400": "The request is malformed; the error names the field",
    "401": "No key, or not a live one",
    "403": "The key or the policy does not allow it",
    "404": "No such model or stream for this key",
    "429": "A limit or a budget is reached; x-should-retry and retry-after say whether and when to come back",
    "503": "No tier or no log can be reached; the SDK retries",
}
_SOCKET = "Many streams on one connection: WebSocket `/v1/streams`, see docs/protocol.md, Client WebSocket."
_MORE = {
    "204": "Nothing more will come",
    "409": "The cursor is ahead of the stream, or the stream answers another request",
    "410": "What the cursor asks for was trimmed",
    "413": "The body is too large",
    "422": "The Idempotency-Key was used with another body",
    "502": "An upstream failed",
    "504": "No tier answered in time",
}


class ModelEntry(msgspec.Struct):
    """A model name that clients may ask for."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelListing(msgspec.Struct):
    """OpenAI's list of models."""

    object: Literal["list"]
    data: list[ModelEntry]


class CompletionMessage(msgspec.Struct):
    role: Literal["assistant"]
    content: str
    refusal: str | None


class CompletionChoice(msgspec.Struct):
    index: int
    message: CompletionMessage
    finish_reason: Literal["stop", "length", "content_filter", "tool_calls"]
    logprobs: None


class CompletionUsage(msgspec.Struct):
    prompt_tokens: Annotated[int, Meta(ge=0)]
    completion_tokens: Annotated[int, Meta(ge=0)]
    total_tokens: Annotated[int, Meta(ge=0)]


class ChatCompletion(msgspec.Struct):
    """A whole answer; `edgewise` says which tier made it, and why."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    edgewise: dict[str, Any]


class StreamStopped(msgspec.Struct):
    """Where a stream stands after DELETE; one that had ended before keeps its status."""

    id: str
    status: Literal["open", "done", "cancelled"]
    last_seq: int


_SHAPES = (ChatRequest, ChatCompletion, ModelListing, StreamStopped)


def describe_hot_paths(app: FastAPI) -> None:
    """Make `app.openapi()` list /v1 too."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas, components = msgspec.json.schema_components(_SHAPES, ref_template=_REF)
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components)
            parts.setdefault("securitySchemes", {}).setdefault("HTTPBearer", {"type": "http", "scheme": "bearer"})
            document["paths"] = _paths(*schemas) | document["paths"]
            _say_that_errors_are_json(document["paths"])
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _say_that_errors_are_json(paths: dict[str, Any]) -> None:
    """FastAPI describes errors in the media type of the route's good answer."""
    for operations in paths.values():
        for operation in operations.values():
            for status, response in operation.get("responses", {}).items():
                content = response.get("content", {})
                if status[0] in "45" and "application/json" not in content:
                    response["content"] = {"application/json": next(iter(content.values()), _error_content())}


def _error_content() -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(name="ErrorBody")}}


def _paths(
    request: dict[str, Any], completion: dict[str, Any], models: dict[str, Any], stopped: dict[str, Any]
) -> dict[str, Any]:
    sid = {"name": "sid", "in": "path", "required": True, "schema": {"type": "string"}}
    after = {
        "name": "after",
        "in": "query",
        "schema": {"type": "string"},
        "description": "A cursor `<stream>/<seq>` or a sequence number; -1 is the start. Last-Event-ID works too.",
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "A repeated request with this key and the same body reads the answer of the first one.",
    }
    cursor = [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "string"},
            "description": "The cursor `<stream>/<seq>` of the last event that was seen: read on behind it.",
        }
    ]
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "/v1/chat/completions": {
            "post": _operation(
                "Answer a chat, streamed or whole",
                _json(completion) | events,
                {"requestBody": {"required": True, "content": _json(request)}, "parameters": [key, *cursor]},
                ("204", "409", "410", "413", "422", "502", "504"),
            )
        },
        "/v1/models": {"get": _operation("Models that can be asked for", _json(models), {})},
        "/v1/streams/{sid}": {
            "get": _operation(
                "Read an answer again from a cursor, or with `Accept: application/json` as a whole",
                _json(completion) | events,
                {"parameters": [sid, after, *cursor], "description": _SOCKET},
                ("204", "409", "410", "502", "504"),
            ),
            "delete": _operation("Stop an answer", _json(stopped), {"parameters": [sid]}),
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(
    summary: str, content: dict[str, Any], extra: dict[str, Any], statuses: tuple[str, ...] = ()
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "OK", "content": content}}
    for status, description in _ERRORS.items():
        responses[status] = {"description": description, "content": {"application/json": _error_content()}}
    for status in statuses:
        responses[status] = {"description": _MORE[status]}
        if status != "204":
            responses[status]["content"] = {"application/json": _error_content()}
    return {"summary": summary, "tags": ["answers"], "security": _BEARER, "responses": responses} | extra
