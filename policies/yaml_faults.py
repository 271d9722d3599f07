"""PyYAML's errors, told where an author should look: it notices many of them lines behind what is mistyped.

What is wrong is certain here; only the place is a judgement, from the text around the last scalar that was read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from policies.problems import Problem

_QUOTE_IT: Final = "put an expression or text that holds quotes, ': ' or '#' after `|-` on its own line, or in quotes"
_NO_KEY_HERE: Final = "mapping values are not allowed"
_NO_END: Final = "expected <block end>"
_TAGGED: Final = re.compile(r"[ -]*[\w.]+: +(![^ ]*)")
_DASH: Final = re.compile(r" *(-(?:-|[^\s\-\d.]))")
_GLUED: Final = re.compile(r"[ -]*([A-Za-z_][\w.-]*)(?: ?|:)[\[{]")


@dataclass(frozen=True, slots=True)
class Written:
    """A scalar as it stands in the text. style: its quotes; None: plain."""

    start: Any
    end: Any
    style: str | None


def yaml_problem(error: yaml.MarkedYAMLError, text: str, read: Sequence[Written]) -> Problem:
    """The problem of a text that is no YAML. read: the scalars that were read last, in the order of the text."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem("yaml-syntax", _sentence(error), 1, 1)
    return (
        _unclosed(error, text, mark, read)
        or _tagged(error, text, mark)
        or _without_key(error, text, mark, read)
        or _problem(_sentence(error), mark.line, mark.column, _remedy(error))
    )


def _problem(message: str, line: int, column: int, suggestion: str = "") -> Problem:
    return Problem("yaml-syntax", message, line + 1, column + 1, suggestion=suggestion)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part) or "this is no YAML"


def _remedy(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if _NO_KEY_HERE in problem or _NO_END in problem:
        return _QUOTE_IT
    return "indent with spaces" if "'\\t'" in problem else ""


# ── what has no end ─────────────────────────────────────────────────────────────────────────────────────────────────


def _unclosed(error: yaml.MarkedYAMLError, text: str, mark: Any, read: Sequence[Written]) -> Problem | None:
    """A bracket or a quote that is open where a line ends, told at the bracket or the quote."""
    opened, context, problem = error.context_mark, error.context or "", error.problem or ""
    if context in ("while parsing a flow mapping", "while parsing a flow sequence") and opened is not None:
        ended = _line(text, opened).rstrip(" \r")[-1:] not in ("[", "{", ",")
        if "<stream end>" in problem or (ended and mark.line > opened.line):
            sign = text[opened.index]
            return _problem(f"{sign!r} is not closed", opened.line, opened.column, f"add {']' if sign == '[' else '}'}")
    if context == "while scanning a quoted scalar" and "end of stream" in problem and opened is not None:
        return _open_quote(text, opened)
    for each in read:
        if each.style in ("'", '"') and each.start.line < each.end.line == mark.line:
            return _open_quote(text, each.start)
    return None


def _open_quote(text: str, opened: Any) -> Problem:
    quote = text[opened.index]
    return _problem("this quote is not closed on its line", opened.line, opened.column, f"add {quote}, or double it")


def tag_problem(tag: str, line: int, column: int) -> Problem:
    """The problem of a tag, or of what was read as one; line and column from 1."""
    remedy = "put an expression that begins with ! in quotes, else remove the tag"
    return Problem("tag", f"the tag {tag!r} is not allowed", line, column, suggestion=remedy)


def _tagged(error: yaml.MarkedYAMLError, text: str, mark: Any) -> Problem | None:
    """`when: !a || b` is a tag, and then no block scalar."""
    found = _TAGGED.match(_line(text, mark)) if error.context == "while scanning a block scalar" else None
    return tag_problem(found[1], mark.line + 1, found.start(1) + 1) if found else None


# ── keys and values ─────────────────────────────────────────────────────────────────────────────────────────────────


def _without_key(error: yaml.MarkedYAMLError, text: str, mark: Any, read: Sequence[Written]) -> Problem | None:
    """A line that is no `key: value` as it was meant, or that is indented otherwise than its neighbours."""
    problem = error.problem or ""
    if "could not find expected ':'" in problem and error.context_mark is not None:
        return _glued(text, error.context_mark) or _keyless(error.context_mark)
    if _NO_KEY_HERE not in problem or not read or read[-1].style is not None:
        return None
    return _glued(text, read[-1].start) or _not_a_value(text, mark, read[-1].start)


def _glued(text: str, at: Any) -> Problem | None:
    """What the line of `at` lacks a space behind: a dash, or a key before a bracket."""
    line = _line(text, at)
    if found := _DASH.match(line):
        return _problem("one dash and a space begin an item", at.line, found.start(1), "write - ")
    if found := _GLUED.match(line):
        return _problem("a key ends with a colon and a space", at.line, found.start(1), f"write {found[1]}: ")
    return None


def _keyless(at: Any) -> Problem:
    return _problem("there is no ': ' behind a key here", at.line, at.column)


def _not_a_value(text: str, mark: Any, start: Any) -> Problem:
    """Plain text that goes on to a ':'. From line to line it had no key, or the second line is indented too far."""
    if start.line == mark.line:
        return _problem("this text holds a ':' and is not in quotes", start.line, start.column, _QUOTE_IT)
    if not text[start.index - start.column : start.index].strip(" -"):
        return _keyless(start)
    begins = len(_line(text, mark)) - len(_line(text, mark).lstrip(" "))
    return _problem("this line is indented further than the one before it", mark.line, begins, "indent it as its like")


def _line(text: str, mark: Any) -> str:
    """The line in which a mark stands."""
    start = mark.index - mark.column
    end = text.find("\n", mark.index)
    return text[start : len(text) if end < 0 else end]
