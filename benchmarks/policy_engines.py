"""The other engines of the policy benchmark, each run by the Python of its own environment; talks in lines of JSON.

Needs the standard library and the one engine it is asked for. In: rules, contexts, then numbers of rounds. Out: which
rule each context meets, compile time, then nanoseconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Decide = Callable[[Any], int]
Build = Callable[[Sequence[str]], Decide]


def fused(rules: Sequence[str]) -> str:
    """Ordered rules as one CEL expression that gives the position of the first that holds."""
    out = str(len(rules))
    for place, rule in reversed(list(enumerate(rules))):
        out = f"({rule}) ? {place} : ({out})" if place + 1 < len(rules) else f"({rule}) ? {place} : {out}"
    return out


def cel_expr_python(rules: Sequence[str]) -> Decide:
    """google's C++ CEL."""
    from cel_expr_python import cel  # type: ignore[import-not-found]

    group = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    program = cel.NewEnv(variables=dict.fromkeys(("request", "device", "cloud"), group)).compile(fused(rules))
    return lambda context: program.eval(data=context).value()


def common_expression_language(rules: Sequence[str]) -> Decide:
    """cel-rust."""
    import cel  # type: ignore[import-not-found]

    execute: Decide = cel.compile(fused(rules)).execute
    return execute


def cel_python(rules: Sequence[str]) -> Decide:
    """celpy, in Python, its faster runner."""
    import celpy  # type: ignore[import-not-found]

    environment = celpy.Environment(runner_class=celpy.CompiledRunner)
    program = environment.program(environment.compile(fused(rules)))
    convert = celpy.json_to_cel
    return lambda context: int(program.evaluate({name: convert(group) for name, group in context.items()}))


def cedarpy(rules: Sequence[str]) -> Decide:
    """Cedar in Rust: every rule a permit; the first of those that apply is the answer."""
    import cedarpy as cedar  # type: ignore[import-not-found]

    policies = cedar.PolicySet.from_str(
        "\n".join(f"permit(principal, action, resource) when {{ {rule} }};" for rule in rules)
    )
    who = {"principal": 'User::"u"', "action": 'Action::"route"', "resource": 'Model::"m"'}

    def decide(context: Any) -> int:
        met = cedar.is_authorized({**who, "context": context}, policies, []).diagnostics.reasons
        return min((int(name[len("policy") :]) for name in met), default=len(rules))

    return decide


ENGINES: dict[str, Build] = {
    "cel-expr-python": cel_expr_python,
    "common-expression-language": common_expression_language,
    "cel-python": cel_python,
    "cedarpy": cedarpy,
}


def per_decision_ns(decide: Callable[[Any], Any], contexts: Sequence[Any], rounds: int) -> float:
    """Nanoseconds of processor time for a decision, the mean over all contexts so many times."""
    start = time.thread_time_ns()
    for _ in range(rounds):
        for context in contexts:
            decide(context)
    return (time.thread_time_ns() - start) / (rounds * len(contexts))


def each_ns(decide: Callable[[Any], Any], contexts: Sequence[Any]) -> list[int]:
    """Nanoseconds on the wall clock of each decision by itself, the clock's own time included."""
    clock, out = time.perf_counter_ns, []
    for context in contexts:
        start = clock()
        decide(context)
        out.append(clock() - start)
    return out


def compile_s(build: Callable[[Sequence[str]], Any], rules: Sequence[str]) -> float:
    """Seconds of processor time to compile, the best of three."""
    times = []
    for _ in range(3):
        start = time.thread_time()
        build(rules)
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    """One engine, from the first line of input to its end."""
    task = json.loads(sys.stdin.readline())
    build, contexts = ENGINES[task["engine"]], task["contexts"]
    decide = build(task["rules"])
    answer = {"positions": [decide(context) for context in contexts], "compile_s": compile_s(build, task["rules"])}
    print(json.dumps(answer), flush=True)
    for line in sys.stdin:
        batch = {"mean_ns": per_decision_ns(decide, contexts, int(line)), "each_ns": each_ns(decide, contexts)}
        print(json.dumps(batch), flush=True)


if __name__ == "__main__":
    main()
