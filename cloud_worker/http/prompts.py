"""Prompts of completions as token ids: texts are encoded, ids are checked. No chat template is put around them."""

from __future__ import annotations

import asyncio

from cloud_worker.http.wishes import Ids
from edgewise.api.host import Family
from edgewise.api.intake import INLINE_CHARS
from edgewise.generation.state import Message
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.errors import BadRequestError, MessageTooLongError


async def encoded(family: Family, prompt: str | Ids) -> Ids:
    """The ids of a prompt, as long as it may be or a little longer. Raises BadRequestError, MessageTooLongError."""
    tokenizer = family.tokenizer
    if tokenizer is None:
        raise BadRequestError("This model takes no prompts", where="prompt", remedy="ask for a chat completion")
    if isinstance(prompt, str):
        if len(prompt) > INLINE_CHARS:
            return await asyncio.to_thread(_encoded, family, tokenizer, prompt)
        return _encoded(family, tokenizer, prompt)
    check_ids(family, prompt)
    return prompt


def check_ids(family: Family, ids: Ids, *, said: Ids = ()) -> None:
    """Raises BadRequestError for ids that the tokenizer has not, MessageTooLongError. `said`: the answer so far."""
    most = family.tokenizer.vocab_size if family.tokenizer else 0
    if any(token >= most for token in (*ids, *said)):
        raise BadRequestError(
            "There is a token id beyond the vocabulary",
            where="prompt or output_ids",
            expected=f"token ids below {most}",
        )
    if len(ids) + len(said) >= family.context_tokens:
        raise _too_long(f"The prompt has {len(ids) + len(said)} tokens", family)


def _encoded(family: Family, tokenizer: ChatTokenizer, text: str) -> Ids:
    """What is too long by far is not encoded to its end, which takes much memory."""
    if tokenizer.surely_longer((Message("user", text),), family.context_tokens):
        raise _too_long(f"The prompt has {len(text)} characters", family)
    ids = tokenizer.encode(text)
    if not ids:
        raise BadRequestError("The prompt makes no token", where="prompt", expected="a text that is not empty")
    if len(ids) >= family.context_tokens:
        raise _too_long(f"The prompt makes {len(ids)} tokens", family)
    return ids


def _too_long(what: str, family: Family) -> MessageTooLongError:
    return MessageTooLongError(
        f"{what}; {family.name} reads {family.context_tokens} tokens",
        where="prompt",
        expected=f"fewer than {family.context_tokens} tokens with room for an answer",
        remedy="shorten the prompt",
    )
