"""Random expressions of every type, and random facts, sound and unsound."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from policies import FACTS, FactSpec, FactType

_OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def _joined(*parts: Any) -> st.SearchStrategy[str]:
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts)).map("".join)


_int_leaf = st.one_of(
    st.integers(-3, 3).map(lambda n: f"({n})"),
    st.sampled_from(["9223372036854775807", "(-9223372036854775808)", "request.turns", "request.prompt_tokens"]),
    st.sampled_from(
        ["request.max_tokens.orValue(2)", "cloud.queue_depth.orValue(1 / request.turns)", "variables.number"]
    ),
)
ints = st.recursive(
    _int_leaf,
    lambda inner: st.one_of(
        _joined("(", inner, st.sampled_from([" + ", " - ", " * ", " / ", " % "]), inner, ")"),
        _joined("-(", inner, ")"),
        _joined("[", inner, ", ", inner, "][", inner, "]"),
        _joined("size([", inner, "] + [", inner, "])"),
        _joined("(", inner, " < ", inner, " ? ", inner, " : ", inner, ")"),
    ),
    max_leaves=4,
)

_double_leaf = st.sampled_from(
    ["0.0", "0.5", "-1.5", "1.0e308", "request.complexity", "device.rtt_ms.orValue(500.0)", "double(request.turns)"]
)
doubles = st.recursive(
    _double_leaf,
    lambda inner: _joined("(", inner, st.sampled_from([" + ", " - ", " * ", " / "]), inner, ")"),
    max_leaves=3,
)

_text_leaf = st.sampled_from(
    ["'a'", "'你'", "request.tenant", "request.model", "device.id.orValue('x')", "(request.task + '')"]
)
texts = st.recursive(
    _text_leaf,
    lambda inner: st.one_of(
        _joined("(", inner, " + ", inner, ")"),
        _joined(inner, ".lower()"),
        _joined("{'a': 'b', 'tool': ", inner, "}[", inner, "]"),
    ),
    max_leaves=3,
)

_bool_leaf = st.one_of(
    st.sampled_from(["true", "false", "request.needs_fresh", "device.present", "has(device.rtt_ms)", "variables.flag"]),
    st.sampled_from(
        [
            "request.sensitivity >= 'internal'",
            "'personal' <= request.sensitivity",
            "request.sensitivity < params.level",
            "request.task in ['code', 'tool']",
            "device.link.orValue('wifi') == 'wifi'",
            "has(device.charging) && device.charging",
            "(!has(device.rtt_ms) || device.rtt_ms > 100.0)",
            "(has(device.link) ? device.link != 'none' : false)",
            "[request.sensitivity].exists(s, s == 'secret')",
            "bucket(request.tenant, 'x') < 50.0",
        ]
    ),
    _joined(ints, " ", _OPERATORS, " ", ints),
    _joined(doubles, " ", _OPERATORS, " ", doubles),
    _joined(ints, " ", _OPERATORS, " ", doubles),
    _joined(texts, " ", _OPERATORS, " ", texts),
    _joined(texts, st.sampled_from([".startsWith(", ".endsWith(", ".contains("]), texts, ")"),
    _joined(ints, " in [", ints, ", ", ints, "]"),
    _joined(texts, " in {'a': 1, 'code': 2}"),
    _joined("[", ints, ", ", ints, st.sampled_from(["].exists(x, x ", "].all(x, 1 / x "]), _OPERATORS, " ", ints, ")"),
)
bools = st.recursive(
    _bool_leaf.map(lambda text: f"({text})"),
    lambda inner: st.one_of(
        _joined("(", inner, st.sampled_from([" && ", " || ", " == ", " != "]), inner, ")"),
        _joined("(", inner, " && ", inner, " && ", inner, ")"),
        _joined("!", inner),
        _joined("(", inner, " ? ", inner, " : ", inner, ")"),
    ),
    max_leaves=6,
)


def _values(spec: FactSpec) -> st.SearchStrategy[Any]:
    match spec.type:
        case FactType.BOOL:
            return st.booleans()
        case FactType.INT:
            return st.integers(-2, 3) | st.sampled_from([2**63 - 1, -(2**63)])
        case FactType.DOUBLE:
            return st.sampled_from([0.0, -0.0, 0.5, 100.0, 501.0, 1e308]) | st.integers(0, 3)
        case FactType.STRING:
            return st.sampled_from(["", "a", "code", "你", "x"])
        case FactType.ENUM:
            return st.sampled_from(spec.enum)
        case _:
            raise AssertionError(f"no values for {spec.name} yet")


_nonsense = st.sampled_from([float("nan"), float("inf"), 2**63, 10**400, "?", b"a", [], {}, True, 1, object()])
sound_facts = st.fixed_dictionaries(
    {name: _values(spec) for name, spec in FACTS.items() if spec.required},
    optional={name: _values(spec) | st.none() for name, spec in FACTS.items() if not spec.required},
)
unsound_facts = st.fixed_dictionaries({}, optional={name: _values(spec) | _nonsense for name, spec in FACTS.items()})
