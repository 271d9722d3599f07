"""What the gateway's session machine asks of its shell, and what it is granted when a node is let in."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgewise.routing.tier import Chunk, Finish, Usage
from edgewise.wire import frames
from edgewise.wire.errors import EdgewiseError


@dataclass(frozen=True, slots=True)
class Grant:
    """What the registry gives a node that it let in. `policy` is the bundle that a node which decides should have,
    `policy_key` the public key of bundles; `wanted_models` names models of which another version is wanted."""

    connection_epoch: int
    server_time_s: float
    telemetry_acked: int = 0
    policy: frames.PolicyOffer | None = None
    policy_key: str = ""
    wanted_models: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame, in order."""

    frame: frames.Frame


@dataclass(frozen=True, slots=True)
class Admit:
    """Check this node's key and models, then tell `on_admitted` or `on_refused`."""

    hello: frames.Hello


@dataclass(frozen=True, slots=True)
class Deliver:
    """A chunk of an open attempt, checked: it continues where the last one ended."""

    attempt: str
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """The one end of an attempt: well (`finish`, and the `text` that was held back), badly (`error`), or, with neither,
    because it was cancelled here."""

    attempt: str
    finish: Finish | None = None
    usage: Usage | None = None
    error: EdgewiseError | None = None
    text: str = ""
    timings: frames.AttemptTimings | None = None


@dataclass(frozen=True, slots=True)
class StoreTelemetry:
    """Store what is new of this, then tell `on_telemetry_stored` how far everything is stored."""

    frame: frames.Telemetry


@dataclass(frozen=True, slots=True)
class Reported:
    """The node told something about itself: a heartbeat, a policy status, how far a command is."""

    frame: frames.Heartbeat | frames.PolicyStatus | frames.CommandAck


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket; `on_closed` must follow."""

    code: int
    reason: str


Action = Send | Admit | Deliver | AttemptEnded | StoreTelemetry | Reported | Close
