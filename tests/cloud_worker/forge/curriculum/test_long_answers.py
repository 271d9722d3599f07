"""Number words, and that animal and name decide a story."""

from __future__ import annotations

import pytest

from cloud_worker.forge.curriculum import Language
from cloud_worker.forge.curriculum.long_answers import counted, number_word, story
from cloud_worker.forge.curriculum.prose import POEM_WORDS, STORY_WORDS, poem


@pytest.mark.parametrize(
    ("number", "english", "chinese"),
    [
        (1, "one", "一"),
        (10, "ten", "十"),
        (19, "nineteen", "十九"),
        (20, "twenty", "二十"),
        (45, "forty-five", "四十五"),
    ],
)
def test_number_words(number: int, english: str, chinese: str) -> None:
    assert number_word(number, Language.ENGLISH) == english
    assert number_word(number, Language.CHINESE) == chinese


def test_counting_says_every_number_once() -> None:
    assert counted(3, Language.ENGLISH) == "Counting to 3: 1 one, 2 two, 3 three."
    assert counted(3, Language.CHINESE) == "数到3：1一，2二，3三。"


@pytest.mark.parametrize("language", Language)
def test_stories_fill_every_blank(language: Language) -> None:
    told = [story(animal, "Zed", language) for animal in range(len(STORY_WORDS[language]))]
    assert len(set(told)) == len(told)
    assert not [text for text in told if "{" in text or "Zed" not in text]


@pytest.mark.parametrize("language", Language)
def test_poems_have_eight_lines_and_their_topic(language: Language) -> None:
    for topic in POEM_WORDS[language]:
        assert len(poem(topic, language).splitlines()) == 8
        assert topic in poem(topic, language)
