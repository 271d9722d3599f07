"""Which tokens a grammar allows: grammars compiled for one tokenizer, by llguidance, and constraints of them.

The library is imported when somebody first asks whether it is there. Its limits count work and no seconds, so what is
too much is the same everywhere.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import numpy as np

from edgewise.generation.grammar import Allowed, Constraint, Grammar, InvalidGrammarError, parse_grammar
from edgewise.generation.state import GenerationState
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.errors import UnsupportedParameterError

if TYPE_CHECKING:
    import llguidance as ll

LIBRARY: Final = "llguidance"
COMPILED_MAX: Final = 16
"""Grammars that are kept compiled though no answer follows them. Each takes up to 8 MB when it is compiled, and as much
again as it is followed, under LIMITS."""
JSON_OPTIONS: Final[Any] = {"whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,40}", "lenient": False}
"""White space between JSON's tokens has an end, or a model may say nothing else for ever; unknown keywords of a schema
that would narrow it are refused. (A schema's own `x-guidance` would change these, and is refused.)"""
LIMITS: Final[dict[str, Any]] = {
    "max_items_in_row": 1000,
    "initial_lexer_fuel": 50_000,
    "step_lexer_fuel": 50_000,
    "step_max_items": 50_000,
    "max_lexer_states": 10_000,
    "max_grammar_size": 6_000,
    "verbose_errors": False,
}
ANEW_IDS: Final = 32
"""An answer that met a limit may meet it again so many ids later."""
_TOLD_CHARS = 300
_STATE = "\n<"
"""The library tells of its state behind this."""


class Compiled:
    """A grammar for one tokenizer. Its answers share what the library finds out about it, until that is too much."""

    def __init__(self, vocabulary: ll.LLTokenizer, grammar: Grammar) -> None:
        """Raises InvalidGrammarError."""
        import llguidance as ll

        self._vocabulary = vocabulary
        try:
            if grammar.regex is not None:
                self._text = ll.LLMatcher.grammar_from_regex(grammar.regex)
            else:
                schema: Any = grammar.json_schema or {}
                self._text = ll.LLMatcher.grammar_from_json_schema(schema, overrides=JSON_OPTIONS)
        except (ValueError, TypeError) as error:
            raise _invalid(grammar.where, str(error)) from error
        self._start = self._matcher()
        mask = _mask(self._start)  # what it costs to begin is paid here, once
        if mask is None:
            raise _invalid(grammar.where, self._start.get_error())
        if not mask.any():
            raise _stuck(grammar.where)

    def begin(self) -> ll.LLMatcher:
        """At its beginning, with what earlier answers found out."""
        return self._start.deep_copy()

    def begin_anew(self) -> ll.LLMatcher:
        """As the first answer ever: for one that met a limit of what all of them together found out."""
        self._start = self._matcher()
        return self._start.deep_copy()

    def _matcher(self) -> ll.LLMatcher:
        import llguidance as ll

        return ll.LLMatcher(self._vocabulary, self._text, log_level=0, limits=ll.LLParserLimits(**LIMITS))


class Grammars:
    """The compiled grammars of a tokenizer. All methods may be called from any thread."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary: ll.LLTokenizer | None = None
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._held: WeakValueDictionary[str, Compiled] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def known(self, grammar: str) -> Compiled | None:
        """The grammar where it is compiled, for whom `constraint` is quick as long as this is held."""
        with self._lock:
            found = self._held.get(grammar)
            return None if found is None else self._keep(grammar, found)

    def compile(self, grammar: str) -> Compiled:
        """As `known`; what is not known is compiled, and the first one ever also reads the vocabulary (seconds, when it
        is large). Raises InvalidGrammarError."""
        if (found := self.known(grammar)) is not None:
            return found
        made = Compiled(self._read(), parse_grammar(grammar))
        with self._lock:
            return self._keep(grammar, self._held.setdefault(grammar, made))

    def constraint(self, grammar: str, ends: Collection[int], vocab_size: int) -> Constraint:
        """A grammar for one answer, which `ends` end, of a model with so many logits. Raises InvalidGrammarError."""
        return _Followed(self.compile(grammar), self._tokenizer.vocab_size, ends, vocab_size)

    def _keep(self, grammar: str, compiled: Compiled) -> Compiled:
        """The last ones that were asked for stay when nobody holds them any more."""
        self._kept[grammar] = compiled
        self._kept.move_to_end(grammar)
        if len(self._kept) > COMPILED_MAX:
            self._kept.popitem(last=False)
        return compiled

    def _read(self) -> ll.LLTokenizer:
        import llguidance as ll

        with self._reading:
            if self._vocabulary is None:
                self._vocabulary = ll.LLTokenizer(ll.TokenizerWrapper(_Vocabulary(self._tokenizer)))
            return self._vocabulary


@cache
def is_installed() -> bool:
    """Whether grammars can be followed here: the library is there and can be loaded."""
    try:
        import llguidance  # noqa: F401
    except ImportError:
        return False
    return True


def open_grammars(tokenizer: ChatTokenizer) -> Grammars | None:
    """Grammars for a tokenizer; None where the library is not installed."""
    return Grammars(tokenizer) if is_installed() else None


def constraint_of(
    grammars: Grammars | None, state: GenerationState, ends: Collection[int], vocab_size: int
) -> Constraint | None:
    """The constraint that `state` asks for, which its ids follow so far; None where it asks for none.

    Raises UnsupportedParameterError without `grammars`, InvalidGrammarError.
    """
    if state.grammar is None:
        return None
    if grammars is None:
        raise UnsupportedParameterError(
            "This model cannot be held to a grammar",
            where="grammar",
            expected=f"an installation with {LIBRARY}",
            remedy="leave response_format and edgewise.regex out, or install the extra `grammar`",
        )
    constraint = grammars.constraint(state.grammar, ends, vocab_size)
    constraint.allowed(state.output_ids)
    return constraint


class _Vocabulary:
    """What llguidance asks of a tokenizer. Its end of sequence is an id of its own behind all others: so its mask says
    whether an answer may end, whichever ids end it. Tokens without bytes are special to it: no text allows them."""

    bos_token_id = None

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.tokens = [tokenizer.token_bytes(token) or b"\xff[%d]" % token for token in range(tokenizer.vocab_size)]
        self.special_token_ids = [token for token in range(tokenizer.vocab_size) if not tokenizer.token_bytes(token)]
        self.eos_token_id = len(self.tokens)
        self.special_token_ids.append(self.eos_token_id)
        self.tokens.append(b"\xff[end]")
        self._encode = tokenizer.encode

    def __call__(self, text: str) -> list[int]:
        return list(self._encode(text))


class _Followed:
    """A Constraint that remembers where it stands: ids that go on from there cost only themselves.

    What is too much work depends on what other answers found out before; so whoever meets a limit begins anew, and only
    an answer that is too much by itself ends: at once, or so soon again that beginning anew would cost a step too much.
    """

    def __init__(self, compiled: Compiled, tokens: int, ends: Collection[int], vocab_size: int) -> None:
        self._compiled, self._tokens, self._vocab_size = compiled, tokens, vocab_size
        self._ends = [token for token in ends if token < vocab_size]
        self._anew_after = 0
        self._begin(compiled.begin())

    def allowed(self, output_ids: tuple[int, ...]) -> Allowed:
        self._follow(output_ids)
        return self._allowed

    def complete(self, output_ids: tuple[int, ...]) -> bool:
        self._follow(output_ids)
        return self._complete

    def _begin(self, matcher: ll.LLMatcher) -> None:
        self._matcher, self._ids = matcher, tuple[int, ...]()
        self._known = False

    def _follow(self, ids: tuple[int, ...]) -> None:
        if self._ids != ids[: len(self._ids)]:
            self._begin(self._compiled.begin())
        if self._known and len(ids) == len(self._ids):
            return
        try:
            if not (self._went(ids) or self._went_anew(ids)):
                raise _too_much()
        except InvalidGrammarError:
            self._begin(self._compiled.begin())
            raise
        self._ids, self._known = ids, True

    def _went(self, ids: tuple[int, ...]) -> bool:
        """Whether it stands behind `ids` now, and knows what may come; False at a limit. Raises InvalidGrammarError."""
        self._known = False
        more = ids[len(self._ids) :]
        taken = self._matcher.try_consume_tokens(list(more)) if all(0 <= id < self._tokens for id in more) else 0
        if self._matcher.is_error():
            return False
        if taken < len(more):
            raise _not_followed()
        mask = _mask(self._matcher)
        if mask is None:
            return False
        self._look(mask)
        return True

    def _went_anew(self, ids: tuple[int, ...]) -> bool:
        if len(ids) < self._anew_after:
            return False
        self._anew_after = len(ids) + ANEW_IDS
        self._begin(self._compiled.begin_anew())
        return self._went(ids)

    def _look(self, mask: Allowed) -> None:
        known = min(self._tokens, self._vocab_size)
        allowed = np.zeros(self._vocab_size, dtype=np.bool_)
        allowed[:known] = mask[:known]
        allowed[self._ends] = False
        may_end = bool(mask[self._tokens])
        some = bool(allowed.any())
        if not some and not may_end:
            raise _stuck("grammar")
        allowed[self._ends] = may_end
        self._allowed, self._complete = allowed, not some


def _mask(matcher: ll.LLMatcher) -> Allowed | None:
    """Which tokens may come next, and last whether it may end; None where there is no telling."""
    bits = matcher.compute_bitmask()
    if matcher.is_error():
        return None
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little").view(np.bool_)


def _invalid(where: str, told: str) -> InvalidGrammarError:
    """Before anything was said: what the library tells is of the grammar alone."""
    return InvalidGrammarError(
        f"The grammar cannot be followed: {told.partition(_STATE)[0].strip()[:_TOLD_CHARS]}",
        where=where,
        expected="a JSON schema or a regular expression that can be met, of moderate size, in what llguidance knows",
        remedy="make it simpler: fewer alternatives and optional properties, shorter repetitions, no look-around",
    )


def _not_followed() -> InvalidGrammarError:
    return InvalidGrammarError(
        "The answer so far does not follow the grammar",
        where="grammar, after output_ids",
        expected="ids that were said under the same grammar",
        remedy="begin the answer anew",
    )


def _too_much() -> InvalidGrammarError:
    """The library's own words are not told: they quote the answer."""
    return InvalidGrammarError(
        "The grammar takes too much work to be followed on",
        where="grammar, after output_ids",
        expected="a grammar of moderate size",
        remedy="make it simpler: fewer alternatives and optional properties, shorter repetitions",
    )


def _stuck(where: str) -> InvalidGrammarError:
    return InvalidGrammarError(
        "No token of this model follows the grammar",
        where=where,
        expected="a grammar that can be met",
        remedy="look for parts that contradict each other, or that refer to themselves without an end",
    )
