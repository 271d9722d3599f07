"""Facts as operators type and read them: `device.rtt_ms=80`, and `null` for one that is absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    from policies import Policy

Fact = bool | int | float | str | None
FactOptions = Annotated[
    list[str] | None,
    typer.Option("--fact", help="What would be decided for name=value (null: absent); may be given again."),
]
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse_facts(pairs: Iterable[str]) -> dict[str, Fact]:
    """`name=value` pairs; true, false, null and numbers are read as such. Raises BadRequestError."""
    facts: dict[str, Fact] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise BadRequestError(f"{pair!r} is no fact", where="--fact", expected="name=value, as in device.rtt_ms=80")
        facts[name.strip()] = _value(value.strip())
    return facts


def _value(text: str) -> Fact:
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def tell_facts(facts: Mapping[str, Any]) -> str:
    """The facts as pairs, in one line."""
    return " ".join(f"{name}={_shown(value)}" for name, value in facts.items())


def tell_unusual(facts: Mapping[str, Any], read: Iterable[str]) -> str:
    """In what these facts differ from the usual world, of those that are read; enough to try them again."""
    from policies.facts import INPUTS, typical_facts

    signs = {name: facts[name] for name in ("device.present", "cloud.available") if facts.get(name) is False}
    defaults = {name: source.default for name, source in INPUTS.items() if source.default is not None}
    usual = {**defaults, **typical_facts(signs)}
    found = {**defaults, **facts}
    unusual = {name: found.get(name) for name in read if found.get(name) != usual.get(name)}
    return tell_facts({**signs, **unusual}) or "the usual facts"


def facts_read(*policies: Policy) -> tuple[str, ...]:
    """The names of all facts that any of these policies reads, for its rules or its invariants."""
    from policies.language.compile import inputs_of

    names: dict[str, None] = {}
    for policy in policies:
        trees = policy.trees
        every = [*trees.variables, *trees.rules, *(invariant.violated for invariant in trees.invariants)]
        names |= dict.fromkeys(source.name for source in inputs_of(every, trees.variables))
    return tuple(name for name in names if not name.startswith("decision."))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if value != "" else '""'
