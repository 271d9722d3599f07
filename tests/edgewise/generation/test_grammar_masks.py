"""What a grammar allows is a function of what was said; hostile grammars cost a refusal and little else."""

import gc
import json
import random
import threading
import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.grammar import ANY_OBJECT, Constraint, InvalidGrammarError, json_grammar, regex_grammar
from edgewise.generation.grammar_masks import COMPILED_MAX, Grammars, constraint_of
from edgewise.wire.errors import UnsupportedParameterError
from tests.factories.states import make_state
from tests.factories.tokenizers import END_ID, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
VOCAB = 330
"""A model may have more logits than its tokenizer has ids."""
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "mood": {"enum": ["good", "好"]},
        "n": {"type": "integer", "minimum": -5, "maximum": 1200},
    },
    "required": ["name", "mood", "n"],
    "additionalProperties": False,
}
GRAMMARS = (
    json_grammar(PERSON),
    json_grammar(ANY_OBJECT),
    json_grammar({"type": "array", "items": {"$ref": "#"}, "maxItems": 3}),
    regex_grammar(r"([a-z]+, )*[一-龥]{2,4}。"),
    regex_grammar("(ab?)*"),
)


@cache
def grammars() -> Grammars:
    return Grammars(TOKENIZER)


def constraint(grammar: str, ends: tuple[int, ...] = (END_ID,)) -> Constraint:
    return grammars().constraint(grammar, ends, VOCAB)


def walk(grammar: str, seed: int, most: int = 120) -> tuple[tuple[int, ...], bool]:
    """Any ids that the grammar allows, as a model might draw them, and whether it was complete then."""
    rules, chance, ids = constraint(grammar), random.Random(seed), tuple[int, ...]()
    while len(ids) < most:
        if rules.complete(ids):
            return ids, True
        token = chance.choice(np.flatnonzero(rules.allowed(ids)).tolist())
        if token == END_ID:
            return ids, True
        ids += (token,)
    return ids, False


def text_of(ids: tuple[int, ...]) -> bytes:
    return b"".join(TOKENIZER.token_bytes(token) for token in ids)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(GRAMMARS), st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=8)
)
def test_what_is_allowed_depends_on_the_ids_alone(grammar: str, seed: int, visits: list[tuple[int, bool]]) -> None:
    """Forwards, backwards, with and without masks on the way: resume, rows of drafts and repeats see the same."""
    ids, _ = walk(grammar, seed, most=60)
    visited = constraint(grammar)
    for place, looks in visits:
        if looks:
            visited.allowed(ids[:place])
    for place in {len(ids), *(place for place, _ in visits)}:
        fresh = constraint(grammar)
        assert (visited.allowed(ids[:place]) == fresh.allowed(ids[:place])).all()
        assert visited.complete(ids[:place]) == fresh.complete(ids[:place])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_whole_answer_is_json_of_the_schema_in_whole_characters(seed: int) -> None:
    ids, complete = walk(json_grammar(PERSON), seed)
    if complete:
        told = json.loads(text_of(ids).decode())
        assert list(told) == ["name", "mood", "n"] and -5 <= told["n"] <= 1200
        assert len(told["name"]) <= 8 and told["mood"] in ("good", "好")


def test_chinese_is_never_cut_within_a_character() -> None:
    rules, ids = constraint(regex_grammar("[一-龥]{3}")), tuple[int, ...]()
    for byte in "你好吗".encode():
        assert not rules.allowed(ids)[END_ID] and not rules.complete(ids)
        token = next(id for id in range(5, 300) if TOKENIZER.token_bytes(id) == bytes([byte]))
        assert rules.allowed(ids)[token]
        ids += (token,)
    assert rules.complete(ids) and np.flatnonzero(rules.allowed(ids)).tolist() == [END_ID]
    with pytest.raises(InvalidGrammarError):
        rules.allowed((*ids[:1], ids[0]))  # a lead byte after a lead byte


