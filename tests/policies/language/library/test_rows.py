"""What holds for every overload: its errors, the kind and the size of its result are as the row says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language import types
from policies.language.functions import Overload, accepts
from policies.language.library import STANDARD
from policies.language.library.arithmetic import MAX_DURATION, MAX_TIMESTAMP, MIN_TIMESTAMP
from policies.language.library.versions import read_version
from policies.language.types import INT_MAX, INT_MIN, UINT_MAX, List, Map, Optional, Param, Type
from policies.language.values import Duration, EvaluationError, Maybe, Timestamp, TypeName, Uint, Value, key_of

ROWS = list(STANDARD.by_id.values())
TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["", "1", "-1h", "%s", "%d%x", "UTC", "1.2.3", "2026-12-01T08:00:00Z", "a+"])
)
SIMPLE: dict[Type, st.SearchStrategy[Value]] = {
    types.NULL: st.none(),
    types.BOOL: st.booleans(),
    types.INT: st.one_of(st.integers(-3, 9), st.integers(INT_MIN, INT_MAX)),
    types.UINT: st.one_of(st.integers(0, 9), st.integers(0, UINT_MAX)).map(Uint),
    types.DOUBLE: st.floats(),
    types.STRING: TEXTS,
    types.BYTES: st.binary(max_size=8),
    types.DURATION: st.integers(-MAX_DURATION, MAX_DURATION).map(Duration),
    types.TIMESTAMP: st.integers(MIN_TIMESTAMP, MAX_TIMESTAMP).map(Timestamp),
    types.VERSION: st.sampled_from(["1.0.0", "2.1.3-rc.1"]).map(read_version),
    types.TYPE: st.just(TypeName("int")),
}
ANY = st.one_of(*SIMPLE.values())


def values_of(type_: Type, bound: dict[str, Type]) -> st.SearchStrategy[Value]:
    """Values of a type of a signature; a parameter stands for one simple type in all of a call."""
    match type_:
        case Param():
            return SIMPLE[bound[type_.name]]
        case List():
            return st.lists(values_of(type_.element, bound), max_size=5)
        case Map():
            keys = values_of(type_.key, bound).map(key_of)
            return st.dictionaries(keys, values_of(type_.value, bound), max_size=5)
        case Optional():
            held = values_of(type_.value, bound)
            return st.one_of(st.just(Maybe(False)), held.map(lambda value: Maybe(True, value)))
        case _:
            return ANY if type_ == types.DYN else SIMPLE[type_]


def size_of(value: Value) -> int:
    """Characters or elements, as bounds count them."""
    if isinstance(value, Maybe):
        return size_of(value.content)
    return max(1, len(value)) if isinstance(value, str | bytes | list | dict) else 1


@st.composite
def calls(draw: st.DrawFn, row: Overload) -> tuple[Value, ...]:
    """Arguments that a row takes."""
    key, element = draw(st.sampled_from([types.INT, types.STRING, types.BOOL])), draw(st.sampled_from(list(SIMPLE)))
    bound: dict[str, Type] = {"K": key, "V": types.STRING, "T": element}
    if row.variadic:
        return (draw(st.lists(values_of(row.params[0], bound), min_size=1, max_size=5)),)
    return tuple(draw(values_of(param, bound)) for param in row.params)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_row_tells_the_truth(row: Overload, data: st.DataObject) -> None:
    args = data.draw(calls(row))
    sizes = [size_of(arg) for arg in args]
    try:
        value = row.run(*args)
    except EvaluationError:
        assert row.fallible
        return
    assert accepts(row.result, value)
    taken_out = isinstance(row.result, Param | Optional)
    assert taken_out or size_of(value) <= max(1, row.size(sizes))
    assert row.work(sizes) >= 1


def test_ids_are_words() -> None:
    assert all(row.id.replace("_", "").isalnum() and row.id == row.id.lower() for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_what_must_be_constant_is_judged_and_may_fail(row: Overload) -> None:
    assert not row.constant or row.fallible
    assert row.judge is None or row.constant
    assert row.variadic <= (len(row.params) == 1)
