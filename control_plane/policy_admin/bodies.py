"""Reading a document from a request: JSON with its text, or the YAML itself; bounded, typed errors."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from control_plane.admin_api import bounded_body
from control_plane.policy_admin.schemas import POLICY_MAX_BYTES, NewPolicy
from edgewise.wire.errors import BadRequestError, MalformedJsonError

_JSON_MAX_BYTES = 2 * POLICY_MAX_BYTES  # a text may double in length by JSON's escapes
_EXPECTED = 'JSON {"text": "…"} or a YAML document with Content-Type: text/yaml'
Shape = TypeVar("Shape", bound=BaseModel)


def openapi_body(shape: type[BaseModel]) -> dict[str, Any]:
    """For `openapi_extra` of a route that reads such a document."""
    json, yaml = {"schema": shape.model_json_schema()}, {"schema": {"type": "string"}}
    return {"requestBody": {"required": True, "content": {"application/json": json, "text/yaml": yaml}}}


OPENAPI = openapi_body(NewPolicy)


async def read_policy(request: Request) -> NewPolicy:
    """The policy in the body; a YAML body takes note and activate from the query. Raises as `read_document`."""
    return await read_document(request, NewPolicy, "policy", ("note", "activate", "expected_digest"))


async def read_document(request: Request, shape: type[Shape], what: str, beside: tuple[str, ...] = ()) -> Shape:
    """The document in the body, and in a YAML body's query what is told `beside` it. what: it, for people.

    Raises BodyTooLargeError, MalformedJsonError, BadRequestError.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _checked(await bounded_body(request, _JSON_MAX_BYTES), shape, what)
    if kind in {"text/yaml", "application/yaml", "application/x-yaml", "text/x-yaml", "text/plain"}:
        text = _decoded(await bounded_body(request, POLICY_MAX_BYTES))
        query = request.query_params
        return _checked({"text": text, **{name: query[name] for name in beside if name in query}}, shape, what)
    raise BadRequestError(f"A {what} cannot be sent as {kind[:60]}", where="Content-Type", expected=_EXPECTED)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(
            "The YAML document is not UTF-8", where=f"byte {error.start}", expected="UTF-8 text"
        ) from error


def _checked(body: bytes | dict[str, str], shape: type[Shape], what: str) -> Shape:
    try:
        return shape.model_validate_json(body) if isinstance(body, bytes) else shape.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        kind = MalformedJsonError if first["type"] == "json_invalid" else BadRequestError
        where = ".".join(str(part) for part in first["loc"])
        raise kind(f"The {what} cannot be read: {first['msg']}", where=where, expected=_EXPECTED) from error
