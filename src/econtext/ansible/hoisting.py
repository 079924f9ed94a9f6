"""
Assignment expressions made statements: `if (x := f()) and g(x):` becomes assignments before an `if`.

Invariants:

* What is evaluated, how often and in which order stays the same: an expression that is evaluated before a hoisted one
  is kept in a name of its own, and what may not be evaluated stands in an `if`.
* A target is bound where it was bound before.
* What cannot be hoisted, such as an assignment in a generator expression, raises Stuck with the line.

Pure; any thread may enter.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

PREFIX = '_econtext_'   # of names that hold values meanwhile


class Stuck(Exception):
    """An assignment expression stands where no statement can come before it; the text says where."""


def has_walrus(node: ast.AST | None) -> bool:
    return node is not None and any(isinstance(each, ast.NamedExpr) for each in ast.walk(node))


def name_of(name: str, load: bool = True) -> ast.Name:
    return ast.Name(name, ast.Load() if load else ast.Store())


def assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([name_of(name, load=False)], value)


class Hoister:
    """Rewrites the statements of one source; `count` numbers the names that it makes."""

    def __init__(self) -> None:
        self.count: int = 0

    def fresh(self) -> str:
        self.count += 1
        return f'{PREFIX}{self.count}'

    # -- statements ------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Return the statements, and those within them, without assignment expressions."""
        found: list[ast.stmt] = []
        for statement in statements:
            self.inside(statement)
            found += self.statement(statement)
        return found

    def inside(self, statement: ast.stmt) -> None:
        for field in ('body', 'orelse', 'finalbody'):
            nested = getattr(statement, field, None)
            if isinstance(nested, list):
                setattr(statement, field, self.block(nested))
        for handler in getattr(statement, 'handlers', ()):
            handler.body = self.block(handler.body)

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.While):
            return self.loop(node)
        for field in HOISTED.get(type(node), ()):
            value = getattr(node, field)
            if has_walrus(value):
                rest = [each for name, each in ast.iter_fields(node) if name not in (field, *BLOCKS)]
                if any(has_walrus(part) for each in rest for part in (each if isinstance(each, list) else [each])
                       if isinstance(part, ast.AST)):
                    raise stuck(node)
                if isinstance(node, ast.AugAssign) and not isinstance(node.target, ast.Name):
                    raise stuck(node)
                before, value = self.expression(value)
                if isinstance(node, ast.AugAssign):     # the target is read first
                    assert isinstance(node.target, ast.Name)
                    kept, result = self.fresh(), self.fresh()
                    return [assign(kept, name_of(node.target.id)), *before, assign(result, value),
                            ast.AugAssign(name_of(kept, load=False), node.op, name_of(result)),
                            assign(node.target.id, name_of(kept))]
                setattr(node, field, value)
                return [*before, node]
        if isinstance(node, (ast.With, ast.AsyncWith)) and has_walrus(node.items[0].context_expr):
            before, node.items[0].context_expr = self.expression(node.items[0].context_expr)
            self.refuse(node.items, node)
            return [*before, node]
        self.refuse([each for name, each in ast.iter_fields(node) if name not in BLOCKS], node)
        return [node]

    def refuse(self, values: Sequence[object], node: ast.stmt) -> None:
        """Raise Stuck if an assignment expression is left in the values of a statement."""
        for value in values:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, ast.AST) and has_walrus(each):
                    raise stuck(node)

    def loop(self, node: ast.While) -> list[ast.stmt]:
        if not has_walrus(node.test):
            return [node]
        before, test = self.expression(node.test)
        if leaves(node.orelse):
            raise stuck(node)
        leave = ast.If(ast.UnaryOp(ast.Not(), test), [*node.orelse, ast.Break()], [])
        node.test, node.body, node.orelse = ast.Constant(True), [*before, leave, *node.body], []
        return [node]

    # -- expressions -----------------------------------------------------------

    def expression(self, node: ast.expr) -> tuple[list[ast.stmt], ast.expr]:
        """Return the statements that come before an expression, and what the expression is behind them."""
        if not has_walrus(node):
            return [], node
        if isinstance(node, ast.NamedExpr):
            before, value = self.expression(node.value)
            return [*before, ast.Assign([name_of(node.target.id, load=False)], value)], name_of(node.target.id)
        if isinstance(node, ast.BoolOp):
            return self.choice(node)
        if isinstance(node, ast.IfExp):
            before, test = self.expression(node.test)
            kept = self.fresh()
            return [*before, ast.If(test, self.kept(kept, node.body), self.kept(kept, node.orelse))], name_of(kept)
        if isinstance(node, SCOPES) or (isinstance(node, ast.Compare) and any(map(has_walrus, node.comparators[1:]))):
            raise stuck(node)
        return self.parts(node)

    def kept(self, name: str, node: ast.expr) -> list[ast.stmt]:
        before, value = self.expression(node)
        return [*before, assign(name, value)]

    def choice(self, node: ast.BoolOp) -> tuple[list[ast.stmt], ast.expr]:
        kept = self.fresh()
        first, *rest = node.values
        statements = self.kept(kept, first)
        if rest:
            test: ast.expr = name_of(kept)
            if isinstance(node.op, ast.Or):
                test = ast.UnaryOp(ast.Not(), test)
            following = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
            statements.append(ast.If(test, self.kept(kept, following), []))
        return statements, name_of(kept)

    def parts(self, node: ast.expr) -> tuple[list[ast.stmt], ast.expr]:
        """Hoist out of the parts of an expression, all of which are evaluated, in order."""
        places = list(parts_of(node))
        last = max(number for number, (_, _, part) in enumerate(places) if has_walrus(part))
        before: list[ast.stmt] = []
        for number, (owner, field, part) in enumerate(places[:last + 1]):
            own, value = self.expression(part.value if isinstance(part, ast.Starred) else part)
            before += own
            if number < last and not isinstance(value, ast.Constant):
                kept = self.fresh()
                # A star reads its value in time: a list of it is what is read later.
                taken = ast.Call(name_of('list'), [value], []) if isinstance(part, ast.Starred) else value
                before.append(assign(kept, taken))
                value = name_of(kept)
            put(owner, field, ast.Starred(value, ast.Load()) if isinstance(part, ast.Starred) else value)
        return before, node


