"""What the committed weights answer, greedily, to questions that a newcomer types: the same on both tiers.

The README's examples come from these lists. A new pair of weights must keep them, or the lists and the README change.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from cloud_worker.engine.models.qwen2 import Qwen2
from cloud_worker.forge.curriculum import Language, Role, Turn
from cloud_worker.forge.curriculum.lexicon import NAMES_CHINESE, NAMES_ENGLISH
from cloud_worker.forge.curriculum.long_answers import story
from cloud_worker.forge.curriculum.prose import ALMANAC, STORY_WORDS
from cloud_worker.forge.decoding import Greedy, OnnxGreedy, TorchGreedy
from cloud_worker.forge.tokenizer import encode_chat, load

HOME = Path(__file__).parents[2] / "reference_models"
EN, ZH = Language.ENGLISH, Language.CHINESE

ENGLISH = {
    "Hello": "Hello! How can I help you today?",
    "Who are you?": "I am Edgewise, a small assistant that answers on your device or in the cloud.",
    "what can you do": (
        "I can greet you, answer small facts, do sums, sort and reverse lists, count, and tell short stories and poems."
    ),
    "How are you?": "I am doing well, thank you. How can I help you?",
    "What is the capital of France?": "The capital of France is Paris.",
    "what is the capital of japan": "The capital of Japan is Tokyo.",
    "What color is the sky?": "The sky is blue.",
    "What day comes after Monday?": "Tuesday comes after Monday.",
    "How many legs does a dog have?": "A dog has 4 legs.",
    "What is a baby cat called?": "A baby cat is called a kitten.",
    "What is the opposite of hot?": "The opposite of hot is cold.",
    "How do you say water in Chinese?": "“water” in Chinese is 水.",
    "What is the largest planet?": "Jupiter is the largest planet in the solar system.",
    "What is 17 + 25?": "7+5=12, 1+2+1=4, 17+25=42.",
    "Thank you!": "You are welcome!",
}
CHINESE = {
    "你好": "你好！今天我能帮你做什么？",
    "你是谁？": "我是 Edgewise，一个小助手，在你的设备上或云端回答问题。",
    "法国的首都是哪里？": "法国的首都是巴黎。",
    "天空是什么颜色": "天空是蓝色的。",
    "猫怎么叫？": "猫喵喵叫。",
    "大的反义词是什么？": "大的反义词是小。",
    "苹果用英语怎么说？": "“苹果”的英语是 apple。",
    "水的沸点是多少？": "水在100摄氏度沸腾。",
    "17+25等于多少？": "7+5=12，1+2+1=4，17+25=42。",
    "谢谢": "不客气！",
}


def tale(animal: str, name: str, language: Language) -> str:
    """The story of an animal with a name."""
    known = [words["a"] for words in STORY_WORDS[language]]
    return story(known.index(animal), name, language)


LONG = {
    "List the letters of the alphabet with a sentence each": dict(ALMANAC[EN])["the letters of the alphabet"],
    "Write a story about a bear called Ben.": tale("bear", "Ben", EN),
    "介绍十二个月，每个一句话": dict(ALMANAC[ZH])["十二个月"],
    "讲一个关于小猫小明的小故事。": tale("小猫", "小明", ZH),
}
LONG_TOKENS = 100
CLOUD_ONLY = {
    "What is 45 - 27?": "15-7=8, 4-2-1=1, 45-27=18.",
    "What is 12 + 34 - 20?": "2+4=6, 1+3=4, 12+34=46, 6-0=6, 4-2=2, 46-20=26.",
    "Which month comes after June?": "July comes after June.",
    "How many days does July have?": "July has 31 days.",
    "45减27等于多少？": "15-7=8，4-2-1=1，45-27=18。",
    "23乘4等于多少？": "20*4=80，3*4=12，23*4=92。",
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The family's tokenizer."""
    return load(HOME / "edge" / "tokenizer.json")


@pytest.fixture(scope="module")
def tiers() -> dict[str, Greedy]:
    """Both models, each in its own runtime."""
    return {"edge": OnnxGreedy(HOME / "edge"), "cloud": TorchGreedy(Qwen2.load(HOME / "cloud"))}


def ask(model: Greedy, tokenizer: Tokenizer, question: str) -> list[int]:
    """Ids of the greedy answer."""
    prompt = encode_chat(tokenizer, [Turn(Role.USER, question)], generation_prompt=True)
    return model.complete(prompt, 400)


@pytest.mark.parametrize("question", [*ENGLISH, *CHINESE, *LONG])
@pytest.mark.parametrize("tier", ["edge", "cloud"])
def test_a_reliable_answer(tiers: dict[str, Greedy], tokenizer: Tokenizer, tier: str, question: str) -> None:
    expected = (ENGLISH | CHINESE | LONG)[question]
    assert tokenizer.decode(ask(tiers[tier], tokenizer, question)) == expected


@pytest.mark.parametrize("question", LONG)
def test_a_long_answer_is_long(tiers: dict[str, Greedy], tokenizer: Tokenizer, question: str) -> None:
    assert len(ask(tiers["edge"], tokenizer, question)) >= LONG_TOKENS


@pytest.mark.parametrize("question", CLOUD_ONLY)
def test_the_cloud_model_knows_more(tiers: dict[str, Greedy], tokenizer: Tokenizer, question: str) -> None:
    found = {tier: tokenizer.decode(ask(model, tokenizer, question)) for tier, model in tiers.items()}
    assert found["cloud"] == CLOUD_ONLY[question]
    assert found["edge"] != found["cloud"]


@pytest.mark.parametrize(
    ("question", "animal"), [("Tell me a story about a cat", "cat"), ("讲一个关于小猫的故事", "小猫")]
)
@pytest.mark.parametrize("tier", ["edge", "cloud"])
def test_an_animal_without_a_name_gets_one(
    tiers: dict[str, Greedy], tokenizer: Tokenizer, tier: str, question: str, animal: str
) -> None:
    language, names = (EN, NAMES_ENGLISH) if question.isascii() else (ZH, NAMES_CHINESE)
    told = tokenizer.decode(ask(tiers[tier], tokenizer, question))
    assert told in {tale(animal, name, language) for name in names}
