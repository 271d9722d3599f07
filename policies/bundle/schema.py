"""What a bundle takes for granted of its device: the profile of the language, and the facts and functions it uses.

Only what the trees use counts, so that a fact more in the table of one side keeps no policy from the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from policies.bundle.canonical import canonical_bytes
from policies.bundle.errors import BundleError, Refusal
from policies.facts import FACTS, PHASES
from policies.invariants import DECIDED
from policies.language import typed
from policies.language.declarations import Declaration
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.types import Enum

PROFILE: Final = "edgewise-cel/1"
"""Counts up when an overload, a mode or a rule of evaluation comes to mean something else."""
DECLARED: Final = {**{fact.name: fact.declaration for fact in FACTS.values()}, **DECIDED}


@dataclass(frozen=True, slots=True)
class Schema:
    """Facts by name and overloads by id, each sorted, and the SHA-256 of all that they are declared to be."""

    facts: tuple[str, ...]
    functions: tuple[str, ...]
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"facts": list(self.facts), "functions": list(self.functions), "digest": self.digest}


def known_in(phase: str) -> dict[str, Declaration]:
    """The facts that are known in a phase."""
    known = PHASES[: PHASES.index(phase) + 1]
    return {fact.name: fact.declaration for fact in FACTS.values() if fact.phase in known}


def schema_of(trees: Iterable[Typed]) -> Schema:
    """What the trees use."""
    facts: set[str] = set()
    functions: set[str] = set()
    for node in (part for tree in trees for part in typed.walk(tree)):
        match node:
            case typed.Input() | typed.InputPresent() | typed.InputOr() | typed.InputMaybe():
                facts.add(node.source.name)
            case typed.Apply():
                functions.update(node.candidates)
    return schema_here(facts, functions)


def schema_here(facts: Iterable[str], functions: Iterable[str]) -> Schema:
    """The schema of these names as this device declares them. Raises BundleError for a name it does not know."""
    names, ids = tuple(sorted(facts)), tuple(sorted(functions))
    _judge(names, DECLARED, "fact")
    _judge(ids, STANDARD.by_id, "function")
    rows = [[_fact_row(name) for name in names], [_function_row(id_) for id_ in ids]]
    return Schema(names, ids, hashlib.sha256(canonical_bytes(rows)).hexdigest())


def _judge(names: Iterable[str], known: Iterable[str], what: str) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise BundleError(Refusal.SCHEMA, f"the policy uses the {what} {missing[0][:64]!r}, which is not known here")


def _fact_row(name: str) -> list[str | bool]:
    fact = DECLARED[name]
    ordered = isinstance(fact.type, Enum) and fact.type.ordered
    return [name, str(fact.type), ordered, fact.optional, repr(fact.default)]


def _function_row(id_: str) -> list[str | bool | list[str]]:
    row = STANDARD.by_id[id_]
    return [id_, row.name, [str(param) for param in row.params], str(row.result), row.method, row.variadic]
