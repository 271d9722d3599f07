"""GET /v1/models: the model names that a client may ask for."""

from __future__ import annotations

import msgspec

from edgewise.api.asgi import Receive, Scope, Send, header, send_body, send_error
from edgewise.api.service import AnswerService
from edgewise.observability.context import adopt
from edgewise.wire.errors import EdgewiseError


class Models:
    """The endpoint as an ASGI app."""

    def __init__(self, service: AnswerService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = self._service.host
        adopt(header(scope, b"traceparent"))
        try:
            host.authenticate(header(scope, b"authorization"))
        except EdgewiseError as error:
            await send_error(send, error.info())
            return
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "edgewise"} for name in host.models()]
        await send_body(send, 200, msgspec.json.encode({"object": "list", "data": data}))
