"""One expression being checked: its scope, the faults so far, the names that macros bind, and the way to go deeper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from policies.language import typed
from policies.language.scope import Rigor, Scope
from policies.language.syntax import Fault, Node, Span
from policies.language.typed import Typed
from policies.language.types import BOOL, DYN, ERROR, Type, join

Present = frozenset[str]
"""Names of optional inputs that are known to be there at some place of an expression."""
Visit = Callable[["Context", Node, Present], Typed]


class Context:
    """Handed through the rooms of the checker; `visit` checks any node."""

    def __init__(self, scope: Scope, visit: Visit) -> None:
        self.scope = scope
        self.faults: list[Fault] = []
        self.locals: dict[str, typed.LocalRead] = {}
        self._visit = visit
        self._slots = 0

    def node(self, node: Node, present: Present) -> Typed:
        """The typed form of any node."""
        return self._visit(self, node, present)

    def boolean(self, node: Node, present: Present) -> Typed:
        """`node`, which must be a bool."""
        return self.as_bool(self.node(node, present))

    def as_bool(self, checked: Typed) -> Typed:
        """What was checked, which must be a bool; where that is known only when it runs, it is judged then."""
        if checked.type in (BOOL, ERROR):
            return checked
        if checked.type == DYN:
            return typed.Apply(checked.span, BOOL, "bool", ("as_bool",), (checked,))
        return self.fault("wrong-type", f"this is {checked.type}", checked.span, expected="bool")

    # ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, code: str, message: str, span: Span, *, expected: str = "", suggestion: str = "") -> None:
        """Note a fault."""
        self.faults.append(Fault(code, message, span, expected, suggestion))

    def fault(self, code: str, message: str, span: Span, *, expected: str = "", suggestion: str = "") -> Typed:
        """Note a fault and stand in for the expression that has it; where nothing is checked, it fails when it runs."""
        if self.scope.rigor is Rigor.UNCHECKED:
            return typed.Fail(span, DYN, message)
        self.tell(code, message, span, expected=expected, suggestion=suggestion)
        return faulty(span)

    # ── names that macros bind ──────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def bound(self, names: Sequence[tuple[str, Type]], span: Span) -> Iterator[tuple[int, ...]]:
        """Bind names for the inside of a macro; gives their slots."""
        before = dict(self.locals)
        slots = []
        for name, type_ in names:
            slots.append(self._slots)
            self.locals[name] = typed.LocalRead(span, type_, self._slots)
            self._slots += 1
        yield tuple(slots)
        self.locals = before

    # ── types ───────────────────────────────────────────────────────────────────────────────────────────────────

    def common(self, parts: Sequence[Typed], span: Span) -> Type:
        """The one type of all parts; where they differ, a fault in documents and dyn elsewhere."""
        if any(part.type == ERROR for part in parts):
            return ERROR
        type_ = parts[0].type
        for part in parts[1:]:
            joined = join(type_, part.type)
            if joined is None:
                return self._mixed(type_, part.type, span)
            type_ = joined
        return type_

    def _mixed(self, one: Type, other: Type, span: Span) -> Type:
        if not self.scope.strict:
            return DYN
        numbers = {str(one), str(other)} == {"int", "double"}
        remedy = "write whole numbers as 1.0 beside doubles" if numbers else ""
        self.tell("wrong-type", f"{one} and {other} are mixed", span, expected="one type", suggestion=remedy)
        return ERROR


def faulty(span: Span) -> Typed:
    """What stands for an expression whose fault has been told."""
    return typed.Const(span, ERROR, None)
