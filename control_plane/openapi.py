"""The hot endpoints in the OpenAPI document: FastAPI does not see plain ASGI routes, so they are described here."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from edgewise.dialects.chat import ChatRequest

_REF = "#/components/schemas/{name}"
_BEARER: list[dict[str, list[str]]] = [{"HTTPBearer": []}]
_ERRORS = {
    "400": "The request is malformed; the error names the field",
    "401": "No key, or not a live one",
    "403": "The key or the policy does not allow it",
    "404": "No such model or stream for this key",
    "503": "No tier or no log can be reached; the SDK retries",
}


def describe_hot_paths(app: FastAPI) -> None:
    """Make `app.openapi()` list /v1 too."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas, components = msgspec.json.schema_components([ChatRequest], ref_template=_REF)
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components)
            parts.setdefault("securitySchemes", {}).setdefault("HTTPBearer", {"type": "http", "scheme": "bearer"})
            document["paths"] = _paths(schemas[0]) | document["paths"]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _paths(chat_request: dict[str, Any]) -> dict[str, Any]:
    sid = {"name": "sid", "in": "path", "required": True, "schema": {"type": "string"}}
    after = {
        "name": "after",
        "in": "query",
        "schema": {"type": "string"},
        "description": "A cursor `<stream>/<seq>` or a sequence number; -1 is the start. Last-Event-ID works too.",
    }
    return {
        "/v1/chat/completions": {
            "post": _operation(
                "Answer a chat, streamed or whole",
                {"application/json": {}, "text/event-stream": {}},
                {"requestBody": {"required": True, "content": {"application/json": {"schema": chat_request}}}},
                ("413", "504"),
            )
        },
        "/v1/models": {"get": _operation("Models that can be asked for", {"application/json": {}}, {})},
        "/v1/streams/{sid}": {
            "get": _operation(
                "Read an answer again from a cursor",
                {"text/event-stream": {}},
                {"parameters": [sid, after]},
                ("204", "409", "410"),
            ),
            "delete": _operation("Stop an answer", {"application/json": {}}, {"parameters": [sid]}),
        },
    }


def _operation(
    summary: str, content: dict[str, Any], extra: dict[str, Any], statuses: tuple[str, ...] = ()
) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": _REF.format(name="ErrorBody")}}}
    responses: dict[str, Any] = {"200": {"description": "OK", "content": content}}
    for status, description in _ERRORS.items():
        responses[status] = {"description": description, "content": error}
    for status in statuses:
        responses[status] = {"description": "See the error's code" if status != "204" else "Nothing more will come"}
    return {"summary": summary, "tags": ["answers"], "security": _BEARER, "responses": responses} | extra
