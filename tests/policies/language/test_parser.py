"""What the grammar makes of tokens, the spans of it, and what is told of what is outside of it."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language import syntax
from policies.language.parser import Limits, parse
from policies.language.syntax import Node


def shape(node: Node) -> str:
    """A tree as one line with every bracket; `*` marks what is optional or absolute."""
    match node:
        case syntax.Literal():
            return f"{node.value!r}:{type(node.value).__name__}"
        case syntax.Ident():
            return "*" * node.absolute + node.name
        case syntax.Select():
            return f"{shape(node.operand)}.{'*' * node.optional}{node.field}"
        case syntax.IndexOf():
            return f"{shape(node.operand)}[{'*' * node.optional}{shape(node.index)}]"
        case syntax.CallOf():
            target = f"{shape(node.target)}." if node.target else ""
            return f"{target}{node.function}({', '.join(map(shape, node.args))})"
        case syntax.ListOf():
            return f"[{', '.join('*' * each.optional + shape(each.value) for each in node.elements)}]"
        case syntax.MapOf():
            entries = (f"{'*' * each.optional}{shape(each.key)}: {shape(each.value)}" for each in node.entries)
            return f"{{{', '.join(entries)}}}"
        case syntax.Unary():
            return f"({node.operator} {shape(node.operand)})"
        case syntax.Binary():
            return f"({shape(node.left)} {node.operator} {shape(node.right)})"
        case syntax.Junction():
            return "(" + f" {node.operator} ".join(map(shape, node.operands)) + ")"
        case syntax.Choice():
            return f"({shape(node.condition)} ? {shape(node.then)} : {shape(node.otherwise)})"
        case syntax.Faulty():
            return "?!"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a || b && c == d + e * !f", "(a || (b && (c == (d + (e * (! f))))))"),
        ("a * b + c < d && e || f", "(((((a * b) + c) < d) && e) || f)"),
        ("a - b - c", "((a - b) - c)"),
        ("a < b == c in d", "(((a < b) == c) in d)"),
        ("a && (b && c) && d", "(a && (b && c) && d)"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a || b ? c || d : e", "((a || b) ? (c || d) : e)"),
        ("(a ? b : c).d", "(a ? b : c).d"),
        ("!!a", "(! (! a))"),
        ("--a", "(- (- a))"),
        ("-5 - -5", "(-5:int - -5:int)"),
        ("--5", "(- -5:int)"),
        ("-(5)", "(- 5:int)"),
        ("-a.b", "(- a.b)"),
        ("-1.5.f()", "-1.5:float.f()"),
        ("-5u", "(- 5:Uint)"),
        ("-9223372036854775808", "-9223372036854775808:int"),
        ("-0x8000000000000000", "-9223372036854775808:int"),
        ("0u", "0:Uint"),
        ("[true, false, null]", "[True:bool, False:bool, None:NoneType]"),
        ("b'a' + 'a'", "(b'a':bytes + 'a':str)"),
        (".a.b + .f(c).d", "(*a.b + .f(c).d)"),
        ("a ? .b : .c", "(a ? *b : *c)"),
        ("a.?b[?c].d[e]", "a.*b[*c].d[e]"),
        ("a.`b-c`.?`in`", "a.b-c.*in"),
        ("[?a, b,]", "[*a, b]"),
        ("{?a: b, c: d,}", "{*a: b, c: d}"),
        ("{a ? b : c : d}", "{(a ? b : c): d}"),
        ("[,] + [] + [{,}, {}]", "(([] + []) + [{}, {}])"),
        ("math.abs(-1) + x.f(y, z).g()", "(math.abs(-1:int) + x.f(y, z).g())"),
        ("a.package.if.f().loop()", "a.package.if.f().loop()"),
        ("optional.none().or(a).not(b)", "optional.none().or(a).not(b)"),
        ("and + or + not in not", "(((and + or) + not) in not)"),
        ("42.charAt(1)", "42:int.charAt(1:int)"),
        ("a // b\n && c", "(a && c)"),
    ],
)
def test_trees(text: str, expected: str) -> None:
    node, faults = parse(text)
    assert faults == []
    assert shape(node) == expected


def _nodes(node: object) -> list[Node]:
    """Every node of a tree, from the root."""
    if isinstance(node, tuple):
        return [each for part in node for each in _nodes(part)]
    if isinstance(node, syntax.Element | syntax.Entry):
        return _nodes(tuple(getattr(node, name) for name in node.__slots__))
    if not hasattr(node, "span"):
        return []
    parts = (getattr(node, name) for name in getattr(node, "__slots__", ()) if name != "value")
    return [cast(Node, node), *_nodes(tuple(parts))]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (" (a + b) * c ", ["(a + b) * c", "a + b", "a", "b", "c"]),
        ("(a).b.`c d`[ d ] ", ["(a).b.`c d`[ d ]", "(a).b.`c d`", "(a).b", "a", "d"]),
        ("!( a ) || -1 == - b", ["!( a ) || -1 == - b", "!( a )", "a", "-1 == - b", "-1", "- b", "b"]),
        ("x ? (y) : f( z )", ["x ? (y) : f( z )", "x", "y", "f( z )", "z"]),
        ("[ ?a, {b : c} ].d()", ["[ ?a, {b : c} ].d()", "[ ?a, {b : c} ]", "a", "{b : c}", "b", "c"]),
        (".a.b + .f(1)", [".a.b + .f(1)", ".a.b", ".a", ".f(1)", "1"]),
    ],
)
def test_spans(text: str, pieces: list[str]) -> None:
    node, _ = parse(text)
    assert [text[each.span.start : each.span.end] for each in _nodes(node)] == pieces


def test_spans_of_names_and_signs() -> None:
    text = "a.`b c` <= d.f(x) + .g()"
    node, _ = parse(text)
    assert isinstance(node, syntax.Binary) and isinstance(node.right, syntax.Binary)
    select, method, absolute = node.left, node.right.left, node.right.right
    assert isinstance(select, syntax.Select)
    assert isinstance(method, syntax.CallOf) and isinstance(absolute, syntax.CallOf)
    spans = [select.field_span, node.operator_span, method.function_span, absolute.function_span]
    assert [text[span.start : span.end] for span in spans] == ["`b c`", "<=", "f", ".g"]


@pytest.mark.parametrize(
    ("text", "code", "at", "hint"),
    [
        ("", "empty-expression", "", ""),
        (" // a", "empty-expression", " // a", ""),
        ("a and b", "unknown-operator", "and", "write && instead"),
        ("a OR b", "unknown-operator", "OR", "write || instead"),
        ("not a", "unknown-operator", "not", "write ! instead"),
        ("a not in b", "unknown-operator", "not", "write !(a in b) instead"),
        ("a == True", "unknown-name", "True", "write true instead"),
        ("a != None", "unknown-name", "None", "write null instead"),
        ("a is b", "syntax", "is", "write == instead"),
        ("a if b else c", "syntax", "if", "write condition ? a : b"),
        ("if(a)", "reserved-word", "if", "write condition ? a : b"),
        ("loop + 1", "reserved-word", "loop", "choose another name"),
        (".true", "reserved-word", "true", "choose another name"),
        ("a.in", "reserved-word", "in", "write `in` instead"),
        ("a.b{c: 1, ?`d e`: 2,}.f", "no-messages", "a.b{c: 1, ?`d e`: 2,}", ""),
        (".A{}", "no-messages", ".A{}", ""),
        ("a ? b ? c : d : e", "syntax", "?", "put the inner choice into parentheses"),
        ("a ? b", "syntax", "", ""),
        ("a ? b c : d", "syntax", "c", ""),
        ("(a b && c) || d", "syntax", "b", ""),
        ("(a", "syntax", "(", ""),
        ("a)", "syntax", ")", ""),
        ("a &&", "syntax", "", ""),
        ("a && && b", "syntax", "&&", ""),
        ("a.", "syntax", "", ""),
        ("a.?b(c)", "syntax", "(", ""),
        ("a.`b`(c)", "syntax", "(", ""),
        ("`a`", "syntax", "`a`", ""),
        ("a[b", "syntax", "[", ""),
        ("f(a,)", "syntax", ")", ""),
        ("f(a b, c(d e), g)", "syntax", "b", ""),
        ("[1 2, 3]", "syntax", "2", ""),
        ("{a}", "syntax", "}", ""),
        ("{a b: c}", "syntax", "b", ""),
        ("{'a': 1, 'b' 2}", "syntax", "2", ""),
        ("9223372036854775808", "number-too-large", "9223372036854775808", ""),
        ("-(9223372036854775808)", "number-too-large", "9223372036854775808", ""),
        ("größe.a > 3 && größe", "unknown-sign", "größe", ""),
        ("10ms + 'a", "bad-number", "10ms", 'write duration("10ms")'),
    ],
)
def test_told(text: str, code: str, at: str, hint: str) -> None:
    fault = parse(text)[1][0]
    assert (fault.code, text[fault.span.start : fault.span.end], fault.suggestion) == (code, at, hint)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(a b && c) || d e || f g", ["b", "e", "g"]),
        ("a = b and c & not d", ["=", "and", "&", "not"]),
        ("f(a b, c d)[e f] == {g h: 1, i: }", ["b", "d", "f", "h", "}"]),
        ("[1 2, 3 4] && )", ["2", "4", ")"]),
        ("x.y z) && 1 +", ["z", ""]),
        ("A{b: 1 +, c: d e} && 'f\\q'", ["A{b: 1 +, c: d e}", ",", "e", "\\q"]),
        ("((((", [""]),
        ("(a b(c d) e) && f g", ["b", "g"]),
        ("a.b.(c)", ["("]),
    ],
)
def test_several_at_once_and_each_once(text: str, told: list[str]) -> None:
    assert [text[fault.span.start : fault.span.end] for fault in parse(text)[1]] == told


def test_names_behind_a_fault_stay_in_the_tree() -> None:
    assert shape(parse("a == && b.c || f(d e, g)")[0]) == "(((a == ?!) && b.c) || f(d, g))"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 32 + "7" + ")" * 32,
        "true ? true : " * 24 + "true",
        "!" * 32 + "a",
        "-" * 32 + "a",
        " + ".join(["1"] * 40),
        " == ".join(["a"] * 25),
        " || ".join(["a.b.c && -a + b == c[0]"] * 100),
        "f(" * 12 + "a" + ")" * 12,
        "[" * 12 + "a" + "]" * 12,
        "a" + ".b" * 40,
        "a" + "[0]" * 40,
        "f(" + ", ".join(["a"] * 32) + ")",
        " == ".join([" + ".join(["a" + ".b" * 20] * 24)] * 2),
    ],
)
def test_sizes_that_the_language_demands(text: str) -> None:
    assert parse(text)[1] == []


_DEEP = ["(", "!", "-", "a.", "1+", "a[", "x?", "x?x:", "{", "[", "a||b&&c==d+e*(", "f(", "a.?b[?", "A{b:"]


@pytest.mark.parametrize("part", _DEEP)
def test_too_deep(part: str) -> None:
    node, faults = parse(part * 60 + "a")
    assert isinstance(node, syntax.Faulty)
    assert faults[-1].code == "too-deep"
    assert faults[-1].expected == "at most 48 levels"


@pytest.mark.parametrize("part", _DEEP)
def test_no_limit_is_high_enough_to_raise(part: str) -> None:
    _, faults = parse(part * 5000 + "a", Limits(characters=10**6, depth=10**6))
    assert [fault.code for fault in faults[-1:]] == ([] if part in ("a.", "1+") else ["too-deep"])


def test_what_was_told_before_the_depth_stays() -> None:
    assert [fault.code for fault in parse("a = b && " + "(" * 60)[1]] == ["unknown-sign", "too-deep"]


@pytest.mark.parametrize("text", ["(" * 20 + "a" + " + 1 + 1 + 1)" * 20, "(" * 20 + "a" + ".b.c && d || e)" * 20])
def test_the_tree_is_never_deeper(text: str) -> None:
    assert parse(text)[1][0].code == "too-deep"


def test_where_a_chain_is_too_deep() -> None:
    text = "x == a" + ".b" * 60
    (fault,) = parse(text)[1]
    assert text[fault.span.start : fault.span.end] == "a" + ".b" * 13


@pytest.mark.parametrize(
    "around",
    ["#.f()", "f(#)", "[#]", "{#: a}", "{a: #}", "#[a]", "a[#]", "-#", "a + #", "a && #", "# ? a : b", "a ? #: b"],
)
def test_depth_is_seen_everywhere(around: str) -> None:
    assert parse(around.replace("#", "a" + ".b" * 46))[1] == []
    assert parse(around.replace("#", "a" + ".b" * 47))[1][0].code == "too-deep"


def test_limits_are_arguments() -> None:
    assert parse("((a))", Limits(depth=2))[1][0].code == "too-deep"
    assert parse("((a))", Limits(depth=3))[1] == []
    assert parse("abcd", Limits(characters=3))[1][0].expected == "at most 3"
    assert parse("a" * 4096)[1] == []
    assert parse("a" * 4097)[1][0].code == "too-long"


def test_at_most_twenty_faults() -> None:
    assert len(parse("# " * 100)[1]) == 20
    assert len(parse("# " * 100 + "(" * 60)[1]) == 20


_SOUP = [
    *"()[]{}.,?:!-+*/%<",
    "==",
    "&&",
    "||",
    "in",
    "=",
    "&",
    "and",
    "not",
    "is",
    "if",
    "True",
    "null",
    "a",
    "f",
    "`b`",
]
_SOUP += [
    "`",
    "1",
    "2u",
    "2.5",
    "9" * 30,
    "5s",
    "'a'",
    "b'\\xff'",
    "'\\q'",
    '"',
    "'''",
    "r'",
    "\n",
    "//",
    "你",
    "“",
    "\ud800",
]


@given(st.lists(st.sampled_from(_SOUP), max_size=40).map(" ".join) | st.text(max_size=80))
def test_any_text(text: str) -> None:
    node, faults = parse(text)
    assert all(0 <= fault.span.start <= fault.span.end <= len(text) for fault in faults)
    assert all(0 <= each.span.start <= each.span.end <= len(text) for each in _nodes(node))
    assert len(faults) <= 20
    assert faults or not any(isinstance(each, syntax.Faulty) for each in _nodes(node))


@pytest.mark.parametrize(
    "part", ["( a", "a )", ") && ", "“", "`", "'\\", "b'", "1_", "1.", "{a:", "a b ", "x ? ", "= ", ", ", "9"]
)
def test_any_repetition(part: str) -> None:
    parse(part * (4096 // len(part)))
