"""A state as a request in the words of one engine: pure functions, no HTTP. What an engine knows is in kinds.py."""

from __future__ import annotations

import hashlib
from typing import Any

from control_plane.upstreams.kinds import EngineKind
from edgewise.generation.state import GenerationState
from edgewise.routing.foreign import chat_body

SALT_CHARS = 32
_STEP, _CHOICE_STEP = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9
"""2^64 over the golden ratio and a second odd number (SplitMix64): neighbouring places and choices draw unalike."""
_IDS = frozenset({"logit_bias", "stop_ids"})


def split_seam(text: str) -> tuple[str, str]:
    """An answer so far as (what is shown to an engine that goes on with it, the white space behind that).

    Chat templates trim a turn's end, so the engine says that white space once more, or does not: see seam.py.
    """
    shown = text.rstrip()
    return shown, text[len(shown) :]


def chat_request(
    kind: EngineKind, state: GenerationState, model: str, *, attempt: str, stream: bool, ranked: bool
) -> dict[str, Any]:
    """For `/chat/completions`: the messages, and the answer so far as an open turn of the assistant.

    Ids of our tokenizer mean nothing there. Those of a state without a tokenizer are the client's, who named the model.
    """
    foreign = _IDS if state.tokenizer_digest else frozenset[str]()
    body = chat_body(state, model, stream=stream) | _sampling(kind, state, attempt, ranked=ranked, without=foreign)
    shown, _ = split_seam(state.output_text)
    if shown:
        body["messages"].append({"role": "assistant", "content": shown})
        body |= kind.continuation
    if not kind.takes_open_top_p and state.sampling.top_p >= 1:
        del body["top_p"]
    return body


def ids_request(kind: EngineKind, state: GenerationState, model: str, *, attempt: str, ranked: bool) -> dict[str, Any]:
    """For `/completions` with ids in and out: prompt and answer so far by ids, so that it goes on at the exact place.

    Stop strings are not sent: they are looked for in our own text, where those that began before are found too.
    """
    body = _completion(kind, state, model, attempt, ranked=ranked) | dict(kind.answer_ids)
    body.pop("stop", None)
    if kind.takes_output_ids:
        return body | {"prompt": state.prompt_ids, "output_ids": state.output_ids, "max_tokens": state.max_tokens}
    return body | {"prompt": state.prompt_ids + state.output_ids}


def prompt_request(
    kind: EngineKind, state: GenerationState, model: str, said_ids: tuple[int, ...], *, attempt: str, ranked: bool
) -> dict[str, Any]:
    """For `/completions` with ids in and text out. `said_ids` are those of the text that was shown, up to the seam:
    what was held back is said again."""
    return _completion(kind, state, model, attempt, ranked=ranked) | {"prompt": state.prompt_ids + said_ids}


def _completion(kind: EngineKind, state: GenerationState, model: str, attempt: str, *, ranked: bool) -> dict[str, Any]:
    body = chat_body(state, model) | _sampling(kind, state, attempt, ranked=ranked)
    del body["messages"]
    return body


def _sampling(
    kind: EngineKind, state: GenerationState, attempt: str, *, ranked: bool, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The seed, and the fields beside OpenAI's that the engine takes, by its names, `without` some of them."""
    told: dict[str, Any] = {"seed": _seed(kind, state)}
    if kind.fields:
        ours = _ours(kind, state, attempt)
        told |= {
            theirs: ours[name] for name, theirs in kind.fields.items() if ours[name] is not None and name not in without
        }
    if ranked and kind.rank is not None:
        told["priority"] = kind.rank(state.rank)
    return told


def _ours(kind: EngineKind, state: GenerationState, attempt: str) -> dict[str, Any]:
    """What can be told, by our names; None for what there is nothing to tell of."""
    sampling = state.sampling
    return {
        "top_k": sampling.top_k or kind.top_k_off,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias.items()} or None,
        "stop_ids": state.eos_ids or None,
        "salt": _salt(state.salt),
        "attempt": attempt,
    }


def _seed(kind: EngineKind, state: GenerationState) -> int:
    """The seed as it may be sent: another one for every choice, and, where the noise begins anew with every request,
    for every place, or an answer that goes on would draw what its beginning drew."""
    seed = state.seed + _CHOICE_STEP * state.choice
    if kind.position_noise:
        return (seed + 2**63) % 2**64 - 2**63
    place = len(state.output_ids) or len(state.output_text)
    return int((seed + _STEP * place) % (1 << kind.seed_bits))


def _salt(salt: bytes) -> str | None:
    """A caller's salt as text; the salt itself, which is made of a key, stays here."""
    return hashlib.sha256(b"upstream" + salt).hexdigest()[:SALT_CHARS] if salt else None
