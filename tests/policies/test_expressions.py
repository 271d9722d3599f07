"""What expressions mean, and what is told of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from policies.language.library.buckets import bucket
from tests.policies.documents import expression_problem, holds, problems, when, with_rules


@pytest.mark.parametrize(
    "expression",
    [
        "true && !false || false",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9",
        "-7 / 2 == -3 && -7 % 2 == -1 && 7 % -2 == 1",
        "1 < 2 && 2 <= 2 && 3 > 2.5 && 1 == 1.0 && 0x10 == 16",
        "-9223372036854775808 < 0",
        "1.0 / 0.0 > 1.0e308 && !(0.0 / 0.0 == 0.0 / 0.0)",
        "0.0 / 0.0 in [0.0 / 0.0] == false",
        "'a' + \"b\" == 'ab' && 'a' < 'b' && '\\u4f60\\x41\\n' == '你A\\n'",
        "r'\\n'.size() == 2 && size('你好') == 2",
        "'edge-1'.startsWith('edge') && 'edge-1'.endsWith('1') && 'edge-1'.contains('-') && 'ÄB'.lower() == 'Äb'",
        "2 in [1, 2] && !(3 in [1, 2]) && 'k' in {'k': 1} && {'k': 1}['k'] == 1 && {'k': 1}.k == 1",
        "[1, 2] + [3] == [1, 2, 3] && [1, 2][1] == 2 && size([1]) == 1",
        "[1, 2].exists(x, x > 1) && ![1, 2].all(x, x > 1)",
        "['a', 'b'].exists(x, ['b'].exists(y, x == y))",
        "(1 > 2 ? 'a' : 'b') == 'b'",
        "null == null",
        "double(1) == 1.0 && double(3) / 2.0 == 1.5",
        "request.task in ['other', 'code'] && request.task == 'other'",
        "request.sensitivity < 'personal' && 'secret' > request.sensitivity",
        "[request.sensitivity].all(s, s <= 'internal')",
        "device.battery_pct.orValue(7.0) == 7.0 && !has(device.battery_pct)",
        "has(device.rtt_ms) && device.rtt_ms > 1.0 || !has(device.rtt_ms)",
        "!has(device.rtt_ms) || device.rtt_ms > 1.0",
        "has(device.rtt_ms) ? device.rtt_ms > 1.0 : true",
        "!(!has(device.rtt_ms) || !has(device.link)) && device.rtt_ms > 1.0 && device.link == 'wifi' || true",
        "!has(device.rtt_ms) || !has(device.link) || device.rtt_ms > 1.0 && device.link == 'wifi'",
        "device.link.orValue('none') == 'none'",
        "1 / 0 == 1 || true",
        "!(1 / 0 == 1 && false)",
        "[0, 1].exists(x, 1 / x == 1)",
        "bucket('key', 'salt') >= 0.0 && bucket('', 'salt') == 100.0",
        "true // and the rest is a comment",
    ],
)
def test_holds(expression: str) -> None:
    assert holds(expression)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("9223372036854775807 + 1 > 0", "overflow"),
        ("-(-9223372036854775808) > 0", "overflow"),
        ("1 / request.turns == 1", "division by zero"),
        ("1 % request.turns == 1", "division by zero"),
        ("[1][request.turns + 1] == 1", "outside of a list"),
        ("{'a': 1}[request.tenant] == 1", "no key"),
        ("1 / request.turns == 1 || false", "division by zero"),
        ("true && 1 / request.turns == 1", "division by zero"),
        ("[0, 2].exists(x, 1 / x == 1)", "division by zero"),
    ],
)
def test_an_error_is_never_no_match(expression: str, told: str) -> None:
    decision = when(expression).decide(
        {"request.sensitivity": "public", "request.origin": "device", "request.turns": 0}
    )
    assert (decision.rule_id, decision.mode) == ("onError", "edge")
    assert told in decision.errors[0]


@pytest.mark.parametrize(
    ("expression", "code", "at", "remedy"),
    [
        ("request.tsk == 'code'", "unknown-name", "tsk", "request.task"),
        ("task == 'code'", "unknown-name", "task", "request.task"),
        ("request.task == 'cod'", "unknown-word", "'cod'", "'code'"),
        ("request.task in ['code', 'tol']", "unknown-word", "'tol'", "'tool'"),
        ("request.sensitivity >= 'persnal'", "unknown-word", "'persnal'", "'personal'"),
        ("request.task > 'code'", "wrong-type", "> ", ""),
        ("request.task == 3", "wrong-type", "==", ""),
        ("device.rtt_ms > 3.0", "may-be-absent", "device", "orValue(40.0)"),
        ("has(device.rtt_ms) || device.rtt_ms > 3.0", "may-be-absent", "device.rtt_ms > ", "has("),
        ("has(device.rtt_ms) && has(device.link) ? true : device.rtt_ms > 3.0", "may-be-absent", "device.rtt_ms >", ""),
        ("!(has(device.rtt_ms) && has(device.link)) && device.rtt_ms > 3.0", "may-be-absent", "device.rtt_ms >", ""),
        ("true &&& true", "unknown-sign", "& true", "&&"),
        ("device.rtt_ms.orValue(3) > 3.0", "wrong-type", "3)", "3.0"),
        ("device.rtt_ms == null", "may-be-absent", "device", "has("),
        ("has(request.task)", "always-there", "has", "remove"),
        ("request.task.orValue('code') == 'code'", "always-there", "orValue", "request.task"),
        ("device.link.orValue('wify') == 'wifi'", "wrong-type", "'wify'", ""),
        ("request.complexity * 2 > 1.0", "wrong-type", "* 2", "2.0"),
        ("request.complexity", "wrong-type", "request", ""),
        ("!request.complexity", "wrong-type", "request", ""),
        ("request.needs_fresh && 1", "wrong-type", "1", ""),
        ("request.task = 'code'", "unknown-sign", "= ", "=="),
        ("request.needs_fresh and true", "unknown-operator", "and", "&&"),
        ("not request.needs_fresh", "unknown-operator", "not", "!"),
        ("request.needs_fresh == True", "unknown-name", "True", "true"),
        ("request.needs_fresh == “yes”", "", "", ""),
        ("request.model.startWith('a')", "unknown-function", "startWith", "startsWith"),
        ("bucket('a') < 3.0", "wrong-call", "bucket", ""),
        ("request.model == 'abc", "unclosed-string", "'abc", "add '"),
        ("request.needs_fresh &&", "syntax", "", ""),
        ("(request.needs_fresh", "syntax", "", ""),
        ("request.needs_fresh)", "syntax", ")", ""),
        ("[1, 'a'].exists(x, true)", "wrong-type", "[1", ""),
        ("{'a': 1, 'a': 2}.a == 1", "double-key", "'a': 2", ""),
        ("9223372036854775808 > 0", "number-too-large", "9223372036854775808", ""),
        ("'\\ud800' == ''", "unknown-escape", "\\ud800", ""),
        ("decision.mode == 'edge'", "not-known-yet", "mode", "invariants only"),
        ("params.x > 1", "unknown-name", "x >", ""),
        ("x > 1", "unknown-name", "x", ""),
        ("", "empty-expression", "", ""),
        ("(" * 60 + "true" + ")" * 60, "too-deep", "", ""),
        ("!" * 60 + "true", "too-deep", "", ""),
        ("true" + " == true" * 60, "too-deep", "", ""),
        ("request.model == '" + "x" * 5000 + "'", "too-long", "", ""),
    ],
)
def test_told(expression: str, code: str, at: str, remedy: str) -> None:
    found = problems(with_rules([(expression, "edge")]))[0]
    if code:
        assert found.code == code, found
    assert remedy in found.suggestion
    if at:
        line = with_rules([(expression, "edge")]).replace("\\\\", "\\")
        assert line[found.column - 1 :].startswith(at) or "\\" in expression


def test_several_at_once() -> None:
    found = problems(
        with_rules([("request.tsk == 'a' && request.task == 'b' || dvice.present", "edge"), ("1 +", "cloud")])
    )
    assert [(one.code, one.rule_id) for one in found] == [
        ("unknown-name", "r0"),
        ("unknown-word", "r0"),
        ("unknown-name", "r0"),
        ("syntax", "r1"),
    ]


@pytest.mark.parametrize(
    ("spec", "expression"),
    [
        ({"params": {"n": 3}}, "params.n == 3"),
        ({"params": {"n": {"type": "double", "default": 3}}}, "params.n / 2.0 == 1.5"),
        ({"params": {"s": {"type": "request.sensitivity", "default": "public"}}}, "request.sensitivity >= params.s"),
        ({"variables": [{"name": "v", "expr": "1 + 1"}, {"name": "w", "expr": "variables.v * 2"}]}, "variables.w == 4"),
        ({"variables": [{"name": "v", "expr": "1 / 0"}]}, "true || variables.v == 1"),
    ],
)
def test_params_and_variables(spec: dict[str, Any], expression: str) -> None:
    assert holds(expression, **spec)


def test_a_variable_may_use_earlier_ones_only() -> None:
    variables = [{"name": "a", "expr": "variables.b"}, {"name": "b", "expr": "true"}]
    assert expression_problem("true", variables=variables).code == "unknown-name"


def test_a_variable_that_fails_fails_where_it_is_read() -> None:
    policy = when("variables.v == 1", variables=[{"name": "v", "expr": "1 / 0"}])
    decision = policy.decide({"request.sensitivity": "public", "request.origin": "device"})
    assert decision.rule_id == "onError" and "division" in decision.errors[0]


def test_work_is_bounded_before_it_runs() -> None:
    many = f"[{', '.join(['1'] * 200)}]"
    assert expression_problem(f"{many}.all(x, {many}.all(y, x == y))").code == "too-costly"
    doubled = [{"name": "v0", "expr": "'0123456789'"}]
    doubled += [{"name": f"v{n}", "expr": f"variables.v{n - 1} + variables.v{n - 1}"} for n in range(1, 40)]
    assert problems(with_rules([("true", "edge")], variables=doubled))[0].code == "too-costly"


def test_buckets_are_the_same_for_ever() -> None:
    golden = {("tablet-1", "a"): 89.02937, ("tablet-2", "a"): 81.31354, ("平板", "实验"): 44.51708}
    assert [bucket(*key) for key in golden] == list(golden.values())
