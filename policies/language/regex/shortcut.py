"""Patterns that faster machinery of Python decides in linear time too, with the same answer: `in`, startswith, `re`.

`re` goes back and tries again. That stays linear when a pattern has few ways to match at one start, and at most one
place where a failure later on gives another try to every character before it; all else is left to the automaton.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from policies.language.regex.ranges import NOTHING, Ranges, disjoint, union
from policies.language.regex.tree import At, Either, Node, One, Place, Repeat, Sequence, is_anchored

Search = Callable[[str], bool]

_MAX_SIZE: Final = 256
_MAX_STEPS: Final = 64
"""Steps that `re` may take in vain at one start, for each character of the text."""
_MAX_SET: Final = 64

_SOURCES: Final = {
    Place.TEXT_START: r"\A",
    Place.TEXT_END: r"\Z",
    Place.LINE_START: r"(?m:^)",
    Place.LINE_END: r"(?m:$)",
    Place.WORD_EDGE: r"(?a:\b)",
    # not \B, which Python up to 3.13 does not find in an empty text
    Place.NO_WORD_EDGE: r"(?!(?a:\b))",
}


@dataclass(frozen=True, slots=True)
class _Effort:
    """ways: in how many ways the part can match; steps: to try them all; each scan beside these reads the text once.

    scans: has a repeat without end; its shorter matches fail at the next character.
    retries: has a repeat without end of which every length may be tried.
    """

    ways: int = 1
    steps: int = 1
    scans: bool = False
    retries: bool = False


def shortcut(node: Node) -> Search | None:
    """A search for a trimmed tree that is fast and linear; None when there is none."""
    if node.size > _MAX_SIZE:
        return None
    return _plain(node) or _backtracking(node)


def _plain(node: Node) -> Search | None:
    """For one word, bare or bound to the ends of the text."""
    parts = list(node.parts) if isinstance(node, Sequence) else [node]
    start = parts[:1] == [At(Place.TEXT_START)]
    end = parts[start:][-1:] == [At(Place.TEXT_END)]
    chars = [_only_char(part) for part in parts[start : len(parts) - end]]
    word = "".join(char for char in chars if char is not None)
    if None in chars:
        return None
    if start and end:
        return lambda text: text == word
    if start:
        return lambda text: text.startswith(word)
    return (lambda text: text.endswith(word)) if end else (lambda text: word in text)


def _only_char(node: Node) -> str | None:
    if isinstance(node, One) and len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]:
        return chr(node.ranges[0][0])
    return None


def _backtracking(node: Node) -> Search | None:
    """By `re`, if that is linear."""
    anchored = is_anchored(node)
    effort = _effort(node, NOTHING)
    if effort is None or effort.steps > _MAX_STEPS or (not anchored and (effort.scans or effort.retries)):
        return None
    compiled = re.compile(_source(node))
    found = compiled.match if anchored else compiled.search
    return lambda text: found(text) is not None


def _effort(node: Node, follow: Ranges) -> _Effort | None:
    """The effort of `re` for `node` where a character of `follow`, or the end, comes after; None: too much."""
    match node:
        case One():
            return _Effort() if len(node.ranges) <= _MAX_SET else None
        case At():
            return _Effort()
        case Sequence():
            return _effort_of_sequence(node.parts, follow)
        case Either():
            return _effort_of_branches(node.branches, follow)
        case Repeat():
            return _effort_of_repeat(node, follow)


def _effort_of_sequence(parts: tuple[Node, ...], follow: Ranges) -> _Effort | None:
    """Every way of a part tries all of what comes after; so nothing that scans may come after what retries."""
    whole = _Effort()
    for part in reversed(parts):
        effort = _effort(part, follow)
        if effort is None or (effort.retries and (whole.scans or whole.retries)):
            return None
        ways, steps = effort.ways * whole.ways, effort.steps + effort.ways * whole.steps
        if steps > _MAX_STEPS:
            return None
        whole = _Effort(ways, steps, effort.scans or whole.scans, effort.retries or whole.retries)
        first, may_be_empty = _first(part)
        follow = union((*first, *follow)) if may_be_empty else first
    return whole


def _effort_of_branches(branches: tuple[Node, ...], follow: Ranges) -> _Effort | None:
    efforts = [_effort(branch, follow) for branch in branches]
    known = [effort for effort in efforts if effort is not None]
    if len(known) < len(efforts) or any(effort.retries for effort in known):
        return None
    return _Effort(
        sum(effort.ways for effort in known),
        sum(effort.steps for effort in known) + 1,
        any(effort.scans for effort in known),
    )


def _effort_of_repeat(node: Repeat, follow: Ranges) -> _Effort | None:
    if not isinstance(node.part, One):
        return _effort_of_group(node, follow)
    if len(node.part.ranges) > _MAX_SET:
        return None
    fixed = disjoint(node.part.ranges, follow)
    if node.most is None:
        return _Effort(1, node.least + 1, scans=fixed, retries=not fixed)
    return _Effort(1 if fixed else node.most - node.least + 1, node.most + 1)


def _effort_of_group(node: Repeat, follow: Ranges) -> _Effort | None:
    """A group repeated: as what it is written out to (see `_source`)."""
    if node.most == 1:
        branches = (node.part, Sequence(())) if node.least == 0 else (node.part,)
        return _effort_of_branches(branches, follow)
    if node.most is None or node.most > _MAX_STEPS:
        return None
    first, _ = _first(node.part)
    effort = _effort(node.part, union((*first, *follow)))
    if effort is None or effort.scans or effort.retries:
        return None
    ways, steps, counted = 1, 1, 0
    for times in range(1, node.most + 1):
        steps += ways * effort.steps
        ways *= effort.ways
        counted += ways if times >= node.least else 0
        if steps + counted > _MAX_STEPS:
            return None
    return _Effort(counted + (node.least == 0), steps)


def _first(node: Node) -> tuple[Ranges, bool]:
    """The characters that a match of `node` may begin with, and whether it may take none before what follows.

    The end of the text counts as a character that is in no set.
    """
    match node:
        case One():
            return node.ranges, False
        case At():
            return NOTHING, node.place is not Place.TEXT_END
        case Repeat():
            first, empty = _first(node.part)
            return first, empty or node.least == 0
        case Either():
            firsts = [_first(branch) for branch in node.branches]
            return union(pair for first, _ in firsts for pair in first), any(empty for _, empty in firsts)
        case Sequence():
            return _first_of_sequence(node.parts)


def _first_of_sequence(parts: tuple[Node, ...]) -> tuple[Ranges, bool]:
    whole: Ranges = NOTHING
    for part in parts:
        first, empty = _first(part)
        whole = union((*whole, *first))
        if not empty:
            return whole, False
    return whole, True


def _source(node: Node) -> str:
    """The tree in the syntax of `re`, free of flags and of names for classes, whose meaning differs."""
    match node:
        case One():
            return _set_source(node.ranges)
        case At():
            return _SOURCES[node.place]
        case Sequence():
            return "".join(map(_source, node.parts))
        case Either():
            return f"(?:{'|'.join(map(_source, node.branches))})"
        case Repeat():
            return _repeat_source(node)


def _repeat_source(node: Repeat) -> str:
    """A group that may be left out is nested, (?:a(?:a)?)?, since `re` ends loops early where a round is empty."""
    part = _source(node.part)
    if isinstance(node.part, One):
        return f"{part}{{{node.least},{'' if node.most is None else node.most}}}"
    assert node.most is not None
    optional = node.most - node.least
    return part * node.least + f"(?:{part}" * optional + ")?" * optional


def _set_source(ranges: Ranges) -> str:
    if not ranges:
        return "(?!)"
    if ranges[0][0] == ranges[-1][1]:
        return re.escape(chr(ranges[0][0]))
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"
