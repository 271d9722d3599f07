"""A compiled pattern: the parts of this package put together."""

from __future__ import annotations

from collections.abc import Callable

from policies.language.regex.automaton import Automaton
from policies.language.regex.parser import parse
from policies.language.regex.program import program_of
from policies.language.regex.shortcut import shortcut
from policies.language.regex.tree import Node, is_anchored, trimmed


class Pattern:
    """A regular expression of RE2. `search(text)`: whether it is found anywhere; linear in the text, never raises.

    source: as written; size: instructions of its program, which a character of a text may cost at the very most.
    """

    __slots__ = ("search", "size", "source")

    def __init__(self, source: str) -> None:
        node = trimmed(parse(source))
        self.source = source
        self.size = node.size
        self.search: Callable[[str], bool] = shortcut(node) or automaton_of(node).search


def automaton_of(node: Node) -> Automaton:
    """The automaton of a tree, which decides every pattern."""
    return Automaton(program_of(node), is_anchored(node))


def compile(pattern: str) -> Pattern:
    """The pattern, ready to search. Raises PatternError."""
    return Pattern(pattern)
