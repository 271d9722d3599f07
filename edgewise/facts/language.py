"""The language of a text by its scripts: a Chinese character weighs about as much as an English word."""

from __future__ import annotations

import re
from typing import Final

_HAN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ebef]")
_LATIN_WORD: Final = re.compile(r"[a-z\u00c0-\u024f]+")
_OTHER_SCRIPT: Final = re.compile(r"[\u0370-\u1fff\u3040-\u30ff\uac00-\ud7af]")
_ENGLISH: Final = re.compile(
    r"\b(?:the|a|an|is|are|was|to|of|and|in|for|on|with|what|how|why|who|when|where|you|i|me|my|it|this|that|do|can)\b"
)
_FOREIGN_LATIN: Final = re.compile(r"[\u00c0-\u024f]")

_ZH_SHARE: Final = 0.8  # above: Chinese with some Latin words in it
_EN_SHARE: Final = 0.2  # below: English with some Chinese names in it


def language_of(text: str) -> str:
    """ "en", "zh", "mixed" (both in earnest) or "other", for text in lower case."""
    latin = len(_LATIN_WORD.findall(text))
    if text.isascii():
        return "en" if latin and _looks_english(text, latin) else "other"
    han = len(_HAN.findall(text))
    if len(_OTHER_SCRIPT.findall(text)) > (han + latin) // 4 or han + latin == 0:
        return "other"
    share = han / (han + latin)
    if share >= _ZH_SHARE:
        return "zh"
    if share > _EN_SHARE:
        return "mixed"
    return "en" if _looks_english(text, latin) else "other"


def _looks_english(text: str, words: int) -> bool:
    """Short Latin text passes for English; longer text, or text with accents, must have English function words."""
    few = words < 6 and not _FOREIGN_LATIN.search(text)
    return few or len(_ENGLISH.findall(text)) * 12 >= words
