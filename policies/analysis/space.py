"""The inputs and terms of one analysis, their cells, and the search for facts that make formulas hold.

A term is an expression that the analysis does not look into: a variable of its own, free to be worth anything of its
type. Hence "impossible" is always right; facts that were found are tried before anybody is told of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from policies.analysis.cells import ORDERED, Cells, cells_of_input, cells_of_term, is_finite
from policies.analysis.formulas import FALSE, TRUE, Clause, Formulas
from policies.analysis.solver import Budget, Core, Model, solve
from policies.analysis.terms import Terms
from policies.language.compile import inputs_of
from policies.language.declarations import Declaration
from policies.language.evaluate import Evaluator
from policies.language.typed import Apply, Typed
from policies.language.types import BYTES, INT, INT_MAX, INT_MIN, TIMESTAMP, List, Map, Type
from policies.language.values import EvaluationError, Timestamp, Value

Facts = Mapping[str, Any]

_MAX_ROUNDS: Final = 12
_MAX_TEXTS: Final = 500
"""How many keys are tried for one that a bucket deals with as wanted."""


@dataclass(frozen=True, slots=True)
class Found:
    """Facts that were tried, and do it."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Impossible:
    """No facts of the declared types do it. core: positions of the formulas that clash."""

    core: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsure:
    """Neither was shown."""

    reason: str


Answer = Found | Impossible | Unsure


@dataclass(frozen=True, slots=True)
class _Term:
    tree: Typed
    variables: Sequence[Typed]
    inputs: tuple[int, ...]


