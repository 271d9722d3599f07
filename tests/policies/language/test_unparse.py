"""Canonical text: read again it is the same tree, and it has no parenthesis too many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language import syntax
from policies.language.parser import parse
from policies.language.syntax import Node, Span
from policies.language.unparse import unparse
from policies.language.values import Uint

AT = Span(0, 0)


def bare(part: object) -> Any:
    """A tree as nested tuples without spans; every value with its type, since 1 == 1.0 == true in Python."""
    if isinstance(part, tuple):
        return tuple(map(bare, part))
    if hasattr(part, "__slots__") and type(part).__module__ == syntax.__name__:
        names = (name for name in part.__slots__ if "span" not in name)
        return (type(part).__name__, *(bare(getattr(part, name)) for name in names))
    return type(part).__name__, repr(part)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("((a)) && ((b)||(c))", "a && (b || c)"),
        ("(a && b) || (c == (d + (e * f)))", "a && b || c == d + e * f"),
        ("(a + b) + c - (d - e)", "a + b + c - (d - e)"),
        ("a && (b && c)", "a && (b && c)"),
        ("(a ? b : (c ? d : e)) ? (f ? g : h) : i", "(a ? b : c ? d : e) ? (f ? g : h) : i"),
        ("!(a) && !(a&&b)", "!a && !(a && b)"),
        ("-(5) - -(5.0) + -(5u) + -(-5)", "-(5) - -(5.0) + -5u + --5"),
        ("-(5.f()) + -(5u.f()[0].b) + -(f(5))", "-(5.f()) + -5u.f()[0].b + -f(5)"),
        ("!(-a)", "!(-a)"),
        ("(-5).f()", "-5.f()"),
        ("(-a).f", "(-a).f"),
        ("(a+b).c[(d)]", "(a + b).c[d]"),
        ("0x1F + 0xFFU + 1e3 + .5 + 1E-7", "31 + 255u + 1000.0 + 0.5 + 1e-07"),
        ("[ 1,?a , ]==[]", "[1, ?a] == []"),
        ("{?'a' : 1,b:{}, }", '{?"a": 1, b: {}}'),
        ("a.?b.`c`.`d-e`.`in`[?f]", "a.?b.c.`d-e`.`in`[?f]"),
        (".a+.f( b ,c )", ".a + .f(b, c)"),
        ("[null,true , false]", "[null, true, false]"),
        ("'a'", '"a"'),
        ("'it\\'s'", '"it\'s"'),
        ("'say \"a\"'", "'say \"a\"'"),
        ("'\\'\"'", '"\'\\""'),
        ("r'\\d+'", 'r"\\d+"'),
        ("'\\\\\\n'", '"\\\\\\n"'),
        ("'''a\nb\t'''", '"a\\nb\\t"'),
        ("'\u202e\\u00e9\\x00\\U000e0001'", '"\\u202eé\\x00\\U000e0001"'),
        ("b'a\\xff\\'ÿ'", 'b"a\\xff\'\\xc3\\xbf"'),
        ("a // comment", "a"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    node, faults = parse(text)
    assert faults == []
    assert unparse(node) == canonical
    assert bare(parse(canonical)[0]) == bare(node)


_names = st.sampled_from(["a", "b1", "_", "x", "not", "and", "e5", "u"])
_fields = _names | st.sampled_from(["in", "true", "if", "a-b", "a b", "5", "x/y.z"])
_literals: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(Uint),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.text(st.sampled_from("\"'\\ab\n"), max_size=6),
    st.binary(max_size=8),
)
_leaves: st.SearchStrategy[Node] = st.one_of(
    _literals.map(lambda value: syntax.Literal(AT, value)),
    st.builds(syntax.Ident, st.just(AT), _names, st.booleans()),
)


def _inner(node: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    at, some = st.just(AT), st.lists(node, max_size=3).map(tuple)
    elements = st.lists(st.builds(syntax.Element, node, st.booleans()), max_size=3).map(tuple)
    entries = st.lists(st.builds(syntax.Entry, node, node, st.booleans()), max_size=3).map(tuple)
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"])
    operands = st.lists(node, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(syntax.Select, at, node, _fields, at, st.booleans()),
        st.builds(syntax.IndexOf, at, node, node, st.booleans()),
        st.builds(syntax.CallOf, at, _names, at, node, some),
        st.builds(syntax.CallOf, at, _names.map(lambda name: "." + name), at, st.none(), some),
        st.builds(syntax.CallOf, at, st.sampled_from(["f", "size"]), at, st.none(), some),
        st.builds(syntax.ListOf, at, elements),
        st.builds(syntax.MapOf, at, entries),
        st.builds(syntax.Unary, at, st.sampled_from("!-"), node),
        st.builds(syntax.Binary, at, operators, at, node, node),
        st.builds(syntax.Junction, at, st.sampled_from(["&&", "||"]), operands),
        st.builds(syntax.Choice, at, node, node, node),
    )


@given(st.recursive(_leaves, _inner, max_leaves=12))
def test_any_tree_is_read_as_it_was_written(node: Node) -> None:
    text = unparse(node)
    again, faults = parse(text)
    assert faults == []
    assert bare(again) == bare(node)
    assert unparse(again) == text


@pytest.mark.parametrize(
    "node",
    [
        syntax.Faulty(AT),
        syntax.Literal(AT, float("nan")),
        syntax.Literal(AT, float("inf")),
        syntax.Literal(AT, "\ud800"),
        syntax.Literal(AT, []),
        syntax.Select(AT, syntax.Ident(AT, "a"), "b`c", AT),
    ],
)
def test_what_has_no_text(node: Node) -> None:
    with pytest.raises(ValueError):
        unparse(node)
