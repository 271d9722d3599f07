"""Typos in policies, each at a known place and of a kind that surely makes the text wrong. The engine is not asked.

What a place holds is known from the document's own shape: PyYAML composes it, and expressions are cut by the few lines
below. Left alone is what may be written in any way: comments, reasons, names of tests, labels, free strings, digits,
and the names that a document gives to its own params, variables and rules.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from policies.facts import FACTS
from policies.language.library import STANDARD
from policies.modes import MODES

_TOKEN: Final = re.compile(
    r"""(?P<string>'[^'\n]*'|"[^"\n]*")|(?P<number>\d[\w.]*)|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<operator>&&|\|\||[=!<>]=|[<>])|(?P<bracket>[()\[\]])|(?P<comma>,)|(?P<dot>\.)|(?P<rest>\S)"""
)
_PIECE: Final = re.compile(r"[A-Za-z_]\w*|\d[\w.]*|&&|\|\||[=!<>]=|\S")
_KEY: Final = re.compile(r"^(?P<indent> *)(?P<dash>- )?[\w.]+:(?P<behind> |$)")
_NEAR: Final = dict(zip("abcdefghijklmnopqrstuvwxyz_-.", "svxdrfghukjhbnbopewtdtycxgxuu", strict=False))
"""A key beside each letter's own."""
_LOOK_ALIKE: Final = {"0": "O", "1": "l", "5": "S", "8": "B"}
_OTHER: Final = {"(": "[", ")": "]", "[": "(", "]": ")", "{": "[", "}": "]"}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Typo:
    """A wrong text. start, end: the piece that was mistyped, as offsets into it; equal where it was dropped.

    was: what stood there. partner: the offset of the bracket or quote that lost its other half; -1 where none did.
    """

    text: str
    start: int
    end: int
    kind: str
    was: str
    partner: int = -1


@dataclass(frozen=True, slots=True)
class Site:
    """A piece of a document, from `start` to `end`, and how it may be mistyped: new pieces, each with its kind."""

    start: int
    end: int
    changes: Callable[[random.Random, str], Iterator[tuple[str, str]]]
    partner: int = -1


def typos(document: str, count: int, seed: int) -> list[Typo]:
    """So many different typos of a document: a place is drawn, then one of the ways to mistype it."""
    draw = random.Random(seed)
    sites = sites_of(document)
    found: dict[str, Typo] = {}
    while len(found) < count:
        site = draw.choice(sites)
        was = document[site.start : site.end]
        kind, now = draw.choice(list(site.changes(draw, was)) or [("", was)])
        if now != was:
            typo = _typo(document, site, kind, now)
            found.setdefault(typo.text, typo)
    return list(found.values())


def _typo(document: str, site: Site, kind: str, now: str) -> Typo:
    text = document[: site.start] + now + document[site.end :]
    was = document[site.start : site.end]
    partner = site.partner + (len(now) - len(was) if site.partner > site.start else 0)
    return Typo(text, site.start, site.start + len(now), kind, was, partner)


def sites_of(document: str) -> list[Site]:
    """Everything in a document that must be written as it is."""
    root = yaml.compose(document, Loader=yaml.SafeLoader)
    assert root is not None
    reader = _Reader(document)
    reader.node(root, ())
    reader.lines()
    return reader.sites


