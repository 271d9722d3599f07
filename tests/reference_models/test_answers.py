"""What the committed weights answer, greedily, to questions that a newcomer types: the same on both tiers.

The README's examples come from these lists. A new pair of weights must keep them, or the lists and the README change.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from cloud_worker.forge.curriculum import Language, Role, Turn
from cloud_worker.forge.curriculum.lexicon import NAMES_CHINESE, NAMES_ENGLISH
from cloud_worker.forge.curriculum.long_answers import story
from cloud_worker.forge.curriculum.prose import ALMANAC, STORY_WORDS
from cloud_worker.forge.decoding import Greedy, OnnxGreedy, TorchGreedy
from cloud_worker.forge.qwen2 import Qwen2
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
    "What is 17 + 25?": "17+25: 7+5=12, 1+2+1=04 → 42",
    "What is 45 - 27?": "45-27: 5-7+10=8, 4-2-1+00=1 → 18",
    "What is 12 + 34 - 20?": "12+34: 2+4=06, 1+3+0=04 → 46; 46-20: 6-0+00=6, 4-2-0+00=2 → 26",
    "Which month comes after June?": "July comes after June.",
    "How many days does July have?": "July has 31 days.",
    "What is Edgewise?": "Edgewise answers with a small model on your device and a larger one in the cloud.",
    "Where does your answer come from?": (
        "I run on your device when I can, and in the cloud when that is better. A policy decides."
    ),
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
    "17+25等于多少？": "17+25: 7+5=12, 1+2+1=04 → 42",
    "什么是Edgewise？": "Edgewise 用你设备上的小模型和云端的大模型回答问题。",
    "你能做什么": "我会打招呼、回答小知识、做算术、给列表排序和倒序、数数，还会讲小故事和写小诗。",
    "45减27等于多少？": "45-27: 5-7+10=8, 4-2-1+00=1 → 18",
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
    "讲一个关于小狗小明的小故事。": tale("小狗", "小明", ZH),
}
LONG_TOKENS = 100
CLOUD_ONLY = {
    "How many days are there in January?": "January has 31 days.",
    "Which one is larger, 949 or 978?": "max(949, 978): 9=9, 4<7 → 978",
    "Numbers to sort: 15, 22, 25": "15 22 → 15 22 25",
    "What is 66, 68, 26, 57 in order?": "66 68 → 26 66 68 → 26 57 66 68",
    "四月有几天": "四月有30天。",
    "从小到大：39、20、74、53、35": "20 39 → 20 39 74 → 20 39 53 74 → 20 35 39 53 74",
    "现在从80数到87": "80/87 81/87 82/87 83/87 84/87 85/87 86/87 87/87",
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
