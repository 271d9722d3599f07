"""Random expressions of every type from a seed: a table of forms, whose holes are filled by drawing again.

For tests that need millions; those that want small failing examples draw from strategies.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

_HOLE: Final = re.compile(r"@(\w+)")
_ORDER: Final = ("==", "!=", "<", "<=", ">", ">=")

Forms = Mapping[str, Sequence[str]]

SHARED: Final[Forms] = {
    "order": _ORDER,
    "equality": ("==", "!="),
    "int": (
        *(f"(@int {sign} @int)" for sign in "+-*/"),
        *("-(@int)", "(@bool ? @int : @int)", "[@int, @int, @int][@int]", "size(@string)", "size(@ints)"),
        *("{'a': @int, '': @int}[@string]", "int(@double)", "int(@bounded)", "@string.indexOf(@string)"),
        *("@ints.map(e, e * @int)[@int]", "size(@strings)", "math.greatest(@int, @int)", "math.least(@int, @int)"),
        *("math.abs(@int)", "math.sign(@int)", "math.bitAnd(@int, @int)", "@string.lastIndexOf(@string)"),
    ),
    "bounded": ("@double", "'12'", "'-0'", "'9223372036854775807'", "'x'"),
    "double": (
        *(f"(@double {sign} @double)" for sign in "+-*/"),
        *("-(@double)", "(@bool ? @double : @double)", "double(@int)", "[@double, @double][@int]"),
        *("math.floor(@double)", "math.ceil(@double)", "math.round(@double)", "math.trunc(@double)"),
        *("math.abs(@double)", "math.sign(@double)"),
    ),
    "string": (
        *("(@string + @string)", "(@bool ? @string : @string)", "[@string, @string][@int]", "string(@int)"),
        *("{'a': @string, 'code': @string}[@string]", "string(@bool)", "@string.replace(@string, @string)"),
        *("@string.lowerAscii()", "@string.upperAscii()", "@string.trim()", "@string.substring(@int)"),
        *("@string.charAt(@int)", "@string.split('-')[@int]", "@strings.join('-')"),
    ),
    "ints": (
        *("[@int, @int]", "[]", "[@int]", "(@ints + @ints)", "@ints.filter(e, e @order @int)"),
        *("@ints.map(e, e + @int)", "(@bool ? @ints : @ints)", "@ints.filter(e, @bool)"),
    ),
    "strings": ("[@string, @string]", "@string.split('a')", "(@strings + @strings)", "@strings.map(e, e + @string)"),
    "bool": (
        *("(@bool && @bool)", "(@bool || @bool)", "!@bool", "(@bool ? @bool : @bool)", "(@bool @equality @bool)"),
        *("(@int @order @int)", "(@double @order @double)", "(@string @order @string)", "(@int @order @int)"),
        *("(@bool && @bool && @bool)", "(@bool || @bool || @bool)", "(@ints @equality @ints)", "(@int in @ints)"),
        *("(@string in @strings)", "(@string in {'a': 1, 'code': 2})", "@string.startsWith(@string)"),
        *("@string.endsWith(@string)", "@string.contains(@string)", "@string.matches('^[a-c]*(de|你)?$')"),
        *("@ints.exists(e, e @order @int)", "@ints.all(e, 1 / e @order @int)", "@strings.exists(e, e == @string)"),
        *("@ints.exists_one(e, e @order @int)", "[@bool, @bool].all(e, e)", "@string.matches('a+|x')"),
        *("(duration('90s') @order duration('1m'))", "(size(@ints.map(e, e % 3)) == @int)"),
    ),
}
"""What every implementation of the language with its string and math extensions has, and does alike."""


class Grammar:
    """Draws expressions. forms: how each kind is made of others; leaves: what ends it."""

    def __init__(self, draw: random.Random, leaves: Forms, forms: Forms = SHARED) -> None:
        self._draw = draw
        self._leaves = leaves
        self._forms = forms

    def text(self, kind: str, depth: int) -> str:
        """An expression of a kind whose holes are at most `depth` levels deep."""
        only_leaves = kind in self._leaves and (depth <= 0 or (depth < 3 and self._draw.random() < 0.25))
        listed = self._leaves[kind] if only_leaves else self._forms[kind]
        return _HOLE.sub(lambda hole: self.text(hole[1], depth - 1), self._draw.choice(listed))


def merged(*tables: Forms) -> Forms:
    """The forms of several tables."""
    kinds = dict.fromkeys(kind for table in tables for kind in table)
    return {kind: tuple(form for table in tables for form in table.get(kind, ())) for kind in kinds}
