"""What compiled expressions call where a Python operator will not do: errors that give way, macros, maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NoReturn

from policies.language.evaluate import add_entry, entries_of, held, maybe_of, rounds_of
from policies.language.values import NOTHING, EvaluationError, Maybe, Value, key_of

Body = Callable[..., Value]


def attempt(thunk: Callable[[], Value]) -> Callable[[], Value]:
    """Run `thunk` once, now; the result gives its value, or raises its error, as often as it is asked."""
    try:
        value = thunk()
    except EvaluationError as error:
        failure = error
        return lambda: _throw(failure)
    return lambda: value


def _throw(error: EvaluationError) -> NoReturn:
    raise error


def fail(message: str) -> NoReturn:
    """An expression that has no value."""
    raise EvaluationError(message)


def every_of(*thunks: Callable[[], bool]) -> bool:
    """CEL `&&`: false as soon as one is false, even beside an error; then the first error; else true."""
    return _settle(thunks, settled=False)


def some_of(*thunks: Callable[[], bool]) -> bool:
    """CEL `||`: true as soon as one is true, even beside an error; then the first error; else false."""
    return _settle(thunks, settled=True)


def _settle(thunks: Iterable[Callable[[], bool]], *, settled: bool) -> bool:
    first: EvaluationError | None = None
    for thunk in thunks:
        try:
            if thunk() is settled:
                return settled
        except EvaluationError as error:
            first = first or error
    if first is not None:
        raise first
    return not settled


def note(notes: dict[int, Value], clause: int, thunk: Callable[[], Value]) -> Value:
    """What `thunk` gives or raises, written down as that of a clause."""
    try:
        notes[clause] = value = thunk()
    except EvaluationError as error:
        notes[clause] = error
        raise
    return value


def with_notes(values: tuple[Value, ...], notes: dict[int, Value]) -> tuple[Value, ...]:
    """What all clauses are worth: those bound to names, and those that were noted."""
    return tuple(notes.get(clause, value) for clause, value in enumerate(values)) if notes else values


# ── macros: (range, names, body, when) ──────────────────────────────────────────────────────────────────────────


def _all(range_: Value, names: int, body: Body, _when: Body | None) -> bool:
    return _settle((partial(body, *values) for values in rounds_of(range_, names)), settled=False)


def _exists(range_: Value, names: int, body: Body, _when: Body | None) -> bool:
    return _settle((partial(body, *values) for values in rounds_of(range_, names)), settled=True)


def _exists_one(range_: Value, names: int, body: Body, _when: Body | None) -> bool:
    return [body(*values) for values in rounds_of(range_, names)].count(True) == 1


def _filter(range_: Value, names: int, body: Body, _when: Body | None) -> list[Value]:
    return [values[0] for values in rounds_of(range_, names) if body(*values)]


def _kept(range_: Value, names: int, when: Body | None) -> list[tuple[Value, ...]]:
    return [values for values in rounds_of(range_, names) if when is None or when(*values)]


def _map(range_: Value, names: int, body: Body, when: Body | None) -> list[Value]:
    return [body(*values) for values in _kept(range_, names, when)]


def _transform_map(range_: Value, names: int, body: Body, when: Body | None) -> dict[Any, Value]:
    return {key_of(values[0]): body(*values) for values in _kept(range_, names, when)}


def _transform_map_entry(range_: Value, names: int, body: Body, when: Body | None) -> dict[Any, Value]:
    out: dict[Any, Value] = {}
    for values in _kept(range_, names, when):
        for key, value in entries_of(body(*values)).items():
            add_entry(out, key, value)
    return out


MACROS: Final[dict[str, Callable[..., Value]]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
    "transform_list": _map,
    "transform_map": _transform_map,
    "transform_map_entry": _transform_map_entry,
}


def _bind(value: Value, body: Body) -> Value:
    return body(value)


def _opt_map(value: Value, body: Body) -> Maybe:
    return Maybe(True, body(value.content)) if maybe_of(value).present else NOTHING


def _opt_flat_map(value: Value, body: Body) -> Maybe:
    return maybe_of(body(value.content)) if maybe_of(value).present else NOTHING


LETS: Final[dict[str, Callable[..., Value]]] = {"bind": _bind, "map": _opt_map, "flat_map": _opt_flat_map}


def made_list(values: list[Value], optional: tuple[int, ...]) -> list[Value]:
    """A list literal with optional items."""
    return [kept for index, value in enumerate(values) for kept in (held(value) if index in optional else [value])]


def made_map(keys: list[Value], values: list[Value], optional: tuple[int, ...]) -> dict[Any, Value]:
    """A map literal whose keys are not all constant texts, or that has optional entries."""
    out: dict[Any, Value] = {}
    for index, (key, value) in enumerate(zip(keys, values, strict=True)):
        for kept in held(value) if index in optional else [value]:
            add_entry(out, key_of(key), kept)
    return out
