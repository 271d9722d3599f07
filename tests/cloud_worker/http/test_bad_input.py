"""Whatever is sent: an error that names the field, to that request alone; the engine goes on."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.http.wishes import CHOICES_MAX, Wish, chat_wish, completion_wish
from edgewise.generation.sampling import LogitsError
from edgewise.node.engine import StepOutput
from edgewise.node.scripted import ScriptedEngine
from edgewise.wire.errors import BadRequestError
from tests.cloud_worker.http.conftest import MODEL, WORDS, Serve, words
from tests.factories.models import tiny_manifest

CHATS, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "hi"}]


class BrokenLogits(ScriptedEngine):
    """Meets a NaN in the first step of a prompt that begins with id 7."""

    def step(self) -> list[StepOutput]:
        broken = [attempt for attempt, state in self._running.items() if state.prompt_ids[0] == 7]
        for attempt in broken:
            self.cancel(attempt)
        error = LogitsError("The model gave a logit that is no number", remedy="ask again")
        return [StepOutput(attempt, (), error=error) for attempt in broken] + super().step()


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        (COMPLETIONS, {}, 400, "prompt"),
        (COMPLETIONS, {"prompt": ""}, 400, "prompt"),
        (COMPLETIONS, {"prompt": []}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [[5], []]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": ["a", 5]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [5, [5]]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [-1]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [1.5]}, 400, "prompt"),
        (COMPLETIONS, {"prompt": {"a": 1}}, 400, "prompt"),
        (COMPLETIONS, {"prompt": [320]}, 400, "below 320"),
        (COMPLETIONS, {"prompt": [5] * 256}, 400, "context_length_exceeded"),
        (COMPLETIONS, {"prompt": "word " * 300}, 400, "context_length_exceeded"),
        (COMPLETIONS, {"prompt": "word " * 200_000}, 400, "context_length_exceeded"),
        (COMPLETIONS, {"prompt": "x" * 3_000_000}, 413, "body_too_large"),
        (COMPLETIONS, {"prompt": "hi", "n": 0}, 400, "n"),
        (COMPLETIONS, {"prompt": ["hi", "ho"], "n": CHOICES_MAX}, 400, f"at most {CHOICES_MAX}"),
        (COMPLETIONS, {"prompt": "hi", "best_of": 3}, 400, "best_of"),
        (COMPLETIONS, {"prompt": "hi", "echo": True}, 400, "echo"),
        (COMPLETIONS, {"prompt": "hi", "suffix": "x"}, 400, "suffix"),
        (COMPLETIONS, {"prompt": "hi", "logprobs": 5}, 400, "logprobs"),
        (COMPLETIONS, {"prompt": "hi", "temperature": 3}, 400, "not a completion request"),
        (COMPLETIONS, {"prompt": "hi", "top_p": 0}, 400, "top_p"),
        (COMPLETIONS, {"prompt": "hi", "max_tokens": 0}, 400, "max_tokens"),
        (COMPLETIONS, {"prompt": "hi", "seed": 2**64}, 400, "seed"),
        (COMPLETIONS, {"prompt": "hi", "stop": [""] * 2}, 400, "stop"),
        (COMPLETIONS, {"prompt": "hi", "logit_bias": {"400": 1}}, 400, "logit_bias"),
        (COMPLETIONS, {"prompt": "hi", "output_ids": [400]}, 400, "below 320"),
        (COMPLETIONS, {"prompt": "hi", "n": 2, "output_ids": [5]}, 400, "output_ids"),
        (COMPLETIONS, {"prompt": "hi", "model": 5}, 400, "model"),
        (CHATS, {"messages": HI, "n": 0}, 400, "n"),
        (CHATS, {"messages": HI, "n": "many"}, 400, "n"),
        (CHATS, {"messages": [], "n": 2}, 400, "messages"),
        (CHATS, {"messages": HI, "tools": [{}], "n": 2}, 400, "tools"),
        (CHATS, {"messages": [{"role": "user", "content": "word " * 300}], "n": 2}, 400, "context_length_exceeded"),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value)[:40],
)
async def test_a_request_that_cannot_be_met_is_refused_by_name(
    serve: Serve, path: str, body: dict[str, Any], status: int, told: str
) -> None:
    async with serve() as running:
        refused = await running.post(path, **{"max_tokens": 4} | body)
        assert refused.status_code == status, refused.text
        assert told in refused.text and len(refused.content) < 2000
        assert not running.engine.submitted


async def test_a_nan_ends_the_answer_that_met_it_and_no_other(serve: Serve) -> None:
    async with serve(engine=BrokenLogits(words, manifest=tiny_manifest())) as running:
        failed = await running.post(prompt=[7, 8])
        assert failed.status_code == 503 and "no number" in failed.json()["error"]["message"]
        streamed = await running.post(prompt=[[7, 8], [9]], stream=True)
        assert "no number" in streamed.text
        assert (await running.complete()).choices[0].text == WORDS
        assert running.engine.stats().running == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5", b'"\xff"', b"[" * 100_000, b'{"prompt":"\\ud800"}', b"null"])
async def test_what_is_no_json_object_is_said_to_be_none(serve: Serve, body: bytes) -> None:
    async with serve() as running:
        for path in (COMPLETIONS, CHATS):
            refused = await running.http.post(path, content=body)
            assert refused.status_code == 400 and refused.json()["error"]["code"] in {
                "malformed_json",
                "invalid_request",
            }


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    [
        *("model", "messages", "prompt", "n", "best_of", "logprobs", "top_logprobs", "echo", "suffix"),
        *("return_token_ids", "output_ids", "max_tokens", "stop", "stream", "seed", "temperature", "logit_bias"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(_NAMES, _VALUES), wanted=st.booleans())
def test_any_object_is_a_wish_or_a_bad_request(fields: dict[str, Any], wanted: bool) -> None:
    body = json.dumps(({"model": MODEL, "prompt": "hi", "messages": HI} if wanted else {}) | fields).encode()
    for read in (completion_wish, chat_wish):
        try:
            wish = read(body)
        except BadRequestError as error:
            assert error.message
        else:
            assert wish is None or 1 <= max(len(wish.prompts), 1) * wish.n <= CHOICES_MAX


PROMPTS = st.one_of(
    st.text(min_size=1, max_size=9),
    st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
    st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5), min_size=1, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(prompt=PROMPTS, n=st.integers(1, 3))
def test_every_form_of_a_prompt_is_read_as_it_stands(prompt: Any, n: int) -> None:
    wish = completion_wish(msgspec.json.encode({"model": MODEL, "prompt": prompt, "n": n}))
    assert isinstance(wish, Wish) and wish.n == n and wish.request.messages == []
    alone = isinstance(prompt, str) or isinstance(prompt[0], int)
    assert wish.prompts == tuple(
        tuple(each) if isinstance(each, list) else each for each in ([prompt] if alone else prompt)
    )
