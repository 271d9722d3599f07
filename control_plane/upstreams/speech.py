"""The three ways to speak with an engine: chats in text, ids both ways, ids in and text out. Each one says which route
is asked, what is sent, how the answer is read and what the tier can do by it. No HTTP in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from control_plane.upstreams.agreement import Agreement
from control_plane.upstreams.kinds import KINDS, EngineKind
from control_plane.upstreams.requests import chat_request, ids_request, prompt_request, split_seam
from control_plane.upstreams.seam import Seam
from edgewise.generation.state import GenerationState
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.emission import Emission
from edgewise.node.engine import StepOutput
from edgewise.routing.foreign import Speaker, TextSpeaker
from edgewise.routing.tier import Capabilities, Chunk, Finish, Usage
from edgewise.wire.errors import ConfigError, UpstreamError


@dataclass(frozen=True)
class Tokens:
    """The tokenizer that an upstream shares with the models here, and how many tokens it reads (0: not known)."""

    tokenizer: ChatTokenizer
    context_tokens: int = 0


@dataclass(frozen=True)
class Upstream:
    """One foreign engine. `base_url` ends before `/chat/completions`.

    continues: whether it takes an open assistant turn, where that is known better than its kind tells. tokens: set
    where prompts go there as ids. ranked: it serves by priority, so that ranks may be sent.
    """

    name: str
    base_url: str
    model: str
    api_key: str = ""
    kind: EngineKind = KINDS["openai"]
    continues: bool | None = None
    tokens: Tokens | None = None
    ranked: bool = False

    def __repr__(self) -> str:
        return f"Upstream(name={self.name!r}, base_url={self.base_url!r}, model={self.model!r}, kind={self.kind.name})"


class Speech(Protocol):
    """One way to speak with an engine."""

    path: str
    capabilities: Capabilities

    def body(self, state: GenerationState, attempt: str, *, stream: bool) -> dict[str, Any]:
        """What is sent; `stream` is False only where the capabilities say `whole`."""
        ...

    def speaker(self, state: GenerationState) -> Speaker: ...


def speech_for(upstream: Upstream) -> Speech:
    """The most exact way that kind and settings allow. Raises ConfigError for ids that the engine cannot take."""
    if upstream.tokens is None:
        return ChatSpeech(upstream)
    if not upstream.kind.prompt_ids:
        raise ConfigError(
            f"An engine of kind {upstream.kind.name!r} takes no token ids",
            where=f"EDGEWISE_UPSTREAMS, token_ids of {upstream.name!r}",
            expected=f"one of {', '.join(kind.name for kind in KINDS.values() if kind.prompt_ids)}",
            remedy="take token_ids out, or name the engine's kind",
        )
    way = IdSpeech if upstream.kind.answer_ids else PromptSpeech
    return way(upstream, upstream.tokens)


class ChatSpeech:
    """Messages in, text out: for engines with a tokenizer of their own."""

    path = "/chat/completions"

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        kind = upstream.kind
        continues = kind.continues if upstream.continues is None else upstream.continues
        self.capabilities = Capabilities(models=(upstream.model,), continues=continues, whole=True)

    def body(self, state: GenerationState, attempt: str, *, stream: bool) -> dict[str, Any]:
        kind, ranked = self._upstream.kind, self._upstream.ranked
        return chat_request(kind, state, self._upstream.model, attempt=attempt, stream=stream, ranked=ranked)

    def speaker(self, state: GenerationState) -> Speaker:
        return text_speaker(state)


def text_speaker(state: GenerationState) -> TextSpeaker:
    """For an engine that was shown the answer so far up to its seam."""
    n0, tail = len(state.output_ids), split_seam(state.output_text)[1]
    return SeamSpeaker(n0, Seam(tail)) if tail else TextSpeaker(n0)


class SeamSpeaker(TextSpeaker):
    """Says the text of an answer that goes on, without the white space that was shown."""

    def __init__(self, n0: int, seam: Seam) -> None:
        super().__init__(n0)
        self._seam = seam

    def said(self, text: str, ids: list[int]) -> Chunk | None:
        return super().said(self._seam.join(text), ids)


class _ByIds:
    """What both ways with prompts by ids share."""

    path = "/completions"

    def __init__(self, upstream: Upstream, tokens: Tokens) -> None:
        self._upstream, self._tokenizer = upstream, tokens.tokenizer
        self.capabilities = Capabilities(
            models=(upstream.model,),
            tokenizer_digest=tokens.tokenizer.digest,
            template_digest=tokens.tokenizer.template_digest,
            context_tokens=tokens.context_tokens,
            continues=upstream.continues is not False,
        )


class IdSpeech(_ByIds):
    """Ids in and ids out: text and stop strings are made here, and an answer moves at any token."""

    def body(self, state: GenerationState, attempt: str, *, stream: bool) -> dict[str, Any]:
        return ids_request(
            self._upstream.kind, state, self._upstream.model, attempt=attempt, ranked=self._upstream.ranked
        )

    def speaker(self, state: GenerationState) -> Speaker:
        return IdSpeaker(state, self._tokenizer, f"cloud:{self._upstream.name}")


class PromptSpeech(_ByIds):
    """Ids in, text out: the prompt is exactly ours, and an answer that moves goes on behind the text that was shown."""

    def body(self, state: GenerationState, attempt: str, *, stream: bool) -> dict[str, Any]:
        shown, _ = split_seam(state.output_text)  # a token of white space alone is not how a text goes on
        said = self._tokenizer.encode(shown) if shown else ()
        upstream = self._upstream
        return prompt_request(upstream.kind, state, upstream.model, said, attempt=attempt, ranked=upstream.ranked)

    def speaker(self, state: GenerationState) -> Speaker:
        return text_speaker(state)


class IdSpeaker:
    """Makes chunks of ids as a node does: whole characters, stop strings of ours, the end at an end-of-sequence id.

    The text that comes beside the ids is only compared with what they mean here.
    """

    ids = True

    def __init__(self, state: GenerationState, tokenizer: ChatTokenizer, name: str) -> None:
        self._emission = Emission(state, tokenizer, None)
        self._agreement = Agreement(tokenizer)
        self.over = self._emission.take(0.0) is not None  # what was said before ends with a stop string
        self._heard = False
        self._eos_ids, self._left, self._name = frozenset(state.eos_ids), state.budget, name
        self._vocab_size = tokenizer.vocab_size

    def said(self, text: str, ids: list[int]) -> Chunk | None:
        """Raises UpstreamError for ids that are none, that are more than were asked for, or that mean another text."""
        if self.over:
            return None
        end = next((place for place, token in enumerate(ids) if token in self._eos_ids), None)
        self.over, taken = end is not None, tuple(ids[:end])
        self._check(taken)
        self._heard = self._heard or bool(ids)
        self._left -= len(taken)
        if not self._agreement.holds(taken, text):
            raise self._other_tokenizer(f"{self._name} sent token ids that mean another text here than there")
        self._emission.put(StepOutput("", taken))
        return self._emission.take(0.0)

    def ended(self, finish: Finish, usage: Usage | None) -> Chunk:
        """Raises UpstreamError where tokens were counted, and none came."""
        counted = usage.completion_tokens if usage else 0
        if not self._heard and counted > (finish == "stop"):  # the one may be the end of the sequence
            raise self._other_tokenizer(f"{self._name} counted {counted} tokens and told the ids of none")
        self._emission.put(StepOutput("", (), finish))
        chunk = self._emission.take(0.0)
        assert chunk is not None
        return chunk

    def _check(self, ids: tuple[int, ...]) -> None:
        odd = next((token for token in ids if not 0 <= token < self._vocab_size), None)
        if odd is not None:
            raise self._other_tokenizer(f"{self._name} sent the token id {odd}")
        if len(ids) > self._left:
            raise UpstreamError(f"{self._name} sent more tokens than were asked for", where=self._name)

    def _other_tokenizer(self, what: str) -> UpstreamError:
        return UpstreamError(
            what,
            where=self._name,
            expected=f"ids below {self._vocab_size}, those of the models here",
            remedy="give it the same tokenizer, or take token_ids out of the upstream's settings",
        )
