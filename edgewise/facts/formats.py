"""What sensitive text looks like: Chinese and US formats with their check digits, credentials, marked words.

Every pattern is linear in the text: bounded repeats, and no two ways to read the same characters. All but those marked
otherwise are written for text in lower case.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

DIGITS: Final = tuple(string.digits)


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of sensitive text.

    signs: what the lower-case text holds at least one of when this is in it; looking for them costs a tenth of the
    pattern. DIGITS stands for any digit. valid: judges a match further. as_written: the pattern is for the text before
    lowering.
    """

    name: str
    level: str
    pattern: re.Pattern[str]
    signs: tuple[str, ...]
    valid: Callable[[str], bool] = bool
    as_written: bool = False


def resident_id_is_valid(number: str) -> bool:
    """Check character of a Chinese resident id of 18 characters (GB 11643, ISO 7064 MOD 11-2)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, number[:17], strict=True))
    return "10X98765432"[total % 11] == number[17].upper()


def luhn_is_valid(number: str) -> bool:
    """Check digit of a payment card (ISO/IEC 7812-1, Luhn)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in number[-1::-2])) % 10 == 0


def _compact(text: str) -> str:
    return text.replace(" ", "").replace("-", "")


def _is_resident_id(text: str) -> bool:
    number = _compact(text)
    dated = number[6:8] in ("18", "19", "20") and "01" <= number[10:12] <= "12" and "01" <= number[12:14] <= "31"
    return dated and resident_id_is_valid(number)


def _is_card(text: str) -> bool:
    number = _compact(text)
    return len(set(number)) > 2 and luhn_is_valid(number)


_CREDENTIALS: Final = (
    Format("private_key", "secret", re.compile(r"-----begin [a-z ]{0,40}private key"), ("-----begin",)),
    Format(
        "api_key",
        "secret",
        re.compile(
            r"\b(?:sk|pk|rk|ek)[-_][A-Za-z0-9_-]{16}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30}"
            r"|\bhf_[A-Za-z0-9]{24}"
            r"|\bxox[abprs]-[A-Za-z0-9-]{10}|\bAIza[0-9A-Za-z_-]{30}|\bglpat-[A-Za-z0-9_-]{16}"
        ),
        ("-", "_", "akia", "aiza"),
        as_written=True,
    ),
    Format(
        "bearer_token",
        "secret",
        re.compile(r"\bbearer [a-z0-9._~+/-]{20}|\beyj[a-z0-9_-]{8,2000}\.[a-z0-9_-]{8,4000}\.[a-z0-9_-]{8}"),
        ("bearer ", "eyj"),
    ),
    Format(
        "password",
        "secret",
        re.compile(
            r"(?:password|passwd|pwd|passcode|passphrase|api[ _-]?key|secret[ _-]?key|access[ _-]?token|auth[ _-]?token"
            r"|client[ _-]?secret|密码|口令|验证码|密钥|令牌)"
            r"""["']?\s{0,3}(?:is|was|are|是|为|[:=])[:=]?\s{0,3}["']?"""
            r"(?!(?:not|never|in|too|no|the|a|an|required|wrong|incorrect|invalid|expired|empty|missing|weak|strong|stored"
            r"|hashed|safe|secure|set|reset|needed|different|forgotten|lost)\b|什么|多少|不|否|错|必)"
            r"""[^\s"'?,。，？]{4}"""
            r"|\bpin(?: code)?(?: is|:|=)? ?[0-9]{4}"
        ),
        ("pass", "pwd", "key", "token", "secret", "pin", "密码", "口令", "验证码", "密钥", "令牌"),
    ),
    Format(
        "url_credentials", "secret", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:[^\s/@]{1,64}@"), ("@",)
    ),
)

_CHINA: Final = (
    Format(
        "cn_resident_id",
        "personal",
        re.compile(r"(?<![0-9a-z])[1-9](?:[ -]?[0-9]){16}[ -]?[0-9x](?![0-9a-z])"),
        DIGITS,
        _is_resident_id,
    ),
    Format(
        "cn_mobile",
        "personal",
        re.compile(r"(?<![0-9])(?:\+?(?:00)?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])"),
        DIGITS,
    ),
    Format(
        "cn_plate",
        "personal",
        re.compile(
            r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]"
            r"[a-z][·. ]?(?=[a-z0-9]{0,5}[0-9])[a-z0-9]{5,6}(?![a-z0-9])"
        ),
        DIGITS,
    ),
    Format(
        "cn_address",
        "personal",
        re.compile(r"[省市区县镇][\u4e00-\u9fff0-9]{1,20}?[路街巷道弄村][0-9]{1,5}[号弄]"),
        DIGITS,
    ),
)

_UNITED_STATES: Final = (
    Format(
        "us_ssn",
        "personal",
        re.compile(r"(?<![0-9-])(?!000)[0-9]{3}[- ](?!00)[0-9]{2}[- ](?!0000)[0-9]{4}(?![0-9-])"),
        DIGITS,
    ),
    Format(
        "us_phone",
        "personal",
        re.compile(
            r"(?<![0-9.-])(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?![0-9])"
        ),
        DIGITS,
    ),
    Format(
        "us_address",
        "personal",
        re.compile(
            r"\b[0-9]{1,5} (?:[a-z0-9.]{1,20} ){1,3}(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr)"
            r"\b[.,]{0,2} [a-z .]{2,30},? [a-z]{2} [0-9]{5}\b"
        ),
        DIGITS,
    ),
)

_EVERYWHERE: Final = (
    Format("bank_card", "personal", re.compile(r"(?<![0-9])[3-6](?:[ -]?[0-9]){12,18}(?![0-9])"), DIGITS, _is_card),
    Format(
        "email",
        "personal",
        re.compile(r"(?<![a-z0-9._%+-])[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,6}"),
        ("@",),
    ),
    Format(
        "passport",
        "personal",
        re.compile(
            r"(?:passport|护照)[^0-9]{0,20}?[a-z]{1,2}[0-9]{7,8}(?![0-9])"
            r"|(?:通行证|台胞证)[^0-9]{0,20}?[0-9]{8,10}(?![0-9])"
        ),
        DIGITS,
    ),
    Format(
        "private_matter",
        "personal",
        re.compile(
            r"\bmy (?:own )?(?:diagnosis|medical records?|test results|prescriptions?|salary|bank account|tax return"
            r"|credit score|therapist|divorce|criminal record|pregnancy|home address|date of birth"
            r"|social security)\b"
            r"|\bi(?:'m| am| was|'ve been| have been) (?:diagnosed|pregnant|hiv)"
            r"|我(?:的)?(?:病历|诊断|体检报告|化验单|工资|薪水|银行账户|银行卡|身份证"
            r"|征信|家庭住址|家庭地址"
            r"|离婚|犯罪记录|出生日期|处方)"
            r"|我(?:被)?(?:确诊|怀孕|得了|患有)"
        ),
        ("my ", "diagnosed", "pregnant", "hiv", "我"),
    ),
    Format(
        "marked_internal",
        "internal",
        re.compile(
            r"\b(?:confidential|internal (?:use )?only|company internal|do not (?:distribute|share)|under nda"
            r"|not for release|proprietary)\b"
            r"|内部资料|内部文件|仅供内部|内部使用|机密|保密|请勿外传|商业秘密|未公开"
        ),
        (
            *("confidential", "internal", "do not ", "under nda", "not for release", "proprietary"),
            *("内部", "机密", "保密", "外传", "商业秘密", "未公开"),
        ),
    ),
)

FORMATS: Final = (*_CREDENTIALS, *_CHINA, *_UNITED_STATES, *_EVERYWHERE)
