"""Animal and name decide a story; poems keep their form."""

from __future__ import annotations

import pytest

from cloud_worker.forge.curriculum import Language
from cloud_worker.forge.curriculum.long_answers import story
from cloud_worker.forge.curriculum.prose import POEM_WORDS, STORY_WORDS, poem


@pytest.mark.parametrize("language", Language)
def test_stories_fill_every_blank(language: Language) -> None:
    told = [story(animal, "Zed", language) for animal in range(len(STORY_WORDS[language]))]
    assert len(set(told)) == len(told)
    assert not [text for text in told if "{" in text or "Zed" not in text]


@pytest.mark.parametrize("language", Language)
def test_poems_have_four_lines_and_their_topic(language: Language) -> None:
    for topic in POEM_WORDS[language]:
        assert len(poem(topic, language).splitlines()) == 4
        assert topic in poem(topic, language)
