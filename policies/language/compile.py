"""Typed trees to Python code objects, built node by node with `ast`: no source strings, closed names, no builtins."""

# Ordered conditions become one function, inputs in, position of the first that holds out:
#
#     def choose(inputs):
#         get = inputs.get                     # every input that any condition reads is read and judged first, so that
#         f0 = get("device.rtt_ms")            # a bad one is an error whatever condition would have held
#         if f0.__class__ is not float or f0 - f0 != 0.0:
#             f0 = accept(declared, f0)
#         v0 = f0 is not None and f0 > 500.0   # a variable, just before the first condition that reads it
#         if v0: return 0                      # one line for each condition, in order
#         return 1                             # none held

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType, MappingProxyType
from typing import Any, Final

from policies.language import running, typed
from policies.language.code import assign, call, class_of, lambda_of, name_of, negated
from policies.language.declarations import MAX_STRING, Declaration, accept
from policies.language.functions import Overload, Registry, dispatcher
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.types import BOOL, DOUBLE, INT, INT_MAX, INT_MIN, STRING, Enum, List, Map, Optional
from policies.language.values import NOTHING, Maybe

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
_MEMBERSHIP: Final = frozenset({"contains_element", "contains_string"})
_PYTHON: Final = (type(None), bool, int, float, str, bytes)


def compile_choice(
    rules: Sequence[Typed],
    variables: Sequence[Typed] = (),
    functions: Registry = STANDARD,
    *,
    judged: bool = False,
) -> Choose:
    """A function that gives the position of the first rule that holds, or `len(rules)`.

    It raises EvaluationError when an input that any rule reads is bad, or when a rule has no value before one holds.
    judged: it trusts its inputs, those that `declarations.judge` gives, and takes each when a rule first reads it.
    """
    compiler = Compiler(variables, functions)
    steps = compiler.steps(rules, judged=judged)
    return compiler.function([] if judged else compiler.loads(rules), steps)


def compile_value(tree: Typed, variables: Sequence[Typed] = (), functions: Registry = STANDARD) -> Callable[..., Any]:
    """A function of the inputs that gives the value of one expression, or raises EvaluationError."""
    compiler = Compiler(variables, functions)
    value: list[ast.stmt] = [ast.Return(compiler.expression(tree))]
    return compiler.function([*compiler.loads([tree]), *compiler.variables_for(tree, set())], value)


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


def inputs_of(nodes: Sequence[Typed], variables: Sequence[Typed]) -> list[Declaration]:
    """The inputs that `nodes` need, variables included, by name."""
    needed = set().union(*(all_variables(node, variables) for node in nodes))
    trees = [*nodes, *(variables[index] for index in needed)]
    found = {source.name: source for tree in trees for source in typed.inputs_read(tree)}
    return [found[name] for name in sorted(found)]


