"""How hard a request looks, 0 to 1: its kind, its length, and the marks of work in several steps."""

from __future__ import annotations

import re
from typing import Final

from edgewise.facts.words import Words

#: Where each kind of task starts.
_BASE: Final = {"greeting": 0.02, "factual": 0.12, "tool": 0.2, "other": 0.25, "creative": 0.35, "code": 0.45}

_REASONING: Final = Words(
    english=r"why|explain|compare|contrast|analy[sz]e|prove|derive|design|evaluate|trade-?offs?|step by step"
    r"|pros and cons"
    r"|optimi[sz]e|architecture|strategy|summari[sz]e|critique|in detail|reason(?:ing)?",
    chinese=r"为什么|解释|比较|对比|分析|证明|推导|设计|评估|权衡|一步一步|逐步|优缺点"
    r"|优化|架构|策略|总结|详细|论证|推理",
)
_CONSTRAINT: Final = Words(
    english=r"must|should|at least|at most|exactly|no more than|without|except|only|each|every|both"
    r"|in \d{1,6} words",
    chinese=r"必须|至少|至多|不超过|恰好|除了|只能|每个|分别|同时|要求|\d{1,6}字",
)
_ITEM: Final = re.compile(r"^[ \t]{0,8}(?:[-*•]|\d{1,2}[.)、])[ \t]{0,8}\S", re.MULTILINE)
_QUESTION: Final = re.compile(r"[?？]+")

_LONG_TEXT_TOKENS: Final = 600
_LONG_TALK_TURNS: Final = 12


def complexity_of(text: str, *, task: str, prompt_tokens: int, turns: int) -> float:
    """The score of a lower-case text, rounded to 0.001: a sum of bounded parts, so that no mark decides alone."""
    score = _BASE[task]
    score += 0.30 * min(prompt_tokens / _LONG_TEXT_TOKENS, 1.0)
    score += min(0.15 * _REASONING.count(text), 0.30)
    score += min(0.05 * _CONSTRAINT.count(text), 0.20)
    score += min(0.03 * len(_ITEM.findall(text)), 0.15)
    score += 0.06 * min(max(len(_QUESTION.findall(text)) - 1, 0), 3)
    score += 0.10 * min(max(turns - 1, 0) / _LONG_TALK_TURNS, 1.0)
    return round(min(score, 1.0), 3)
