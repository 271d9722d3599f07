"""A device believes no tree: types, overloads, cost and names are found anew, even under a good signature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies import Policy
from policies.build import build_trees
from policies.bundle import BundleError, Refusal, pack
from policies.bundle.envelope import split
from policies.bundle.payload import read_contents, read_policy
from policies.language import typed
from policies.language.syntax import Span
from policies.language.typed import Typed
from policies.modes import MODES
from tests.policies.bundle.bundles import ISSUED_AT_S, NOT_AFTER_S, SIGNER, contents, forged, packed, refusal, small
from tests.policies.documents import with_rules

_COMPLEXITY = ["input", "double", "request.complexity"]
_HALF = ["const", "double", 0.5]
_LESS = ["compare", "bool", "<", _COMPLEXITY, _HALF]


def with_tree(tree: Any) -> bytes:
    """The small bundle with another condition, under a good signature."""
    return forged(small(), lambda data: data["rules"][0].update(when=tree))


def without_spans(node: Typed) -> Typed:
    return replace(typed.rebuild(node, without_spans), span=Span(0, 0))


_EXPRESSIONS = [
    "true",
    "request.sensitivity >= params.level && request.sensitivity != 'secret'",
    "params.level == 'personal' || request.task in params.words || request.tenant in params.none",
    "request.turns + -3 * 2 - -1 > request.prompt_tokens % 7",
    "(-5) < request.turns && 7u == uint(request.turns) && 1.5e300 > request.complexity",
    "has(device.rtt_ms) && device.rtt_ms > 100.0",
    "!has(device.link) || device.link == 'wifi'",
    "device.rtt_ms.orValue(5.0) < 2.0 && device.?rtt_ms.hasValue()",
    "device.?rtt_ms.optMap(x, x * 2.0).orValue(1.0) > 3.0",
    "device.?link.optFlatMap(l, l == 'wifi' ? optional.of(l) : optional.none()).hasValue()",
    "[1, 2, 3].exists(x, [x].all(y, y > x)) && [1].exists_one(z, z == 1)",
    "[1, 2].filter(x, x > 1).map(x, x > 0, x + 1).size() == 1 && size([3]) == 1",
    "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v + 1)['b'] == 3 && {'a': 1}.all(k, v, v == 1)",
    "['a'].transformList(i, x, i + 1)[0] == 1 && [1].transformMapEntry(i, x, {x: i})[1] == 0",
    "cel.bind(t, request.tenant, t + t) == 'aa' && {'k': {'a b': 1}}.k[?'a b'].orValue(0) == 1",
    "{'a': 1}.?a.orValue(2) == 1 && has({'a': 1}.a) && [?optional.of(1)] == [1] && {?'k': optional.of(1)}.k == 1",
    "math.greatest(request.turns, 2, 3) > 2 && math.least([1, 2]) == 1 && math.abs(-3) == 3",
    "request.tenant.matches('^a+$') && request.tenant.lowerAscii().startsWith('a') && b'a\\xff' != b''",
    "duration('1h') < params.wait && timestamp('2026-01-01T00:00:00Z').getFullYear() == 2026",
    "satisfies(version('1.2.3'), '>=1.2 <2') && version('1.0.0') < version('2.0.0')",
    "bucket(request.tenant, 'salt') < 50.0 && type(request.turns) == int && type(params.wait) != type(1)",
    "(request.needs_fresh ? [] : [1]) == [] && optional.none() == optional.of(1) && string(1.0) == '1'",
    "variables.double > 3.0 && variables.words[0] == 'a' && (request.turns == 1) == request.needs_fresh",
    "request.tenant in {'a': 1} && 'x' in request.wants_device.split(',') && 1 == 1.0 && 1 < 2.0 && [1] != [2]",
]
_SPEC: dict[str, Any] = {
    "params": {
        "level": {"type": "request.sensitivity", "default": "personal"},
        "words": {"type": "list(string)", "default": ["code", "tool"]},
        "none": {"type": "list(string)", "default": []},
        "wait": {"type": "duration", "default": "5s"},
    },
    "variables": [
        {"name": "rtt", "expr": "device.rtt_ms.orValue(1.0)"},
        {"name": "double", "expr": "variables.rtt * 2.0"},
        {"name": "words", "expr": "['a', request.tenant]"},
    ],
}


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_every_tree_comes_back_as_it_was(expression: str) -> None:
    invariants = [{"name": "n", "always": f"decision.mode != 'race' || !({expression})"}]
    policy = Policy.load(with_rules([(expression, "cloud")], invariants=invariants, **_SPEC))
    ours, _ = build_trees(policy.document, policy.source)
    raw = pack(policy, SIGNER, version=1, issued_at_s=ISSUED_AT_S, not_after_s=NOT_AFTER_S)
    _, theirs = read_policy(read_contents(split(raw).payload), MODES)
    for our, their in ((ours.rules, theirs.rules), (ours.variables, theirs.variables)):
        assert tuple(map(without_spans, our)) == tuple(map(without_spans, their))
    assert [without_spans(each.violated) for each in ours.invariants] == [
        without_spans(each.violated) for each in theirs.invariants
    ]


def test_the_honest_tree() -> None:
    with pytest.raises(AssertionError, match="accepted"):
        refusal(with_tree(_LESS))


@pytest.mark.parametrize(
    "tree",
    [
        ["compare", "bool", "<", ["input", "int", "request.complexity"], _HALF],  # a type that is a lie
        ["compare", "int", "<", _COMPLEXITY, _HALF],
        ["call", "bool", "less_int", [_COMPLEXITY, _HALF]],  # an overload for other types
        ["call", "bool", "less_double", [_COMPLEXITY, _HALF]],  # a right overload that the checker does not choose
        ["call", "bool", "equals", [_COMPLEXITY, _HALF]],
        ["compare", "bool", "<", _COMPLEXITY, ["const", "int", 1]],  # Python compares otherwise than CEL here
        ["rank", "bool", ["const", "bool", True], []],
        [
            "macro",
            "bool",
            "exists",
            [5],
            ["list", "list(int)", [["const", "int", 1]], []],
            ["const", "bool", True],
            None,
        ],
    ],
)
def test_a_lie_about_types_or_overloads(tree: Any) -> None:
    assert refusal(with_tree(tree)) is Refusal.TREE_DIFFERS


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [],
        "true",
        {"kind": "const"},
        ["const", "bool"],
        ["const", "bool", 1],
        ["const", "int", 2**63],
        ["const", "int", True],
        ["const", "uint", -1],
        ["const", "double", 1],
        ["const", "string", "\ud800"],
        ["const", "bytes", "?"],
        ["const", "type", "os.system"],
        ["const", "object", 1],
        ["const", "enum(request.task)", "exec"],
        ["const", "double", 0.5],  # no bool
        ["fail", "bool", "boom"],
        ["input", "bool", "__class__"],
        ["input", "bool", "request.mood"],
        ["input", "bool", "decision.leaves_device"],  # known to invariants only
        ["input", "bool", "device.charging"],  # may be absent, and nothing asked
        ["maybe", "bool", "request"],
        ["variable", "bool", 0],
        ["variable", "bool", -1],
        ["local", "bool", 0],
        ["not", "bool", _COMPLEXITY],
        ["all", "bool", [_LESS]],
        ["all", "bool", []],
        ["compare", "bool", "is", _COMPLEXITY, _HALF],
        ["compare", "bool", "==", ["input", "enum(request.task)", "request.task"], ["const", "string", "exec"]],
        ["if", "bool", _LESS, _LESS],
        ["call", "bool", "__import__", []],
        ["call", "bool", "matches_method", []],
        ["call", "bool", "matches", [["input", "string", "request.tenant"], ["input", "string", "request.model"]]],
        ["call", "bool", "matches", [["input", "string", "request.tenant"], ["const", "string", "("]]],
        ["call", "dyn", "dyn", [_LESS]],
        ["call", "bool", "at_key", [_LESS]],
        ["call", "bool", "greatest_ints", 5],
        ["let", "bool", "bind", 0, _LESS, ["local", "bool", 1]],
        ["let", "bool", "bind", "0", _LESS, _LESS],
        ["let", "bool", "bind", 0, _LESS, ["let", "bool", "bind", 0, _LESS, _LESS]],
        ["macro", "bool", "exists", [], _LESS, _LESS, None],
        ["macro", "bool", "exists", [0, 0], _LESS, _LESS, None],
        ["macro", "bool", "exists", [0, 1, 2], _LESS, _LESS, None],
        ["macro", "bool", "exec", [0], _LESS, _LESS, None],
        ["map", "map(_, _)", [_LESS], [], []],
    ],
)
def test_what_the_checker_would_not_have_made(tree: Any) -> None:
    assert refusal(with_tree(tree)) is Refusal.TREE


def test_a_tree_too_deep() -> None:
    tree: Any = _LESS
    for _ in range(100):
        tree = ["not", "bool", tree]
    assert refusal(with_tree(tree)) is Refusal.TREE


def loops(depth: int, level: int = 0) -> Any:
    """Loops over nine numbers, one inside the other."""
    if level == depth:
        return ["const", "bool", True]
    numbers = ["list", "list(int)", [["const", "int", number] for number in range(9)], []]
    return ["macro", "bool", "all", [level], numbers, loops(depth, level + 1), None]


def test_a_tree_too_costly() -> None:
    assert refusal(with_tree(["all", "bool", [_LESS, loops(4)]])) is Refusal.TOO_COSTLY
    with pytest.raises(AssertionError, match="accepted"):
        refusal(with_tree(["all", "bool", [_LESS, loops(2)]]))


def test_a_tree_too_wide() -> None:
    assert refusal(with_tree(["any", "bool", [_LESS] * 5_000])) is Refusal.TOO_COSTLY
    many = ["list", "list(bool)", [_LESS] * 2_000, list(range(2_000))]
    assert refusal(with_tree(many)) is Refusal.TREE


def test_trees_too_costly_together() -> None:
    """Each is within its budget, and all together are not."""

    def many(data: dict[str, Any]) -> None:
        data["rules"] = [{**data["rules"][0], "id": f"r{at}", "when": loops(3)} for at in range(200)]
        data["schema"] = contents(packed(with_rules([("true", "cloud")])))["schema"]

    assert refusal(forged(small(), many)) is Refusal.TOO_COSTLY


def test_a_variable_that_reads_a_later_one() -> None:
    raw = small(variables=[{"name": "a", "expr": "1.0"}, {"name": "b", "expr": "variables.a"}])
    assert refusal(forged(raw, lambda data: data["variables"].reverse())) is Refusal.TREE


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data.update(extra=1), Refusal.SHAPE),
        (lambda data: data.pop("default"), Refusal.SHAPE),
        (lambda data: data.update(version=0), Refusal.SHAPE),
        (lambda data: data.update(version=True), Refusal.SHAPE),
        (lambda data: data.update(not_after_s=data["issued_at_s"]), Refusal.SHAPE),
        (lambda data: data.update(policy="abc"), Refusal.SHAPE),
        (lambda data: data.update(name="../../etc"), Refusal.SHAPE),
        (lambda data: data.update(rules={}), Refusal.SHAPE),
        (lambda data: data.update(rules=data["rules"] * 2), Refusal.SHAPE),
        (lambda data: data.update(rules=data["rules"] * 1001), Refusal.SHAPE),
        (lambda data: data["rules"][0].update(id="onError"), Refusal.SHAPE),
        (lambda data: data["rules"][0].update(id=7), Refusal.SHAPE),
        (lambda data: data["default"].update(mode="teleport"), Refusal.OUTCOME),
        (lambda data: data["default"].update(fallback=["race"]), Refusal.OUTCOME),
        (lambda data: data["default"].update(fallback=7), Refusal.OUTCOME),
        (lambda data: data["default"].update(reason=7), Refusal.OUTCOME),
        (lambda data: data["default"].update(reason="x" * 501), Refusal.OUTCOME),
        (lambda data: data["default"].update(extra=7), Refusal.OUTCOME),
        (lambda data: data.update(default=[]), Refusal.OUTCOME),
        (lambda data: data["default"]["timeouts"].update(total_s=-1.0), Refusal.OUTCOME),
        (lambda data: data["default"]["timeouts"].update(total_s="soon"), Refusal.OUTCOME),
        (lambda data: data["default"]["terms"].update(priority=11), Refusal.OUTCOME),
        (lambda data: data["default"]["terms"].update(priority="high"), Refusal.OUTCOME),
        (lambda data: data["default"]["terms"].update(escalate_below=1.5), Refusal.OUTCOME),
        (lambda data: data["default"]["terms"].update(max_tokens=0), Refusal.OUTCOME),
        (lambda data: data["default"]["terms"].update(edge_model=["a"]), Refusal.OUTCOME),
        (lambda data: data["default"]["terms"].update(unheard="of"), Refusal.OUTCOME),
        (lambda data: data["default"].update(terms=[]), Refusal.OUTCOME),
    ],
)
def test_what_is_around_the_trees(change: Any, code: Refusal) -> None:
    assert refusal(forged(small(), change)) is code


def test_a_version_that_cannot_be_packed() -> None:
    policy = Policy.load(with_rules([("true", "cloud")]))
    with pytest.raises(BundleError):
        pack(policy, SIGNER, version=0, issued_at_s=ISSUED_AT_S, not_after_s=NOT_AFTER_S)
