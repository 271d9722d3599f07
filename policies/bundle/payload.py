"""What a bundle says, as canonical bytes: its charter (what it is and how long it holds), its trees, its outcomes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.build import Trees
from policies.bundle.canonical import canonical_bytes, read_canonical
from policies.bundle.errors import BundleError, Refusal
from policies.bundle.outcomes import outcome_data, read_outcome
from policies.bundle.recheck import Recheck
from policies.bundle.schema import PROFILE, Schema, known_in, schema_here, schema_of
from policies.bundle.trees import encode
from policies.decision import DEFAULT_RULE_ID, ON_ERROR_RULE_ID
from policies.document import MAX_INVARIANTS, MAX_RULES, MAX_VARIABLES, Context, Document, Expression, Rule
from policies.facts import CONTEXT, PHASES
from policies.invariants import PRIVACY, CheckedInvariant, privacy_invariant
from policies.modes import Mode
from policies.source import Scalar

MAX_VERSION: Final = 2**53 - 1
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = frozenset(
    {"profile", "schema", "context", "name", "policy", "version", "issued_at_s", "not_after_s"}
    | {"variables", "invariants", "rules", "default", "on_error"}
)
_UNWRITTEN: Final = Expression("", Scalar(0, 0, "", "", 0, 0))
"""Texts stay with the control plane; a device has the trees."""


@dataclass(frozen=True, slots=True)
class Charter:
    """What a bundle is, before its trees are looked at.

    policy_digest: of the document it was made from, as in `Policy.digest`.
    version: counts up with each bundle issued to a fleet; an older policy comes back under a new version.
    issued_at_s, not_after_s: whole seconds since 1970 (UTC); the bundle holds up to and including `not_after_s`.
    """

    name: str
    policy_digest: str
    version: int
    issued_at_s: int
    not_after_s: int

    def __post_init__(self) -> None:
        _expect(_NAME.fullmatch(self.name) is not None, "the name of the policy")
        _expect(_DIGEST.fullmatch(self.policy_digest) is not None, "the digest of the policy")
        _expect(1 <= self.version <= MAX_VERSION, "the version, a whole number from 1")
        _expect(
            0 <= self.issued_at_s < self.not_after_s <= MAX_VERSION, "the time of issue, which precedes not_after_s"
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """A payload that is canonical and of this profile and schema; its trees and outcomes are not judged yet."""

    charter: Charter
    schema: Schema
    context: Context
    data: Mapping[str, Any]


def write_payload(charter: Charter, document: Document, trees: Trees) -> bytes:
    """The canonical bytes. Raises BundleError for a policy that cannot be packed."""
    invariants = [each for each in trees.invariants if each.name != PRIVACY]
    every = [*trees.variables, *trees.rules, *(each.violated for each in invariants)]
    rules = zip(document.rules, trees.rules, strict=True)
    data = {
        "profile": PROFILE,
        "schema": schema_of(every).to_dict(),
        "context": {"ref": document.context.ref, "phase": document.context.phase},
        "name": charter.name,
        "policy": charter.policy_digest,
        "version": charter.version,
        "issued_at_s": charter.issued_at_s,
        "not_after_s": charter.not_after_s,
        "variables": [encode(tree) for tree in trees.variables],
        "invariants": [{"name": each.name, "violated": encode(each.violated)} for each in invariants],
        "rules": [{"id": r.id, "when": encode(tree), "decide": outcome_data(r.outcome)} for r, tree in rules],
        "default": outcome_data(document.default),
        "on_error": outcome_data(document.on_error),
    }
    return canonical_bytes(data)


def read_contents(payload: bytes) -> Contents:
    """The contents of a payload whose signature holds. Raises BundleError."""
    data = read_canonical(payload)
    profile = data.get("profile") if isinstance(data, dict) else None
    if isinstance(profile, str) and profile != PROFILE:
        raise BundleError(Refusal.PROFILE, f"the profile is {profile[:64]!r}, and this device has {PROFILE}")
    _keys(data, _KEYS, "the payload")
    numbers = [data[key] for key in ("version", "issued_at_s", "not_after_s")]
    _expect(all(type(number) is int for number in numbers), "the version and the times, whole numbers")
    _expect(type(data["name"]) is str and type(data["policy"]) is str, "the name and the digest of the policy")
    charter = Charter(data["name"], data["policy"], *numbers)
    return Contents(charter, _schema(data["schema"]), _context(data["context"]), data)


def _schema(data: Any) -> Schema:
    _keys(data, frozenset({"facts", "functions", "digest"}), "the schema")
    for names in (data["facts"], data["functions"]):
        _expect(type(names) is list and all(type(name) is str for name in names), "names of facts and functions")
    here = schema_here(data["facts"], data["functions"])
    if here.to_dict() != data:
        raise BundleError(Refusal.SCHEMA, "a fact or a function that the policy uses is declared otherwise here")
    return here


def _context(data: Any) -> Context:
    _keys(data, frozenset({"ref", "phase"}), "the context")
    if data["ref"] != CONTEXT or data["phase"] not in PHASES:
        raise BundleError(Refusal.SCHEMA, f"the context is none of {CONTEXT}")
    return Context(data["ref"], data["phase"])


def read_policy(contents: Contents, supported_modes: Collection[Mode]) -> tuple[Document, Trees]:
    """The document, without its texts, and the trees, checked anew on this device. Raises BundleError."""
    try:
        return _read(contents, supported_modes)
    except RecursionError:
        raise BundleError(Refusal.TREE, "a tree is too deep") from None


def _read(contents: Contents, supported_modes: Collection[Mode]) -> tuple[Document, Trees]:
    data, recheck = contents.data, Recheck(known_in(contents.context.phase))
    variables = tuple(recheck.variable(tree) for tree in _items(data["variables"], MAX_VARIABLES, "variables"))
    invariants = tuple(_invariant(recheck, item) for item in _items(data["invariants"], MAX_INVARIANTS, "invariants"))
    items = _items(data["rules"], MAX_RULES, "rules")
    ids = _rule_ids(items)
    conditions = tuple(recheck.condition(item["when"], f"rule {id_}") for id_, item in zip(ids, items, strict=True))
    if schema_of([*variables, *conditions, *(each.violated for each in invariants)]) != contents.schema:
        raise BundleError(Refusal.SCHEMA, "the schema names other facts or functions than the trees use")
    rules = [
        Rule(id_, _UNWRITTEN, read_outcome(item["decide"], supported_modes), 0)
        for id_, item in zip(ids, items, strict=True)
    ]
    document = Document(
        name=contents.charter.name,
        labels={},
        params=(),
        variables=(),
        invariants=(),
        rules=tuple(rules),
        default=read_outcome(data["default"], supported_modes),
        on_error=read_outcome(data["on_error"], supported_modes),
        tests=(),
        data={},
        context=contents.context,
    )
    # The invariant that every policy has is this device's own: no bundle brings it, and none can leave it out.
    return document, Trees(variables, conditions, (privacy_invariant(), *invariants))


def _invariant(recheck: Recheck, item: Any) -> CheckedInvariant:
    _keys(item, frozenset({"name", "violated"}), "an invariant")
    _expect(_is_name(item["name"]), "an invariant's name")
    return CheckedInvariant(item["name"], recheck.condition(item["violated"], item["name"], decides=True))


def _rule_ids(items: Sequence[Any]) -> list[str]:
    for item in items:
        _keys(item, frozenset({"id", "when", "decide"}), "a rule")
        _expect(_is_name(item["id"]), "a rule's id")
    ids = [item["id"] for item in items]
    _expect(len({*ids, DEFAULT_RULE_ID, ON_ERROR_RULE_ID}) == len(ids) + 2, "ids of rules, each of its own")
    return ids


# ── shapes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise BundleError(Refusal.SHAPE, f"expected: {what}")


def _keys(data: Any, keys: frozenset[str], what: str) -> None:
    _expect(isinstance(data, dict) and data.keys() == keys, f"{what} with {', '.join(sorted(keys))}")


def _items(data: Any, limit: int, what: str) -> list[Any]:
    _expect(isinstance(data, list) and len(data) <= limit, f"at most {limit} {what}")
    return list(data)


def _is_name(data: Any) -> bool:
    return type(data) is str and _NAME.fullmatch(data) is not None
