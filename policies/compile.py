"""Typed trees to Python code objects, built node by node with `ast`: no source strings, closed names, no builtins."""

# A policy becomes one function, facts in, position of the outcome out:
#
#     def choose(facts):
#         get = facts.get                      # every fact that any rule reads is read and judged first, so that
#         f0 = get("device.rtt_ms")            # a bad fact is an error whatever rule would have matched
#         if f0.__class__ is not float or f0 - f0 != 0.0:
#             f0 = accept(spec, f0)
#         v0 = f0 is not None and f0 > 500.0   # a variable, just before the first rule that reads it
#         if v0: return 0                      # one line for each rule, in order
#         return 1                             # the default

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, Final

from policies import operators, reading, typed
from policies.facts import FactSpec, FactType
from policies.typed import Typed
from policies.types import INT_MAX, INT_MIN

Choose = Callable[[Mapping[str, Any]], int]

_COMPARISONS: Final[dict[str, ast.cmpop]] = {
    "==": ast.Eq(),
    "!=": ast.NotEq(),
    "<": ast.Lt(),
    "<=": ast.LtE(),
    ">": ast.Gt(),
    ">=": ast.GtE(),
}
_INLINE: Final[dict[str, ast.operator]] = {
    "add_double": ast.Add(),
    "subtract_double": ast.Sub(),
    "multiply_double": ast.Mult(),
    "join_string": ast.Add(),
}


def compile_choice(rules: Sequence[Typed], variables: Sequence[Typed] = ()) -> Choose:
    """A function that gives the position of the first rule that holds, or `len(rules)`.

    It raises EvaluationError when a fact that any rule reads is bad, or when a rule has no value before one holds.
    """
    return _Compiler(variables).function(rules)


def may_fail(node: Typed, fallible: Sequence[bool]) -> bool:
    """Whether `node` can raise once its facts are accepted; `fallible` tells the same of each variable."""
    return any(_may_fail_here(part, fallible) for part in typed.walk(node))


def _may_fail_here(node: Typed, fallible: Sequence[bool]) -> bool:
    if isinstance(node, typed.Apply):
        return operators.FUNCTIONS[node.function].fallible
    return isinstance(node, typed.VariableRead) and fallible[node.index]


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _call(function: ast.expr, *args: ast.expr) -> ast.expr:
    return ast.Call(function, list(args), [])


def _lambda(body: ast.expr, *names: str) -> ast.expr:
    args = [ast.arg(name) for name in names]
    return ast.Lambda(ast.arguments([], args, None, [], [], None, []), body)


