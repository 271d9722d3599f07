"""Refusals as engines word them (docs/adr/0045 names versions and places), in our numbers; and any other bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.upstreams.refusals import refusal
from edgewise.wire.errors import EdgewiseError, MessageTooLongError, TierRefusedError, UpstreamError

VLLM_TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 512 tokens. However, you requested 20 output tokens and your"
        " prompt contains at least 493 input tokens, for a total of at least 513 tokens.",
        "type": "BadRequestError",
        "param": "input_tokens",
        "code": 400,
    }
}
VLLM_NO_MODEL = {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}}
SGLANG_TOO_LONG = {
    "object": "error",
    "message": "The input (513 tokens) is longer than the model's context length (512 tokens).",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
SGLANG_BUSY = {"error": {"object": "error", "message": "The request queue is full.", "type": "SERVICE", "code": 503}}
TGI_TOO_LONG = {
    "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 512. Given: 500 `inputs` tokens",
    "error_type": "validation",
}
TGI_STREAMED = {"error": {"message": TGI_TOO_LONG["error"], "http_status_code": 422}}
TGI_BUSY = {"error": "Model is overloaded", "error_type": "overloaded"}
LLAMA_TOO_LONG = {
    "error": {
        "code": 400,
        "message": "request (513 tokens) exceeds the available context size (512 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 513,
        "n_ctx": 512,
    }
}
LLAMA_LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
OPENAI_TOO_LONG = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}
TRTLLM_TOO_LONG = {"object": "error", "message": "should not exceed max_seq_len (512)", "type": "x", "code": 400}


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (400, VLLM_TOO_LONG, MessageTooLongError, "493 input tokens"),
        (400, SGLANG_TOO_LONG, MessageTooLongError, "513 tokens"),
        (422, TGI_TOO_LONG, MessageTooLongError, "max_new_tokens"),
        (200, TGI_STREAMED, MessageTooLongError, "max_new_tokens"),
        (400, LLAMA_TOO_LONG, MessageTooLongError, "available context size"),
        (400, OPENAI_TOO_LONG, MessageTooLongError, "too long"),
        (400, TRTLLM_TOO_LONG, MessageTooLongError, "max_seq_len"),
        (500, VLLM_TOO_LONG, UpstreamError, "HTTP 500"),
        (200, SGLANG_BUSY, TierRefusedError, "queue is full"),
        (429, TGI_BUSY, TierRefusedError, "overloaded"),
        (200, TGI_BUSY, TierRefusedError, "overloaded"),
        (503, LLAMA_LOADING, TierRefusedError, "Loading model"),
        (529, {}, TierRefusedError, "529"),
        (404, VLLM_NO_MODEL, UpstreamError, "does not exist"),
        (200, {"error": {"message": "cuda gone"}}, UpstreamError, "cuda gone"),
        (200, {"error": {}}, UpstreamError, "error in its answer"),
    ],
)
def test_every_engines_words_get_our_number(status: int, body: object, error: type[EdgewiseError], says: str) -> None:
    found = refusal("cloud:up", json.dumps(body).encode(), status=status, retry_after_s=3.0)
    assert type(found) is error and says in found.message
    assert "cloud:up" in found.message and found.where == "cloud:up"
    assert found.retry_after_s == (None if error is MessageTooLongError else 3.0)


@pytest.mark.parametrize(
    ("status", "body", "remedy"),
    [
        (401, b"no", "api_key_env"),
        (403, b"no", "api_key_env"),
        (404, json.dumps(VLLM_NO_MODEL).encode(), "GET /v1/models"),
        (404, b"<html>", "base_url"),
    ],
)
def test_what_an_operator_can_do_is_said(status: int, body: bytes, remedy: str) -> None:
    assert remedy in refusal("cloud:up", body, status=status).remedy


ECHO = {"error": {"message": "Bad request: 'is a rate limit or an overloaded queue is full'", "code": 400}}


@pytest.mark.parametrize(("status", "busy"), [(400, False), (404, False), (422, False), (500, True), (200, False)])
def test_words_of_a_prompt_make_no_engine_busy(status: int, busy: bool) -> None:
    found = refusal("cloud:up", json.dumps(ECHO).encode(), status=status)
    assert isinstance(found, TierRefusedError) == busy


@pytest.mark.parametrize("status", [401, 403])
def test_what_may_quote_our_key_is_not_told(status: int) -> None:
    body = json.dumps({"error": {"message": "Incorrect API key: sk-made-up", "type": "x"}}).encode()
    found = refusal("cloud:up", body, status=status)
    streamed = json.dumps({"error": {"message": "Incorrect API key: sk-made-up", "code": status}}).encode()
    for error in (found, refusal("cloud:up", streamed)):
        assert isinstance(error, UpstreamError) and "sk-made-up" not in repr(error.info())
        assert "api_key_env" in error.remedy


@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
            lambda inner: st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "x"]), inner, max_size=4
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    status=st.integers(200, 599),
)
def test_other_bytes_are_told_as_they_are_and_never_at_length(body: bytes, status: int) -> None:
    found = refusal("cloud:up", body, status=status)
    assert isinstance(found, MessageTooLongError | TierRefusedError | UpstreamError)
    assert len(found.message) < 700
    long = refusal("cloud:up", json.dumps({"error": {"message": "m" * 4000}}).encode(), status=status)
    assert len(long.message) < 700 and (status in (401, 403) or len(long.message) > 500)