def test_ends_are_allowed_where_the_grammar_may_end_and_nowhere_else() -> None:
    letter, other = TOKENIZER.encode("a")[0], TOKENIZER.encode("z")[0]
    for ends in ((), (END_ID,), (END_ID, letter), (VOCAB + 5, other)):
        rules = constraint(regex_grammar("ab*"), ends)
        here = set(ends) - {VOCAB + 5}
        assert set(np.flatnonzero(rules.allowed((letter,))).tolist()) & {END_ID, letter, other} == here
        assert not rules.complete((letter,))
        if letter not in ends:
            assert not rules.allowed(())[list(here)].any()
    with pytest.raises(InvalidGrammarError, match="No token"):
        constraint(regex_grammar("a"), (letter,)).allowed(())  # which would end it before it began


def test_no_special_token_and_none_beyond_the_tokenizer_is_ever_allowed() -> None:
    rules = constraint(regex_grammar("(.|\n)*"))
    allowed = np.flatnonzero(rules.allowed(()))
    assert allowed.min() == END_ID and 0 not in allowed and not {2, 3, 4} & set(allowed.tolist())
    assert allowed.max() < TOKENIZER.vocab_size
    for wrong in (2, TOKENIZER.vocab_size, VOCAB - 1, VOCAB + 1000):
        with pytest.raises(InvalidGrammarError):
            rules.allowed((wrong,))
    assert rules.allowed(TOKENIZER.encode("as before")).sum() > 100


def test_an_answer_of_another_grammar_is_not_continued() -> None:
    given = make_state(grammar=regex_grammar("[0-9]+"), output_ids=TOKENIZER.encode("12"))
    assert constraint_of(grammars(), given, (END_ID,), VOCAB)
    assert constraint_of(None, make_state(), (), VOCAB) is None
    with pytest.raises(UnsupportedParameterError):
        constraint_of(None, given, (), VOCAB)
    with pytest.raises(InvalidGrammarError) as caught:
        constraint_of(grammars(), given.advanced(TOKENIZER.encode("x"), "x"), (), VOCAB)
    assert "output_ids" in caught.value.where and caught.value.remedy


def of_schema(schema: object) -> str:
    """The text form, whatever json_grammar thinks of it: nodes are sent it by others."""
    return json.dumps({"json_schema": schema})


def multiples(*divisors: float) -> list[dict[str, object]]:
    return [{"type": "number", "multipleOf": divisor} for divisor in divisors]


HOSTILE: dict[str, str] = {
    "contradicts itself": of_schema({"allOf": [{"type": "string"}, {"type": "integer"}]}),
    "never ends": of_schema({"$ref": "#"}),
    "unknown keyword": of_schema({"not": {"type": "string"}}),
    "unknown type": of_schema({"type": "blah"}),
    "unknown format": of_schema({"type": "string", "format": "nope"}),
    "elsewhere": of_schema({"$ref": "http://example.com/x"}),
    "sets options": of_schema({"type": "string", "x-guidance": {"lenient": True}}),
    "sets options within": of_schema({"items": {"x-guidance": {"whitespace_pattern": "[ ]*"}}}),
    "many ways": of_schema(
        {"allOf": [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(20)]}
    ),
    "a large multiple": of_schema({"type": "integer", "multipleOf": 9999991}),
    "a long fraction": of_schema({"items": multiples(0.25, 0.0009973)}),
    "multiples multiply": of_schema({"allOf": multiples(997, 991)}),
    "multiples multiply elsewhere": of_schema(
        {"$defs": {"a": multiples(97)[0]}, "allOf": [{"$ref": "#/$defs/a"}, *multiples(89)]}
    ),
    "a multiple of nothing": of_schema({"allOf": multiples(0)}),
    "many properties": of_schema({"properties": {f"k{n}": {"type": "string"} for n in range(1000)}}),
    "a long pattern": of_schema({"type": "string", "pattern": "a" * 2049}),
    "long patterns of names": of_schema({"patternProperties": {"a" * 2049: {}}}),
    "not a pattern": regex_grammar("["),
    "looks around": regex_grammar("(?=a)b"),
    "looks back": regex_grammar(r"(a)\1"),
    "repeats repeats": regex_grammar("(a{1000}){1000}"),
    "deep": regex_grammar("(" * 900 + "a" + ")" * 900),
}
CPU_S = 5.0
"""More than fifty times what the worst of them takes."""


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_cannot_be_followed_is_refused_in_words_and_soon(name: str) -> None:
    began_s = time.process_time()
    with pytest.raises(InvalidGrammarError) as caught:
        rules, ids = constraint(HOSTILE[name]), tuple[int, ...]()
        for step in range(50):
            ids += (int(np.flatnonzero(rules.allowed(ids))[-1]),)
            assert not rules.complete(ids), step
    info = caught.value.info()
    assert info.where and info.expected and len(info.message) < 500
    assert not info.retryable
    assert time.process_time() - began_s < CPU_S


