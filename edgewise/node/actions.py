"""What the node's session machine asks of its shell, and what it is told about the node at birth."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgewise.generation.state import GenerationState
from edgewise.wire.errors import ErrorInfo
from edgewise.wire.frames import Command, Frame, LoadReport, ModelOffer, NodeKind, PolicyOffer, Scalar, Welcome


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who the node says it is in Hello. `policy_digest` of the bundle that it decides by now, if any."""

    node_id: str
    key: str = field(repr=False)
    kind: NodeKind
    models: tuple[ModelOffer, ...] = ()
    agent_version: str = ""
    capabilities: tuple[str, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    telemetry_stream: str = ""
    telemetry_acked: int = 0
    policy_digest: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a heartbeat tells: the engine's load and the device's facts under their full dotted names."""

    load: LoadReport = field(default_factory=LoadReport)
    device: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame, in order."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run the tier on this state and report its chunks; `trace` is the gateway's traceparent, or empty."""

    attempt: str
    state: GenerationState
    trace: str = ""


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Stop the tier's work on this attempt; its chunks are of no more use."""

    attempt: str


@dataclass(frozen=True, slots=True)
class ReadTelemetry:
    """Read the records after this sequence number and hand them to `on_telemetry`."""

    after_seq: int
    limit: int


@dataclass(frozen=True, slots=True)
class TelemetryStored:
    """Everything up to `seq` is safe at the gateway and may be forgotten."""

    seq: int


@dataclass(frozen=True, slots=True)
class ApplyPolicy:
    """Check and use this bundle, then tell `on_policy_result`. `key`: the public key that Welcome named."""

    offer: PolicyOffer
    key: str


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Run this command once, then tell `on_command_result`."""

    command: Command


@dataclass(frozen=True, slots=True)
class Joined:
    """The gateway took the node in."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket, `drained` only after all that waits to be sent; `on_closed` must follow."""

    code: int
    reason: str
    drained: bool = False


@dataclass(frozen=True, slots=True)
class ReconnectAt:
    """Dial again at `at` (the session's clock). `error` is why the last session or try ended, if it is known.

    `final` says that time alone will not mend it: a person has to act on the error's remedy.
    """

    at: float
    error: ErrorInfo | None = None
    final: bool = False


Action = (
    Send
    | StartAttempt
    | CancelAttempt
    | ReadTelemetry
    | TelemetryStored
    | ApplyPolicy
    | RunCommand
    | Joined
    | Close
    | ReconnectAt
)
