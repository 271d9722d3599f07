"""Judging the edge version on the user's own prompts: findings of both tiers, in the words that the gates read.

The reference answer of a prompt is the user's where there is one, else what the model said before it was quantized.
"""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from cloud_worker.forge.evaluate.acceptance import Accepted, accepted
from cloud_worker.forge.evaluate.decoder import Advance, Decoder
from cloud_worker.forge.export.errors import GraphUnfitError
from cloud_worker.forge.import_model.prompts import OwnPrompt, refuse
from edgewise.generation.state import Message
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.findings import AgreementFound, CellFound

FAMILY: Final = "own prompts"
ANSWER_TOKENS: Final = 128


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as ids, and the ids of the user's answer (none where there is none)."""

    language: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    text: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What one model did with one question: its reply, whether that is right (None without an answer of the user's),
    and the negative log-likelihood of the reference answer's `tokens` tokens."""

    reply: tuple[int, ...]
    ended: bool
    right: bool | None
    nll: float
    tokens: int


class Views(msgspec.Struct, frozen=True):
    """One model's views, in the order of the questions; `same` and `positions` count the parent's words, for the
    model that has a parent."""

    each: tuple[View, ...]
    same: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()


def questions(
    prompts: Sequence[OwnPrompt], tokenizer: ChatTokenizer, context_tokens: int, answer_tokens: int
) -> tuple[Question, ...]:
    """The prompts as ids. Raises PromptsFileError for one that leaves no room for its answer."""
    found = []
    for each in prompts:
        ids = tokenizer.encode_chat([Message("user", each.prompt)])
        answer = tokenizer.encode(each.answer) if each.answer else ()
        if len(ids) + max(answer_tokens, len(answer)) >= context_tokens:
            raise refuse(
                f"The prompt has {len(ids)} tokens, which leaves no room for an answer within {context_tokens}",
                f"line {each.line}",
            )
        found.append(Question(language=each.language, prompt=ids, answer=answer, text=each.answer))
    return tuple(found)


def parent_views(
    model: Decoder, asked: Sequence[Question], tokenizer: ChatTokenizer, limit: int, advance: Advance
) -> Views:
    """The model as it came: its replies, and its view of the reference answers."""
    said = model.complete([q.prompt for q in asked], [limit] * len(asked), advance)
    replies = [View(reply=s.ids, ended=s.ended, right=None, nll=0.0, tokens=0) for s in said]
    return Views(_judged(model, asked, replies, replies, tokenizer))


def edge_views(
    model: Decoder, asked: Sequence[Question], parent: Views, tokenizer: ChatTokenizer, limit: int, advance: Advance
) -> Views:
    """The exported graph: the same, and how many of the parent's words it would have said too."""
    said = model.complete([q.prompt for q in asked], [limit] * len(asked), advance)
    mine = [View(reply=s.ids, ended=s.ended, right=None, nll=0.0, tokens=0) for s in said]
    own = [view.reply if view.ended else None for view in mine]
    taken = accepted(model, [q.prompt for q in asked], [view.reply for view in parent.each], own)
    hits = [_hits(one, view.ended) for one, view in zip(taken, parent.each, strict=True)]
    return Views(
        _judged(model, asked, mine, parent.each, tokenizer),
        tuple(sum(each) for each in hits),
        tuple(len(each) for each in hits),
    )


def _hits(taken: Accepted, ended: bool) -> tuple[bool, ...]:
    """A reply that was cut at its limit has no end token to agree on."""
    return taken.hits if ended else taken.hits[:-1]


def _judged(
    model: Decoder, asked: Sequence[Question], mine: Sequence[View], parent: Sequence[View], tokenizer: ChatTokenizer
) -> tuple[View, ...]:
    references = [q.answer or view.reply for q, view in zip(asked, parent, strict=True)]
    forced = model.force([q.prompt for q in asked], references)
    found = []
    for question, view, base, seen in zip(asked, mine, parent, forced, strict=True):
        counted = seen.logprobs if question.answer or base.ended else seen.logprobs[:-1]
        right = _right(question.text, _text(tokenizer, view.reply)) if question.text else None
        nll = -sum(counted)
        if not math.isfinite(nll):
            raise GraphUnfitError(
                "The model's logits are no numbers: it overflows on the prompts",
                where="judging",
                expected="finite logits",
                remedy="choose another --precision; if the model itself overflows, fetch its weights again",
            )
        found.append(msgspec.structs.replace(view, right=right, nll=max(0.0, nll), tokens=len(counted)))
    return tuple(found)


def _text(tokenizer: ChatTokenizer, ids: Iterable[int]) -> str:
    return b"".join(map(tokenizer.token_bytes, ids)).decode("utf-8", "replace")


def _right(answer: str, reply: str) -> bool:
    """The answer stands in the reply, whatever the case, the width of characters and the spaces between words."""
    return _plain(answer) in _plain(reply)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def cells(asked: Sequence[Question], views: Views) -> tuple[CellFound, ...]:
    """One cell for each language: right out of those with an answer, and the likelihood of all references."""
    groups: dict[str, list[View]] = defaultdict(list)
    for question, view in zip(asked, views.each, strict=True):
        groups[question.language].append(view)
    return tuple(_cell(language, groups[language]) for language in sorted(groups))


def _cell(language: str, views: Sequence[View]) -> CellFound:
    judged = [view.right for view in views if view.right is not None]
    tokens, nll = sum(view.tokens for view in views), round(sum(view.nll for view in views), 4)
    return CellFound(FAMILY, 1, language, False, sum(judged), len(judged), 0.0, tokens, nll)


def agreement(asked: Sequence[Question], views: Views) -> tuple[AgreementFound, ...]:
    """The parent's words that the edge version would have said too, by language."""
    groups: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for question, same, positions in zip(asked, views.same, views.positions, strict=True):
        groups[question.language].append((same, positions))
    return tuple(
        AgreementFound(language, sum(same for same, _ in groups[language]), sum(whole for _, whole in groups[language]))
        for language in sorted(groups)
    )
