"""Trace context by the W3C's rules: what is taken, what is refused, and what a task hands on."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.observability import context as trace
from edgewise.observability.context import TraceContext, parse_traceparent

HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDS = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_header_comes_back_as_it_went() -> None:
    assert parse_traceparent(HEADER) == TraceContext(*IDS, sampled=True)
    assert TraceContext(*IDS, sampled=True).traceparent == HEADER


@pytest.mark.parametrize(
    "header",
    [
        f"01-{IDS[0]}-{IDS[1]}-01",
        f"01-{IDS[0]}-{IDS[1]}-01-what-comes-later",
        f"00-{IDS[0]}-{IDS[1]}-03",
    ],
)
def test_later_versions_and_unknown_flags_are_read(header: str) -> None:
    assert parse_traceparent(header) == TraceContext(*IDS, sampled=True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "junk",
        HEADER.upper(),
        f"ff-{IDS[0]}-{IDS[1]}-01",
        f"00-{'0' * 32}-{IDS[1]}-01",
        f"00-{IDS[0]}-{'0' * 16}-01",
        f"{HEADER}-more",
        HEADER[:-1],
        HEADER + "x" * 300,
    ],
)
def test_what_is_broken_is_as_good_as_absent(header: str) -> None:
    assert parse_traceparent(header) is None


@given(st.text(max_size=80))
def test_nothing_that_a_client_sends_raises(header: str) -> None:
    found = parse_traceparent(header)
    assert found is None or parse_traceparent(found.traceparent) == found


def test_a_child_stays_in_its_trace() -> None:
    parent = TraceContext(*IDS, sampled=True)
    child = parent.child()
    assert (child.trace_id, child.sampled) == (IDS[0], True)
    assert child.span_id not in (IDS[1], parent.child().span_id)


async def test_a_task_has_the_context_of_the_one_that_began_it() -> None:
    async def inner() -> str:
        return trace.outgoing_traceparent()

    assert await asyncio.create_task(inner()) == ""
    token = trace.enter(TraceContext(*IDS, sampled=True))
    assert await asyncio.create_task(inner()) == HEADER
    assert trace.outgoing_headers() == {"traceparent": HEADER}
    trace.leave(token)
    assert trace.outgoing_headers() == {}


async def test_an_error_outside_of_any_trace_begins_one_that_stays() -> None:
    first = trace.current_trace_id()
    assert len(first) == 32
    assert trace.current_trace_id() == first
    trace.adopt(HEADER)
    assert trace.current_trace_id() == first


async def test_a_clients_context_is_adopted_once() -> None:
    trace.adopt("junk")
    trace.adopt(HEADER)
    assert trace.current_trace_id() == IDS[0]


async def test_a_job_goes_on_in_the_trace_that_asked_for_it() -> None:
    payload: dict[str, object] = {"sid": "s"}
    trace.into_payload(payload)
    assert payload == {"sid": "s"}
    trace.enter(TraceContext(*IDS, sampled=True))
    trace.into_payload(payload)
    found = trace.from_payload(payload)
    assert (found.trace_id, found.sampled) == (IDS[0], True)
    assert found.span_id != IDS[1]
    assert len(trace.from_payload({"traceparent": 7}).trace_id) == 32
