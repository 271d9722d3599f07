"""Families almanac, story and poem: answers of 30 to 250 tokens, long enough to watch and to interrupt."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum import lexicon
from cloud_worker.forge.curriculum.exercise import Exact, Exercise, Language
from cloud_worker.forge.curriculum.phrasing import Form, form, typed
from cloud_worker.forge.curriculum.prose import ALMANAC, POEM_WORDS, STORY_PARTS, STORY_WORDS, poem

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
_ALMANAC_FORMS: Final = {
    EN: form(
        "List {x} with a sentence each", "List {x} with one sentence each", "Tell me about {x}, one sentence each",
        "Describe {x}, one sentence each", "Write a sentence about each of {x}", "Name {x} with a sentence for each",
        "Give me {x} with a sentence each", "Describe {x}", "Tell me about {x}", "Go through {x} one by one",
        "Please describe {x}", "Can you describe {x}?", "Write one sentence for each of {x}",
        "Say something about each of {x}", "Please list {x} with a sentence each", "List {x}", "Explain {x} one by one",
        "I want to hear about {x}", "Say a sentence about each of {x}",
    ),
    ZH: form(
        "列出{x}，每个一句话", "介绍{x}，每个一句话", "请介绍{x}", "说说{x}，每个一句", "给{x}各写一句话",
        "描述一下{x}", "介绍一下{x}", "请列出{x}，每个一句话", "列出{x}", "说说{x}", "为{x}各写一句话",
        "一个一个介绍{x}", "请逐个介绍{x}", "{x}各是怎样的？", "请描述{x}", "讲讲{x}", "逐一说说{x}",
        "用一句话介绍{x}中的每一个",
    ),
}
_STORY: Final = {
    EN: form(
        "Tell me a short story about a {a} named {n}.", "Tell me a story about a {a} named {n}.",
        "Write a story about a {a} called {n}.", "Write a short story about a {a} named {n}.",
        "Tell a story about {n} the {a}.", "Tell me a story about {n} the {a}.",
        "I want a story about a {a} named {n}.", "Can you tell me a story about a {a} called {n}?",
        "A story about a {a} named {n}, please.", "Make up a story about a {a} named {n}.",
        "Please tell me a story about {n} the {a}.", "Give me a short story about a {a} called {n}.",
        "Story time: a {a} named {n}.", "Write me a tale about {n} the {a}.",
        "Tell me about the adventures of {n} the {a}.", "Please write a story about a {a} called {n}.",
        "I would love a story about a {a} whose name is {n}.", "Invent a story with a {a} named {n}.",
        "Could you write a short tale about {n} the {a}?",
    ),
    ZH: form(
        "讲一个关于{a}{n}的小故事。", "讲一个{a}{n}的故事。", "给我讲一个叫{n}的{a}的故事。",
        "写一个关于{a}{n}的故事。", "讲个故事，主角是{a}{n}。", "讲一个名叫{n}的{a}的故事。",
        "请讲一个叫{n}的{a}的小故事。", "我想听{a}{n}的故事。", "写个小故事，主角是叫{n}的{a}。",
        "能讲一个{a}{n}的故事吗？", "编一个关于{a}{n}的故事。", "说一个叫{n}的{a}的故事。",
        "请写一个关于{a}{n}的短故事。", "来一个{a}{n}的故事。", "讲讲{a}{n}的历险。", "我要听一个叫{n}的{a}的故事。",
        "请编一个名叫{n}的{a}的故事。", "给我说说{a}{n}的故事。",
    ),
}
_POEM: Final = {
    EN: form(
        "Write a poem about {x}.", "Write a short poem about {x}.", "Write me a poem about {x}.",
        "Tell me a poem about {x}.", "Give me a poem about {x}.", "A poem about {x}, please.",
        "Can you write a poem about {x}?", "Please write a poem about {x}.", "I want a poem about {x}.",
        "Make a poem about {x}.", "Say a poem about {x}.", "Compose a poem about {x}.", "Poem about {x}",
        "I would like a poem about {x}.", "Recite a poem about {x}.", "Could you compose a poem on {x}?",
        "Make up a little poem about {x}.", "Some verses about {x}, please.",
    ),
    ZH: form(
        "写一首关于{x}的诗。", "写一首{x}的诗。", "写首关于{x}的小诗。", "请写一首关于{x}的诗。", "来一首{x}的诗。",
        "给我写一首关于{x}的诗。", "作一首关于{x}的诗。", "我想要一首关于{x}的诗。", "能写一首关于{x}的诗吗？",
        "念一首关于{x}的诗。", "以{x}为题写一首诗。", "帮我写一首{x}的诗。", "请作一首{x}的小诗。", "写诗：{x}",
        "说一首关于{x}的诗。", "请以{x}为题作诗。", "来几句关于{x}的诗。", "给我念一首{x}的小诗。",
    ),
}
# fmt: on


def story(animal: int, name: str, language: Language) -> str:
    """The story of the animal at this index of STORY_WORDS; animal and name decide every word."""
    words = STORY_WORDS[language][animal]
    return STORY_PARTS[language][animal % len(STORY_PARTS[language])].format(n=name, **words)


def _long(
    family: str, grade: int, language: Language, question: str, answer: str, held_out: bool, rng: random.Random
) -> Exercise:
    return Exercise(family, grade, language, typed(question, language, rng), answer, Exact(answer), held_out)


def _ask(forms: dict[Language, Form], language: Language, held_out: bool, rng: random.Random, **fields: object) -> str:
    return forms[language].choose(rng, held_out).format(**fields)


def draw_almanac(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A sentence for each month, day, season, planet or letter."""
    topic, answer = rng.choice(ALMANAC[language])
    return _long("almanac", 2, language, _ask(_ALMANAC_FORMS, language, held_out, rng, x=topic), answer, held_out, rng)


def draw_story(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A short story about an animal with a name."""
    index = rng.randrange(len(STORY_WORDS[language]))
    name = rng.choice(lexicon.NAMES_ENGLISH if language is EN else lexicon.NAMES_CHINESE)
    question = _ask(_STORY, language, held_out, rng, a=STORY_WORDS[language][index]["a"], n=name)
    return _long("story", 3, language, question, story(index, name, language), held_out, rng)


def draw_poem(rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
    """A poem of four lines about a topic."""
    topic = rng.choice(sorted(POEM_WORDS[language]))
    return _long(
        "poem", 2, language, _ask(_POEM, language, held_out, rng, x=topic), poem(topic, language), held_out, rng
    )
