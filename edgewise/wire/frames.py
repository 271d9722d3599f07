"""Every frame of the node session, as it travels: a MessagePack map whose key `t` names the kind.

A newer peer may add fields (an older one skips them) and leaves out those at their default. Kinds never change their
meaning. No behaviour lives here: bytes are edgewise/wire/codec.py, who may say what when is the two session machines.
docs/protocol.md is the reader's copy of this file; a test compares the two.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgewise.wire.errors import ErrorInfo
from edgewise.wire.limits import NODE_ID_MAX_CHARS, TELEMETRY_BATCH_MAX, TELEMETRY_VALUES_MAX

Scalar = bool | int | float | str
NodeKind = Literal["edge", "cloud"]
CommandStage = Literal["received", "started", "progress", "done", "failed"]

Count = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=86_400.0)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Label = Annotated[str, Meta(max_length=256)]
NodeId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=NODE_ID_MAX_CHARS)]
TokenIds = tuple[Annotated[int, Meta(ge=0, lt=2**32)], ...]


POLICY_BUNDLE = "policy_bundle"
"""The capability of a node that decides by signed bundles."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of all frames."""


# Node to gateway --------------------------------------------------------------------------------------------------


class ModelOffer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that is loaded on the node: `version` is the manifest id; digests are lower-case hex sha256."""

    name: Name
    version: Label
    weights_digest: Label = ""
    tokenizer_digest: Label = ""
    template_digest: Label = ""
    numerics_id: Label = ""
    context_tokens: Count = 0


class Hello(Frame, frozen=True, kw_only=True, tag="hello"):
    """The node's first frame, and the only one it may send before Welcome. Decodable by every protocol version.

    `telemetry_acked` is the last sequence number that the node knows to be stored (0: none). The key is shown by no
    repr. `run_id` is fresh at each start of the agent and `dial` counts its connections: a hello that was held up on a
    dead link cannot take over from a later one.
    """

    protocol_min: Count
    protocol_max: Count
    node_id: NodeId
    key: Annotated[str, Meta(max_length=256)]
    kind: NodeKind
    agent_version: Label = ""
    capabilities: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    limits: Annotated[dict[Name, Count], Meta(max_length=64)] = {}
    models: Annotated[tuple[ModelOffer, ...], Meta(max_length=16)] = ()
    labels: Annotated[dict[Name, Label], Meta(max_length=32)] = {}
    last_connection_epoch: Count = 0
    telemetry_stream: Label = ""
    telemetry_acked: Count = 0
    policy_digest: Label = ""
    run_id: Label = ""
    dial: Count = 0

    def __repr__(self) -> str:
        return f"Hello(node_id={self.node_id!r}, kind={self.kind!r}, key=<hidden>)"

    def __rich_repr__(self) -> Any:
        yield "node_id", self.node_id
        yield "kind", self.kind


class LoadReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the node's engine is doing: attempts running and queued, how many fit at once, recent speed."""

    running: Count = 0
    queued: Count = 0
    slots: Count = 1
    tokens_per_s: float = 0.0


