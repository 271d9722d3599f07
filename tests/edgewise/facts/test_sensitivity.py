"""Sensitive text: formats with check digits, credentials, marked words. All made up, from ranges never issued."""

from __future__ import annotations

import pytest

from edgewise.facts.formats import luhn_is_valid, resident_id_is_valid
from edgewise.facts.sensitivity import sensitivity_of


def resident_id(seventeen: str) -> str:
    """A resident id with its right check character, by the sum of the standard: Σ digit·2^(18-i) ≡ 1 (mod 11)."""
    total = sum(int(digit) * 2 ** (17 - at) for at, digit in enumerate(seventeen))
    check = (1 - total) % 11
    return seventeen + ("X" if check == 10 else str(check))


def card(fifteen: str) -> str:
    """A card number with its right check digit."""
    return next(number for number in (f"{fifteen}{digit}" for digit in range(10)) if luhn_is_valid(number))


ID = resident_id("99999919900101001")  # no place has the code 999999
CARD = card("629999000000123")
MOBILE = "15400001234"  # 154 is given to no operator


@pytest.mark.parametrize(
    ("level", "kind", "text"),
    [
        ("personal", "cn_resident_id", f"身份证号：{ID}"),
        ("personal", "cn_resident_id", f"{ID[:6]} {ID[6:14]} {ID[14:]}"),
        ("personal", "cn_resident_id", "".join(chr(ord(sign) + 0xFEE0) for sign in ID)),
        ("personal", "cn_mobile", f"打{MOBILE}给我"),
        ("personal", "cn_mobile", "+86 154-0000-1234"),
        ("personal", "cn_mobile", "电话一五四零零零零一二三四"),
        ("personal", "cn_mobile", "154\u200b0000\u200b1234"),
        ("personal", "bank_card", f"卡号 {CARD}"),
        ("personal", "bank_card", " ".join(CARD[at : at + 4] for at in range(0, 16, 4))),
        ("personal", "us_ssn", "SSN 987-65-4321"),
        ("personal", "us_ssn", "987–65–4321"),
        ("personal", "us_phone", "call (202) 555-0143"),
        ("personal", "us_phone", "+1 202-555-0143"),
        ("personal", "email", "write to Some.One+x@mail.example.com."),
        ("personal", "email", "邮箱是某人a@example.com吗"),
        ("personal", "passport", "passport no. E00000000"),
        ("personal", "passport", "护照号码：E00000000"),
        ("personal", "cn_plate", "车牌京Z·00000"),
        ("personal", "cn_address", "北京市不存在路12345号"),
        ("personal", "us_address", "1 Nowhere Street, Nocity, ZZ 00000"),
        ("personal", "private_matter", "what does my diagnosis mean"),
        ("personal", "private_matter", "我的病历上写了什么"),
        ("secret", "password", "my password is hunter22"),
        ("secret", "password", "PASSWORD=hunter22"),
        ("secret", "password", "my password is swordfish"),
        ("secret", "password", "the pin is 0000"),
        ("secret", "password", "我的密码是abc12345"),
        ("secret", "password", '{"api_key": "abcd1234"}'),
        ("secret", "api_key", "use sk-" + "abcd1234" * 3),
        ("secret", "api_key", "AKIA" + "ABCD" * 4),
        ("secret", "bearer_token", "Authorization: Bearer " + "abcd1234" * 3),
        ("secret", "private_key", "-----BEGIN RSA PRIVATE KEY-----"),
        ("secret", "url_credentials", "postgres://user:hunter22@db/x"),
        ("internal", "marked_internal", "This is CONFIDENTIAL."),
        ("internal", "marked_internal", "这是内部资料，请勿外传"),
    ],
)
def test_found(level: str, kind: str, text: str) -> None:
    found = sensitivity_of([text])
    assert found.level == level and kind in found.findings


@pytest.mark.parametrize(
    "text",
    [
        "How do I reset my password?",
        "我忘了密码怎么办？",
        "What is a good password manager?",
        "Pi is 3.14159265358979323846",
        f"{ID[:17]}{'0' if ID[17] != '0' else '1'}",
        ID[:10] + "13" + ID[12:],
        f"{CARD[:15]}{(int(CARD[15]) + 1) % 10}",
        "0000000000000000",
        "1111111111111111",
        "12345678901",
        "000-12-3456",
        "2024-01-02 12:30:45.123456",
        "version 1.20.300-4000",
        "an @mention and a price of $5@shop",
        "the passport office",
        "The pin is loose",
        "It says my password is incorrect",
        "密码是什么意思？",
        "京剧很好看",
        "市场和道路",
        "https://example.com:8080/a@b",
        "一二三四五",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert sensitivity_of([text]).level == "public", sensitivity_of([text])


def test_the_gravest_wins_and_comes_first() -> None:
    found = sensitivity_of(["confidential", "a@example.com", "password: hunter22", ""])
    assert found.level == "secret"
    assert found.findings == ("password", "email", "marked_internal")


def test_findings_never_hold_the_text() -> None:
    assert "hunter" not in repr(sensitivity_of(["password: hunter22"]))


@pytest.mark.parametrize(("number", "valid"), [(ID, True), (ID[:-1] + "?", False), (resident_id("1" * 17), True)])
def test_resident_id_check_character(number: str, valid: bool) -> None:
    assert resident_id_is_valid(number) is valid
    assert resident_id_is_valid(number.lower()) is valid


def test_every_wrong_digit_is_noticed() -> None:
    for at in range(17):
        changed = f"{ID[:at]}{(int(ID[at]) + 1) % 10}{ID[at + 1 :]}"
        assert not resident_id_is_valid(changed)
    for at in range(16):
        assert not luhn_is_valid(f"{CARD[:at]}{(int(CARD[at]) + 1) % 10}{CARD[at + 1 :]}")
