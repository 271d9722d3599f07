"""YAML or JSON text to a tree of located nodes. Every node knows its line and column; nothing is typed or named here.

A strict reading: YAML 1.2 scalars (`yes` and `1:30` are strings), no aliases, no tags, no merge keys, no double keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from policies.problems import Problem
from policies.yaml_faults import Written, tag_problem, yaml_problem

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 16
MAX_NODES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `raw` is its text, unescaped; `start` and `end` are character offsets of what was written."""

    line: int
    column: int
    value: bool | int | float | str | None
    raw: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    column: int
    items: tuple[Located, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A map; keys are scalars in the order of the document."""

    line: int
    column: int
    entries: tuple[tuple[Scalar, Located], ...]

    def get(self, key: str) -> Located | None:
        """The value of `key`."""
        return next((value for name, value in self.entries if name.raw == key), None)


Located = Scalar | Sequence | Mapping


class SourceError(ValueError):
    """The text is no document of the strict subset; `problems` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


def read_source(text: str) -> Located:
    """The located tree of one YAML or JSON document. Raises SourceError."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _error("too-large", f"the document has {size} bytes", 1, 1, expected=f"at most {MAX_BYTES}")
    try:
        return _Reader(_without_tabs(text)).document()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, SourceError):
            raise
        raise _error("yaml-syntax", f"this is no YAML: {str(error).splitlines()[0]}", 1, 1) from None


def plain(node: Located) -> Any:
    """The node as Python data: dict, list, str, int, float, bool, None."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key.raw: plain(value) for key, value in node.entries}


def _error(code: str, message: str, line: int, column: int, *, expected: str = "", suggestion: str = "") -> SourceError:
    return SourceError([Problem(code, message, line, column, expected=expected, suggestion=suggestion)])


def _without_tabs(text: str) -> str:
    """JSON may be indented with tabs, which YAML forbids; a space keeps every column."""
    return text.replace("\t", " ") if text.lstrip().startswith("{") else text


class _Reader:
    """Turns parser events into nodes, without recursion deeper than MAX_DEPTH."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._loader = yaml.SafeLoader(text)
        self._events = self._read()
        self._left = MAX_NODES

    def _read(self) -> Iterator[Any]:
        """The parser's events. Raises SourceError where the text is no YAML."""
        last: list[Written] = []
        try:
            while self._loader.check_event():
                event = self._loader.get_event()  # type: ignore[no-untyped-call]
                if isinstance(event, yaml.ScalarEvent):
                    last = [Written(event.start_mark, event.end_mark, event.style)]
                yield event
        except yaml.MarkedYAMLError as error:
            ahead = [token for token in self._loader.tokens if isinstance(token, yaml.ScalarToken)]
            last += [Written(token.start_mark, token.end_mark, token.style) for token in ahead]
            raise SourceError([yaml_problem(error, self._text, last)]) from None

    def document(self) -> Located:
        next(self._events)  # start of the stream
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise _error("empty-document", "there is no document here", 1, 1)
        root = self._node(next(self._events), 0)
        next(self._events)  # end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            mark = after.start_mark
            raise _error("many-documents", "a second document starts here", mark.line + 1, 1, expected="one document")
        return root

    def _node(self, event: Any, depth: int) -> Located:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise _error("too-deep" if self._left >= 0 else "too-large", "this is beyond all policies", line, column)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _error("alias", "anchors and aliases are not allowed", line, column, suggestion="write the value out")
        if event.tag not in (None, "!"):
            raise SourceError([tag_problem(str(event.tag), line, column)])
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(line, column, tuple(self._items(depth)))
        return Mapping(line, column, tuple(self._entries(depth)))

    def _items(self, depth: int) -> Iterator[Located]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[tuple[Scalar, Located]]:
        seen: set[str] = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise _error("key", "a key is a word", key.line, key.column)
            if key.raw in seen:
                raise _error("double-key", f"the key {key.raw!r} is there twice", key.line, key.column)
            seen.add(key.raw)
            yield key, self._node(next(self._events), depth + 1)


_INT: Final = re.compile(r"[-+]?[0-9]{1,40}\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40}|[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?\Z")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}


def _scalar(event: Any) -> Scalar:
    start, end = event.start_mark, event.end_mark
    text = _join_surrogates(event.value, start)
    value = _value(text) if event.style is None else text
    return Scalar(start.line + 1, start.column + 1, value, text, start.index, end.index)


def _value(text: str) -> bool | int | float | str | None:
    """A plain scalar by the core schema of YAML 1.2, which is also JSON's."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text) and abs(number := float(text)) != float("inf"):
        return number
    return text


def _join_surrogates(text: str, mark: yaml.Mark) -> str:
    r"""JSON writes characters beyond U+FFFF as two `\u` escapes: make them one."""
    if not any("\ud800" <= sign <= "\udfff" for sign in text):
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise _error("half-character", "half a surrogate pair", mark.line + 1, mark.column + 1) from None
