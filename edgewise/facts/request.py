"""All facts of one request in one go. Sensitivity is judged over every message, style over a sample of the last one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edgewise.facts.complexity import complexity_of
from edgewise.facts.freshness import needs_fresh
from edgewise.facts.language import language_of
from edgewise.facts.sensitivity import SENSITIVITIES, rank, sensitivity_of
from edgewise.facts.task import task_of

_SAMPLE = 4000  # characters from the start, and as many from the end


class UnknownSensitivityError(ValueError):
    """A caller declared a sensitivity that does not exist."""

    def __init__(self, word: str) -> None:
        super().__init__(f"sensitivity {word[:40]!r} is unknown: expected one of {', '.join(SENSITIVITIES)}")


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before any tokenizer or model has seen it.

    task, complexity (0 to 1), language, sensitivity, needs_fresh: as in the facts table, under `request.…`.
    prompt_tokens, context_tokens: estimates over the last user message and over all; replace them where a tokenizer is.
    max_tokens: what the client set, if anything. turns: user messages.
    findings: kinds of sensitive text found, such as "email"; never the text.
    """

    task: str
    complexity: float
    language: str
    sensitivity: str
    needs_fresh: bool
    prompt_tokens: int
    context_tokens: int
    max_tokens: int | None
    turns: int
    findings: tuple[str, ...] = ()

    def as_facts(self) -> dict[str, bool | int | float | str]:
        """The facts by the names of the facts table; an unset max_tokens is absent. Findings are no fact."""
        facts: dict[str, bool | int | float | str] = {
            "request.task": self.task,
            "request.complexity": self.complexity,
            "request.language": self.language,
            "request.sensitivity": self.sensitivity,
            "request.needs_fresh": self.needs_fresh,
            "request.prompt_tokens": self.prompt_tokens,
            "request.context_tokens": self.context_tokens,
            "request.turns": self.turns,
        }
        return facts if self.max_tokens is None else facts | {"request.max_tokens": self.max_tokens}


def estimate(messages: Sequence[tuple[str, str]], *, tools: bool, max_tokens: int | None) -> RequestFacts:
    """Facts of a request of (role, content) messages, oldest first. Linear in the text, no network, no state.

    tools: the request offers tools. max_tokens: the client's limit on the answer, if it set one.
    """
    asked = next((content for role, content in reversed(messages) if role == "user"), "")
    sample = asked if len(asked) <= 2 * _SAMPLE else f"{asked[:_SAMPLE]}\n{asked[-_SAMPLE:]}"
    sample = sample.lower()
    turns = sum(role == "user" for role, _ in messages)
    prompt_tokens = estimated_tokens(asked)
    task = task_of(sample, tools=tools)
    found = sensitivity_of(content for _, content in messages)
    return RequestFacts(
        task=task,
        complexity=complexity_of(sample, task=task, prompt_tokens=prompt_tokens, turns=turns),
        language=language_of(sample),
        sensitivity=found.level,
        needs_fresh=needs_fresh(sample),
        prompt_tokens=prompt_tokens,
        context_tokens=sum(estimated_tokens(content) for _, content in messages),
        max_tokens=max_tokens,
        turns=turns,
        findings=found.findings,
    )


def declare(facts: RequestFacts, sensitivity: str) -> RequestFacts:
    """The facts with the sensitivity that a caller declared, where it is graver than what was found.

    A lower one changes nothing. Raises UnknownSensitivityError.
    """
    if sensitivity not in SENSITIVITIES:
        raise UnknownSensitivityError(sensitivity)
    return msgspec.structs.replace(facts, sensitivity=max(facts.sensitivity, sensitivity, key=rank))


def estimated_tokens(text: str) -> int:
    """A rough count: four ASCII characters, or one Chinese character, to a token."""
    if text.isascii():
        return math.ceil(len(text) / 4)
    wide = (len(text.encode("utf-8", "surrogatepass")) - len(text)) / 2
    return math.ceil((len(text) - wide) / 4 + wide)