@pytest.mark.parametrize(
    "divisors", [(0.01,), (5, 0.01, 0.1), (1e-9,), (1000,), (2, 3, 5, 7), (0.25, 2.5)], ids=lambda each: str(each)
)
def test_multiples_of_prices_and_dozens_are_followed(divisors: tuple[float, ...]) -> None:
    began_s = time.process_time()
    ids, _ = walk(of_schema({"type": "array", "items": {"allOf": multiples(*divisors)}}), seed=1, most=40)
    assert ids and time.process_time() - began_s < CPU_S


def test_what_is_too_much_is_mostly_seen_before_an_engine_hears_of_it() -> None:
    later = set()
    for name, grammar in HOSTILE.items():
        try:
            grammars().compile(grammar)
            later.add(name)
        except InvalidGrammarError:
            continue
    assert later == {"repeats repeats"}


def test_what_is_told_of_an_answer_quotes_nothing_of_it() -> None:
    secret = "confidential"
    for pattern, said in (("(confidential)+[0-9]", "confidentialx"), ("(a{1000}){1000}|confidential", "a" * 200)):
        with pytest.raises(InvalidGrammarError) as caught:
            for cut in range(len(said) + 1):
                constraint(regex_grammar(pattern)).allowed(TOKENIZER.encode(said[:cut]))
        assert secret not in str(caught.value) and "output_ids" in caught.value.where


def test_what_others_found_out_is_no_limit_for_an_answer() -> None:
    """Answers share the states of their grammar, which are limited; each alone is far from that."""
    kept, grammar = Grammars(TOKENIZER), regex_grammar(r"(\w{1,20} ){1,200}")
    held = kept.compile(grammar)
    chance, first, begun = random.Random(3), tuple[int, ...](), held.begin_anew
    anew: list[int] = []

    def counted() -> Any:
        anew.append(1)
        return begun()

    held.begin_anew = counted  # type: ignore[method-assign]
    while len(anew) < 2:
        rules, ids = kept.constraint(grammar, (END_ID,), VOCAB), tuple[int, ...]()
        while len(ids) < 200 and not rules.complete(ids):
            ids += (chance.choice([*set(np.flatnonzero(rules.allowed(ids)).tolist()) - {END_ID}]),)
        fresh = Grammars(TOKENIZER).constraint(grammar, (END_ID,), VOCAB)
        assert (rules.allowed(ids) == fresh.allowed(ids)).all()
        first = first or ids
    assert kept.constraint(grammar, (END_ID,), VOCAB).allowed(first).any()


def test_white_space_has_an_end() -> None:
    rules, ids = constraint(json_grammar(ANY_OBJECT)), TOKENIZER.encode("{")
    space = TOKENIZER.encode(" ")
    assert rules.allowed(ids + 39 * space)[space[0]]
    assert not rules.allowed(ids + 40 * space)[space[0]]
    with pytest.raises(InvalidGrammarError):
        rules.allowed(ids + 41 * space)


def test_few_grammars_are_kept_beside_those_that_are_followed() -> None:
    kept = Grammars(TOKENIZER)
    patterns = [regex_grammar(f"a{{{n}}}") for n in range(1, COMPILED_MAX + 4)]
    followed = kept.constraint(patterns[1], (), VOCAB)
    held = kept.compile(patterns[2])
    for pattern in patterns:
        kept.constraint(pattern, (), VOCAB)
    gc.collect()
    assert [kept.known(patterns[place]) is not None for place in (3, 0, 1, 2)] == [True, False, True, True]
    assert kept.compile(patterns[2]) is held and followed.allowed(()).any()
    with pytest.raises(InvalidGrammarError):
        kept.compile(regex_grammar("["))
    assert kept.known(regex_grammar("[")) is None


def test_threads_may_compile_the_same_grammars() -> None:
    kept, patterns = Grammars(TOKENIZER), [regex_grammar(f"a{{{n}}}") for n in range(1, 6)]
    threads = [threading.Thread(target=lambda: list(map(kept.compile, patterns))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(kept.known(each) for each in patterns)
