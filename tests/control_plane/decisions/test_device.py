"""From a device's records to decisions: facts of the table in their own type, and no words of anybody's client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.decisions.device import Reporter, device_event
from control_plane.decisions.records import Decided, Finished
from edgewise.wire.frames import Scalar
from policies import FACTS
from tests.control_plane.decisions.events import sid
from tests.control_plane.telemetry.batches import answer, decision
from tests.factories.admin import NOON

BY = Reporter("phone", "key-7", "acme")
STEP = {"mode": "cloud", "max_tokens": 3, "reason": ""}
SCALARS = st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


def test_a_decision_belongs_to_the_nodes_key_and_tenant() -> None:
    told = decision(sid(1), clamped=True).values | {"request.tenant": "device", "device.id": "somebody else"}
    event = device_event(BY, NOON, "decision", told)
    assert isinstance(event, Decided)
    assert (event.stream_id, event.tenant, event.key_id, event.origin) == (sid(1), "acme", "key-7", "device")
    assert (event.mode, event.rule, event.policy_digest, event.model) == ("edge", "offline", "abc", "edgewise")
    assert event.reason == "decided on device phone, changed by an invariant"
    assert event.facts["device.id"] == "phone" and event.facts["request.complexity"] == 0.25


@pytest.mark.parametrize(
    ("finish", "status", "code"),
    [("stop", "done", ""), ("length", "done", ""), ("cancelled", "cancelled", ""), ("error", "failed", "stalled")],
)
def test_the_end_has_the_states_of_every_other_answer(finish: str, status: str, code: str) -> None:
    told = answer(sid(1), finish=finish, error_code="stalled", first_token_s=0.0)
    event = device_event(BY, NOON, told.kind, told.values)
    assert isinstance(event, Finished)
    assert (event.status, event.finish, event.error_code, event.tier) == (status, finish, code, "edge:phone")
    assert (event.prompt_tokens, event.completion_tokens, event.first_token_s, event.total_s) == (3, 9, None, 0.5)


def test_words_of_a_client_do_not_get_in() -> None:
    words = "please call my mother"
    told: dict[str, Scalar] = {
        "request.wants_device": words,
        "request.task": words,
        "request.complexity": words,
        "prompt": words,
        "device.present": 1,
        "request.turns": True,
    }
    record = decision(sid(1))
    event = device_event(BY, NOON, record.kind, record.values | told)
    assert isinstance(event, Decided)
    assert not set(told) & set(event.facts) and words not in repr(event)


@given(
    kind=st.sampled_from(["decision", "answer", "device", ""]),
    values=st.dictionaries(st.sampled_from(["stream", "mode", "terms", "finish", "total_s", *FACTS]), SCALARS),
)
def test_a_record_of_any_form_is_an_event_or_nothing(kind: str, values: dict[str, Scalar]) -> None:
    event = device_event(BY, NOON, kind, values)
    assert event is None or kind in ("decision", "answer")


@pytest.mark.parametrize(
    ("told", "terms"),
    [
        ("{}", {}),
        ('{"max_tokens":64,"redact":"secret"}', {"max_tokens": 64, "redact": "secret"}),
        ('{"timeouts":{"soft_s":0.8},"poem":"roses"}', {"timeouts": {"soft_s": 0.8}}),
        ('{"fallback":[{"mode":"cloud","max_tokens":3,"reason":""}]}', {"fallback": [STEP]}),
        ("", None),
        ("roses are red", None),
        ('{"max_tokens":"roses"}', None),
        ('{"timeouts":{"total_s":1e999}}', None),
        ("\ud83d", None),
        ('{"max_tokens":1' + " " * 5000 + "}", None),
        ("[" * 3000, None),
    ],
)
def test_terms_are_taken_in_their_own_types_or_not_at_all(told: str, terms: dict[str, Any] | None) -> None:
    """An older device tells none; what a newer one tells may not be understood. The decision stands either way."""
    record = decision(sid(1), terms=told)
    event = device_event(BY, NOON, record.kind, record.values)
    assert isinstance(event, Decided)
    assert event.terms == terms


@pytest.mark.parametrize("stream", ["", "x", "0" * 25 + "!", "0" * 27, 7])
def test_a_stream_id_must_be_one(stream: Scalar) -> None:
    assert device_event(BY, NOON, "decision", decision(sid(1)).values | {"stream": stream}) is None
