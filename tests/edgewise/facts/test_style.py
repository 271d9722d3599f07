"""Task, language, complexity and freshness, English and Chinese side by side."""

from __future__ import annotations

import pytest

from edgewise.facts import estimate
from edgewise.facts.language import language_of


def _facts(text: str) -> tuple[str, float, str, bool]:
    facts = estimate([("user", text)], tools=False, max_tokens=None)
    return facts.task, facts.complexity, facts.language, facts.needs_fresh


@pytest.mark.parametrize(
    ("task", "english", "chinese"),
    [
        ("greeting", "Hello!", "你好！"),
        ("greeting", "Good morning, how are you today?", "早上好，最近怎么样？"),
        ("greeting", "Thank you so much!", "谢谢！"),
        ("factual", "What is the capital of France?", "法国的首都是什么？"),
        ("factual", "Who wrote Hamlet?", "《哈姆雷特》是谁写的？"),
        ("factual", "12 + 30 =", "12加上30等于多少？"),
        ("factual", "How many legs has a spider?", "蜘蛛有几条腿？有多少只眼睛？"),
        ("creative", "Write a short poem about autumn.", "写一首关于秋天的诗。"),
        ("creative", "Tell me a funny story.", "讲一个好笑的故事。"),
        ("code", "Write a Python function that sorts a list.", "用Python写一个排序函数。"),
        ("code", "Why do I get this exception?", "这段代码为什么报错？"),
        ("code", "```\nx = 1\n```", "```\n打印(1)\n```"),
        ("tool", "Remind me to water the plants at 5.", "提醒我五点浇花。"),
        ("tool", "Turn off the light.", "关掉客厅的灯。"),
        ("other", "I feel tired.", "我累了。"),
    ],
)
def test_task(task: str, english: str, chinese: str) -> None:
    assert (_facts(english)[0], _facts(chinese)[0]) == (task, task)


@pytest.mark.parametrize(
    "text", ["Let me tell you about my day.", "From what I know, class is over.", "My zip code is 10001."]
)
def test_not_code(text: str) -> None:
    assert _facts(text)[0] != "code"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "What is the capital of France?"),
        ("en", "Translate 你 please, what does it mean in this sentence"),
        ("zh", "法国的首都是什么？"),
        ("zh", "用Python写一个排序函数"),
        ("mixed", "请把 this short sentence 翻译成中文"),
        ("other", "Привет, как дела?"),
        ("other", "これは日本語の文章です"),
        ("other", "Bonjour, comment allez-vous aujourd'hui mes chers amis"),
        ("other", "12 + 30 = ?"),
        ("other", ""),
    ],
)
def test_language(language: str, text: str) -> None:
    assert language_of(text.lower()) == language


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        ("Hello!", "What is the capital of France?"),
        ("What is the capital of France?", "Explain why Paris became the capital and compare it with Lyon."),
        (
            "Write a poem.",
            "Write a poem. It must have exactly 4 lines, each without the letter e, in at most 20 words.",
        ),
        ("什么是光合作用？", "请详细解释光合作用，并逐步比较它与呼吸作用的优缺点。"),
        ("写一首诗", "写一首诗，必须恰好四行，每个句子不超过七个字，同时要求押韵。"),
    ],
)
def test_harder_requests_score_higher(easier: str, harder: str) -> None:
    assert _facts(easier)[1] < _facts(harder)[1]


@pytest.mark.parametrize(
    "text", ["Hello", "What is the capital of France?", "2+3=?", "你好", "法国的首都是什么？", "提醒我五点浇花"]
)
def test_simple_requests_are_below_the_seed_threshold(text: str) -> None:
    assert _facts(text)[1] < 0.3


@pytest.mark.parametrize(
    "text", ["Explain step by step how to prove it.", "Write a Python function.", "请分析并比较这两个方案的优缺点"]
)
def test_hard_requests_are_above_it(text: str) -> None:
    assert _facts(text)[1] >= 0.3


@pytest.mark.parametrize(
    ("fresh", "english", "chinese"),
    [
        (True, "What's the weather in Beijing?", "北京天气怎么样？"),
        (True, "Show me the latest news", "有什么最新消息"),
        (True, "Who is the current president of France?", "现在法国总统是谁？"),
        (True, "What is the price of bitcoin right now?", "比特币现在多少钱？"),
        (False, "How are you today?", "你今天好吗？"),
        (False, "What is the capital of France?", "法国的首都是什么？"),
        (False, "Explain electric current", "解释一下水循环"),
        (False, "Who was the first president?", "第一任总统是谁？"),
    ],
)
def test_freshness(fresh: bool, english: str, chinese: str) -> None:
    assert (_facts(english)[3], _facts(chinese)[3]) == (fresh, fresh)
