"""Requests: commands set into shared frames ("Could you ...?"), of which some frames and some commands are held out."""

from __future__ import annotations

from typing import Final

from cloud_worker.forge.curriculum.exercise import Language
from cloud_worker.forge.curriculum.phrasing import Form

# Tables: filled lines, not one phrasing a line.
# fmt: off
_FRAMES: Final[dict[Language, tuple[str, ...]]] = {
    Language.ENGLISH: (
        "{c}", "{c}", "{c}", "{c}.", "Please {c}", "Please {c}.", "Can you {c}?", "Could you {c}?",
        "I want you to {c}", "Now {c}", "Help me {c}", "Can you please {c}?", "Your task: {c}", "Will you {c}?",
        "Just {c}", "Try to {c}", "Next, {c}",
    ),
    Language.CHINESE: (
        "{c}", "{c}", "{c}", "{c}。", "请{c}", "请{c}。", "你能{c}吗？", "帮我{c}", "请你{c}", "请帮我{c}", "麻烦{c}",
        "现在{c}", "能不能{c}？", "我想让你{c}", "来，{c}", "任务：{c}", "可以{c}吗？",
    ),
}
_FRAMES_HELD_OUT: Final[dict[Language, tuple[str, ...]]] = {
    Language.ENGLISH: ("Would you kindly {c}?", "I need you to {c}", "{c}, will you?", "Be so kind and {c}"),
    Language.CHINESE: ("劳驾{c}", "我要你{c}", "请你试着{c}", "你来{c}吧"),
}
# fmt: on


def _capital(text: str) -> str:
    return text if text.startswith("{") else text[0].upper() + text[1:]


def command_form(
    language: Language, commands: tuple[str, ...], others: tuple[str, ...], held_out: tuple[str, ...]
) -> Form:
    """A form of commands (lower case) in every shared frame, and whole sentences, which get a third of the draws.

    Held out are the unseen frames with every command, and `held_out` sentences, which get half of those draws.
    """
    known = tuple(_capital(frame.replace("{c}", command)) for frame in _FRAMES[language] for command in commands)
    unseen = tuple(
        _capital(frame.replace("{c}", command)) for frame in _FRAMES_HELD_OUT[language] for command in commands
    )
    known += others * max(1, len(known) // (2 * max(1, len(others))))
    return Form(known, unseen + held_out * max(1, len(unseen) // max(1, len(held_out))))
