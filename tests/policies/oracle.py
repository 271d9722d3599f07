"""Our language beside Google's own CEL, on random expressions of what both have.

    python -m tests.policies.oracle [--expressions 20000] [--seed 5] [--install]

The oracle (cel-expr-python, 50 MB) lives in an environment of its own below .bench/, or under the Python that
CEL_ORACLE names; nothing of ours imports it. Where the two differ is in DIFFERENCES, and on docs/cel-profile.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.policy_peers import ENVIRONMENTS, VERSIONS, install
from policies.language.checker import check
from policies.language.compile import compile_value
from policies.language.declarations import Declaration
from policies.language.evaluate import Evaluator
from policies.language.parser import Limits, parse
from policies.language.scope import Rigor, Scope
from policies.language.typed import Typed
from policies.language.types import BOOL, DOUBLE, INT, STRING, List, Type
from policies.language.values import EvaluationError
from tests.policies.grammar import SHARED, Forms, Grammar, merged
from tests.policies.language.cel_spec import exact

NAME: Final = "cel-expr-python"
ENGINE: Final = Path(__file__).with_name("oracle_engine.py")
BATCH: Final = 200
CONTEXTS: Final = 20
VARIABLES: Final[Mapping[str, Type]] = {
    **dict.fromkeys(("i", "j"), INT),
    **dict.fromkeys(("x", "y"), DOUBLE),
    **dict.fromkeys(("s", "t"), STRING),
    **dict.fromkeys(("b", "c"), BOOL),
    "ns": List(INT),
    "ss": List(STRING),
}
LEAVES: Final[Forms] = {
    "int": ("i", "j", "0", "1", "-3", "9223372036854775807", "(-9223372036854775808)", "7"),
    "double": ("x", "y", "0.0", "0.5", "-1.5", "1.0e308", "9007199254740993.0", "-0.0"),
    "string": ("s", "t", "''", "'a'", "'code'", "'你'", "'A-b'"),
    "bool": ("b", "c", "true", "false"),
    "ints": ("ns", "[1, 2, 3]", "[]"),
    "strings": ("ss", "['a', 'code']"),
}
MORE: Final[Forms] = {
    "int": (
        *(
            "optional.of(@int).orValue(@sure)",
            "optional.none().orValue(@int)",
            "timestamp(1700000000 + @int).getMonth()",
        ),
        *("@ints[?@int].orValue(@sure)", "math.bitOr(@int, @int)"),
        *("math.bitShiftLeft(@int, 3)", "duration(@string).getSeconds()", "int(@string)", "math.bitXor(@int, @int)"),
        *("(@int % 7)", "(7 % @int)", "(-3 % @int)"),
    ),
    "sure": ("i", "7"),
    "double": (
        "double(@string)",
        "math.sqrt(@double)",
        "math.greatest(@finite, @finite)",
        "math.least(@finite, @finite)",
    ),
    "finite": ("x", "y", "0.5", "-0.0"),
    "string": ("'%s|%d'.format([@string, @int])", "strings.quote(@string)", "@string.reverse()", "string(@finite)"),
    "strings": ("(@string + 'é').split('')",),
    "bool": (
        *("math.isNaN(@double)", "math.isInf(@double)", "has({'a': @int}.a)", "{'a': @int}.exists(k, k == @string)"),
        *("optional.ofNonZeroValue(@int).hasValue()", "@ints.map(e, string(e)).exists(e, e == @string)"),
        *("(timestamp('2024-02-29T12:00:00Z') @order timestamp(@int))", "(type(@int) == type(@double))"),
        *("@ints.exists(e, @ints.all(f, e @order f))", "bool(@string)"),
    ),
}
_VALUES: Final[Mapping[Type, Sequence[Any]]] = {
    INT: (0, 1, 2, -1, 5, -7, 2**63 - 1, -(2**63)),
    DOUBLE: (0.0, -0.0, 0.5, -2.5, 3.0, 1e308, -1e-308, 2.0**53),
    STRING: ("", "a", "code", "你好", "A-b", "x😀", "12", "true", " a ", "90s"),
    BOOL: (True, False),
}

DIFFERENCES: Final[Mapping[str, str]] = {
    "''.split('')": "an empty list, as in Go; there a list of an empty string",
    "'ab'.substring(0, 2)": "the whole string; there an error where the end is the size",
    "(-9223372036854775808) % -1": "0, which fits; there an overflow",
    "math.greatest(0.0 / 0.0, 1.0)": "an error, because NaN has no order; there one of the two",
    "1 < 1.5": "true: whole numbers and doubles are compared; there refused unless one is dyn",
    "[9, 7].exists(e, e > 3) ? cel.bind(v, 1, v + v) : 0": "2; there 14: a loop that ended early leaves its value",
    "string(1.0 / 0.0)": "Infinity; there inf",
    "string(0.0 / 0.0)": "NaN; there nan or -nan",
    "optional.of(1).orValue(1 / 0)": "an error: arguments are evaluated; there the value",
}
"""Where the two differ, and how; docs/cel-profile.md has the same list. Random expressions keep clear of them."""


@dataclass(frozen=True, slots=True)
class Differing:
    """One expression in one context. ours and theirs: ("value", exact), ("error", why) or ("refused", why)."""

    expression: str
    context: Mapping[str, Any]
    ours: Sequence[Any]
    theirs: Sequence[Any]

    def __str__(self) -> str:
        return f"{self.expression}\n  with {dict(self.context)}\n  ours   {self.ours}\n  theirs {self.theirs}"


class Oracle:
    """The other implementation in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._tell({name: str(type_) for name, type_ in VARIABLES.items()})

    def outcomes(self, expressions: Sequence[str], contexts: Sequence[Mapping[str, Any]]) -> list[list[list[Any]]]:
        """For each expression its outcomes over the contexts. Raises RuntimeError when the process ended."""
        assert self._process.stdout is not None
        self._tell({"expressions": expressions, "contexts": contexts})
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the oracle ended")
        found: list[list[list[Any]]] = json.loads(line)
        return found

    def _tell(self, what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()


def python() -> Path | None:
    """The Python that has the oracle; None where there is none."""
    named = os.environ.get("CEL_ORACLE")
    found = Path(named) if named else ENVIRONMENTS / f"{NAME}-{VERSIONS[NAME]}" / "bin" / "python"
    return found if found.exists() else None


@contextmanager
def oracle(path: Path) -> Iterator[Oracle]:
    """An oracle that runs under that Python."""
    command = [str(path), "-I", str(ENGINE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Oracle(process)
        finally:
            process.kill()


# ── ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def outcomes(expression: str, contexts: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """What both of our evaluators make of an expression, in the oracle's form. They never differ."""
    node, faults = parse(expression, Limits(characters=100_000, depth=250))
    scope = Scope({name: Declaration(name, t) for name, t in VARIABLES.items()}, rigor=Rigor.CHECKED)
    tree, more = check(node, scope, None)
    if faults or more:
        return [["refused", [*faults, *more][0].message]]
    compiled = compile_value(tree)
    found = [_outcome(lambda context=context: compiled(context)) for context in contexts]
    assert found == [_outcome(lambda context=context: _naively(tree, context)) for context in contexts], expression
    return found


def _naively(tree: Typed, context: Mapping[str, Any]) -> Any:
    return Evaluator(context).value(tree)


def _outcome(run: Any) -> list[Any]:
    try:
        return ["value", _named(exact(run()))]
    except EvaluationError as error:
        return ["error", str(error)]


def _named(value: list[Any]) -> list[Any]:
    """With the kinds as the oracle calls them."""
    if value[0] == "list":
        return ["list", [_named(item) for item in value[1]]]
    return [{"string": "str"}.get(value[0], value[0]), value[1]]


# ── comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def draw_contexts(draw: random.Random, count: int = CONTEXTS) -> list[dict[str, Any]]:
    """Values of every variable."""
    return [{name: _value(draw, type_) for name, type_ in VARIABLES.items()} for _ in range(count)]


def _value(draw: random.Random, type_: Type) -> Any:
    if isinstance(type_, List):
        return draw.choices(_VALUES[type_.element], k=draw.randrange(4))
    return draw.choice(_VALUES[type_])


def differing(
    expression: str, contexts: Sequence[Mapping[str, Any]], theirs: Sequence[Sequence[Any]]
) -> Differing | None:
    """The first context that the two do not agree on: values to the bit, errors and refusals as such."""
    ours = outcomes(expression, contexts)
    if "refused" in (ours[0][0], theirs[0][0]):
        ours, theirs, contexts = ours[:1], theirs[:1], [{}]
    for context, one, other in zip(contexts, ours, theirs, strict=True):
        if one[0] != other[0] or (one[0] == "value" and one != other):
            return Differing(expression, context, one, other)
    return None


def batches(engine: Oracle, seed: int, depth: int = 3) -> Iterator[list[Differing]]:
    """For ever: what differs among the next BATCH expressions of any type over CONTEXTS contexts."""
    draw = random.Random(seed)
    grammar = Grammar(draw, LEAVES, merged(SHARED, MORE))
    kinds = ("bool", "bool", "int", "double", "string", "ints", "strings")
    while True:
        contexts = draw_contexts(draw)
        expressions = [grammar.text(draw.choice(kinds), draw.randint(1, depth)) for _ in range(BATCH)]
        theirs = engine.outcomes(expressions, contexts)
        found = (differing(each, contexts, told) for each, told in zip(expressions, theirs, strict=True))
        yield [each for each in found if each is not None]


def main() -> None:
    """Command line."""
    from rich.progress import track

    parser = argparse.ArgumentParser(description="Compares our language with Google's CEL on random expressions.")
    parser.add_argument("--expressions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--install", action="store_true", help="make the oracle's environment first")
    options = parser.parse_args()
    path = install(NAME) if options.install else python()
    if path is None:
        sys.exit("There is no oracle here. To do: add --install")
    differing_ones = 0
    with oracle(path) as engine:
        each = batches(engine, options.seed)
        for _ in track(range(-(-options.expressions // BATCH)), description="expressions"):
            for found in next(each):
                differing_ones += 1
                print(found)
    print(f"seed {options.seed}: {options.expressions:,} expressions, {differing_ones} differences")
    sys.exit(1 if differing_ones else 0)


if __name__ == "__main__":
    main()