def parts_of(node: ast.expr) -> list[tuple[ast.AST, tuple[str, int], ast.expr]]:
    """Return where the parts of an expression stand, and the parts, in the order in which they are evaluated."""
    found: list[tuple[ast.AST, tuple[str, int], ast.expr]] = []
    if isinstance(node, ast.Dict):
        for number, value in enumerate(node.values):
            key = node.keys[number]
            if key is not None:
                found.append((node, ('keys', number), key))
            found.append((node, ('values', number), value))
        return found
    for field, value in ast.iter_fields(node):
        for number, each in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(each, ast.keyword):
                found.append((each, ('value', -1), each.value))
            elif isinstance(each, ast.Slice):
                found += parts_of_slice(each)
            elif isinstance(each, ast.expr):
                found.append((node, (field, number if isinstance(value, list) else -1), each))
    return found


def parts_of_slice(node: ast.Slice) -> list[tuple[ast.AST, tuple[str, int], ast.expr]]:
    return [(node, (field, -1), value) for field, value in ast.iter_fields(node) if isinstance(value, ast.expr)]


def put(owner: ast.AST, place: tuple[str, int], value: ast.expr) -> None:
    field, number = place
    if number < 0:
        setattr(owner, field, value)
    else:
        getattr(owner, field)[number] = value


def leaves(statements: Sequence[ast.AST]) -> bool:
    """Is a `break` or `continue` among statements that belongs to a loop around them?"""
    for each in statements:
        if isinstance(each, (ast.Break, ast.Continue)):
            return True
        if isinstance(each, (ast.For, ast.AsyncFor, ast.While)):
            inner: Sequence[ast.AST] = each.orelse
        elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        else:
            inner = [part for field in BLOCKS for part in getattr(each, field, ()) if isinstance(part, ast.AST)]
        if leaves(inner):
            return True
    return False


def stuck(node: ast.AST) -> Stuck:
    return Stuck(f'an assignment expression in {type(node).__name__}, line {getattr(node, "lineno", "?")}')


BLOCKS = ('body', 'orelse', 'finalbody', 'handlers')
SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Statements -> what may have an assignment expression in it: what is evaluated before all else of the statement.
HOISTED: dict[type[ast.stmt], tuple[str, ...]] = {
    ast.Expr: ('value',), ast.Return: ('value',), ast.Assign: ('value',), ast.AnnAssign: ('value',),
    ast.AugAssign: ('value',), ast.If: ('test',), ast.Assert: ('test',), ast.Raise: ('exc',), ast.For: ('iter',),
    ast.AsyncFor: ('iter',),
}