class Space:
    """Filled in two readings of the same trees: the first notes the constants that each variable meets; `settle` then
    cuts the cells, and the second reading makes formulas."""

    def __init__(self, budget: Budget) -> None:
        self.terms = Terms()
        self.formulas = Formulas()
        self._budget = budget
        self._settled = False
        self._inputs: dict[str, int] = {}
        self._sources: dict[int, Declaration] = {}
        self._by_key: dict[int, int] = {}
        self._terms: dict[int, _Term] = {}
        self._types: list[Type] = []
        self._cuts: list[set[Value]] = []
        self._fallible: list[bool] = []
        self._cells: list[Cells] = []
        self._preferred: list[int] = []

    # ── the first reading ───────────────────────────────────────────────────────────────────────────────────────

    def input(self, source: Declaration) -> int:
        """The variable of an input."""
        if source.name not in self._inputs:
            at = self._new(source.type, fallible=False)
            self._inputs[source.name] = at
            self._sources[at] = source
        return self._inputs[source.name]

    def term(self, tree: Typed, key: int, variables: Sequence[Typed], hints: Iterable[Value]) -> int:
        """The variable of a term. hints: constants in it; its inputs are cut there, which makes better witnesses."""
        if key not in self._by_key:
            inputs = tuple(map(self.input, inputs_of([tree], variables)))
            self._by_key[key] = self._new(tree.type, fallible=self.terms.may_fail(key))
            self._terms[self._by_key[key]] = _Term(tree, variables, inputs)
            for variable in inputs:
                self.cut(variable, hints)
        return self._by_key[key]

    def _new(self, type_: Type, *, fallible: bool) -> int:
        assert not self._settled
        self._types.append(type_)
        self._cuts.append(set())
        self._fallible.append(fallible)
        return len(self._types) - 1

    def cut(self, variable: int, constants: Iterable[Value]) -> None:
        """Note the constants that a variable is compared with."""
        if not self._settled and self._types[variable] in ORDERED:
            self._cuts[variable].update(each for each in constants if isinstance(each, str | int | float))

    def settle(self) -> None:
        """Cut the cells. What a term is compared with is a hint for its inputs, too."""
        for at, term in self._terms.items():
            for variable in term.inputs:
                self.cut(variable, self._cuts[at])
        self._cells = [
            self._cells_of_input(at) if at in self._sources else self._cells_of_term(at)
            for at in range(len(self._types))
        ]
        self.formulas = Formulas(cells.full for cells in self._cells)
        self._preferred = [cells.preferred for cells in self._cells]
        self._settled = True

    def _cells_of_input(self, at: int) -> Cells:
        source = self._sources[at]
        usual = source.example if source.example is not None else source.default
        sample = usual if usual is not None else _sample(source.type)
        cuts = [*self._cuts[at], source.default]
        return cells_of_input(source.type, cuts, optional=source.optional, usual=usual, sample=sample)

    def _cells_of_term(self, at: int) -> Cells:
        return cells_of_term(self._types[at], self._cuts[at], fallible=self._fallible[at])

    # ── the second reading ──────────────────────────────────────────────────────────────────────────────────────

    def is_finite(self, variable: int) -> bool:
        """Whether each cell of the variable is a single value, that of a bool or an enum."""
        return is_finite(self._types[variable])

    def words(self, variable: int) -> tuple[Value, ...]:
        """All values of a bool or an enum."""
        type_ = self._types[variable]
        return getattr(type_, "values", (False, True))

    def is_there(self, variable: int) -> int:
        """The formula: this input is not absent."""
        return self.formulas.is_one_of(variable, self._cells[variable].present) if self._settled else TRUE

    def where(self, variable: int, holds: Callable[[Value], Any]) -> tuple[int, int]:
        """The formulas: `holds` gives true, and it gives false, for the variable's value. It fails elsewhere."""
        if not self._settled:
            return TRUE, TRUE
        yes = no = 0
        cells = self._cells[variable]
        for at, value in enumerate(cells.values):
            if cells.present >> at & 1:
                try:
                    held = holds(value)
                except EvaluationError:
                    continue
                yes, no = (yes | 1 << at, no) if held is True else (yes, no | 1 << at)
        return self.formulas.is_one_of(variable, yes), self.formulas.is_one_of(variable, no)

    # ── the search ──────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, wanted: Sequence[int], accept: Callable[[Facts], bool]) -> Answer:
        """Facts for which all formulas hold and which `accept` confirms.

        Where the terms turn out to be worth something else than the search made of them, it learns so and goes on.
        """
        groups: list[Sequence[Clause]] = [self.formulas.clauses(formula) for formula in wanted]
        learnt: list[Clause] = []
        for round_ in range(_MAX_ROUNDS):
            answer = solve(self.formulas.full, [*groups, learnt] if learnt else groups, self._preferred, self._budget)
            if isinstance(answer, Core):
                return Unsure("it hangs on expressions outside of the core") if learnt else Impossible(answer.groups)
            if answer is None:
                return Unsure("the search was given up: too many combinations")
            model = self._one_of(answer, upper=round_ % 2 == 1)
            for facts in self._worlds(model):
                if accept(facts):
                    return Found(facts)
            more = self._lessons(model)
            if not more or not self._budget.learn():
                return Unsure("no facts were found for an expression outside of the core")
            learnt += more
        return Unsure("it hangs on expressions outside of the core")

    def possible(self, *wanted: int) -> bool | None:
        """Whether formulas can hold together, terms being free; None when that is not known."""
        if FALSE in wanted:
            return False
        groups = [self.formulas.clauses(formula) for formula in wanted if formula != TRUE]
        answer = solve(self.formulas.full, groups, self._preferred, self._budget)
        return None if answer is None else isinstance(answer, Model)

    def has_terms(self) -> bool:
        """Whether anything outside of the core was met."""
        return bool(self._terms)

    def usual_facts(self) -> dict[str, Value]:
        """Facts as they usually are, for every input of the analysis."""
        return self._facts(self._one_of(Model([cells.full for cells in self._cells]), upper=False))

    def _one_of(self, model: Model, *, upper: bool) -> Model:
        """A model with one cell for each input: the preferred one, else the lowest or the uppermost."""
        values = list(model.values)
        for at in self._sources:
            ends = 1 << values[at].bit_length() - 1 if upper else values[at] & -values[at]
            values[at] = values[at] & self._cells[at].preferred or ends
        return Model(values)

    def _value(self, model: Model, variable: int) -> Value:
        return self._cells[variable].values[model.values[variable].bit_length() - 1]

    def _facts(self, model: Model) -> dict[str, Value]:
        values = {name: self._value(model, variable) for name, variable in self._inputs.items()}
        return {name: value for name, value in values.items() if value is not None}

    def _worlds(self, model: Model) -> Iterator[Facts]:
        """The facts of a model; then such with other keys where a bucket is wrong, and such that make a term fail."""
        facts = first = self._facts(model)
        yield first
        narrowed = [at for at in self._terms if model.values[at] != self._cells[at].full]
        buckets = [at for at in narrowed if _is_bucket(self._terms[at].tree) and len(self._terms[at].inputs) == 1]
        for variable in sorted({self._terms[at].inputs[0] for at in buckets}):
            ours = [at for at in buckets if self._terms[at].inputs[0] == variable]
            name, text = self._sources[variable].name, self._value(model, variable)
            if text is not None:
                others = (facts | {name: other} for other in self._other_texts(variable, text))
                facts = next((each for each in others if self._fits(model, each, ours)), facts)
        if facts is not first:
            yield facts
        for at in narrowed:
            if model.values[at] == self._cells[at].failed:
                yield from self._extremes(facts, self._terms[at].inputs)

    def _extremes(self, facts: Facts, inputs: Sequence[int]) -> Iterator[Facts]:
        """`facts` with one of these whole numbers, or all of them, where arithmetic fails: at the ends, and at 0."""
        names = [self._sources[at].name for at in inputs if self._types[at] == INT]
        for chosen in [names, *([name] for name in names)]:
            for value in (0, INT_MAX, INT_MIN):
                yield {**facts, **dict.fromkeys(chosen, value)}

    def _other_texts(self, variable: int, text: str) -> Iterator[str]:
        """`text`, and others of its cell."""
        cells = self._cells[variable]
        others = (f"{text}{number}" for number in range(_MAX_TEXTS))
        return chain((text,), (other for other in others if cells.cell_of(other) == cells.cell_of(text)))

    def _fits(self, model: Model, facts: Facts, terms: Iterable[int]) -> bool:
        """Whether these terms are worth what the model makes of them."""
        return all(model.values[at] & self._actual(at, facts) for at in terms)

    def _actual(self, term: int, facts: Facts) -> int:
        """The cell that a term is in for these facts; all of them where that cannot be told."""
        cells, about = self._cells[term], self._terms[term]
        try:
            value = Evaluator(facts, about.variables).value(about.tree)
        except (EvaluationError, TypeError, AttributeError):  # a term may read an absent input where it is not reached
            return cells.failed or cells.full
        return cells.cell_of(value) or cells.full

    def _lessons(self, model: Model) -> list[Clause]:
        """For each term that is in another cell than the model said: in these cells of its inputs, it is there.

        Not true for all of those cells, so that after a lesson nothing is called impossible.
        """
        facts = self._facts(model)
        out: list[Clause] = []
        for at, term in self._terms.items():
            if model.values[at] == self._cells[at].full:
                continue
            actual = self._actual(at, facts)
            if not model.values[at] & actual:
                unlike = tuple((v, self._cells[v].full & ~model.values[v]) for v in term.inputs)
                out.append(((at, actual), *unlike))
        return out


def _is_bucket(tree: Typed) -> bool:
    return isinstance(tree, Apply) and tree.candidates == ("bucket",)


def _sample(type_: Type) -> Value:
    """Some value of a type that has no order here."""
    if isinstance(type_, List):
        return []
    if isinstance(type_, Map):
        return {}
    others: dict[Type, Value] = {BYTES: b"", TIMESTAMP: Timestamp(0)}
    return others.get(type_)