class Compiler:
    """Builds one function. Objects that code refers to get names in `_closed`, its only globals.

    clauses: numbers for the nodes whose values are kept as they are met, by the id of the node (see `tracing`).
    """

    def __init__(
        self, variables: Sequence[Typed], functions: Registry, clauses: Mapping[int, int] = MappingProxyType({})
    ) -> None:
        self._variables = variables
        self._functions = functions
        self._clauses = clauses
        self._in_thunk = False
        self.notes_clauses = False
        self._closed: dict[str, Any] = {"__builtins__": {}}
        self._inputs: dict[str, str] = {}
        self._fallible: list[bool] = []
        for variable in variables:  # each reads earlier ones only
            self._fallible.append(self.may_fail(variable))

    def function(self, before: Sequence[ast.stmt], body: Sequence[ast.stmt]) -> Callable[..., Any]:
        """The function of `inputs` with these statements."""
        args = ast.arguments([], [ast.arg("inputs")], None, [], [], None, [])
        definition = ast.FunctionDef("choose", args, [*before, *body], [])
        module = ast.fix_missing_locations(ast.Module([definition], []))
        return FunctionType(_code_of(compile(module, "<policy>", "exec")), self._closed)

    def closed(self, prefix: str, value: Any) -> ast.expr:
        """A name of its own for an object."""
        name = f"{prefix}_{len(self._closed)}"
        self._closed[name] = value
        return name_of(name)

    def may_fail(self, node: Typed) -> bool:
        """Whether `node` can raise once its inputs are accepted."""
        return any(self._may_fail_here(part) for part in typed.walk(node))

    def _may_fail_here(self, node: Typed) -> bool:
        match node:
            case typed.Apply():
                return node.dynamic or (self._row(node).fallible and self._prepared(node) is None)
            case typed.VariableRead():
                return self._fallible[node.index]
            case typed.MakeMap():
                return bool(node.optional) or _constant_texts(node.keys) is None
            case typed.Comprehension():
                return node.kind == "transform_map_entry" or not isinstance(node.range.type, List | Map)
            case typed.Let():
                return node.kind != "bind" and not isinstance(node.value.type, Optional)
            case typed.MakeList():
                return bool(node.optional)
            case _:
                return isinstance(node, typed.Fail)

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def loads(self, rules: Sequence[Typed]) -> list[ast.stmt]:
        """Statements that read and judge every input that the rules need."""
        out: list[ast.stmt] = [assign("get", ast.Attribute(name_of("inputs"), "get", ast.Load()))]
        for source in inputs_of(rules, self._variables):
            out += self._load(source)
        return out

    def _load(self, source: Declaration) -> list[ast.stmt]:
        local = self._input(source)
        judge = call(self.closed("accept", accept), self.closed("declared", source), name_of(local))
        load = assign(local, call(name_of("get"), ast.Constant(source.name)))
        return [load, ast.If(self._suspicious(source, local), [assign(local, judge)], [])]

    def _input(self, source: Declaration) -> str:
        return self._inputs.setdefault(source.name, f"f{len(self._inputs)}")

    def _suspicious(self, source: Declaration, local: str) -> ast.expr:
        """True unless the value is certainly good as it is: the quick test before `declarations.accept`."""
        value = name_of(local)
        if isinstance(source.type, Enum):
            words = self.closed("words", frozenset(source.type.values))
            return negated(ast.BoolOp(ast.And(), [self._is_a(value, str), ast.Compare(value, [ast.In()], [words])]))
        if source.type == BOOL:
            return negated(self._is_a(value, bool))
        if source.type == INT:
            bounds = ast.Compare(ast.Constant(INT_MIN), [ast.LtE(), ast.LtE()], [value, ast.Constant(INT_MAX)])
            return negated(ast.BoolOp(ast.And(), [self._is_a(value, int), bounds]))
        if source.type == DOUBLE:
            finite = ast.Compare(ast.BinOp(value, ast.Sub(), value), [ast.Eq()], [ast.Constant(0.0)])
            return negated(ast.BoolOp(ast.And(), [self._is_a(value, float), finite]))
        if source.type == STRING:
            size = call(self.closed("len", len), value)
            short = ast.Compare(size, [ast.LtE()], [ast.Constant(MAX_STRING)])
            return negated(ast.BoolOp(ast.And(), [self._is_a(value, str), short]))
        return ast.Constant(True)

    def _is_a(self, value: ast.expr, class_: type) -> ast.expr:
        return ast.Compare(class_of(value), [ast.Is()], [self.closed("class", class_)])

    # ── rules and variables ─────────────────────────────────────────────────────────────────────────────────────

    def steps(self, rules: Sequence[Typed], *, judged: bool = False) -> list[ast.stmt]:
        """One statement for each rule, with the variables, and the judged inputs, that it is the first to read."""
        out: list[ast.stmt] = []
        settled: set[int] = set()
        taken: set[str] = set()
        for place, rule in enumerate(rules):
            out += self._takes(rule, taken) if judged else []
            out += self.variables_for(rule, settled)
            out.append(ast.If(self.expression(rule), [ast.Return(ast.Constant(place))], []))
        return [*out, ast.Return(ast.Constant(len(rules)))]

    def _takes(self, rule: Typed, taken: set[str]) -> list[ast.stmt]:
        """Statements that take the judged inputs which `rule` is the first to read."""
        fresh = [source for source in inputs_of([rule], self._variables) if source.name not in taken]
        taken |= {source.name for source in fresh}
        items = [ast.Subscript(name_of("inputs"), ast.Constant(source.name), ast.Load()) for source in fresh]
        return [assign(self._input(source), item) for source, item in zip(fresh, items, strict=True)]

    def variables_for(self, rule: Typed, settled: set[int]) -> list[ast.stmt]:
        """Statements that settle the variables which `rule` is the first to read."""
        fresh = sorted(all_variables(rule, self._variables) - settled)
        settled |= set(fresh)
        return [assign(f"v{index}", self._variable(index)) for index in fresh]

    def _variable(self, index: int) -> ast.expr:
        """The variable's value; where it may fail, a function that gives it, so that it fails where it is read."""
        value = self.expression(self._variables[index])
        if not self._fallible[index]:
            return value
        return call(self.closed("attempt", running.attempt), lambda_of(value))

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────

    def expression(self, node: Typed) -> ast.expr:
        """The Python expression for `node`; a clause that is traced is bound to its name, or noted, on the way."""
        built = self._plain(node)
        clause = self._clauses.get(id(node))
        if clause is None:
            return built
        if not self._in_thunk:
            return ast.NamedExpr(ast.Name(f"c{clause}", ast.Store()), built)
        self.notes_clauses = True
        return call(self.closed("note", running.note), name_of("notes"), ast.Constant(clause), lambda_of(built))

    def _plain(self, node: Typed) -> ast.expr:
        match node:
            case typed.Const():
                return ast.Constant(node.value) if type(node.value) in _PYTHON else self.closed("value", node.value)
            case typed.Input():
                return name_of(self._input(node.source))
            case typed.InputPresent():
                return self._is_there(node.source)
            case typed.InputOr():
                there = self._is_there(node.source)
                return ast.IfExp(there, name_of(self._input(node.source)), self.expression(node.otherwise))
            case typed.InputMaybe():
                full = call(self.closed("maybe", Maybe), ast.Constant(True), name_of(self._input(node.source)))
                return ast.IfExp(self._is_there(node.source), full, self.closed("nothing", NOTHING))
            case typed.VariableRead():
                name = name_of(f"v{node.index}")
                return call(name) if self._fallible[node.index] else name
            case typed.LocalRead():
                return name_of(f"x{node.slot}")
            case _:
                return self._compound(node)

    def _compound(self, node: Typed) -> ast.expr:
        match node:
            case typed.Not():
                return negated(self.expression(node.operand))
            case typed.Logic():
                return self._logic(node)
            case typed.If():
                return ast.IfExp(*[self.expression(part) for part in typed.children(node)])
            case typed.Compare():
                comparison = _COMPARISONS[node.operator]
                return ast.Compare(self.expression(node.left), [comparison], [self.expression(node.right)])
            case typed.Rank():
                return self._rank(node)
            case typed.Apply():
                return self._apply(node)
            case typed.Fail():
                return call(self.closed("fail", running.fail), ast.Constant(node.message))
            case typed.Comprehension() | typed.Let():
                return self._macro(node)
            case typed.MakeList():
                return self._list(node)
            case typed.MakeMap():
                return self._map(node)
        raise AssertionError(node)

    def _is_there(self, source: Declaration) -> ast.expr:
        return ast.Compare(name_of(self._input(source)), [ast.IsNot()], [ast.Constant(None)])

    def _logic(self, node: typed.Logic) -> ast.expr:
        if not any(self.may_fail(operand) for operand in node.operands[:-1]):
            operands = [self.expression(operand) for operand in node.operands]
            return ast.BoolOp(ast.And() if node.every else ast.Or(), operands)
        settle = running.every_of if node.every else running.some_of
        outside, self._in_thunk = self._in_thunk, True
        thunks = [lambda_of(self.expression(operand)) for operand in node.operands]
        self._in_thunk = outside
        return call(self.closed("settle", settle), *thunks)

    def _rank(self, node: typed.Rank) -> ast.expr:
        if isinstance(node.operand, typed.Const):
            return ast.Constant(node.order.index(str(node.operand.value)))
        ranks = self.closed("ranks", {word: rank for rank, word in enumerate(node.order)})
        return ast.Subscript(ranks, self.expression(node.operand), ast.Load())

    def _apply(self, node: typed.Apply) -> ast.expr:
        args = [self.expression(arg) for arg in node.args]
        if node.dynamic:
            rows = [self._functions.by_id[id_] for id_ in node.candidates]
            return call(self.closed("call", dispatcher(node.name, rows)), *args)
        row = self._row(node)
        if row.id in _INLINE:
            return ast.BinOp(args[0], _INLINE[row.id], args[1])
        if row.id in _MEMBERSHIP and (words := _words_in(node)) is not None:
            return ast.Compare(args[0], [ast.In()], [self.closed("words", words)])
        if (prepared := self._prepared(node)) is not None:
            return call(self.closed("prepared", prepared), *args[:-1])
        return call(self.closed("call", row.run), *args)

    def _row(self, node: typed.Apply) -> Overload:
        return self._functions.by_id[node.candidates[0]]

    def _prepared(self, node: typed.Apply) -> Callable[..., Any] | None:
        """The function with its constant last argument worked in, where it has that form and the constant is sound."""
        prepare, judge, last = self._row(node).prepare, self._row(node).judge, node.args[-1:]
        if prepare is None or judge is None or not last or not isinstance(last[0], typed.Const):
            return None
        return None if judge(last[0].value) else prepare(last[0].value)

    def _macro(self, node: typed.Comprehension | typed.Let) -> ast.expr:
        if isinstance(node, typed.Let):
            body = lambda_of(self.expression(node.body), f"x{node.slot}")
            return call(self.closed("let", running.LETS[node.kind]), self.expression(node.value), body)
        names = [f"x{slot}" for slot in node.slots]
        body = lambda_of(self.expression(node.body), *names)
        when = ast.Constant(None) if node.when is None else lambda_of(self.expression(node.when), *names)
        macro = self.closed("macro", running.MACROS[node.kind])
        return call(macro, self.expression(node.range), ast.Constant(len(names)), body, when)

    def _list(self, node: typed.MakeList) -> ast.expr:
        items = ast.List([self.expression(item) for item in node.items], ast.Load())
        if not node.optional:
            return items
        return call(self.closed("list", running.made_list), items, self.closed("optional", node.optional))

    def _map(self, node: typed.MakeMap) -> ast.expr:
        keys, values = ([self.expression(part) for part in parts] for parts in (node.keys, node.values))
        if not node.optional and _constant_texts(node.keys) is not None:
            return ast.Dict([*keys], values)
        lists = [ast.List(parts, ast.Load()) for parts in (keys, values)]
        return call(self.closed("map", running.made_map), *lists, self.closed("optional", node.optional))


def _code_of(module: CodeType) -> CodeType:
    return next(const for const in module.co_consts if isinstance(const, CodeType))


def _constant_texts(nodes: Sequence[Typed]) -> frozenset[str] | None:
    """The strings of constant, distinct string nodes, else None."""
    words = {node.value for node in nodes if isinstance(node, typed.Const) and node.type == STRING}
    return frozenset(words) if len(words) == len(nodes) else None


def _words_in(node: typed.Apply) -> frozenset[str] | None:
    """The words of `text in ["a", "b"]`, which Python's own sets find as CEL does; else None."""
    is_word = node.args[0].type == STRING or isinstance(node.args[0].type, Enum)
    return _constant_texts(node.args[1].items) if is_word and isinstance(node.args[1], typed.MakeList) else None
