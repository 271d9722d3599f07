"""The functions of the language, one file for each subject; each lists its overloads, which are joined here."""

from __future__ import annotations

from typing import Final

from policies.language.functions import Registry
from policies.language.library import (
    arithmetic,
    buckets,
    comparison,
    conversions,
    format,
    logic,
    maths,
    optionals,
    regex,
    strings,
    time,
    versions,
)

_SUBJECTS: Final = (
    arithmetic,
    comparison,
    conversions,
    strings,
    regex,
    format,
    logic,
    maths,
    time,
    optionals,
    versions,
    buckets,
)

STANDARD: Final = Registry(overload for subject in _SUBJECTS for overload in subject.OVERLOADS)
