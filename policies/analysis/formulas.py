"""Formulas over variables with few values each: and, or, and literals "variable x is one of these". No policies here.

Equal formulas are one number. A formula is made together with its contrary, so that `negated` is a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

Clause = tuple[tuple[int, int], ...]
"""Pairs of a variable and the set of its values, as bits; one of them must hold."""
Node = tuple[str, tuple[int, ...]]
"""("is", (variable, values)), ("all", formulas) or ("any", formulas)."""

TRUE: Final = 0
FALSE: Final = 1

_CONTRARY: Final = {"all": "any", "any": "all"}
_FLAT: Final = 32
"""A longer part is not spliced into what holds it: chains of variables would grow to squares."""
_ON: Final = 2
_OFF: Final = 1


class Formulas:
    """All formulas of one analysis. `full[v]`: all values of variable v, as bits."""

    def __init__(self, full: Iterable[int] = ()) -> None:
        self.full: list[int] = list(full)
        self._nodes: list[Node] = [("all", ()), ("any", ())]
        self._contrary: list[int] = [FALSE, TRUE]
        self._ids: dict[Node, int] = {("all", ()): TRUE, ("any", ()): FALSE}
        self._switches: dict[int, int] = {}
        self._clauses: dict[int, tuple[Clause, ...]] = {}

    def is_one_of(self, variable: int, values: int) -> int:
        """The variable has one of these values."""
        values &= self.full[variable]
        if not values:
            return FALSE
        if values == self.full[variable]:
            return TRUE
        rest = self.full[variable] & ~values
        return self._interned(("is", (variable, values)), ("is", (variable, rest)))

    def every(self, parts: Iterable[int]) -> int:
        """All parts hold."""
        return self._joined("all", parts, TRUE, FALSE)

    def some(self, parts: Iterable[int]) -> int:
        """One part holds, at least."""
        return self._joined("any", parts, FALSE, TRUE)

    def negated(self, formula: int) -> int:
        """The contrary."""
        return self._contrary[formula]

    def _joined(self, kind: str, parts: Iterable[int], idle: int, settling: int) -> int:
        given = set(parts)
        if any(self._contrary[part] in given for part in given):
            return settling
        values: dict[int, int] = {}
        rest: set[int] = set()
        for part in self._flat(kind, given):
            node_kind, content = self._nodes[part]
            if part == settling:
                return settling
            if node_kind != "is":
                rest.add(part)
                continue
            variable, mask = content
            known = values.get(variable)
            values[variable] = mask if known is None else (known & mask if kind == "all" else known | mask)
        rest |= {self.is_one_of(variable, mask) for variable, mask in values.items()}
        rest.discard(idle)
        if settling in rest or any(self._contrary[part] in rest for part in rest):
            return settling
        if len(rest) <= 1:
            return rest.pop() if rest else idle
        ours = tuple(sorted(rest))
        theirs = tuple(sorted(self._contrary[part] for part in ours))
        return self._interned((kind, ours), (_CONTRARY[kind], theirs))

    def _flat(self, kind: str, parts: Iterable[int]) -> Iterable[int]:
        for part in parts:
            node_kind, content = self._nodes[part]
            if node_kind == kind and len(content) <= _FLAT:
                yield from content
            else:
                yield part

    def _interned(self, node: Node, contrary: Node) -> int:
        if node in self._ids:
            return self._ids[node]
        at = len(self._nodes)
        self._nodes += [node, contrary]
        self._contrary += [at + 1, at]
        self._ids[node], self._ids[contrary] = at, at + 1
        return at

    # ── clauses ─────────────────────────────────────────────────────────────────────────────────────────────────

    def clauses(self, formula: int) -> tuple[Clause, ...]:
        """Clauses that can all hold exactly where `formula` does.

        A part that is nested gets a switch, a variable of two values: while it is on, the part holds (Plaisted and
        Greenbaum 1986). Equal parts share one.
        """
        if formula not in self._clauses:
            self._clauses[formula] = tuple(self._spelt_out(formula))
        return self._clauses[formula]

    def _spelt_out(self, formula: int) -> Iterable[Clause]:
        defined: set[int] = set()
        ahead: list[tuple[int, Clause]] = [(formula, ())]
        for part, guard in ahead:  # grows while it is read
            kind, content = self._nodes[part]
            for each in content if kind == "all" else (part,):
                literals, nested = self._clause(each)
                yield (*guard, *literals)
                for inner in nested:
                    if inner not in defined:
                        defined.add(inner)
                        ahead.append((inner, ((self._switches[inner], _OFF),)))

    def _clause(self, formula: int) -> tuple[Clause, Sequence[int]]:
        """A disjunction as literals, and the nested parts that the literals' switches stand for."""
        kind, content = self._nodes[formula]
        literals: list[tuple[int, int]] = []
        nested: list[int] = []
        for part in (formula,) if kind == "is" else content:
            part_kind, inner = self._nodes[part]
            if part_kind == "is":
                literals.append((inner[0], inner[1]))
            else:
                literals.append((self._switch(part), _ON))
                nested.append(part)
        return tuple(literals), nested

    def _switch(self, formula: int) -> int:
        if formula not in self._switches:
            self._switches[formula] = len(self.full)
            self.full.append(_ON | _OFF)
        return self._switches[formula]
