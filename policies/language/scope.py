"""The names that an expression may use, how strictly it is checked, and how a dotted name finds its declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from policies.language.declarations import Declaration
from policies.language.functions import Registry
from policies.language.library import STANDARD
from policies.language.typed import Const, MakeList
from policies.language.types import Type


class Rigor(StrEnum):
    """How strictly an expression is checked.

    document: every type is known; anything that could only be judged when it runs is a fault. What policies use.
    checked: as CEL's checker: `dyn` is a type, and what it hides is judged when it runs.
    unchecked: as CEL without its checker: what is wrong fails when it runs.
    """

    DOCUMENT = "document"
    CHECKED = "checked"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Scope:
    """The names an expression may use.

    constants, variables: by full name, such as `params.limit`; a variable is its position and type.
        A constant is a literal, or a list of literals.
    later: names that are not known in this phase, with the reason.
    container: the namespace in which names are looked up first (CEL).
    """

    inputs: Mapping[str, Declaration] = field(default_factory=dict)
    constants: Mapping[str, Const | MakeList] = field(default_factory=dict)
    variables: Mapping[str, tuple[int, Type]] = field(default_factory=dict)
    later: Mapping[str, str] = field(default_factory=dict)
    functions: Registry = STANDARD
    rigor: Rigor = Rigor.DOCUMENT
    container: str = ""

    @property
    def strict(self) -> bool:
        """True for documents."""
        return self.rigor is Rigor.DOCUMENT

    def names(self) -> list[str]:
        """Every full name, for suggestions."""
        return [*self.inputs, *self.constants, *self.variables]

    def declares(self, name: str) -> bool:
        """Whether a full name stands for anything."""
        return name in self.inputs or name in self.constants or name in self.variables

    def resolve(self, path: str, *, absolute: bool = False) -> tuple[str, list[str]] | None:
        """The declared name that `path` begins with, the longest one, and the fields that are left of the path."""
        words = path.split(".")
        for size in range(len(words), 0, -1):
            for prefix in [""] if absolute else self._containers():
                name = prefix + ".".join(words[:size])
                if self.declares(name):
                    return name, words[size:]
        return None

    def _containers(self) -> Iterator[str]:
        """`a.b.`, `a.` and nothing for the container `a.b`."""
        words = self.container.split(".") if self.container else []
        for size in range(len(words), -1, -1):
            yield "".join(f"{word}." for word in words[:size])
