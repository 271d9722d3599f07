"""NodeTier: a connected node as a Tier. One object per connection; it dies with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from control_plane.nodes.connection import NodeConnection
from control_plane.nodes.report import node_load
from edgewise.generation.state import GenerationState
from edgewise.observability.context import outgoing_traceparent
from edgewise.routing.tier import Capabilities, Chunk, Load, Tier, TierKind
from edgewise.wire.errors import TierRefusedError
from edgewise.wire.frames import Hello


class ConnectedTier(Tier, Protocol):
    """A node as a tier, connected here (NodeTier) or to another gateway (control_plane.gateways.relay.RelayTier)."""

    @property
    def node_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


class NodeTier:
    """Sends Generate and yields what comes back. Raises TierLostError when the link drops or the node goes silent,
    TierRefusedError and other TierErrors as the node reported them."""

    def __init__(
        self,
        connection: NodeConnection,
        *,
        attempt_deadline_s: float | None = None,
        drained: Callable[[], bool] = lambda: False,
    ) -> None:
        """`drained` says whether new work is kept away from the node at this moment."""
        hello = connection.hello
        self.node_id = hello.node_id
        self.tenant = connection.admission.tenant
        self.labels = hello.labels
        self.name = f"{hello.kind}:{hello.node_id}"
        self.kind: TierKind = hello.kind
        self.capabilities = node_capabilities(hello)
        self._connection = connection
        self._attempt_deadline_s = attempt_deadline_s
        self._drained = drained

    @property
    def connection_epoch(self) -> int:
        """The epoch of the connection that this tier lives on."""
        return self._connection.epoch

    @property
    def open_attempts(self) -> int:
        """Attempts that this gateway has under way on the node."""
        return self._connection.open_attempts

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        if self._drained():
            raise TierRefusedError(f"Node {self.node_id} is drained", remedy="ask an operator to take the drain back")
        inbox = self._connection.start(attempt, state, self._attempt_deadline_s, outgoing_traceparent())
        try:
            while (chunk := await inbox.next()) is not None:
                yield chunk
                if chunk.finish is not None:
                    return
        finally:
            self._connection.cancel(attempt)

    async def cancel(self, attempt: str) -> None:
        self._connection.cancel(attempt)

    def load(self) -> Load:
        """The last heartbeat's figures; attempts begun here since then count at once."""
        return node_load(self._connection, self._connection.open_attempts)


def node_capabilities(hello: Hello) -> Capabilities:
    """The first offered model speaks for the node; the others are names under which it can be asked."""
    first = hello.models[0] if hello.models else None
    return Capabilities(
        models=tuple(offer.name for offer in hello.models),
        model_version=first.version if first else "",
        tokenizer_digest=first.tokenizer_digest if first else "",
        template_digest=first.template_digest if first else "",
        numerics_id=first.numerics_id if first else "",
        context_tokens=first.context_tokens if first else 0,
        continues="continue" in hello.capabilities,
        grammars="grammar" in hello.capabilities,
    )
