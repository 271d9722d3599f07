"""What a pattern says, as a tree. Greed and captures are gone: whether a text matches does not depend on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from policies.language.regex.ranges import Ranges


class Place(Enum):
    """A condition on the place between two characters."""

    TEXT_START = r"\A"
    TEXT_END = r"\z"
    LINE_START = "(?m)^"
    LINE_END = "(?m)$"
    WORD_EDGE = r"\b"
    NO_WORD_EDGE = r"\B"


@dataclass(frozen=True, slots=True)
class One:
    """One character of a set."""

    ranges: Ranges
    size: int = field(default=1, init=False)


@dataclass(frozen=True, slots=True)
class At:
    """No character, at such a place only."""

    place: Place
    size: int = field(default=1, init=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """All parts, one after the other; of none, the empty text. `size`: instructions of its program, for every node."""

    parts: tuple[Node, ...]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(part.size for part in self.parts))


@dataclass(frozen=True, slots=True)
class Either:
    """One of the branches."""

    branches: tuple[Node, ...]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(branch.size for branch in self.branches))


@dataclass(frozen=True, slots=True)
class Repeat:
    """`part` from `least` to `most` times, without end when `most` is None."""

    part: Node
    least: int
    most: int | None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        optional = 1 if self.most is None else self.most - self.least
        object.__setattr__(self, "size", 1 + self.least * self.part.size + optional * (self.part.size + 1))


Node = One | At | Sequence | Either | Repeat

EMPTY: Final = Sequence(())


def sequence(parts: list[Node]) -> Node:
    """The parts in order; one part alone is itself."""
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def either(branches: list[Node]) -> Node:
    """One of the branches; one branch alone is itself."""
    return branches[0] if len(branches) == 1 else Either(tuple(branches))


def trimmed(node: Node) -> Node:
    """A tree that is found in the same texts, without what the ends of a match may leave out: `.*ab+` becomes `ab`."""
    return _trimmed_end(_trimmed_end(node, 0), -1)


def _trimmed_end(node: Node, end: int) -> Node:
    """`node` with the repeats at one end (0 or -1) cut down to as often as they must be."""
    match node:
        case Repeat():
            return _times(node.part, node.least, end)
        case Either():
            branches = [_trimmed_end(branch, end) for branch in node.branches]
            return EMPTY if EMPTY in branches else Either(tuple(branches))
        case Sequence():
            return _trimmed_sequence(list(node.parts), end)
        case _:
            return node


def _trimmed_sequence(parts: list[Node], end: int) -> Node:
    while parts:
        last = _trimmed_end(parts[end], end)
        if last != EMPTY:
            parts[end] = last
            break
        del parts[end]
    return sequence(parts) if parts else EMPTY


def _times(part: Node, times: int, end: int) -> Node:
    if times == 0:
        return EMPTY
    return _trimmed_end(part, end) if times == 1 else Repeat(part, times, times)


def is_anchored(node: Node) -> bool:
    """Whether every match starts at the start of the text."""
    match node:
        case At():
            return node.place is Place.TEXT_START
        case Sequence():
            return any(is_anchored(part) for part in node.parts)
        case Either():
            return all(map(is_anchored, node.branches))
        case Repeat():
            return node.least > 0 and is_anchored(node.part)
        case _:
            return False
