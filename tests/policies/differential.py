"""Compiled = naive = vector over random policies and contexts, by the million and from a seed.

    python -m tests.policies.differential [--pairs 10000000] [--seed 5]

A pair is one policy with one context, decided three times: by the compiled form and by the readable evaluator, each row
by itself, and by the array form for a whole table. Ends with 1 at the first difference, which it prints. The short form
is test_differential.py.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from control_plane.policy_replay.choose import ERROR, positions
from control_plane.policy_replay.columns import Table
from policies import FACTS, FactSpec, FactType
from policies.facts import INPUTS
from policies.language.checker import check
from policies.language.compile import compile_choice, inputs_of
from policies.language.evaluate import choose_naively
from policies.language.parser import parse
from policies.language.scope import Scope
from policies.language.typed import Const, Typed
from policies.language.types import BOOL, DOUBLE, INT, STRING, Type
from policies.language.values import EvaluationError
from tests.policies.grammar import SHARED, Forms, Grammar, merged

ROWS: Final = 2_500
POLICIES_PER_TABLE: Final = 10
_NOWHERE: Final = parse("0")[0].span
_LEVEL: Final = FACTS["request.sensitivity"].language_type
_PARAMS: Final = {
    "params.level": Const(_NOWHERE, _LEVEL, "personal"),
    "params.most": Const(_NOWHERE, INT, 3),
    "params.share": Const(_NOWHERE, DOUBLE, 0.5),
}
_VARIABLES: Final[tuple[tuple[str, str, Type], ...]] = (
    ("number", "int", INT),
    ("ratio", "double", DOUBLE),
    ("word", "string", STRING),
    ("flag", "bool", BOOL),
)

_TEXTS: Final = ("", "a", "A", "code", "你", "a-b", "x😀")
LEAVES: Final[Forms] = {
    "int": (
        *("0", "1", "2", "-3", "7", "9007199254740993", "9223372036854775807", "(-9223372036854775808)", "params.most"),
        *("request.turns", "request.prompt_tokens", "request.max_tokens.orValue(2)", "variables.number"),
        *("device.queue_depth.orValue(1 / request.turns)", "cloud.workers"),
    ),
    "double": (
        *("0.0", "-0.0", "0.5", "-1.5", "1.0e308", "9007199254740993.0", "params.share", "variables.ratio"),
        *("request.complexity", "device.rtt_ms.orValue(500.0)", "device.battery_pct.orValue(0.5)"),
    ),
    "string": (
        *(repr(text) for text in _TEXTS),
        *("request.tenant", "request.model", "device.id.orValue('x')", "(request.task + '')", "variables.word"),
    ),
    "bool": (
        *("true", "false", "request.needs_fresh", "device.present", "has(device.rtt_ms)", "variables.flag"),
        *("request.sensitivity >= 'internal'", "'personal' <= request.sensitivity", "!has(device.link)"),
        *("request.sensitivity < params.level", "request.task in ['code', 'tool']", "request.task != 'other'"),
        *(
            "device.link.orValue('wifi') == 'wifi'",
            "device.charging.orValue(true)",
            "has(device.charging)",
            "has(device.charging) && device.charging",
        ),
        *("(!has(device.rtt_ms) || device.rtt_ms > 100.0)", "(has(device.link) ? device.link != 'none' : false)"),
        *("bucket(request.tenant, 'x') < 50.0", "device.?cpu_temp_c.hasValue()", "request.language == 'zh'"),
    ),
    "ints": ("[1, 2, 3]", "[request.turns]"),
    "strings": ("['a', 'code']", "[request.tenant]"),
}
"""Facts, params, variables and edges of each type."""

OWN: Final[Forms] = {
    "int": (
        "request.?max_tokens.optMap(v, v + @int).orValue(@int)",
        "cel.bind(v, @int, v * v)",
        "version('2.1.3').minor()",
        "(@int % @int)",
    ),
    "double": (
        "device.rtt_ms.orValue(@double)",
        "bucket(@string, 'y')",
        "math.sqrt(@double)",
        "math.greatest(@double, @double)",
    ),
    "string": (
        *("device.id.orValue(@string)", "@string.lower()", "@string.reverse()", "@string.substring(@int, @int)"),
        *("@string.split(@string)[@int]", "string(@double)"),
    ),
    "strings": ("@string.split(@string)",),
    "bool": (
        *("(has(device.cpu_pct) && device.cpu_pct @order @double)", "(@int @order @double)", "(@double @order @int)"),
        *("math.isFinite(@double)", "[@string].exists(i, e, e == @string)", "satisfies(version('2.1.0'), '>=2 <3')"),
        *("[request.sensitivity].exists(e, e == 'secret')", "isVersion(@string)", "(device.charging.orValue(@bool))"),
    ),
}
FORMS: Final = merged(SHARED, OWN)
PLAIN: Final[Forms] = {
    "order": SHARED["order"],
    "equality": SHARED["equality"],
    "int": (*(f"(@int {sign} @int)" for sign in "+-*/%"), "-(@int)", "(@bool ? @int : @int)"),
    "double": (
        *(f"(@double {sign} @double)" for sign in "+-*/"),
        *("-(@double)", "(@bool ? @double : @double)", "double(@int)", "device.rtt_ms.orValue(@double)"),
    ),
    "string": ("(@bool ? @string : @string)",),
    "bool": (
        *("(@bool && @bool)", "(@bool || @bool)", "!@bool", "(@bool ? @bool : @bool)", "(@bool @equality @bool)"),
        *("(@int @order @int)", "(@double @order @double)", "(@int @order @double)", "(@double @order @int)"),
        *("(@string @equality @string)", "(@int @equality @double)", "device.charging.orValue(@bool)"),
        *("(@int in [1, 2, 7])", "(@double in [0.5, -0.0])", "(has(device.cpu_pct) && device.cpu_pct @order @double)"),
    ),
}
"""Forms that arrays compute by themselves; of the others the scalar form settles most rows."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One policy: its conditions and variables, as text and as checked trees."""

    texts: tuple[str, ...]
    rules: tuple[Typed, ...]
    variables: tuple[Typed, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A pair that is not decided alike; positions as in `choose.positions`."""

    policy: Drawn
    facts: Mapping[str, Any]
    compiled: int
    naive: int
    vector: int

    def __str__(self) -> str:
        told = "\n  ".join(self.policy.texts)
        return f"{told}\nfacts {self.facts!r}\ncompiled {self.compiled}, naive {self.naive}, vector {self.vector}"


# ── policies ────────────────────────────────────────────────────────────────────────────────────────────────────────


def draw_policy(draw: random.Random) -> Drawn:
    """Variables of each type, of which some read those before them, and one to four conditions; every second one in
    the forms that arrays compute."""
    grammar = Grammar(draw, LEAVES, draw.choice((FORMS, PLAIN)))
    known: dict[str, tuple[int, Type]] = {}
    texts, variables = [], []
    for name, kind, type_ in _VARIABLES:
        text, tree = _sound(grammar, kind, 2, known, type_)
        texts.append(f"{name}: {text}")
        variables.append(tree)
        known[f"variables.{name}"] = (len(known), type_)
    conditions = [_sound(grammar, "bool", draw.choice((1, 2, 2, 3)), known, BOOL) for _ in range(draw.randint(1, 4))]
    return Drawn((*texts, *(text for text, _ in conditions)), tuple(tree for _, tree in conditions), tuple(variables))


def _sound(grammar: Grammar, kind: str, depth: int, known: Mapping[str, Any], expected: Type) -> tuple[str, Typed]:
    """An expression that a document may hold; variables that are not declared yet are drawn again, as are faults that
    constants cause, such as an index that is never there."""
    while True:
        text = grammar.text(kind, depth)
        node, faults = parse(text)
        tree, more = check(node, Scope(INPUTS, _PARAMS, known), expected)
        if not faults and not more:
            return text, tree


# ── contexts ────────────────────────────────────────────────────────────────────────────────────────────────────────

_NONSENSE: Final[tuple[Any, ...]] = (float("nan"), float("inf"), 2**63, 10**400, "?", b"a", [], True, 1, 0.5)
_VALUES: Final[Mapping[FactType, Sequence[Any]]] = {
    FactType.BOOL: (True, False),
    FactType.INT: (-2, -1, 0, 1, 2, 3, 2**53 + 1, 2**63 - 1, -(2**63)),
    FactType.DOUBLE: (0.0, -0.0, 0.5, 100.0, 501.0, 1e308, 2.0**53, 1, 3),
    FactType.STRING: _TEXTS,
}


def draw_contexts(draw: random.Random, count: int) -> list[dict[str, Any]]:
    """Contexts of which a fifth lacks facts that must be there or holds values that make no sense."""
    columns = {name: _column(draw, spec, count) for name, spec in FACTS.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in draw.sample(rows, count // 5):
        row[draw.choice(list(FACTS))] = draw.choice((*_NONSENSE, None))
    return rows


def _column(draw: random.Random, spec: FactSpec, count: int) -> list[Any]:
    values = list(spec.enum if spec.enum else _VALUES[spec.type])
    return draw.choices([*values, None] if not spec.required else values, k=count)


# ── comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def differences(policy: Drawn, rows: Sequence[Mapping[str, Any]], table: Table) -> Iterator[Difference]:
    """The rows that one of the three ways decides otherwise."""
    needed = inputs_of(policy.rules, policy.variables)
    compiled = _each(compile_choice(policy.rules, policy.variables), rows)
    naive = _each(lambda facts: choose_naively(policy.rules, policy.variables, needed, facts), rows)
    vector = positions(table, policy.rules, policy.variables)
    for at in map(int, np.flatnonzero((compiled != vector) | (naive != vector))):
        yield Difference(policy, rows[at], int(compiled[at]), int(naive[at]), int(vector[at]))


def _each(choose: Callable[[Mapping[str, Any]], int], rows: Sequence[Mapping[str, Any]]) -> Any:
    found = np.empty(len(rows), np.int32)
    for at, facts in enumerate(rows):
        try:
            found[at] = choose(facts)
        except EvaluationError:
            found[at] = ERROR
    return found


def batches(seed: int, rows: int = ROWS, policies: int = POLICIES_PER_TABLE) -> Iterator[tuple[int, list[Difference]]]:
    """For ever: how many pairs the next policy was compared on, and where they differ."""
    draw = random.Random(seed)
    while True:
        contexts = draw_contexts(draw, rows)
        table = Table.of(contexts, INPUTS.values())
        for _ in range(policies):
            yield rows, list(differences(draw_policy(draw), contexts, table))


def main() -> None:
    """Command line."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    parser = argparse.ArgumentParser(description="Compares the three ways to decide, pair by pair.")
    parser.add_argument("--pairs", type=int, default=10_000_000, help="how many at least")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    done = policies = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}"), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("pairs", total=options.pairs)
        for pairs, found in batches(options.seed):
            done, policies = done + pairs, policies + 1
            progress.update(bar, completed=done)
            if found:
                progress.stop()
                print(f"seed {options.seed}: {len(found)} differences, the first:\n{found[0]}")
                sys.exit(1)
            if done >= options.pairs:
                break
    print(f"seed {options.seed}: {done:,} pairs of {policies:,} policies, 0 differences")


if __name__ == "__main__":
    main()
