"""POST /v1/completions and chats of several choices, asked by the stock client."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from cloud_worker.http.shown import Names, Offsets, Said, TextDialect
from cloud_worker.http.wishes import COMPLETION_TOKENS
from edgewise.generation.probabilities import TokenProbability
from edgewise.generation.state import GenerationState
from edgewise.node.engine import StepOutput
from edgewise.node.scripted import ScriptedEngine
from edgewise.streams.entries import TokensEntry, encode_entry
from edgewise.streams.log import Record
from tests.cloud_worker.http.conftest import MODEL, WORDS, Serve, words
from tests.factories.models import tiny_manifest
from tests.factories.tokenizers import tiny_tokenizer

IDS = tiny_tokenizer().encode(WORDS)
HI = tiny_tokenizer().encode("hi")
CHAT: Any = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40}


def prompt_and_rest(state: GenerationState) -> tuple[int, ...]:
    """Says the prompt again."""
    return state.prompt_ids


class TellingEngine(ScriptedEngine):
    """Tells for each token a log-probability that is its place in the answer, below zero."""

    def step(self) -> list[StepOutput]:
        told = []
        for output in super().step():
            said = self._running.get(output.attempt)
            last = len(said.output_ids) if said else len(IDS)
            seen = tuple(TokenProbability(-float(last), 0.0) for _ in output.ids)
            told.append(StepOutput(output.attempt, output.ids, output.finish, probabilities=seen))
        return told


async def test_a_text_is_completed(serve: Serve) -> None:
    async with serve() as running:
        found = await running.complete()
        assert (found.object, found.model, found.choices[0].text) == ("text_completion", MODEL, WORDS)
        assert found.choices[0].finish_reason == "stop" and found.usage is not None
        assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (len(HI), len(IDS))
        short = await running.complete(max_tokens=2)
        assert short.choices[0].finish_reason == "length"
        unbounded = await running.complete(max_tokens=openai.omit)
        assert unbounded.usage and unbounded.usage.completion_tokens == COMPLETION_TOKENS


async def test_ids_go_in_and_come_out_with_no_template_around_them(serve: Serve) -> None:
    async with serve(prompt_and_rest) as running:
        prompt = [5, 300, 7]
        found = (await running.complete(prompt=prompt, extra_body={"return_token_ids": True})).choices[0]
        assert found.model_extra == {"token_ids": prompt, "prompt_token_ids": prompt}
        texts = await running.complete(prompt=["hello there", "two"], extra_body={"return_token_ids": True})
        assert [each.text for each in texts.choices] == ["hello there", "two"]
        lists = await running.complete(prompt=[[5, 6], [7]], extra_body={"return_token_ids": True})
        assert [(each.index, each.model_extra["token_ids"]) for each in lists.choices if each.model_extra] == [
            (0, [5, 6]),
            (1, [7]),
        ]
        special = (await running.complete(prompt="<|end|>", extra_body={"return_token_ids": True})).choices[0]
        assert special.text == "<|end|>" and special.model_extra and 1 not in special.model_extra["token_ids"]


async def test_a_stream_says_the_same_and_its_usage_at_the_end(serve: Serve) -> None:
    async with serve() as running:
        options: Any = {"include_usage": True}
        stream = await running.openai.completions.create(
            model=MODEL,
            prompt="hi",
            max_tokens=40,
            stream=True,
            stream_options=options,
            extra_body={"return_token_ids": True},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == WORDS
        ids = [id for chunk in chunks for choice in chunk.choices for id in (choice.model_extra or {})["token_ids"]]
        assert tuple(ids) == IDS
        assert chunks[-1].choices == [] and chunks[-1].usage and chunks[-1].usage.completion_tokens == len(IDS)
        assert [choice.finish_reason for chunk in chunks[-2:] for choice in chunk.choices] == ["stop"]


async def test_a_stop_string_ends_a_completion_before_it(serve: Serve) -> None:
    async with serve() as running:
        found = (await running.complete(stop=" three")).choices[0]
        assert (found.text, found.finish_reason) == ("One, two,", "stop")


async def test_several_answers_to_one_request(serve: Serve) -> None:
    async with serve() as running:
        found = await running.complete(prompt=["hi", "hi"], n=2)
        assert [each.text for each in found.choices] == [WORDS, f"b: {WORDS}"] * 2
        assert [each.index for each in found.choices] == [0, 1, 2, 3]
        assert found.usage and found.usage.prompt_tokens == 2 * len(HI)
        chat = await running.openai.chat.completions.create(**CHAT, n=3)
        assert [each.message.content for each in chat.choices] == [WORDS, f"b: {WORDS}", f"c: {WORDS}"]
        stream = await running.openai.chat.completions.create(**CHAT, n=2, stream=True)
        texts = ["", ""]
        async for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == [WORDS, f"b: {WORDS}"]


class Counting(ScriptedEngine):
    """Notes how many answers had come when it stepped first."""

    def step(self) -> list[StepOutput]:
        self.came = getattr(self, "came", 0) or self.stats().running + self.stats().queued
        return super().step()


async def test_answers_to_one_prompt_reach_the_engine_together(serve: Serve) -> None:
    """So that it reads the prompt once, and the scheduler gives each of them its rows."""
    engine = Counting(words, manifest=tiny_manifest())
    async with serve(engine=engine) as running:
        chat = await running.openai.chat.completions.create(**CHAT, n=3)
        assert len(chat.choices) == engine.came == 3


async def test_log_probabilities_where_the_engine_tells_them(serve: Serve) -> None:
    async with serve() as running:
        with pytest.raises(openai.BadRequestError, match="tells no log-probabilities"):
            await running.complete(logprobs=1)
        with pytest.raises(openai.BadRequestError, match="top_logprobs is not supported"):
            await running.openai.chat.completions.create(**CHAT, logprobs=True, top_logprobs=2)
    engine = TellingEngine(words, manifest=tiny_manifest())
    async with serve(engine=engine, logprobs=True) as running:
        told = (await running.complete(logprobs=1)).choices[0].logprobs
        assert told and told.token_logprobs == [-float(place) for place in range(1, len(IDS) + 1)]
        assert told.tokens and "".join(told.tokens) == WORDS and told.text_offset
        assert told.text_offset[1] == len(told.tokens[0])
        stream = await running.openai.completions.create(
            model=MODEL, prompt="hi", max_tokens=40, logprobs=0, stream=True
        )
        offsets = [
            offset
            async for chunk in stream
            for choice in chunk.choices
            for offset in (choice.logprobs and choice.logprobs.text_offset) or ()
        ]
        assert offsets == told.text_offset
        chat = (await running.openai.chat.completions.create(**CHAT, logprobs=True)).choices[0].logprobs
        assert chat and chat.content and [each.logprob for each in chat.content] == told.token_logprobs
        assert b"".join(bytes(each.bytes or ()) for each in chat.content).decode() == WORDS
        raw = await running.post("/v1/chat/completions", **CHAT, logprobs=True)
        again = await running.http.get(raw.headers["location"], headers={"accept": "application/json"})
        assert again.json()["choices"][0]["message"]["content"] == WORDS
        assert "[DONE]" in (await running.http.get(raw.headers["location"])).text


async def test_an_answer_that_began_elsewhere_goes_on(serve: Serve) -> None:
    async with serve() as running:
        more = await running.complete(extra_body={"output_ids": list(IDS[:5]), "return_token_ids": True})
        assert tuple((more.choices[0].model_extra or {})["token_ids"]) == IDS[5:]
        assert more.usage and more.usage.completion_tokens == len(IDS)


def test_offsets_of_a_stream_go_on_where_its_last_chunk_ended() -> None:
    said, dialect, names = Said(0), TextDialect(), Names(tiny_tokenizer())
    records = [
        Record(seq, 1, encode_entry(TokensEntry(seq, (token,), tiny_tokenizer().token_bytes(token).decode())))
        for seq, token in enumerate(IDS[:4])
    ]
    shown = [dialect.added(said, part, names) for record in records if (part := said.read(record)) is not None]
    assert WORDS.startswith("".join(choice["text"] for choice in shown))
    begun = [sum(len(choice["text"]) for choice in shown[:place]) for place in range(len(records))]
    assert [choice["logprobs"]["text_offset"] for choice in shown] == [[start] for start in begun]
    assert all(choice["logprobs"]["token_logprobs"] == (None,) for choice in shown), "nobody told any"


def test_tokens_of_one_character_stand_at_the_same_place_however_they_came() -> None:
    text = "a好😀b"
    tokens = [bytes([byte]) for byte in text.encode()]
    places = [0, 1, 1, 1, 2, 2, 2, 2, 3]
    assert Offsets().of(tokens) == places
    cut = Offsets()
    assert [place for token in tokens for place in cut.of([token])] == places
