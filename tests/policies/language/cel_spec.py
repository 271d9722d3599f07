"""Adapter to the conformance cases of the Common Expression Language: a case in, what the language makes of it out."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.language.checker import check
from policies.language.compile import compile_value
from policies.language.declarations import Declaration
from policies.language.evaluate import Evaluator
from policies.language.parser import Limits, parse
from policies.language.scope import Rigor, Scope
from policies.language.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    List,
    Map,
    Optional,
    Type,
)
from policies.language.values import (
    Duration,
    EvaluationError,
    Timestamp,
    TypeName,
    Uint,
    key_of,
    kind_of,
    value_of_key,
)

GENEROUS = Limits(characters=100_000, depth=250)
"""What the conformance suite asks for; policies are held to less."""
CASES = Path(os.environ.get("CEL_CASES", Path(__file__).parents[4] / "shared/data/cel-spec/cases.jsonl"))
_SIMPLE = {str(t): t for t in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, DYN)} | {
    "null": NULL,
    "type": TYPE,
    "timestamp": TIMESTAMP,
    "duration": DURATION,
}


@dataclass(frozen=True)
class Case:
    """One line of the cases file."""

    id: str
    expr: str
    rigor: Rigor
    scope: Scope
    inputs: dict[str, Any]
    expect: list[Any]
    deduced: Any
    check_only: bool


class UnsupportedTypeError(Exception):
    """The case declares a type that is outside of the profile."""


def cases(path: Path = CASES) -> Iterator[dict[str, Any]]:
    """The raw lines."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def case_of(raw: dict[str, Any]) -> Case:
    """A line as a case. Raises UnsupportedTypeError."""
    rigor = Rigor.UNCHECKED if raw["disable_check"] else Rigor.CHECKED
    inputs = {name: Declaration(name, DYN if raw["disable_check"] else type_of(t)) for name, t in raw["env"]}
    scope = Scope(inputs=inputs, rigor=rigor, container=raw["container"])
    values = {name: value_of(value) for name, value in raw["bindings"].items()}
    id_ = f"{raw['file']}/{raw['section']}/{raw['name']}"
    return Case(id_, raw["expr"], rigor, scope, values, raw["expect"], raw["deduced"], raw["check_only"])


def type_of(raw: Any) -> Type:
    """A type as the cases write it. Raises UnsupportedTypeError."""
    match raw:
        case str() if raw in _SIMPLE:
            return _SIMPLE[raw]
        case ["list", element]:
            return List(type_of(element))
        case ["map", key, value]:
            return Map(type_of(key), type_of(value))
        case ["abstract", "optional_type", *inner]:
            return Optional(type_of(inner[0]) if inner else DYN)
    raise UnsupportedTypeError(str(raw))


def value_of(raw: list[Any]) -> Any:
    """A value as the cases write it."""
    match raw:
        case ["null"]:
            return None
        case ["int", text]:
            return int(text)
        case ["uint", text]:
            return Uint(text)
        case ["double", text]:
            return float(text)
        case ["bytes", text]:
            return base64.b64decode(text)
        case ["list", items]:
            return [value_of(item) for item in items]
        case ["map", entries]:
            return {key_of(value_of(key)): value_of(value) for key, value in entries}
        case ["type", name]:
            return TypeName(name)
        case ["timestamp", seconds, nanos]:
            return Timestamp(int(seconds) * 10**9 + int(nanos))
        case ["duration", seconds, nanos]:
            return Duration(int(seconds) * 10**9 + int(nanos))
        case [_, value]:
            return value
    raise AssertionError(raw)


def exact(value: Any) -> Any:
    """A value with its kinds spelled out, so that 1, 1u, 1.0 and true differ and NaN equals itself."""
    match kind_of(value):
        case "list":
            return ["list", [exact(item) for item in value]]
        case "map":
            entries = [(exact(value_of_key(key)), exact(each)) for key, each in value.items()]
            return ["map", sorted(entries, key=repr)]
        case "double":
            return ["double", repr(float(value))]
        case kind:
            return [kind, value]


def outcomes(case: Case) -> list[tuple[str, Any]]:
    """What both evaluators make of a case: ("value", v), ("error", message) or ("refused", faults)."""
    node, faults = parse(case.expr, limits=GENEROUS)
    if faults:
        return [("refused", faults)]
    tree, more = check(node, case.scope, None)
    if more:
        return [("refused", more)]
    if case.check_only:
        return [("checked", tree.type)]
    return [_outcome(lambda: Evaluator(case.inputs).value(tree)), _outcome(lambda: compile_value(tree)(case.inputs))]


def _outcome(run: Any) -> tuple[str, Any]:
    try:
        return "value", run()
    except EvaluationError as error:
        return "error", str(error)


def passes(case: Case) -> bool:
    """Whether every evaluator does what the case expects."""
    return all(_passes(case, kind, found) for kind, found in outcomes(case))


def _passes(case: Case, kind: str, found: Any) -> bool:
    match case.expect[0]:
        case "value":
            return kind == "value" and exact(found) == exact(value_of(case.expect[1]))
        case "error":
            return kind in ("error", "refused")
        case _:
            return kind == "checked" and (case.deduced is None or _deduced(found) == case.deduced)


def _deduced(type_: Type) -> Any:
    match type_:
        case List():
            return ["list", _deduced(type_.element)]
        case Map():
            return ["map", _deduced(type_.key), _deduced(type_.value)]
        case Optional():
            return ["abstract", "optional_type"]
        case _:
            return "dyn" if str(type_) == "_" else str(type_)
