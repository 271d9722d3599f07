"""A tree as instructions of a machine that is in many places at once (Thompson's construction). Runs nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from policies.language.regex.ranges import Ranges
from policies.language.regex.tree import At, Either, Node, One, Place, Repeat, Sequence


@dataclass(frozen=True, slots=True)
class Read:
    """Take one character of a set, by its number, and go on at `then`."""

    set: int
    then: int


@dataclass(frozen=True, slots=True)
class Test:
    """Go on at `then` if the place is right; takes no character."""

    place: Place
    then: int


@dataclass(frozen=True, slots=True)
class Split:
    """Go on at all of these; takes no character."""

    then: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The pattern has matched."""


Instruction = Read | Test | Split | Found


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions and sets of characters, which go by their positions; `start`: the position of the first."""

    code: tuple[Instruction, ...]
    sets: tuple[Ranges, ...]
    start: int

    def places(self) -> set[Place]:
        """The conditions that it tests anywhere."""
        return {each.place for each in self.code if isinstance(each, Test)}


def program_of(node: Node) -> Program:
    """The program of a tree; at most `node.size + 1` instructions."""
    writer = _Writer()
    start = writer.write(node, writer.append(Found()))
    return Program(tuple(writer.code), tuple(writer.sets), start)


class _Writer:
    """Writes from the end of the pattern to its start, so that it is known where each instruction goes on."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.sets: dict[Ranges, int] = {}

    def append(self, instruction: Instruction) -> int:
        """The position of the instruction."""
        self.code.append(instruction)
        return len(self.code) - 1

    def write(self, node: Node, then: int) -> int:
        """Append what matches `node` and goes on at `then`; the position where it begins."""
        match node:
            case One():
                return self.append(Read(self.sets.setdefault(node.ranges, len(self.sets)), then))
            case At():
                return self.append(Test(node.place, then))
            case Sequence():
                for part in reversed(node.parts):
                    then = self.write(part, then)
                return then
            case Either():
                return self.append(Split(tuple(self.write(branch, then) for branch in node.branches)))
            case Repeat():
                return self._repeat(node, then)

    def _repeat(self, node: Repeat, then: int) -> int:
        """`least` copies, then a loop or copies that may be left out: each such copy may leave for the end."""
        after = then
        if node.most is None:
            after = self.append(Split(()))
            self.code[after] = Split((self.write(node.part, after), then))
        else:
            for _ in range(node.most - node.least):
                after = self.append(Split((self.write(node.part, after), then)))
        for _ in range(node.least):
            after = self.write(node.part, after)
        return after
