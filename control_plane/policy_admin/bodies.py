"""Reading a policy from a request: JSON with text and note, or the YAML document itself; bounded, typed errors."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic import ValidationError

from control_plane.admin_api import bounded_body
from control_plane.policy_admin.schemas import POLICY_MAX_BYTES, NewPolicy
from edgewise.wire.errors import BadRequestError, MalformedJsonError

_JSON_MAX_BYTES = 2 * POLICY_MAX_BYTES  # a text may double in length by JSON's escapes
_EXPECTED = 'JSON {"text": "…", "note": "…"} or a YAML document with Content-Type: text/yaml'

OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewPolicy.model_json_schema()},
            "text/yaml": {"schema": {"type": "string"}},
        },
    }
}


async def read_policy(request: Request) -> NewPolicy:
    """The policy in the body; a YAML body takes note and activate from the query.

    Raises BodyTooLargeError, MalformedJsonError, BadRequestError.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _checked(await bounded_body(request, _JSON_MAX_BYTES))
    if kind in {"text/yaml", "application/yaml", "application/x-yaml", "text/x-yaml", "text/plain"}:
        text = _decoded(await bounded_body(request, POLICY_MAX_BYTES))
        query = request.query_params
        names = ("note", "activate", "expected_digest")
        return _checked({"text": text, **{name: query[name] for name in names if name in query}})
    raise BadRequestError(f"A policy cannot be sent as {kind[:60]}", where="Content-Type", expected=_EXPECTED)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(
            "The YAML document is not UTF-8", where=f"byte {error.start}", expected="UTF-8 text"
        ) from error


def _checked(body: bytes | dict[str, str]) -> NewPolicy:
    try:
        return NewPolicy.model_validate_json(body) if isinstance(body, bytes) else NewPolicy.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        kind = MalformedJsonError if first["type"] == "json_invalid" else BadRequestError
        where = ".".join(str(part) for part in first["loc"])
        raise kind(f"The policy cannot be read: {first['msg']}", where=where, expected=_EXPECTED) from error
