"""`python -m policies check FILE` and `python -m policies explain FILE --facts JSON`. FILE `seed`: the shipped one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from policies.decide import Policy
from policies.explain import Explanation
from policies.facts import typical_facts
from policies.library import seed_text
from policies.problems import PolicyError, render

_MARKS = {"matched": "✓", "not_matched": "·", "error": "!", "not_reached": " "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: well, 1: the policy has problems, 2: it or the facts cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m policies", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check a policy and run its tests")
    explain = commands.add_parser("explain", help="show why a policy decides as it does")
    for command in (check, explain):
        command.add_argument("file")
        command.add_argument("--json", action="store_true", help="print JSON")
    explain.add_argument("--facts", default="{}", help="JSON map of what differs from the typical facts; null: absent")
    options = parser.parse_args(arguments)
    try:
        return _check(options) if options.command == "check" else _explain(options)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        print(f"cannot read: {error}", file=sys.stderr)
        return 2
    except PolicyError as error:
        return _refuse(error, as_json=options.json)


def _read(file: str) -> str:
    return seed_text() if file == "seed" else Path(file).read_text(encoding="utf-8")


def _refuse(error: PolicyError, *, as_json: bool) -> int:
    problems = [problem.to_dict() for problem in error.problems]
    print(json.dumps({"ok": False, "problems": problems}, ensure_ascii=False) if as_json else error)
    return 1


def _check(options: argparse.Namespace) -> int:
    policy = Policy.load_for_activation(_read(options.file))
    tests = len(policy.document.tests)
    warnings = [warning.to_dict() for warning in policy.warnings]
    if options.json:
        found = {"ok": True, "name": policy.name, "digest": policy.digest, "tests": tests, "warnings": warnings}
        print(json.dumps(found, ensure_ascii=False))
    else:
        if policy.warnings:
            print(render(policy.warnings, source=policy.source, name=policy.name), file=sys.stderr)
        print(f"{policy.name}: {len(policy.document.rules)} rules, {tests} tests passed, digest {policy.digest[:12]}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    given = json.loads(options.facts)
    if not isinstance(given, dict):
        print("cannot read: --facts is a JSON map such as '{\"device.battery_pct\": 12}'", file=sys.stderr)
        return 2
    explanation = Policy.load(_read(options.file)).explain(typical_facts(given))
    print(json.dumps(explanation.to_dict(), ensure_ascii=False) if options.json else explanation_text(explanation))
    return 0


def explanation_text(explanation: Explanation) -> str:
    """The explanation as lines for a terminal."""
    decision = explanation.decision
    then = f", then {', '.join(decision.fallback)}" if decision.fallback else ""
    terms = [f"{name}: {value}" for name, value in decision.terms.to_dict().items()]
    lines = [f"{decision.mode}{then}: {decision.reason} ({decision.rule_id})", *decision.errors, *terms, ""]
    lines += [f"{_MARKS[r.outcome]} {r.rule_id:<24} {r.when}  {_values(r.values)}".rstrip() for r in explanation.rules]
    return "\n".join([*lines, "", *map(str, explanation.flips)])


def _values(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={'absent' if value is None else value}" for name, value in values.items())


if __name__ == "__main__":
    sys.exit(main())
