"""Errors of what gateways say to each other."""

from __future__ import annotations

from edgewise.wire.errors import EdgewiseError


class GatewayMessageError(EdgewiseError):
    """Bytes on a gateway's channel that are no message of this version; they are dropped."""

    number, code = 1760, "gateway_message_malformed"


class GatewaySilentError(EdgewiseError):
    """Another gateway did not answer in time; it may be gone."""

    number, code, http_status, retryable = 1761, "gateway_silent", 503, True


class NodeElsewhereError(EdgewiseError):
    """A node is no longer connected to the gateway that was asked."""

    number, code, http_status, retryable = 1762, "node_moved", 503, True