class _Reader:
    def __init__(self, document: str) -> None:
        self._text = document
        self._words = _Words(document)
        self.sites: list[Site] = []

    # ── the tree ────────────────────────────────────────────────────────────────────────────────────────────────

    def node(self, node: yaml.Node, path: tuple[str | int, ...]) -> None:
        """Take on the sites of a node that stands at `path`."""
        if isinstance(node, yaml.MappingNode):
            self._brackets(node)
            for key, value in node.value:
                if path not in (("spec", "params"), ("metadata", "labels")):
                    self._add(key, self._words.changes)
                if node.flow_style:
                    held = isinstance(value, yaml.CollectionNode)  # a space before a bracket may be left out
                    self._add_span(key.start_mark.index, key.end_mark.index + 2, _flow_colons if held else _colons)
                self.node(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            self._brackets(node)
            for at, item in enumerate(node.value):
                self.node(item, (*path, at))
        elif isinstance(node, yaml.ScalarNode):
            self._scalar(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> None:
        last = path[-1]
        if last in ("expr", "when", "never", "always"):
            self._expression(node)
        elif node.tag.endswith((":float", ":int")):
            self._add(node, _numbers)
        elif node.tag.endswith(":bool") or self._is_word(node.value, path):
            self._add(node, self._words.changes)

    def _is_word(self, value: str, path: tuple[str | int, ...]) -> bool:
        """Whether a value is one of a few words."""
        last, held = path[-1], path[-2] if len(path) > 1 else ""
        if held == "given" or (len(path) == 4 and path[1] == "params" and last == "default"):
            return value in self._words.enums
        return last in ("apiVersion", "kind", "mode", "type") or held == "fallback" or path[-2:] == ("expect", "rule")

    def _add(self, node: yaml.Node, changes: Callable[[random.Random, str], Iterator[tuple[str, str]]]) -> None:
        self._add_span(node.start_mark.index, node.end_mark.index, changes)

    def _add_span(self, start: int, end: int, changes: Any, partner: int = -1) -> None:
        self.sites.append(Site(start, end, changes, partner))

    def _brackets(self, node: yaml.CollectionNode) -> None:
        if node.flow_style and node.value:
            start, end = node.start_mark.index, node.end_mark.index - 1
            self._add_span(start, start + 1, _brackets, end)
            self._add_span(end, end + 1, _brackets, start)

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────

    def _expression(self, node: yaml.ScalarNode) -> None:
        quoted = node.style in ("'", '"')
        start, end = node.start_mark.index + quoted, node.end_mark.index - quoted
        if quoted:
            self._add_span(start - 1, start, _quotes, end)
            self._add_span(end, end + 1, _quotes, start - 1)
        opened: list[int] = []
        for token in _TOKEN.finditer(self._text, start, end):
            at, to = token.span()
            match token.lastgroup:
                case "word" if token[0] not in self._words.own:
                    self._add_span(at, to, self._words.changes)
                case "string":
                    self._string(token[0], at, to)
                case "number":
                    self._add_span(at, to, _numbers)
                case "operator":
                    self._add_span(at, to, _operators)
                case "comma" | "dot":
                    self._add_span(at, to, _signs)
                case "bracket" if token[0] in _CLOSING:
                    opened.append(at)
                case "bracket":
                    self._add_span(opened[-1], opened[-1] + 1, _brackets, at)
                    self._add_span(at, to, _brackets, opened.pop())

    def _string(self, text: str, at: int, to: int) -> None:
        """Its quotes, and its word where it is one of an enum's."""
        self._add_span(at, at + 1, _quotes, to - 1)
        self._add_span(to - 1, to, _quotes, at)
        if text[1:-1] in self._words.enums:
            self._add_span(at + 1, to - 1, self._words.changes)

    # ── lines of a block ────────────────────────────────────────────────────────────────────────────────────────

    def lines(self) -> None:
        """Indents, dashes and colons of lines that have a line of the same level right before them."""
        level, start = -1, 0
        for line in self._text.splitlines(keepends=True):
            found = _KEY.match(line)
            if found is not None:
                key = start + len(found["indent"]) + len(found["dash"] or "")
                if found["dash"]:
                    self._add_span(start + len(found["indent"]), start + len(found["indent"]) + 2, _dashes)
                elif len(found["indent"]) == level:
                    self._add_span(start, start + level, _indents)
                self._add_span(key, start + found.end(), _colons if found["behind"] else _last_colons)
                level = len(found["indent"]) + 2 * bool(found["dash"])
            start += len(line)


class _Words:
    """The words that may stand in a document: none of the results of a typo is one of them."""

    def __init__(self, document: str) -> None:
        self.enums = {word for fact in FACTS.values() for word in fact.enum if word} | set(map(str, MODES))
        spec = yaml.safe_load(document)["spec"]
        self.own = {*spec.get("params", ()), *(each["name"] for each in spec.get("variables", ()))}
        self._known = {*self.enums, *FACTS, *re.findall(r"\w+", " ".join(FACTS)), *self.own}
        self._known |= {*STANDARD.by_name, "has", "true", "false", "null", *re.findall(r"[\w-]+", document)}

    def changes(self, draw: random.Random, word: str) -> Iterator[tuple[str, str]]:
        """One character changed, dropped, doubled, or swapped with the next."""
        bare = word.strip("'\"")
        at = draw.randrange(len(bare))
        near = _NEAR.get(bare[at].lower(), "x")
        found = {
            "changed": bare[:at] + near + bare[at + 1 :],
            "dropped": bare[:at] + bare[at + 1 :],
            "doubled": bare[:at] + bare[at] + bare[at:],
            "swapped": bare[:at] + bare[at + 1 : at + 2] + bare[at] + bare[at + 2 :],
        }
        for kind, now in found.items():
            if now and now not in self._known:
                yield f"a letter {kind}", word.replace(bare, now)


def _numbers(draw: random.Random, number: str) -> Iterator[tuple[str, str]]:
    digits = [at for at, digit in enumerate(number) if digit in _LOOK_ALIKE]
    if digits:
        at = draw.choice(digits)
        yield "a digit that is a letter", number[:at] + _LOOK_ALIKE[number[at]] + number[at + 1 :]
    if "." in number:
        yield "a point doubled", number.replace(".", "..")
        yield "a comma for a point", number.replace(".", ",")


def _operators(draw: random.Random, sign: str) -> Iterator[tuple[str, str]]:
    yield "an operator dropped", ""
    yield "an operator doubled", sign * 2
    if len(sign) == 2:
        yield "half an operator", "=" if sign in ("<=", ">=") else sign[0] if sign in ("&&", "||", "==") else "="
    if sign in ("<=", ">=", "!="):
        yield "an operator turned round", sign[::-1]


def _signs(draw: random.Random, sign: str) -> Iterator[tuple[str, str]]:
    yield f"a {sign} dropped", ""
    yield f"a {sign} doubled", sign * 2
    yield f"a {sign} for another", {".": ",", ",": ";"}[sign]


def _brackets(draw: random.Random, sign: str) -> Iterator[tuple[str, str]]:
    yield "a bracket dropped", ""
    yield "a bracket doubled", sign * 2
    yield "a bracket of another kind", _OTHER[sign]


def _quotes(draw: random.Random, sign: str) -> Iterator[tuple[str, str]]:
    yield "a quote dropped", ""
    yield "a quote of another kind", {"'": '"', '"': "'"}[sign]


def _colons(draw: random.Random, key: str) -> Iterator[tuple[str, str]]:
    word = key[:-2]
    yield "a colon dropped", f"{word} "
    yield "a colon doubled", f"{word}:: "
    yield "a space behind a colon dropped", f"{word}:"


def _flow_colons(draw: random.Random, key: str) -> Iterator[tuple[str, str]]:
    return ((kind, now) for kind, now in _colons(draw, key) if now[-1] == " ")


def _last_colons(draw: random.Random, key: str) -> Iterator[tuple[str, str]]:
    yield "a colon dropped", key[:-1]


def _dashes(draw: random.Random, sign: str) -> Iterator[tuple[str, str]]:
    yield "a dash dropped", " "
    yield "a dash doubled", "-- "
    yield "a space behind a dash dropped", "-"


def _indents(draw: random.Random, sign: str) -> Iterator[tuple[str, str]]:
    yield "a space too many", sign + " "
    if sign:
        yield "a space too few", sign[1:]


def places(typo: Typo) -> Sequence[tuple[int, int]]:
    """Where a caret is right, as offsets, the first within and the second beyond: what was mistyped and the token on
    either side of it in the line, and the half that is left of a pair. Behind the last token the line's end counts."""
    text = typo.text
    first, last = text.rfind("\n", 0, typo.start) + 1, text.find("\n", typo.end)
    last = len(text) if last < 0 else last
    spans = [token.span() for token in _PIECE.finditer(text, first, last)]
    touched = [span for span in spans if span[0] <= typo.end and span[1] >= typo.start] or [(typo.start, typo.end)]
    start = max((at for at, to in spans if to <= touched[0][0]), default=first)
    end = min((to for at, to in spans if at >= touched[-1][1]), default=last + 1)
    return [(start, end), *([(typo.partner, typo.partner + 1)] if typo.partner >= 0 else [])]
