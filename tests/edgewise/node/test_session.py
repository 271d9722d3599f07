"""The node's machine: silent before hello and welcome, alive by any frame, and every rule of docs/protocol.md."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from edgewise.node import actions as do
from edgewise.node.actions import NodeIdentity, NodeReport
from edgewise.node.backoff import Backoff
from edgewise.node.commands import CommandResult
from edgewise.node.session import NodeSession
from edgewise.node.telemetry import TelemetryBatch
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire import frames
from edgewise.wire.errors import (
    EdgewiseError,
    FrameMalformedError,
    ModelDigestError,
    NodeKeyError,
    PolicyBundleError,
    SessionError,
    SupersededError,
    TierError,
)
from tests.factories.states import make_state

WELCOME = frames.Welcome(protocol=1, connection_epoch=3, heartbeat_s=2.0, lost_after_s=7.0, policy_key="ed25519:k")
OFFER = frames.PolicyOffer(digest="d", version=3, bundle=b"rules", policy_version=2)
IDENTITY = NodeIdentity(node_id="phone", key="ek_secret", kind="edge", telemetry_stream="s", telemetry_acked=4)


def fresh() -> NodeSession:
    return NodeSession(IDENTITY, Backoff(random.Random(1)), lambda: NodeReport(device={"device.battery_pct": 50.0}))


def live(welcome: frames.Welcome = WELCOME) -> NodeSession:
    session = fresh()
    session.on_connected(0.0)
    session.on_frame(welcome, 0.0)
    return session


def sent(actions: list[Any], kind: type[frames.Frame]) -> list[Any]:
    return [action.frame for action in actions if isinstance(action, do.Send) and isinstance(action.frame, kind)]


def of(actions: list[Any], kind: type[Any]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def generate(attempt: str = "a", deadline_s: float | None = None) -> frames.Generate:
    return frames.Generate(
        attempt=attempt, state=msgspec.Raw(msgspec.msgpack.encode(make_state(max_tokens=4))), deadline_s=deadline_s
    )


def test_the_first_word_is_hello_and_nothing_else_follows_before_welcome() -> None:
    session = fresh()
    (hello,) = session.on_connected(0.0)
    assert isinstance(hello, do.Send) and isinstance(hello.frame, frames.Hello)
    assert (hello.frame.dial, hello.frame.last_connection_epoch, hello.frame.telemetry_acked) == (1, 0, 4)
    assert session.on_telemetry_waiting() == []
    assert session.on_policy_result(OFFER) == []
    assert session.on_tick(9.9) == []


def test_welcome_begins_with_a_heartbeat_and_the_telemetry_that_is_missing() -> None:
    session = fresh()
    session.on_connected(0.0)
    actions = session.on_frame(msgspec.structs.replace(WELCOME, telemetry_acked=9), 1.0)
    assert of(actions, do.Joined) and of(actions, do.TelemetryStored) == [do.TelemetryStored(9)]
    (beat,) = sent(actions, frames.Heartbeat)
    assert (beat.seq, beat.device) == (1, {"device.battery_pct": 50.0})
    assert [read.after_seq for read in of(actions, do.ReadTelemetry)] == [9]
    assert session.connection_epoch == 3


def test_the_next_hello_names_the_epoch_and_counts_the_dial() -> None:
    session = live()
    session.on_closed(1.0)
    (hello,) = sent(session.on_connected(2.0), frames.Hello)
    assert (hello.last_connection_epoch, hello.dial) == (3, 2)


@pytest.mark.parametrize("frame", [frames.Cancel(attempt="a"), generate(), frames.HeartbeatAck(seq=1, echo=0.0)])
def test_other_frames_before_welcome_are_a_fault(frame: frames.GatewayFrame) -> None:
    session = fresh()
    session.on_connected(0.0)
    actions = session.on_frame(frame, 0.0)
    assert of(actions, do.Close) == [do.Close(4504, "unexpected_frame")]
    assert session.on_frame(WELCOME, 0.1) == []


def test_a_protocol_that_was_not_offered_is_a_fault() -> None:
    session = fresh()
    session.on_connected(0.0)
    assert of(session.on_frame(msgspec.structs.replace(WELCOME, protocol=9), 0.0), do.Close)


def test_a_gateway_that_never_answers_is_given_up() -> None:
    session = fresh()
    session.on_connected(5.0)
    assert session.deadline() == 15.0
    assert of(session.on_tick(15.0), do.Close) == [do.Close(4500, "session_error")]


def test_heartbeats_keep_the_servers_interval() -> None:
    session = live()
    assert session.deadline() == 2.0
    assert session.on_tick(1.9) == []
    (beat,) = sent(session.on_tick(2.0), frames.Heartbeat)
    assert beat.seq == 2 and session.deadline() == 4.0


def test_any_frame_is_a_sign_of_life_and_silence_is_death() -> None:
    session = live()
    session.on_tick(6.0)
    session.on_frame(frames.Cancel(attempt="nobody"), 6.5)
    assert not of(session.on_tick(13.4), do.Close)
    assert of(session.on_tick(13.5), do.Close) == [do.Close(4500, "session_error")]


def test_the_round_trip_is_the_median_of_three_echoes() -> None:
    session = live()
    for seq, trip in enumerate([0.05, 0.9, 0.06], start=1):
        at = 2.0 * seq
        session.on_frame(frames.HeartbeatAck(seq=seq, echo=at - trip), at)
        (beat,) = sent(session.on_tick(at), frames.Heartbeat)
    assert beat.rtt_ms == pytest.approx(60.0)
    session.on_frame(frames.HeartbeatAck(seq=1, echo=0.0), 6.0)
    assert session.rtt_ms == pytest.approx(60.0)
    session.on_closed(7.0)
    assert session.rtt_ms is None


def test_an_attempt_is_served_and_ends_once() -> None:
    session = live()
    (start,) = session.on_frame(generate(), 1.0)
    assert isinstance(start, do.StartAttempt) and start.state == make_state(max_tokens=4)
    assert session.on_frame(generate(), 1.0) == []
    assert sent(session.on_chunk("a", Chunk(0, (7, 8), "hi")), frames.Frame) == [
        frames.Tokens(attempt="a", n0=0, ids=(7, 8), text="hi")
    ]
    assert sent(session.on_chunk("a", Chunk(2, (), "", "stop", Usage(3, 2))), frames.Frame) == [
        frames.Finished(attempt="a", finish="stop", usage=frames.UsageReport(prompt_tokens=3, completion_tokens=2))
    ]
    assert session.on_chunk("a", Chunk(2, (9,), "late")) == []
    assert session.on_failed("a", TierError("late")) == []


def test_text_that_was_held_back_travels_in_the_frame_of_the_end() -> None:
    session = live()
    session.on_frame(generate(), 1.0)
    assert sent(session.on_chunk("a", Chunk(2, (), "…", "stop")), frames.Frame) == [
        frames.Finished(attempt="a", finish="stop", text="…")
    ]


def test_a_cancelled_attempt_is_silent_for_ever() -> None:
    session = live()
    session.on_frame(generate(), 1.0)
    assert session.on_frame(frames.Cancel(attempt="a"), 1.1) == [do.CancelAttempt("a")]
    assert session.on_frame(frames.Cancel(attempt="a"), 1.2) == []
    assert session.on_chunk("a", Chunk(0, (1,), "x")) == []


def test_attempts_die_with_their_link() -> None:
    session = live()
    session.on_frame(generate("a"), 1.0)
    session.on_frame(generate("b"), 1.0)
    assert of(session.on_closed(2.0), do.CancelAttempt) == [do.CancelAttempt("a"), do.CancelAttempt("b")]
    assert session.on_chunk("a", Chunk(0, (1,), "x")) == []


def test_a_deadline_ends_an_attempt_on_the_node() -> None:
    session = live()
    session.on_frame(generate(deadline_s=0.5), 1.0)
    assert session.deadline() == 1.5
    actions = session.on_tick(1.5)
    assert of(actions, do.CancelAttempt) == [do.CancelAttempt("a")]
    assert [failed.error.code for failed in sent(actions, frames.Failed)] == ["tier_timeout"]


def test_a_state_that_does_not_decode_fails_the_attempt_and_not_the_link() -> None:
    session = live()
    bad = frames.Generate(attempt="a", state=msgspec.Raw(msgspec.msgpack.encode({"prompt_ids": "no"})))
    actions = session.on_frame(bad, 1.0)
    assert [failed.error.code for failed in sent(actions, frames.Failed)] == ["frame_malformed"]
    assert session.phase == "live"


def batch(first: int, count: int = 2) -> TelemetryBatch:
    return TelemetryBatch(first, tuple(frames.TelemetryRecord(float(first + n), "device") for n in range(count)))


def test_telemetry_goes_batch_by_batch() -> None:
    session = live()
    assert [frame.first_seq for frame in sent(session.on_telemetry(batch(5)), frames.Telemetry)] == [5]
    assert session.on_telemetry_waiting() == []
    actions = session.on_frame(frames.TelemetryAck(stream="s", seq=6), 1.0)
    assert actions == [do.TelemetryStored(6), do.ReadTelemetry(6, 256)]


def test_telemetry_without_progress_waits_for_the_next_heartbeat() -> None:
    session = live()
    session.on_telemetry(batch(5))
    assert session.on_frame(frames.TelemetryAck(stream="s", seq=4), 1.0) == []
    assert [read.after_seq for read in of(session.on_tick(2.0), do.ReadTelemetry)] == [4]


def test_telemetry_under_way_when_the_link_broke_is_sent_again() -> None:
    session = live()
    session.on_telemetry(batch(5))
    session.on_closed(1.0)
    session.on_connected(2.0)
    assert [read.after_seq for read in of(session.on_frame(WELCOME, 2.0), do.ReadTelemetry)] == [4]


def command(number: int) -> frames.Command:
    return frames.Command(id=f"c{number}", idempotency_key="k", name="warm")


def test_a_command_runs_once_even_over_a_reconnection() -> None:
    session = live()
    first = session.on_frame(command(1), 1.0)
    assert of(first, do.RunCommand) and [ack.stage for ack in sent(first, frames.CommandAck)] == ["received"]
    session.on_closed(2.0)
    assert session.on_command_result("k", CommandResult("done", {"n": 1})) == []
    session.on_connected(3.0)
    session.on_frame(WELCOME, 3.0)
    again = session.on_frame(command(2), 4.0)
    assert again == [do.Send(frames.CommandAck(id="c2", stage="done", detail={"n": 1}))]


def test_a_policy_is_applied_once_and_remembered_in_hello() -> None:
    session = live()
    assert session.on_frame(OFFER, 1.0) == [do.ApplyPolicy(OFFER, "ed25519:k")]
    error = PolicyBundleError("bad", refusal="expired")
    (refused,) = sent(session.on_policy_result(OFFER, error), frames.PolicyStatus)
    assert (refused.applied, refused.version, refused.refusal) == (False, 3, "expired")
    assert refused.error.code == "policy_bundle_refused"
    assert session.on_frame(OFFER, 1.1) == [do.ApplyPolicy(OFFER, "ed25519:k")]
    session.on_policy_result(OFFER)
    applied = frames.PolicyStatus(digest="d", applied=True, version=3, policy_version=2)
    assert session.on_frame(OFFER, 1.2) == [do.Send(applied)]
    session.on_closed(2.0)
    (hello,) = sent(session.on_connected(3.0), frames.Hello)
    assert hello.policy_digest == "d"


def reconnect(session: NodeSession, now: float, error: EdgewiseError | None = None) -> do.ReconnectAt:
    (found,) = of(session.on_closed(now, error), do.ReconnectAt)
    assert isinstance(found, do.ReconnectAt)
    return found


@pytest.mark.parametrize("kind", [NodeKeyError, ModelDigestError, SupersededError])
def test_what_a_person_must_mend_is_retried_slowly(kind: type[EdgewiseError]) -> None:
    session = fresh()
    session.on_connected(0.0)
    assert of(session.on_frame(frames.Reject(error=kind("no").info()), 1.0), do.Close)
    plan = reconnect(session, 1.0)
    assert plan.final and plan.error == kind("no").info() and 31.0 <= plan.at <= 61.0


def test_other_ends_are_retried_at_once_and_then_wider() -> None:
    session = live()
    plan = reconnect(session, 1.0)
    assert not plan.final and 1.0 <= plan.at <= 1.25
    assert reconnect(session, 2.0, SessionError("unreachable")).error == SessionError("unreachable").info()


@pytest.mark.parametrize(("slot_s", "wait_s"), [(12.5, 12.5), (80_000.0, 3600.0), (0.0, 0.0)])
def test_a_slot_is_obeyed_within_reason(slot_s: float, wait_s: float) -> None:
    session = live()
    session.on_frame(frames.Goodbye(reason="drain", reconnect_after_s=slot_s), 1.0)
    assert reconnect(session, 1.0).at == 1.0 + wait_s


def test_a_slot_comes_before_the_slow_retry() -> None:
    session = fresh()
    session.on_connected(0.0)
    session.on_frame(frames.Reject(error=ModelDigestError("not yet", retry_after_s=3.0).info()), 1.0)
    plan = reconnect(session, 1.0)
    assert plan.at == 4.0 and not plan.final


def test_a_busy_gateway_gives_the_slot_with_its_error() -> None:
    assert reconnect(fresh(), 1.0, SessionError("503", retry_after_s=4.0)).at == 5.0


def test_a_fault_of_the_gateway_is_named_in_goodbye() -> None:
    session = live()
    actions = session.on_fault(FrameMalformedError("noise"))
    assert [word.reason for word in sent(actions, frames.Goodbye)] == ["frame_malformed"]
    assert of(actions, do.Close) == [do.Close(4503, "frame_malformed")]
    assert session.on_fault(FrameMalformedError("more noise")) == []


def test_leaving_says_goodbye_and_plans_nothing() -> None:
    session = live()
    session.on_frame(generate(), 0.5)
    actions = session.on_leave()
    assert sent(actions, frames.Goodbye) and of(actions, do.Close) == [do.Close(1000, "leaving")]
    assert session.on_closed(1.0) == [do.CancelAttempt("a")]


def test_the_key_is_in_no_representation() -> None:
    session = fresh()
    assert "ek_secret" not in f"{IDENTITY!r} {session.on_connected(0.0)!r}"


MODELS = (
    frames.ModelOffer(
        name="small",
        version="v2",
        weights_digest="1",
        tokenizer_digest="2",
        template_digest="3",
        numerics_id="n",
        context_tokens=64,
    ),
)


def test_other_models_are_offered_by_a_new_dial_at_once_where_nothing_runs() -> None:
    session = live()
    assert session.on_models(()) == []
    assert session.on_models(MODELS) == [do.Close(1000, "models changed", drained=True)]
    assert session.on_frame(generate(), 1.0) == []
    (again,) = of(session.on_closed(5.0), do.ReconnectAt)
    assert (again.at, again.error, again.final) == (5.0, None, False)
    (hello,) = sent(session.on_connected(6.0), frames.Hello)
    assert hello.models == MODELS
    session.on_frame(WELCOME, 6.0)
    assert of(session.on_frame(generate(), 6.0), do.StartAttempt)


def test_attempts_that_run_end_before_other_models_are_offered_and_new_ones_are_refused() -> None:
    session = live()
    for attempt in ("a", "b", "c"):
        session.on_frame(generate(attempt), 1.0)
    assert session.on_models(MODELS) == []
    (refused,) = sent(session.on_frame(generate("d"), 1.0), frames.Failed)
    assert refused.error.code == "tier_refused" and refused.error.retry_after_s
    assert not of(session.on_chunk("a", Chunk(0, (1,), "x", "stop", Usage(1, 1))), do.Close)
    assert not of(session.on_frame(frames.Cancel(attempt="b"), 2.0), do.Close)
    last = session.on_failed("c", TierError("no"))
    assert [type(action) for action in last] == [do.Send, do.Close]


def test_models_that_change_before_the_first_hello_need_no_second_one() -> None:
    session = fresh()
    assert session.on_models(MODELS) == []
    (hello,) = sent(session.on_connected(0.0), frames.Hello)
    assert hello.models == MODELS
    session.on_frame(WELCOME, 0.0)
    assert of(session.on_frame(generate(), 1.0), do.StartAttempt)


def test_models_that_are_as_the_hello_said_again_need_no_new_one() -> None:
    session = live()
    session.on_frame(generate("a"), 1.0)
    assert session.on_models(MODELS) == [] == session.on_models(())
    assert of(session.on_frame(generate("b"), 1.0), do.StartAttempt)
    assert not of(session.on_chunk("a", Chunk(0, (1,), "x", "stop", Usage(1, 1))), do.Close)