class Heartbeat(Frame, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent every `Welcome.heartbeat_s`. `sent_at` is the node's own monotonic clock, only ever echoed back to it.

    `device` holds facts under their full dotted names (`device.battery_pct`); `rtt_ms` is the node's measurement.
    """

    seq: Count
    sent_at: float
    load: LoadReport = LoadReport()
    device: Annotated[dict[Name, Scalar], Meta(max_length=64)] = {}
    rtt_ms: float | None = None


class TelemetryRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One observation at Unix time `at_s`: a kind (`device`, `attempt`, …) and flat named values, never a prompt."""

    at_s: float
    kind: Name
    values: Annotated[dict[Name, Scalar], Meta(max_length=TELEMETRY_VALUES_MAX)] = {}


class Telemetry(Frame, frozen=True, kw_only=True, tag="telemetry"):
    """Records `first_seq`, `first_seq + 1`, … of a stream. Sequence numbers start at 1.

    `dropped` counts the records right before `first_seq` that the node had to discard for want of room.
    """

    stream: Label
    first_seq: Annotated[int, Meta(ge=1, le=2**53)]
    records: Annotated[tuple[TelemetryRecord, ...], Meta(min_length=1, max_length=TELEMETRY_BATCH_MAX)]
    dropped: Count = 0


class Tokens(Frame, frozen=True, kw_only=True, tag="tokens"):
    """More of an answer. `n0` is the index in the whole answer of the first id; engines that know no ids send none."""

    attempt: Name
    n0: Count
    ids: TokenIds = ()
    text: str = ""


class UsageReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens that one attempt read and wrote, as the engine counted them."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class AttemptTimings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node measured of one attempt. Seconds: waiting for a slot, reading the prompt up to the first token,
    speaking after it, and turning ids into text (which overlaps with speaking). `kv_bytes` of keys and values were held
    for it at its end; 0 where nobody knows."""

    queue_s: Seconds = 0.0
    prefill_s: Seconds = 0.0
    decode_s: Seconds = 0.0
    text_s: Seconds = 0.0
    kv_bytes: Count = 0


class Finished(Frame, frozen=True, kw_only=True, tag="finished"):
    """The attempt ended well. `text` is what the tier held back until it was sure that no more ids follow."""

    attempt: Name
    finish: Literal["stop", "length", "content_filter", "tool_calls"]
    usage: UsageReport | None = None
    text: str = ""
    timings: AttemptTimings | None = None


class Failed(Frame, frozen=True, kw_only=True, tag="failed"):
    """The attempt ended badly; tokens sent before stay valid."""

    attempt: Name
    error: ErrorInfo


class CommandAck(Frame, frozen=True, kw_only=True, tag="command_ack"):
    """How far a command is. `done` and `failed` are final, and repeated when the same command comes again."""

    id: Name
    stage: CommandStage
    detail: dict[str, Any] = {}
    error: ErrorInfo | None = None


class PolicyStatus(Frame, frozen=True, kw_only=True, tag="policy_status"):
    """Whether the node now decides by the offered bundle, named as in the offer.

    Where not, `refusal` is the rule that the bundle broke (`policies.bundle.Refusal`) and `error` says it in words.
    """

    digest: Label
    applied: bool
    version: Count = 0
    policy_version: Count = 0
    refusal: Label = ""
    error: ErrorInfo | None = None


# Gateway to node --------------------------------------------------------------------------------------------------


class Welcome(Frame, frozen=True, kw_only=True, tag="welcome"):
    """The gateway's first frame when it takes the node in. `server_time_s` is Unix time.

    `policy_digest` names the bundle that the node should decide by, `policy_key` the public key that signs bundles: a
    node that has none yet may trust it. `wanted_models` names models of the hello of which operators want another
    version (name → version id): a warning.
    """

    protocol: Count
    connection_epoch: Count
    heartbeat_s: Annotated[float, Meta(gt=0, le=3600.0)]
    lost_after_s: Annotated[float, Meta(gt=0, le=86_400.0)]
    server_time_s: float = 0.0
    policy_digest: Label = ""
    policy_key: Label = ""
    telemetry_acked: Count = 0
    wanted_models: Annotated[dict[Name, Label], Meta(max_length=16)] = {}


class Reject(Frame, frozen=True, kw_only=True, tag="reject"):
    """The gateway does not take the node in, and closes. `error.retry_after_s`, when set, is the node's slot."""

    error: ErrorInfo


class HeartbeatAck(Frame, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """`echo` is the heartbeat's `sent_at`, so that the node can subtract."""

    seq: Count
    echo: float


class TelemetryAck(Frame, frozen=True, kw_only=True, tag="telemetry_ack"):
    """Everything up to and including `seq` is stored; the node sends from `seq + 1` on."""

    stream: Label
    seq: Count


class Generate(Frame, frozen=True, kw_only=True, tag="generate"):
    """Begin an attempt. `state` is a GenerationState as a map (edgewise/generation/state.py); `deadline_s` from now.

    `trace` is the W3C traceparent of the gateway's span, so that the node's spans stand under it.
    """

    attempt: Name
    state: msgspec.Raw
    deadline_s: Seconds | None = None
    trace: Label = ""


class Cancel(Frame, frozen=True, kw_only=True, tag="cancel"):
    """Stop an attempt; nothing more is expected of it."""

    attempt: Name


class Command(Frame, frozen=True, kw_only=True, tag="command"):
    """Something to do once per `idempotency_key`, however often it arrives."""

    id: Name
    idempotency_key: Name
    name: Name
    body: dict[str, Any] = {}
    deadline_s: Seconds | None = None


class PolicyOffer(Frame, frozen=True, kw_only=True, tag="policy_offer"):
    """A signed policy bundle (`policies.bundle`); the node checks it as a stranger's and answers with PolicyStatus.

    `digest` and `version` are the bundle's own, repeated so that a node can tell without reading it; `policy_version`
    is the number of the policy at the control plane, for people. Only nodes with the capability POLICY_BUNDLE get any.
    """

    digest: Label
    version: Count
    bundle: bytes
    policy_version: Count = 0


# Both ways --------------------------------------------------------------------------------------------------------


class Goodbye(Frame, frozen=True, kw_only=True, tag="goodbye"):
    """An orderly end; the sender closes next. `reconnect_after_s`, from the gateway, is the node's reconnect slot."""

    reason: Name
    reconnect_after_s: Seconds | None = None
    error: ErrorInfo | None = None


NodeFrame = (
    Hello | Heartbeat | Telemetry | Tokens | Finished | Failed | CommandAck | PolicyStatus | Goodbye
)  # node → gateway
GatewayFrame = (
    Welcome | Reject | HeartbeatAck | TelemetryAck | Generate | Cancel | Command | PolicyOffer | Goodbye
)  # gateway → node
