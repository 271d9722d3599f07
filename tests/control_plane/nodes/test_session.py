"""The gateway's machine: hello first, attempts that end once, ids without gaps, and every rule of docs/protocol.md."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from control_plane.nodes import actions as do
from control_plane.nodes.actions import Grant
from control_plane.nodes.session import GatewayConfig, GatewaySession
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire import frames
from edgewise.wire.errors import (
    FrameMalformedError,
    MessageTooLongError,
    NodeKeyError,
    SessionError,
    SupersededError,
    TierError,
    TierLostError,
    TierRefusedError,
)
from tests.factories.states import make_state

CONFIG = GatewayConfig(heartbeat_s=2.0, lost_after_s=7.0, hello_timeout_s=5.0)
HELLO = frames.Hello(
    protocol_min=1, protocol_max=1, node_id="phone", key="ek_secret", kind="edge", telemetry_stream="s"
)
OFFER = frames.PolicyOffer(digest="d", version=3, bundle=b"rules", policy_version=2)


def live(hello: frames.Hello = HELLO, grant: Grant | None = None) -> GatewaySession:
    session = GatewaySession(0.0, CONFIG)
    session.on_frame(hello, 0.0)
    session.on_admitted(grant or Grant(1, 0.0), 0.0)
    return session


def sent(actions: list[Any]) -> list[Any]:
    return [action.frame for action in actions if isinstance(action, do.Send)]


def of(actions: list[Any], kind: type[Any]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def tokens(n0: int, *ids: int, attempt: str = "a", text: str = "x") -> frames.Tokens:
    return frames.Tokens(attempt=attempt, n0=n0, ids=ids, text=text)


def test_hello_asks_for_admission_and_then_the_gateway_speaks_first() -> None:
    session = GatewaySession(0.0, CONFIG)
    assert session.on_frame(HELLO, 0.0) == [do.Admit(HELLO)]
    (welcome,) = sent(session.on_admitted(Grant(7, 99.0, telemetry_acked=5), 0.1))
    assert (welcome.protocol, welcome.connection_epoch, welcome.telemetry_acked) == (1, 7, 5)
    assert (welcome.heartbeat_s, welcome.lost_after_s, welcome.server_time_s) == (2.0, 7.0, 99.0)


@pytest.mark.parametrize(("low", "high", "upgrade"), [(0, 0, "upgrade the node"), (2, 9, "upgrade the control plane")])
def test_no_common_protocol_names_both_ranges(low: int, high: int, upgrade: str) -> None:
    hello = msgspec.structs.replace(HELLO, protocol_min=low, protocol_max=high)
    actions = GatewaySession(0.0, CONFIG).on_frame(hello, 0.0)
    (reject,) = sent(actions)
    assert reject.error.number == 1501
    assert f"{low} to {high}" in reject.error.message and "1 to 1" in reject.error.expected
    assert reject.error.remedy == upgrade
    assert of(actions, do.Close) == [do.Close(4501, "protocol_too_old")]


@pytest.mark.parametrize("frame", [tokens(0, 1), frames.Heartbeat(seq=1, sent_at=0.0)])
@pytest.mark.parametrize("said_hello", [False, True])
def test_whoever_speaks_before_welcome_is_rejected(frame: frames.NodeFrame, said_hello: bool) -> None:
    session = GatewaySession(0.0, CONFIG)
    if said_hello:
        session.on_frame(HELLO, 0.0)
    actions = session.on_frame(frame, 0.0)
    assert [type(word) for word in sent(actions)] == [frames.Reject]
    assert of(actions, do.Close) == [do.Close(4504, "unexpected_frame")]
    assert session.on_admitted(Grant(1, 0.0), 0.0) == []


def test_a_second_hello_is_a_fault() -> None:
    actions = live().on_frame(HELLO, 1.0)
    assert [word.reason for word in sent(actions)] == ["unexpected_frame"]


def test_a_refusal_is_a_reject_with_the_reason() -> None:
    session = GatewaySession(0.0, CONFIG)
    session.on_frame(HELLO, 0.0)
    actions = session.on_refused(NodeKeyError("no", remedy="ask"))
    assert sent(actions) == [frames.Reject(error=NodeKeyError("no", remedy="ask").info())]
    assert of(actions, do.Close) == [do.Close(4505, "node_key_invalid")]


def test_hello_must_come_in_time() -> None:
    session = GatewaySession(0.0, CONFIG)
    assert session.deadline() == 5.0 and session.on_tick(4.9) == []
    assert [type(word) for word in sent(session.on_tick(5.0))] == [frames.Reject]
    assert session.deadline() is None


def test_silence_ends_the_session_and_its_attempts() -> None:
    session = live()
    session.start("a", make_state())
    session.on_frame(tokens(0, 1), 4.0)
    assert session.on_tick(10.9) == []
    actions = session.on_tick(11.0)
    (ended,) = of(actions, do.AttemptEnded)
    assert isinstance(ended.error, TierLostError)
    assert of(actions, do.Close) and session.on_closed() == []


def test_heartbeats_are_echoed_and_reported() -> None:
    beat = frames.Heartbeat(seq=4, sent_at=12.5)
    assert live().on_frame(beat, 1.0) == [do.Send(frames.HeartbeatAck(seq=4, echo=12.5)), do.Reported(beat)]


def test_an_attempt_is_delivered_and_ends_once() -> None:
    session = live()
    (generate,) = sent(session.start("a", make_state(max_tokens=3), 9.0))
    assert generate.attempt == "a" and generate.deadline_s == 9.0
    assert session.on_frame(tokens(0, 5, 6), 1.0) == [do.Deliver("a", Chunk(0, (5, 6), "x"))]
    usage = frames.UsageReport(prompt_tokens=3, completion_tokens=2)
    finished = frames.Finished(attempt="a", finish="stop", usage=usage)
    assert session.on_frame(finished, 1.0) == [do.AttemptEnded("a", "stop", Usage(3, 2))]
    assert session.on_frame(finished, 1.0) == []
    assert session.on_frame(frames.Failed(attempt="a", error=TierError("late").info()), 1.0) == []
    assert session.on_frame(tokens(2, 7), 1.0) == []
    assert session.cancel("a") == [] and session.on_closed() == []


def test_text_that_was_held_back_comes_with_the_end() -> None:
    session = live()
    session.start("a", make_state(max_tokens=3), 9.0)
    finished = frames.Finished(attempt="a", finish="stop", text="…")
    assert session.on_frame(finished, 1.0) == [do.AttemptEnded("a", "stop", text="…")]


@pytest.mark.parametrize("frame", [tokens(1, 5), tokens(0, 1, 2, 3, 4)], ids=["gap", "over the budget"])
def test_ids_that_leave_a_gap_or_the_budget_end_the_attempt(frame: frames.Tokens) -> None:
    session = live()
    session.start("a", make_state(max_tokens=3))
    actions = session.on_frame(frame, 1.0)
    assert sent(actions) == [frames.Cancel(attempt="a")]
    (ended,) = of(actions, do.AttemptEnded)
    assert isinstance(ended.error, TierError)


def test_a_continuation_begins_where_its_state_ends() -> None:
    session = live()
    session.start("a", make_state(max_tokens=9, output_ids=(1, 2, 3)))
    assert of(session.on_frame(tokens(3, 4), 1.0), do.Deliver)


def test_text_without_ids_keeps_its_place() -> None:
    session = live()
    session.start("a", make_state())
    assert of(session.on_frame(tokens(0, text="Hi"), 1.0), do.Deliver)
    assert of(session.on_frame(tokens(0, text=" you"), 1.0), do.Deliver)


def test_tokens_of_a_stranger_are_cancelled_once() -> None:
    session = live()
    assert session.on_frame(tokens(0, 1, attempt="ghost"), 1.0) == [do.Send(frames.Cancel(attempt="ghost"))]
    assert session.on_frame(tokens(1, 2, attempt="ghost"), 1.0) == []


def test_cancel_ends_the_attempt_here_and_its_late_tokens_are_ignored() -> None:
    session = live()
    session.start("a", make_state())
    assert session.cancel("a") == [do.Send(frames.Cancel(attempt="a")), do.AttemptEnded("a")]
    assert session.cancel("a") == [] and session.on_frame(tokens(0, 1), 1.0) == []


def test_attempt_ids_are_never_used_again() -> None:
    session = live()
    session.start("a", make_state())
    session.cancel("a")
    with pytest.raises(TierError):
        session.start("a", make_state())


def test_a_tiers_own_errors_keep_their_class_and_others_their_number() -> None:
    session = live()
    for attempt in ("a", "b"):
        session.start(attempt, make_state())
    refused = frames.Failed(attempt="a", error=TierRefusedError("full", retry_after_s=1.0).info())
    too_long = frames.Failed(attempt="b", error=MessageTooLongError("too long").info())
    (first,), (second,) = session.on_frame(refused, 1.0), session.on_frame(too_long, 1.0)
    assert isinstance(first, do.AttemptEnded) and isinstance(first.error, TierRefusedError)
    assert isinstance(second, do.AttemptEnded) and isinstance(second.error, TierError)
    assert second.error.info().number == 1103 and not second.error.info().retryable


def test_nothing_starts_on_a_node_that_is_not_there() -> None:
    with pytest.raises(TierLostError):
        GatewaySession(0.0, CONFIG).start("a", make_state())
    session = live()
    session.on_closed()
    with pytest.raises(TierLostError):
        session.start("a", make_state())
    with pytest.raises(SessionError):
        session.command(frames.Command(id="c", idempotency_key="k", name="n"))


@pytest.mark.parametrize("goodbye", [True, False])
def test_every_open_attempt_ends_with_the_session(goodbye: bool) -> None:
    session = live()
    for attempt in ("a", "b"):
        session.start(attempt, make_state())
    actions = session.on_frame(frames.Goodbye(reason="leaving"), 1.0) if goodbye else session.on_closed()
    assert [ended.attempt for ended in of(actions, do.AttemptEnded)] == ["a", "b"]
    assert session.on_closed() == [] and session.open_attempts == 0


def test_being_sent_away_carries_the_slot() -> None:
    actions = live().dismiss(SupersededError("newer"), reconnect_after_s=3.0)
    (word,) = sent(actions)
    assert (word.reason, word.reconnect_after_s, word.error.number) == ("superseded", 3.0, 1506)
    assert of(actions, do.Close) == [do.Close(4506, "superseded")]


@pytest.mark.parametrize(("known", "offers"), [("", [OFFER]), ("d", [])])
def test_a_policy_is_offered_unless_the_node_has_it(known: str, offers: list[frames.PolicyOffer]) -> None:
    session = GatewaySession(0.0, CONFIG)
    session.on_frame(msgspec.structs.replace(HELLO, policy_digest=known), 0.0)
    welcome, *rest = sent(session.on_admitted(Grant(1, 0.0, policy=OFFER, policy_key="k"), 0.0))
    assert (welcome.policy_digest, welcome.policy_key) == ("d", "k") and rest == offers


def test_a_bundle_is_offered_once_and_again_after_another_one() -> None:
    session, other = live(), frames.PolicyOffer(digest="e", version=4, bundle=b"others")
    assert [sent(session.offer_policy(offer)) for offer in (OFFER, OFFER, other, OFFER)] == [
        [OFFER],
        [],
        [other],
        [OFFER],
    ]


def answer(offer: frames.PolicyOffer, *, applied: bool = False) -> frames.PolicyStatus:
    return frames.PolicyStatus(digest=offer.digest, applied=applied, version=offer.version, refusal="expired")


def test_a_refused_bundle_is_offered_again_each_time_after_a_longer_while() -> None:
    session, now, alive = live(), 0.0, frames.CommandAck(id="c", stage="progress")
    session.offer_policy(OFFER)
    for wait_s in (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0):
        session.on_frame(answer(OFFER), now)
        due = now + wait_s
        for at in (*map(float, range(int(now), int(due) - 5, 5)), due - 1.0):
            session.on_frame(alive, at)
            assert session.on_tick(at) == [] and session.offer_policy(OFFER) == []
        assert session.deadline() == due and sent(session.on_tick(due)) == [OFFER]
        now = due
    session.on_frame(answer(OFFER, applied=True), now)
    assert session.deadline() == now + CONFIG.lost_after_s


def test_another_bundle_is_offered_at_once_and_answers_to_the_one_before_say_nothing_of_it() -> None:
    session, other = live(), frames.PolicyOffer(digest="e", version=4, bundle=b"others")
    session.offer_policy(OFFER)
    session.on_frame(answer(OFFER), 1.0)
    assert sent(session.offer_policy(other)) == [other]
    session.on_frame(answer(OFFER), 2.0)
    assert session.deadline() == 2.0 + CONFIG.lost_after_s
    for now in range(3, 90):
        session.on_frame(frames.CommandAck(id="c", stage="progress"), float(now))
        assert session.on_tick(float(now)) == []


def test_telemetry_is_handed_over_and_acknowledged_when_stored() -> None:
    session = live()
    batch = frames.Telemetry(stream="s", first_seq=1, records=(frames.TelemetryRecord(1.0, "device"),))
    assert session.on_frame(batch, 1.0) == [do.StoreTelemetry(batch)]
    assert sent(session.on_telemetry_stored("s", 1)) == [frames.TelemetryAck(stream="s", seq=1)]
    foreign = msgspec.structs.replace(batch, stream="another")
    assert of(session.on_frame(foreign, 1.0), do.Close)
    assert session.on_telemetry_stored("s", 2) == []


def test_a_frame_that_does_not_decode_closes_with_its_number() -> None:
    assert of(live().on_fault(FrameMalformedError("noise")), do.Close) == [do.Close(4503, "frame_malformed")]
