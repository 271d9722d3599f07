"""Chat templates: Jinja as Hugging Face writes it, rendered so that no message can forge a turn.

The template only ever sees a placeholder for each content, so a message that spells a special token is text like any
other. Turning the parts into ids is tokenizer.py's work.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NoReturn

import msgspec
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edgewise.generation.state import Message
from edgewise.wire.errors import BadRequestError, ConfigError

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
"""Unicode noncharacters around a message's number; neither a template nor a role may hold them."""
_PLACEHOLDER = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class TemplateRefusedError(BadRequestError):
    """The chat template does not take these messages."""

    number, code = 1111, "messages_refused"


class Part(msgspec.Struct, frozen=True):
    """A piece of a rendered chat: `trusted` text comes from the template, the rest from a message."""

    text: str
    trusted: bool


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


class ChatTemplate:
    """One chat template; `digest` is the sha256 of its bytes."""

    def __init__(self, source: bytes, where: str = "chat template") -> None:
        self.digest = hashlib.sha256(source).hexdigest()
        self._template = _compile(source, where)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[Part]:
        """The chat as parts in order, ending where the assistant speaks.

        Raises BadRequestError for no messages or an unknown role, TemplateRefusedError when the template objects.
        """
        _check_roles(messages)
        shown = [{"role": m.role, "content": f"{_OPEN}{number}{_CLOSE}"} for number, m in enumerate(messages)]
        try:
            text = self._template.render(messages=shown, add_generation_prompt=add_generation_prompt)
            return _split(text, messages)
        except Exception as error:  # a template is a program of somebody else's: it may divide by zero
            raise TemplateRefusedError(
                f"The model's chat template refuses these messages: {str(error)[:200] or type(error).__name__}",
                where="chat template",
                remedy="send other messages, or install a model version with a template that takes them",
            ) from error


def _compile(source: bytes, where: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise_exception
    try:
        text = source.decode("utf-8")
        if _OPEN in text or _CLOSE in text:
            raise ValueError("it holds U+FDD0 or U+FDD1, which mark the messages")
        return environment.from_string(text)
    except (ValueError, TemplateError) as error:
        raise ConfigError(
            f"The chat template cannot be used: {error}", where=where, remedy="install the model version again"
        ) from error


def _check_roles(messages: Sequence[Message]) -> None:
    if not messages:
        raise BadRequestError("There are no messages", where="messages", expected="at least one message")
    for number, message in enumerate(messages):
        if message.role not in ROLES:
            raise BadRequestError(
                f"The role {message.role[:32]!r} is not known",
                where=f"messages[{number}].role",
                expected=f"one of {', '.join(sorted(ROLES))}",
            )


def _split(text: str, messages: Sequence[Message]) -> list[Part]:
    pieces = _PLACEHOLDER.split(text)
    parts = [
        Part(messages[int(piece)].content, False) if odd % 2 else Part(piece, True) for odd, piece in enumerate(pieces)
    ]
    return [part for part in parts if part.text]
