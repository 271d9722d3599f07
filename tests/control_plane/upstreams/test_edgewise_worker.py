"""Our own worker, served alone, as an upstream: a real process, a real engine, the tokens of one answer at any cut."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.kinds import KINDS, KindName
from control_plane.upstreams.openai_tier import OpenAITier
from control_plane.upstreams.speech import Tokens, Upstream
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import MessageTooLongError, UpstreamError
from tests.cloud_worker.http.test_process import address, start
from tests.factories.models import write_tiny_model
from tests.factories.tokenizers import tiny_tokenizer

pytestmark = pytest.mark.system
TOKENIZER = tiny_tokenizer()
MESSAGES = (Message("user", "hi 你好"),)
STATE = GenerationState(
    prompt_ids=TOKENIZER.encode_chat(MESSAGES),
    messages=MESSAGES,
    model="tiny-cloud",
    max_tokens=24,
    seed=-5,
    sampling=Sampling(temperature=1.3, top_k=40, frequency_penalty=0.5, logit_bias={9: -2.0}),
    eos_ids=TOKENIZER.eos_ids,
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("worker")
    (directory / "model").mkdir()
    write_tiny_model(directory / "model")
    process = start(directory, "--http", "127.0.0.1:0")
    try:
        yield f"{address(process)}/v1"
    finally:
        process.kill()
        process.communicate()


def tier(url: str, http: HttpClient, kind: KindName = "edgewise", *, ids: bool = True, model: str = "") -> OpenAITier:
    tokens = Tokens(TOKENIZER) if ids else None
    return OpenAITier(Upstream("worker", url, model or "tiny-cloud", "any", KINDS[kind], tokens=tokens), http)


async def said(asked: OpenAITier, state: GenerationState) -> list[Chunk]:
    return [chunk async for chunk in asked.generate(state, "a")]


async def test_an_answer_goes_on_here_with_the_tokens_that_would_have_come(worker: str) -> None:
    async with HttpClient() as http:
        ours = tier(worker, http)
        whole = await said(ours, STATE)
        ids = tuple(token for chunk in whole for token in chunk.ids)
        text = "".join(chunk.text for chunk in whole)
        assert len(ids) > 8
        for cut in (1, 5, len(ids) - 1):
            begun = msgspec.structs.replace(STATE, output_ids=ids[:cut])
            rest = await said(ours, begun)
            assert tuple(token for chunk in rest for token in chunk.ids) == ids[cut:]
            assert text.endswith("".join(chunk.text for chunk in rest))
        in_text = await said(tier(worker, http, ids=False), STATE)
        assert "".join(chunk.text for chunk in in_text) == text
        vllms_way = await said(tier(worker, http, "vllm"), STATE)  # what vLLM takes is understood here
        assert any(chunk.ids for chunk in vllms_way) and vllms_way[-1].finish


async def test_its_state_is_read_and_its_refusals_are_typed(worker: str) -> None:
    async with HttpClient() as http:
        ours = tier(worker, http)
        await ours.watch.look()
        assert ours.watch.ready and ours.watch.measured and ours.load().queued == 0
        long = msgspec.structs.replace(STATE, prompt_ids=STATE.prompt_ids * 200)
        with pytest.raises(MessageTooLongError):
            await said(ours, long)
        with pytest.raises(UpstreamError, match="no model") as caught:
            await said(tier(worker, http, model="other"), STATE)
        assert "GET /v1/models" in caught.value.remedy
