"""The socket's state machine: no more frames than credits, in order, none after the end; no message breaks it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgewise.api.socket_messages import (
    CREDIT_MAX,
    Cancelled,
    End,
    Error,
    Frame,
    Limits,
    Pong,
    Unsubscribed,
    encode_message,
)
from edgewise.api.socket_session import (
    Action,
    Follow,
    HangUp,
    Leave,
    Open,
    Resume,
    Say,
    SocketSession,
    Stop,
    Subscription,
)
from edgewise.streams.log import Record
from edgewise.wire.errors import StreamNotFoundError

SIDS = ["s1", "s2", "s3"]


def text(**fields: Any) -> str:
    return json.dumps(fields)


def record(seq: int) -> Record:
    return Record(seq, 1, b"")


def subscribed(session: SocketSession, sid: str = "s1", credit: int = 1) -> Subscription:
    (action,) = session.received(text(type="subscribe", id=sid, credit=credit))
    assert isinstance(action, Follow)
    return action.subscription


def error_of(actions: list[Action]) -> Error:
    assert isinstance(actions[0], Say)
    assert isinstance(actions[0].message, Error)
    return actions[0].message


def test_a_frame_costs_a_credit() -> None:
    session = SocketSession()
    one = subscribed(session, credit=2)
    assert session.frame(one, record(0), b"{}", last=True) == Frame("s1", msgspec.Raw(b"{}"), 0)
    assert session.frame(one, record(1), b"{}", last=False) == Frame("s1", msgspec.Raw(b"{}"))
    assert session.frame(one, record(1), b"{}", last=True) is None
    assert session.received(text(type="credit", id="s1", n=1)) == [Resume(one)]
    assert session.frame(one, record(1), b"{}", last=True) is not None
    assert session.end(one) == End("s1")
    assert session.frame(one, record(2), b"{}", last=True) is None
    assert session.end(one) is None
    assert session.received(text(type="credit", id="s1", n=1)) == []  # it crossed the end; no fault


def test_after_an_unsubscription_nothing_comes_and_the_stream_can_be_read_anew() -> None:
    session = SocketSession()
    one = subscribed(session)
    assert session.received(text(type="unsubscribe", id="s1")) == [Leave(one, Unsubscribed("s1"))]
    assert session.frame(one, record(0), b"{}", last=True) is None
    assert session.fail(one, StreamNotFoundError("gone").info()) is None
    assert subscribed(session) is not one


def test_a_message_for_one_stream_leaves_the_others_alone() -> None:
    session = SocketSession()
    subscribed(session, "s1")
    two = subscribed(session, "s2")
    session.received(text(type="unsubscribe", id="s1"))
    assert session.frame(two, record(0), b"{}", last=True) is not None


def test_a_second_subscription_is_refused_and_the_first_goes_on() -> None:
    session = SocketSession()
    one = subscribed(session)
    told = error_of(session.received(text(type="subscribe", id="s1")))
    assert (told.id, told.error["code"]) == ("", "socket_message_invalid")
    assert session.frame(one, record(0), b"{}", last=True) is not None


def test_streams_and_questions_share_one_limit() -> None:
    session = SocketSession(Limits(streams=2))
    subscribed(session, "s1")
    (opening,) = session.received(text(type="ask", ref="a", request={}))
    assert isinstance(opening, Open)
    told = error_of(session.received(text(type="subscribe", id="s2")))
    assert (told.id, told.error["code"]) == ("s2", "socket_limit")
    session.not_asked(opening.ask, StreamNotFoundError("no").info())
    subscribed(session, "s2")


def test_too_much_credit_is_refused() -> None:
    session = SocketSession()
    one = subscribed(session, credit=CREDIT_MAX)
    assert error_of(session.received(text(type="credit", id="s1", n=1))).error["code"] == "socket_limit"
    assert one.credit == CREDIT_MAX


def test_a_question_becomes_a_subscription() -> None:
    session = SocketSession()
    (opening,) = session.received(text(type="ask", ref="r", request={"model": "m"}, credit=3, idempotency_key="K"))
    assert isinstance(opening, Open)
    assert bytes(opening.ask.request) == b'{"model": "m"}'
    assert error_of(session.received(text(type="ask", ref="r", request={}))).ref == ""
    said, follow = session.asked(opening.ask, "s9", replayed=True)
    assert isinstance(said, Say)
    assert json.loads(encode_message(said.message)) == {"type": "asked", "ref": "r", "id": "s9", "replayed": True}
    assert isinstance(follow, Follow)
    assert follow.subscription.credit == 3


def test_goodbye_is_the_last_word() -> None:
    session = SocketSession()
    one = subscribed(session)
    session.goodbye(250)
    assert session.frame(one, record(0), b"{}", last=True) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "socket_message_invalid"),
        ("[]", "socket_message_invalid"),
        ("null", "socket_message_invalid"),
        ('{"type": "nonsense"}', "socket_message_invalid"),
        ('{"id": "s"}', "socket_message_invalid"),
        ('{"type": "subscribe"}', "socket_message_invalid"),
        ('{"type": "subscribe", "id": 7}', "socket_message_invalid"),
        ('{"type": "subscribe", "id": "s", "after": -2}', "socket_message_invalid"),
        ('{"type": "subscribe", "id": "s", "credit": 0}', "socket_message_invalid"),
        ('{"type": "credit", "id": "s", "n": 1e99}', "socket_message_invalid"),
        ('{"type": "ask", "ref": "%s", "request": {}}' % ("r" * 65), "socket_message_invalid"),
        ("[" * 100_000, "socket_message_invalid"),
        (b"{}", "socket_message_invalid"),
        ('{"type": "ping", "nonce": "%s"}' % ("好" * 300), "socket_limit"),
    ],
)
def test_a_faulty_message_is_told_what_is_wrong(message: str | bytes, code: str) -> None:
    session = SocketSession(Limits(message_bytes=800 if code == "socket_limit" else 2**20))
    assert error_of(session.received(message)).error["code"] == code


def test_too_many_faults_close_the_socket() -> None:
    session = SocketSession(Limits(faults=3))
    assert [len(session.received("?")) for _ in range(3)] == [1, 1, 2]
    assert isinstance(session.received("?")[-1], HangUp)


def test_ping_and_cancel() -> None:
    session = SocketSession()
    assert session.received(text(type="ping", nonce="n")) == [Say(Pong("n"))]
    assert session.received(text(type="cancel", id="s1")) == [Stop("s1")]
    assert session.not_stopped("s1", StreamNotFoundError("no").info()).id == "s1"
    subscribed(session)
    assert session.not_stopped("s1", StreamNotFoundError("no").info()).id == ""
    assert json.loads(encode_message(Cancelled("s1", "done", 4))) == {
        "type": "cancelled",
        "id": "s1",
        "status": "done",
        "last_seq": 4,
    }


words = st.sampled_from(["subscribe", "credit", "unsubscribe", "cancel", "ask", "ping", "frame", ""])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["id", "after", "credit", "n", "ref", "request", "nonce", "idempotency_key"])
objects = st.builds(lambda word, fields: {"type": word} | fields, words, st.dictionaries(names, values, max_size=5))
noise = st.text(max_size=40) | st.binary(max_size=20) | objects.map(json.dumps) | values.map(json.dumps)


@settings(max_examples=60, deadline=None)
@given(st.lists(noise, max_size=20))
def test_no_message_breaks_the_session(messages: list[str | bytes]) -> None:
    session = SocketSession(Limits(streams=4))
    for message in messages:
        actions = session.received(message)
        for action in actions:
            if isinstance(action, Say):
                json.loads(encode_message(action.message))
        assert len(session.subscriptions) + len(session.asking) <= 4
        closed = any(isinstance(action, HangUp) for action in actions)
        assert not closed or session.faults >= session.limits.faults


class Socket(RuleBasedStateMachine):
    """A client that does what it likes, and readers that push as hard as they can."""

    @initialize()
    def connect(self) -> None:
        self.session = SocketSession(Limits(streams=2, credit=20, faults=10**9))
        self.readers: list[Subscription] = []
        self.given: dict[int, int] = {}
        self.sent: dict[int, list[int]] = {}
        self.next_seq: dict[int, int] = {}
        self.ended: set[int] = set()

    def take(self, actions: list[Action], credit: int) -> None:
        for action in actions:
            if isinstance(action, Follow):
                reader = action.subscription
                self.readers.append(reader)
                self.given[id(reader)], self.sent[id(reader)], self.next_seq[id(reader)] = credit, [], 0
            if isinstance(action, Resume):
                self.given[id(action.subscription)] += credit
            if isinstance(action, Leave):
                self.ended.add(id(action.subscription))

    @rule(sid=st.sampled_from(SIDS), credit=st.integers(1, 8))
    def subscribe(self, sid: str, credit: int) -> None:
        self.take(self.session.received(text(type="subscribe", id=sid, credit=credit)), credit)

    @rule(sid=st.sampled_from(SIDS), n=st.integers(1, 30))
    def grant(self, sid: str, n: int) -> None:
        self.take(self.session.received(text(type="credit", id=sid, n=n)), n)

    @rule(sid=st.sampled_from(SIDS))
    def unsubscribe(self, sid: str) -> None:
        self.take(self.session.received(text(type="unsubscribe", id=sid)), 0)

    @rule(ref=st.sampled_from("ab"), sid=st.sampled_from(SIDS), credit=st.integers(1, 8))
    def ask(self, ref: str, sid: str, credit: int) -> None:
        for action in self.session.received(text(type="ask", ref=ref, request={}, credit=credit)):
            if isinstance(action, Open):
                self.take(self.session.asked(action.ask, sid, replayed=False), credit)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), frames=st.integers(1, 3))
    def push(self, data: st.DataObject, frames: int) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        place = id(reader)
        for frame in range(1, frames + 1):
            sent = self.session.frame(reader, record(self.next_seq[place]), b"{}", last=frame == frames)
            if sent is None:
                return
            assert place not in self.ended
            self.given[place] -= 1
            if sent.seq is not msgspec.UNSET:
                self.sent[place].append(sent.seq)
        self.next_seq[place] += 1

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data: st.DataObject, fails: bool) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        info = StreamNotFoundError("gone").info()
        told = self.session.fail(reader, info) if fails else self.session.end(reader)
        assert (told is None) == (id(reader) in self.ended)
        self.ended.add(id(reader))

    @invariant()
    def no_frame_without_credit_and_all_in_order(self) -> None:
        for reader in getattr(self, "readers", []):
            assert self.given[id(reader)] >= 0
            assert self.sent[id(reader)] == list(range(len(self.sent[id(reader)])))
            assert (id(reader) in self.ended) == reader.over

    @invariant()
    def a_socket_has_so_many_streams(self) -> None:
        if hasattr(self, "session"):
            assert len(self.session.subscriptions) <= 2


Socket.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestSocket = Socket.TestCase
