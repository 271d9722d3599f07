"""Google's CEL as an oracle, run by the Python of its own environment: lines of JSON in, what it makes of them out.

Needs the standard library and cel-expr-python only. Knows nothing of Edgewise.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def environment(variables: dict[str, str]) -> Any:
    """An environment with the extensions that the profile has. variables: name to type, such as `list(int)`."""
    from cel_expr_python import cel  # type: ignore[import-not-found]
    from cel_expr_python.ext import (  # type: ignore[import-not-found]
        ext_bindings,
        ext_math,
        ext_optional,
        ext_strings,
    )

    plain = {"int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING, "bool": cel.Type.BOOL}
    lists = {f"list({name})": cel.Type.List(type_) for name, type_ in plain.items()}
    extensions = [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional(), ext_bindings.ExtBindings()]
    return cel.NewEnv(variables={name: {**plain, **lists}[t] for name, t in variables.items()}, extensions=extensions)


def outcomes(env: Any, expression: str, contexts: list[dict[str, Any]]) -> list[list[Any]]:
    """["refused", why] once, or for each context ["value", exact] or ["error", why]."""
    try:
        program = env.compile(expression)
    except RuntimeError as error:
        return [["refused", str(error)]]
    return [_outcome(program, context) for context in contexts]


def _outcome(program: Any, context: dict[str, Any]) -> list[Any]:
    try:
        value = program.eval(data=context)
        if value.type().name() == "ERROR":
            return ["error", str(value)]
        return ["value", exact(value.plain_value())]
    except (RuntimeError, ValueError) as error:
        return ["error", str(error)]


def exact(value: Any) -> list[Any]:
    """A value with its kind spelt out, so that 1, 1.0 and true differ and NaN equals itself."""
    if isinstance(value, list):
        return ["list", [exact(item) for item in value]]
    if isinstance(value, float):
        return ["double", repr(value)]
    return [type(value).__name__, value]


def main() -> None:
    """The variables first; then each line has expressions and contexts."""
    env = environment(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        task = json.loads(line)
        found = [outcomes(env, expression, task["contexts"]) for expression in task["expressions"]]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
