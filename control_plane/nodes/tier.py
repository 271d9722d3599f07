"""NodeTier: a connected node as a Tier. One object per connection; it dies with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from control_plane.nodes.connection import NodeConnection
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.frames import Hello


class NodeTier:
    """Sends Generate and yields what comes back. Raises TierLostError when the link drops or the node goes silent,
    TierRefusedError and other TierErrors as the node reported them."""

    def __init__(self, connection: NodeConnection, *, attempt_deadline_s: float | None = None) -> None:
        hello = connection.hello
        self.node_id = hello.node_id
        self.tenant = connection.admission.tenant
        self.labels = hello.labels
        self.name = f"{hello.kind}:{hello.node_id}"
        self.kind: TierKind = hello.kind
        self.capabilities = node_capabilities(hello)
        self._connection = connection
        self._attempt_deadline_s = attempt_deadline_s

    @property
    def connection_epoch(self) -> int:
        """The epoch of the connection that this tier lives on."""
        return self._connection.epoch

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        inbox = self._connection.start(attempt, state, self._attempt_deadline_s)
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
        beat = self._connection.heartbeat
        if beat is None:
            return Load(running=self._connection.open_attempts, age_s=self._connection.heartbeat_age_s)
        told = beat.load
        return Load(
            running=max(told.running, self._connection.open_attempts - told.queued),
            queued=told.queued,
            slots=max(1, told.slots),
            tokens_per_s=told.tokens_per_s,
            age_s=self._connection.heartbeat_age_s,
        )


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
    )
