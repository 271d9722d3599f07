"""Questions about a given text: how text and question are laid out. Which text and question is the families' affair."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Language
from cloud_worker.forge.curriculum.phrasing import Form, form

# Tables: filled lines, not one phrasing a line.
# fmt: off
_LAYOUTS: Final[dict[Language, Form]] = {
    Language.ENGLISH: form(
        "{text}\n{ask}", "{text} {ask}", "Read this: {text}\n{ask}", "Text: {text}\n{ask}", "{ask}\n{text}",
        "{ask} {text}", "Look: {text}\n{ask}", "Here is what I know: {text}\n{ask}", "Notes: {text}\n{ask}",
        "Use this: {text}\n{ask}", "Given: {text}\n{ask}", "Read: {text} {ask}", "Facts: {text}\n{ask}",
        "This is known: {text}\n{ask}", "{text}\nQuestion: {ask}", "Information: {text}\n{ask}",
        "From this text: {text}\n{ask}", "I have this: {text} {ask}",
    ),
    Language.CHINESE: form(
        "{text}\n{ask}", "{text}{ask}", "请看：{text}\n{ask}", "文字：{text}\n{ask}", "{ask}\n{text}", "{ask}{text}",
        "阅读：{text}\n{ask}", "已知：{text}\n{ask}", "资料：{text}\n{ask}", "根据这些：{text}\n{ask}",
        "看：{text}{ask}", "笔记：{text}\n{ask}", "内容：{text}\n{ask}", "我知道：{text}\n{ask}", "{text}\n问题：{ask}",
        "信息：{text}\n{ask}", "请读这段：{text}\n{ask}", "我有这些：{text}{ask}",
    ),
}
# fmt: on


def laid_out(language: Language, text: str, ask: str, held_out: bool, rng: random.Random) -> str:
    """The text and the question about it, as one message."""
    return _LAYOUTS[language].choose(rng, held_out).format(text=text, ask=ask)
