"""Grammars of answers, JSON of a schema or text of a regular expression: text form, limits, and what they are asked.

Which tokens a grammar allows is grammar_masks.py's to say, how a client asks for one edgewise/dialects'.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import lcm
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.wire.errors import BadRequestError

GRAMMAR_MAX_BYTES: Final = 32 * 1024
"""Of the text form; half a second of compiling at the worst."""
SCHEMA_MAX_DEPTH: Final = 64
"""Objects and lists within each other."""
REGEX_MAX_CHARS: Final = 2048
"""Of a regular expression, and of each pattern in a schema."""
MULTIPLE_MAX: Final = 1000
"""What all `multipleOf` of a schema have as their least common multiple, in units of the finest of them: each one
becomes an automaton with a state for every remainder, `allOf` and `$ref` multiply them, and its cost is their square
(0.2 s for 10^4, a minute for 10^6); no counter of the library sees it."""
ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}
"""The schema of any JSON object."""

Allowed = NDArray[np.bool_]


class InvalidGrammarError(BadRequestError):
    """A grammar that cannot be read or followed: ill-formed, too large, contradictory, or beyond what is known."""

    number, code = 1112, "invalid_grammar"


class Constraint(Protocol):
    """A grammar beside one answer: a pure function of the ids that were said, whatever was asked of it before."""

    def allowed(self, output_ids: tuple[int, ...]) -> Allowed:
        """Which tokens may come next, [V] of the model; ends of an answer are among them where it may end.

        Raises InvalidGrammarError where the ids do not follow the grammar, or it cannot be followed on.
        """
        ...

    def complete(self, output_ids: tuple[int, ...]) -> bool:
        """Whether nothing may follow: the answer is over without an end-of-sequence id. Raises as `allowed`."""
        ...


class Grammar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `GenerationState.grammar` says, as JSON: one of the two."""

    json_schema: dict[str, Any] | None = None
    regex: str | None = None

    @property
    def where(self) -> str:
        """How clients know it, for errors."""
        return "response_format" if self.regex is None else "edgewise.regex"


_decoder = msgspec.json.Decoder(Grammar)


def json_grammar(schema: dict[str, Any]) -> str:
    """The text form of JSON that follows `schema`. Raises InvalidGrammarError."""
    return _written(Grammar(json_schema=schema))


def regex_grammar(pattern: str) -> str:
    """The text form of text that follows a regular expression from its beginning to its end. Raises
    InvalidGrammarError."""
    return _written(Grammar(regex=pattern))


def parse_grammar(text: str) -> Grammar:
    """The grammar of a text form. Raises InvalidGrammarError."""
    if len(text) > GRAMMAR_MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > GRAMMAR_MAX_BYTES:
        raise _too_large("grammar")
    try:
        grammar = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidGrammarError(
            f"The grammar is none: {error}", where="grammar", expected='{"json_schema": {…}} or {"regex": "…"}'
        ) from error
    _check(grammar)
    return grammar


def _written(grammar: Grammar) -> str:
    _check(grammar)
    try:
        text = msgspec.json.encode(grammar)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, TypeError, ValueError) as error:
        raise InvalidGrammarError(
            f"The grammar cannot be written as JSON: {error}", where=grammar.where, expected="values that JSON has"
        ) from error
    if len(text) > GRAMMAR_MAX_BYTES:
        raise _too_large(grammar.where)
    return text.decode()


def _check(grammar: Grammar) -> None:
    if (grammar.json_schema is None) == (grammar.regex is None):
        raise InvalidGrammarError("There is no grammar, or two", where="grammar", expected="a JSON schema or a regex")
    if grammar.regex is not None:
        _check_pattern(grammar.regex, grammar.where)
    if grammar.json_schema is not None:
        _check_schema(grammar.json_schema, grammar.where)


def _check_schema(schema: dict[str, Any], where: str) -> None:
    """What the library's own limits leave open. Values of `enum` and the like are looked at as if they were schemas."""
    divisors: list[float] = []
    for key, value in _entries(schema, where):
        if key == "x-guidance":
            raise InvalidGrammarError(
                "The JSON schema sets options of the library", where=where, expected="a schema without x-guidance"
            )
        if key == "multipleOf" and isinstance(value, int | float):
            divisors.append(value)
        if key == "pattern" and isinstance(value, str):
            _check_pattern(value, where)
        if key == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                _check_pattern(pattern, where)
    if not _are_small(divisors):
        raise InvalidGrammarError(
            "The JSON schema asks for multiples that are too large, or too many",
            where=where,
            expected=f"a least common multiple of all multipleOf of at most {MULTIPLE_MAX}, in units of the finest",
            remedy="leave multipleOf out, and look at the number that comes",
        )


def _check_pattern(pattern: str, where: str) -> None:
    if not 0 < len(pattern) <= REGEX_MAX_CHARS:
        raise InvalidGrammarError(
            f"The regular expression has {len(pattern)} characters", where=where, expected=f"1 to {REGEX_MAX_CHARS}"
        )


def _are_small(divisors: list[float]) -> bool:
    """Whether all of them together are within MULTIPLE_MAX: 0.25 and 3 are 25 and 300, which is 300."""
    if not all(0 < divisor <= MULTIPLE_MAX for divisor in divisors):  # nor is what is no number
        return False
    exact = [Decimal(str(divisor)).normalize() for divisor in divisors]
    decimals = max((-int(each.as_tuple().exponent) for each in exact), default=0)
    return lcm(*(int(each.scaleb(max(0, decimals))) for each in exact)) <= MULTIPLE_MAX


def _entries(schema: dict[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Names and values of all objects in it, level by level, so that no depth is too much. Raises InvalidGrammarError
    for what is nested too deeply."""
    level: list[Any] = [schema]
    for _ in range(SCHEMA_MAX_DEPTH):
        level = [each for each in level if isinstance(each, dict | list)]
        for each in level:
            if isinstance(each, dict):
                yield from each.items()
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    if any(isinstance(each, dict | list) for each in level):
        raise InvalidGrammarError(
            "The JSON schema is nested too deeply",
            where=where,
            expected=f"at most {SCHEMA_MAX_DEPTH} objects and lists within each other",
            remedy="name inner schemas under $defs, and refer to them by $ref",
        )


def _too_large(where: str) -> InvalidGrammarError:
    return InvalidGrammarError(
        "The grammar is too large",
        where=where,
        expected=f"at most {GRAMMAR_MAX_BYTES} bytes as JSON",
        remedy="leave out descriptions, or ask in parts",
    )
