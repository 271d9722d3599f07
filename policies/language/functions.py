"""What a function of the language is, and which there are. Their bodies live in library/, one file for each subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from policies.language.types import DYN, ERROR, FREE, Enum, List, Map, Optional, Param, Type
from policies.language.values import EvaluationError, Value, kind_of

Size = Callable[[Sequence[int]], int]


def constant(_sizes: Sequence[int]) -> int:
    """The result has size 1: a number, a bool, a moment."""
    return 1


def first(sizes: Sequence[int]) -> int:
    """The result is no larger than the first argument."""
    return sizes[0]


def total(sizes: Sequence[int]) -> int:
    """The result is no larger than all arguments together."""
    return sum(sizes)


def up_to(limit: int) -> Size:
    """The result has at most so many characters or elements."""
    return lambda _sizes: limit


@dataclass(frozen=True, slots=True)
class Overload:
    """One form of a function.

    id: unique and for ever: canonical trees name it.
    name: as it is written, `math.abs` with its namespace; operators as CEL names them, such as `_+_`.
    params, result: types; the receiver of a method comes first.
    run: takes the arguments, gives the value; may raise EvaluationError only when `fallible`.
    method: written `target.name(…)`.
    variadic: any number of arguments, one at least, handed over as one list.
    size: the most characters or elements of the result, from those of the arguments.
    work: elementary steps in the worst case, from the sizes of the arguments; a step reads about 64 characters.
    constant: positions of the arguments that a document must give as literals: patterns, formats, time zones.
    judge: what is wrong with such a literal, in a sentence, or an empty string.
    prepare: from such a literal, the last argument, a function of the other arguments that cannot fail.
    weight: the size that such a literal counts for, where its length does not tell.
    """

    id: str
    name: str
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Value]
    method: bool = False
    fallible: bool = False
    variadic: bool = False
    size: Size = constant
    work: Size = constant
    constant: tuple[int, ...] = ()
    judge: Callable[[Value], str] | None = None
    prepare: Callable[[Value], Callable[..., Value]] | None = None
    weight: Callable[[Value], int] | None = None

    @property
    def form(self) -> str:
        """How it is called, for error messages."""
        words = [str(param) for param in self.params]
        if self.variadic:
            words = [f"{words[0]}, …"]
        if self.method:
            return f"{words[0]}.{self.name}({', '.join(words[1:])})"
        return f"{self.name}({', '.join(words)})"


class Registry:
    """All overloads by id and by name. Immutable once made."""

    def __init__(self, overloads: Iterable[Overload]) -> None:
        by_id: dict[str, Overload] = {}
        by_name: dict[str, list[Overload]] = {}
        for overload in overloads:
            assert overload.id not in by_id, overload.id
            by_id[overload.id] = overload
            by_name.setdefault(overload.name, []).append(overload)
        self.by_id: Mapping[str, Overload] = MappingProxyType(by_id)
        self.by_name: Mapping[str, tuple[Overload, ...]] = MappingProxyType({k: tuple(v) for k, v in by_name.items()})


def accepts(type_: Type, value: Value) -> bool:
    """Whether a value may stand where a signature says `type_`; the parts of lists and maps are not looked at."""
    match type_:
        case Param():
            return True
        case Enum():
            return kind_of(value) == "string"
        case List():
            return kind_of(value) == "list"
        case Map():
            return kind_of(value) == "map"
        case Optional():
            return kind_of(value) == "optional"
        case _:
            return type_ in (DYN, FREE, ERROR) or kind_of(value) == type_.name


def dispatch(name: str, candidates: Sequence[Overload], args: Sequence[Value]) -> Value:
    """Run the first candidate that takes these values. Raises EvaluationError when there is none."""
    for overload in candidates:
        if len(overload.params) == len(args) and all(map(accepts, overload.params, args)):
            return overload.run(*args)
    kinds = ", ".join(map(kind_of, args))
    raise EvaluationError(f"{name} takes no ({kinds})")


def dispatcher(name: str, candidates: Sequence[Overload]) -> Callable[..., Any]:
    """`dispatch` for one name, as a function of the arguments."""
    return lambda *args: dispatch(name, candidates, args)