class _Compiler:
    """Builds one function. Objects that code refers to get names in `_closed`, its only globals."""

    def __init__(self, variables: Sequence[Typed]) -> None:
        self._variables = variables
        self._closed: dict[str, Any] = {"__builtins__": {}}
        self._facts: dict[str, str] = {}
        self._fallible: list[bool] = []
        for variable in variables:  # each reads earlier ones only
            self._fallible.append(may_fail(variable, self._fallible))

    def function(self, rules: Sequence[Typed]) -> Choose:
        """The function for these rules."""
        steps = self._steps(rules)
        body = [*self._load_facts(rules), *steps, ast.Return(ast.Constant(len(rules)))]
        args = ast.arguments([], [ast.arg("facts")], None, [], [], None, [])
        definition = ast.FunctionDef("choose", args, body, [])
        module = ast.fix_missing_locations(ast.Module([definition], []))
        return FunctionType(_code_of(compile(module, "<policy>", "exec")), self._closed)

    def _closed_name(self, prefix: str, value: Any) -> ast.expr:
        name = f"{prefix}_{len(self._closed)}"
        self._closed[name] = value
        return _name(name)

    # ── facts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _load_facts(self, rules: Sequence[Typed]) -> list[ast.stmt]:
        out: list[ast.stmt] = [_assign("get", ast.Attribute(_name("facts"), "get", ast.Load()))]
        for spec in facts_of(rules, self._variables):
            out += self._load_fact(spec)
        return out

    def _load_fact(self, spec: FactSpec) -> list[ast.stmt]:
        local = self._fact_name(spec)
        accept = _call(self._closed_name("accept", reading.accept), self._closed_name("spec", spec), _name(local))
        load = _assign(local, _call(_name("get"), ast.Constant(spec.name)))
        return [load, ast.If(self._suspicious(spec, local), [_assign(local, accept)], [])]

    def _fact_name(self, spec: FactSpec) -> str:
        return self._facts.setdefault(spec.name, f"f{len(self._facts)}")

    def _suspicious(self, spec: FactSpec, local: str) -> ast.expr:
        """True unless the value is certainly good as it is: the quick test before `reading.accept`."""
        value = _name(local)
        match spec.type:
            case FactType.BOOL:
                return self._not(ast.Compare(self._class_of(value), [ast.Is()], [self._closed_name("bool", bool)]))
            case FactType.ENUM:
                words = self._closed_name("words", frozenset(spec.enum))
                proper = ast.Compare(self._class_of(value), [ast.Is()], [self._closed_name("str", str)])
                return self._not(ast.BoolOp(ast.And(), [proper, ast.Compare(value, [ast.In()], [words])]))
            case FactType.INT:
                proper = ast.Compare(self._class_of(value), [ast.Is()], [self._closed_name("int", int)])
                bounds = ast.Compare(ast.Constant(INT_MIN), [ast.LtE(), ast.LtE()], [value, ast.Constant(INT_MAX)])
                return self._not(ast.BoolOp(ast.And(), [proper, bounds]))
            case FactType.DOUBLE:
                proper = ast.Compare(self._class_of(value), [ast.Is()], [self._closed_name("float", float)])
                finite = ast.Compare(ast.BinOp(value, ast.Sub(), value), [ast.Eq()], [ast.Constant(0.0)])
                return self._not(ast.BoolOp(ast.And(), [proper, finite]))
            case FactType.STRING:
                return ast.Constant(True)

    @staticmethod
    def _not(node: ast.expr) -> ast.expr:
        return ast.UnaryOp(ast.Not(), node)

    @staticmethod
    def _class_of(value: ast.expr) -> ast.expr:
        return ast.Attribute(value, "__class__", ast.Load())

    # ── rules and variables ─────────────────────────────────────────────────────────────────────────────────────

    def _steps(self, rules: Sequence[Typed]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        settled: set[int] = set()
        for position, rule in enumerate(rules):
            for index in sorted(all_variables(rule, self._variables) - settled):
                out.append(_assign(f"v{index}", self._variable(index)))
                settled.add(index)
            out.append(ast.If(self.expression(rule), [ast.Return(ast.Constant(position))], []))
        return out

    def _variable(self, index: int) -> ast.expr:
        """The variable's value; where it may fail, a function that gives it, so that it fails where it is read."""
        value = self.expression(self._variables[index])
        if not self._fallible[index]:
            return value
        return _call(self._closed_name("attempt", operators.attempt), _lambda(value))

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────

    def expression(self, node: Typed) -> ast.expr:
        """The Python expression for `node`."""
        match node:
            case typed.Const():
                return ast.Constant(node.value)
            case typed.FactRead():
                return _name(self._fact_name(node.fact))
            case typed.FactPresent():
                return self._is_there(node.fact)
            case typed.FactOr():
                there = self._is_there(node.fact)
                return ast.IfExp(there, _name(self._fact_name(node.fact)), self.expression(node.otherwise))
            case typed.VariableRead():
                name = _name(f"v{node.index}")
                return _call(name) if self._fallible[node.index] else name
            case typed.LocalRead():
                return _name(f"x{node.slot}")
            case _:
                return self._compound(node)

    def _compound(self, node: Typed) -> ast.expr:
        match node:
            case typed.Not():
                return self._not(self.expression(node.operand))
            case typed.Logic():
                return self._logic(node)
            case typed.If():
                parts = [self.expression(part) for part in (node.condition, node.then, node.otherwise)]
                return ast.IfExp(*parts)
            case typed.Compare():
                comparison = _COMPARISONS[node.operator]
                return ast.Compare(self.expression(node.left), [comparison], [self.expression(node.right)])
            case typed.Rank():
                return self._rank(node)
            case typed.Quantifier():
                return self._quantifier(node)
            case typed.MakeList():
                return ast.List([self.expression(item) for item in node.items], ast.Load())
            case typed.MakeMap():
                keys: list[ast.expr | None] = [ast.Constant(key) for key in node.keys]
                return ast.Dict(keys, [self.expression(value) for value in node.values])
            case typed.Apply():
                return self._apply(node)
        raise AssertionError(node)

    def _is_there(self, fact: FactSpec) -> ast.expr:
        return ast.Compare(_name(self._fact_name(fact)), [ast.IsNot()], [ast.Constant(None)])

    def _logic(self, node: typed.Logic) -> ast.expr:
        operands = [self.expression(operand) for operand in node.operands]
        if not any(may_fail(operand, self._fallible) for operand in node.operands[:-1]):
            return ast.BoolOp(ast.And() if node.every else ast.Or(), operands)
        settle = operators.every_of if node.every else operators.some_of
        return _call(self._closed_name("settle", settle), *[_lambda(operand) for operand in operands])

    def _quantifier(self, node: typed.Quantifier) -> ast.expr:
        settle = operators.every_in if node.every else operators.some_in
        body = _lambda(self.expression(node.body), f"x{node.slot}")
        return _call(self._closed_name("settle", settle), self.expression(node.range), body)

    def _rank(self, node: typed.Rank) -> ast.expr:
        if isinstance(node.operand, typed.Const):
            return ast.Constant(node.order.index(str(node.operand.value)))
        ranks = self._closed_name("ranks", {word: rank for rank, word in enumerate(node.order)})
        return ast.Subscript(ranks, self.expression(node.operand), ast.Load())

    def _apply(self, node: typed.Apply) -> ast.expr:
        args = [self.expression(arg) for arg in node.args]
        if node.function in _INLINE:
            return ast.BinOp(args[0], _INLINE[node.function], args[1])
        if node.function == "contains_element" and (words := _constant_words(node.args[1])) is not None:
            return ast.Compare(args[0], [ast.In()], [self._closed_name("words", words)])
        return _call(self._closed_name("call", operators.FUNCTIONS[node.function].run), *args)


def _code_of(module: CodeType) -> CodeType:
    return next(const for const in module.co_consts if isinstance(const, CodeType))


def _constant_words(node: Typed) -> frozenset[str] | None:
    """The strings of a constant list of strings, else None."""
    if not isinstance(node, typed.MakeList):
        return None
    words = [item.value for item in node.items if isinstance(item, typed.Const) and isinstance(item.value, str)]
    return frozenset(words) if len(words) == len(node.items) else None


def all_variables(node: Typed, variables: Sequence[Typed]) -> set[int]:
    """The positions of all variables that `node` needs, directly or through other variables."""
    found: set[int] = set()
    ahead = typed.variables_read(node)
    while ahead:
        index = ahead.pop()
        if index not in found:
            found.add(index)
            ahead |= typed.variables_read(variables[index])
    return found


def facts_of(nodes: Sequence[Typed], variables: Sequence[Typed]) -> list[FactSpec]:
    """The facts that `nodes` need, variables included, by name."""
    needed = set().union(*(all_variables(node, variables) for node in nodes))
    trees = [*nodes, *(variables[index] for index in needed)]
    facts = {fact.name: fact for tree in trees for fact in typed.facts_read(tree)}
    return [facts[name] for name in sorted(facts)]
