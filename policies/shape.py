"""Reading located nodes as what they should be: maps with known keys, lists, words, numbers. Never raises."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from policies.language.library.buckets import STEPS_PER_PERCENT
from policies.language.suggest import did_you_mean
from policies.problems import Problem
from policies.source import Located, Mapping, Scalar, Sequence

_DURATION: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m)\Z")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_WORD: Final = re.compile(r"\w+")
MAX_DURATION_S: Final = 3600.0


def kind_of(node: Located) -> str:
    """What the node is, in a person's words."""
    match node:
        case Mapping():
            return "a map"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return f"the bool {node.raw}"
        case Scalar(value=int() | float()):
            return f"the number {node.raw}"
        case Scalar():
            return f"the text {node.raw[:40]!r}"


class Shape:
    """A reader of nodes that collects problems. `rule_id` is stamped on each problem while a rule is read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.rule_id = ""

    def tell(self, code: str, message: str, node: Located, *, expected: str = "", suggestion: str = "") -> None:
        """Note a problem at a node."""
        self.problems.append(Problem(code, message, node.line, node.column, self.rule_id, expected, suggestion))

    def advise(self, code: str, message: str, node: Located) -> None:
        """Note a warning at a node."""
        self.warnings.append(Problem(code, message, node.line, node.column, self.rule_id, severity="warning"))

    def wrong(self, node: Located, expected: str, *, suggestion: str = "") -> None:
        """Note that the node is something else than expected."""
        self.tell("wrong-type", f"this is {kind_of(node)}", node, expected=expected, suggestion=suggestion)

    def fields(self, node: Located, known: Collection[str], required: Iterable[str] = ()) -> dict[str, Located]:
        """The entries of a map by key. Unknown and missing keys are problems; a key without a value is missing."""
        if not isinstance(node, Mapping):
            self.wrong(node, f"a map with {', '.join(known)}")
            return {}
        found = {key.raw: value for key, value in node.entries if not _is_empty(value)}
        meant = [self._unknown_key(key, known) for key, _ in node.entries if key.raw not in known]
        for name in required:
            if name not in found and name not in meant:
                self.tell("missing-key", f"{name} is missing", node, suggestion=f"add {name}:")
        return {name: value for name, value in found.items() if name in known}

    def _unknown_key(self, key: Scalar, known: Collection[str]) -> str:
        """Tell of a key; the known one that was meant, as far as that can be seen."""
        first = _WORD.match(key.raw)
        word = first[0] if first else ""
        if word in known:
            near, remedy = word, f"write {word}: with a space behind it"
        else:
            near = did_you_mean(key.raw, known)
            remedy = f"did you mean {near}?" if near else ""
        self.tell(
            "unknown-key", f"{key.raw[:64]!r} means nothing here", key, expected=", ".join(known), suggestion=remedy
        )
        return near

    def entries(self, node: Located | None, limit: int, what: str) -> tuple[tuple[Scalar, Located], ...]:
        """The entries of a map with free keys."""
        if node is None:
            return ()
        if not isinstance(node, Mapping):
            self.wrong(node, f"a map of {what}")
            return ()
        return node.entries if self._within(node, len(node.entries), limit, what) else ()

    def items(self, node: Located | None, limit: int, what: str) -> tuple[Located, ...]:
        """The items of a list."""
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            self.wrong(node, f"a list of {what}", suggestion="begin each with a dash")
            return ()
        return node.items if self._within(node, len(node.items), limit, what) else ()

    def _within(self, node: Located, count: int, limit: int, what: str) -> bool:
        if count > limit:
            self.tell("too-many", f"there are {count} {what}", node, expected=f"at most {limit}")
        return count <= limit

    def text(self, node: Located | None, *, at_most: int = 500) -> str:
        """A string; empty when absent or faulty."""
        if node is None:
            return ""
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            self.wrong(node, "text", suggestion="put it in quotes" if isinstance(node, Scalar) else "")
            return ""
        if len(node.value) > at_most:
            self.tell("too-long", f"this has {len(node.value)} characters", node, expected=f"at most {at_most}")
            return ""
        return node.value

    def word(self, node: Located | None, known: Collection[str], what: str) -> str:
        """One of the known words; empty when absent or faulty."""
        if node is None:
            return ""
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value in known:
            return node.value
        near = did_you_mean(node.raw, known) if isinstance(node, Scalar) else ""
        remedy = f"did you mean {near}?" if near else ""
        self.tell("unknown-word", f"{kind_of(node)} is no {what}", node, expected=", ".join(known), suggestion=remedy)
        return ""

    def name(self, node: Located | None, pattern: re.Pattern[str], what: str) -> str:
        """A name of a given form; empty when absent or faulty."""
        text = self.text(node)
        if node is not None and text and not pattern.fullmatch(text):
            self.tell("name", f"{text[:64]!r} cannot be a {what}", node, expected=pattern.pattern)
            return ""
        return text

    def whole(self, node: Located | None, least: int, most: int) -> int | None:
        """A whole number within bounds; None when absent or faulty."""
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, int) or isinstance(value, bool):
            self.wrong(node, f"a whole number from {least} to {most}")
            return None
        return value if self._bounded(node, value, least, most) else None

    def number(self, node: Located | None, least: float, most: float) -> float | None:
        """A number within bounds; None when absent or faulty."""
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.wrong(node, f"a number from {least:g} to {most:g}")
            return None
        return float(value) if self._bounded(node, value, least, most) else None

    def percent(self, node: Located | None) -> float | None:
        """A share of keys, 0 to 100 percent, no finer than buckets are; None when absent or faulty."""
        percent = self.number(node, 0.0, 100.0)
        if node is None or percent is None:
            return None
        if round(percent * STEPS_PER_PERCENT) / STEPS_PER_PERCENT != percent:
            finest = f"{1 / STEPS_PER_PERCENT:f}".rstrip("0")
            self.tell("wrong-value", "this is finer than buckets are", node, expected=f"steps of {finest}")
        return percent

    def flag(self, node: Located | None) -> bool:
        """true or false; false when absent or faulty."""
        value = node.value if isinstance(node, Scalar) else None
        if node is not None and not isinstance(value, bool):
            self.wrong(node, "true or false")
        return value is True

    def _bounded(self, node: Located, value: float, least: float, most: float) -> bool:
        if not least <= value <= most:
            self.tell("out-of-bounds", f"{kind_of(node)} is out of bounds", node, expected=f"{least:g} to {most:g}")
        return least <= value <= most

    def duration(self, node: Located | None) -> float | None:
        """Seconds from `500ms`, `2s` or `1m`."""
        if node is None:
            return None
        match = _DURATION.match(node.raw) if isinstance(node, Scalar) else None
        seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
        if not 0.0 < seconds <= MAX_DURATION_S:
            self.tell("duration", f"{kind_of(node)} is no duration", node, expected="such as 500ms, 2s or 1m, up to 1h")
            return None
        return seconds


def _is_empty(node: Located) -> bool:
    return isinstance(node, Scalar) and node.value is None
