"""Sensitive twins: the same exercise beside made-up personal data, from ranges that are never issued.

Phones: US line numbers 555-0100 to 555-0199, and the Chinese prefix 154 followed by 0000, given to no operator. Social
security numbers: area 900 and up. Resident ids: place 999999. Cards: the networks' published test numbers. E-mail:
example.com (RFC 2606).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from cloud_worker.forge.curriculum.exercise import Exercise, Language
from cloud_worker.forge.curriculum.lexicon import NAMES_ENGLISH
from cloud_worker.forge.curriculum.phrasing import Form, form

EN, ZH = Language.ENGLISH, Language.CHINESE
TEST_CARDS: Final = ("4012888888881881", "6011111111111117", "378282246310005", "3530111333300000", "5105105105105100")
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

# Tables: filled lines, not one phrasing a line.
# fmt: off
_SAID: Final[dict[Language, Form]] = {
    EN: form(
        "My {k} is {v}. {q}", "{q} My {k} is {v}.", "My {k} is {v}.\n{q}", "By the way, my {k} is {v}. {q}",
        "{q} And my {k} is {v}.", "Hi, my {k} is {v}. {q}", "Note: my {k} is {v}. {q}", "{q}\nMy {k} is {v}.",
        "For your records, my {k} is {v}. {q}", "Hello, my {k} is {v}. {q}", "{q} By the way, my {k} is {v}.",
        "You may need it: my {k} is {v}. {q}", "My {k}: {v}. {q}", "{q} Note that my {k} is {v}.",
        "So, my {k} is {v}. {q}", "Please keep this, my {k} is {v}. {q}", "{q} Also, my {k} is {v}.",
        "First of all, my {k} is {v}. {q}",
    ),
    ZH: form(
        "我的{k}是{v}。{q}", "{q}我的{k}是{v}。", "我的{k}是{v}。\n{q}", "对了，我的{k}是{v}。{q}",
        "{q}另外，我的{k}是{v}。", "你好，我的{k}是{v}。{q}", "注意，我的{k}是{v}。{q}", "{q}\n我的{k}是{v}。",
        "记一下，我的{k}是{v}。{q}", "您好，我的{k}是{v}。{q}", "{q}对了，我的{k}是{v}。", "我的{k}：{v}。{q}",
        "请记下我的{k}是{v}。{q}", "{q}记一下我的{k}是{v}。", "那么，我的{k}是{v}。{q}", "请保存，我的{k}是{v}。{q}",
        "{q}还有，我的{k}是{v}。", "首先，我的{k}是{v}。{q}",
    ),
}
# fmt: on


def resident_id(rng: random.Random) -> str:
    """A Chinese resident id of the place 999999, with its right check sign (GB 11643)."""
    born = f"{rng.randrange(1950, 2006)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"
    number = f"999999{born}{rng.randrange(1, 1000):03d}"
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number, strict=True))
    return number + "10X98765432"[total % 11]


def chinese_mobile(rng: random.Random) -> str:
    """Eleven digits, 1540000 and any four."""
    return f"1540000{rng.randrange(10000):04d}"


def american_phone(rng: random.Random) -> str:
    """A number of the range kept for fiction."""
    return f"{rng.choice(('212', '312', '415', '617', '808'))}-555-01{rng.randrange(100):02d}"


def social_security_number(rng: random.Random) -> str:
    """A number with an area from 900 to 999."""
    return f"{rng.randrange(900, 1000)}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}"


def email(rng: random.Random) -> str:
    """An address at a reserved domain."""
    return f"{rng.choice(NAMES_ENGLISH).lower()}@example.com"


def password(rng: random.Random) -> str:
    """A word and digits."""
    return f"{rng.choice(('tiger', 'panda', 'river', 'garden'))}{rng.randrange(100, 1000)}"


def card(rng: random.Random) -> str:
    """A card number that the networks publish for tests."""
    return rng.choice(TEST_CARDS)


_DATA: Final = {
    EN: (
        ("phone number", american_phone),
        ("social security number", social_security_number),
        ("e-mail", email),
        ("password", password),
        ("card number", card),
        ("Chinese phone number", chinese_mobile),
        ("Chinese ID number", resident_id),
    ),
    ZH: (
        ("手机号", chinese_mobile),
        ("身份证号", resident_id),
        ("邮箱", email),
        ("密码", password),
        ("银行卡号", card),
        ("美国电话", american_phone),
        ("美国社保号", social_security_number),
    ),
}


def twin(exercise: Exercise, rng: random.Random) -> Exercise:
    """The exercise with a sentence of personal data beside its question; answer and check stay."""
    key, make = rng.choice(_DATA[exercise.language])
    said = _SAID[exercise.language].choose(rng, exercise.held_out)
    question = said.replace("{k}", key).replace("{v}", make(rng)).replace("{q}", exercise.question)
    return replace(exercise, question=question, sensitive=True)


def twins(exercises: Iterable[Exercise], seed: int) -> Iterator[tuple[Exercise, Exercise]]:
    """Each exercise with its sensitive twin; the same seed gives the same data."""
    rng = random.Random(f"twins {seed}")
    for exercise in exercises:
        yield exercise, twin(exercise, rng)
