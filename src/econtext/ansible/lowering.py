"""
The syntax tree of a source made older: each construct that a Python lacks is replaced by what it has.

Constructs that came after Python 3.6, and what becomes of them:

==================================  ====================================================================================
``from __future__ import            removed; annotations become texts, which is what the statement means
annotations``
annotations with ``X | Y`` and      become texts
``list[X]``
``(x := y)``                        an assignment before the statement: `hoisting`
``def f(a, /)``                     an ordinary parameter
f-strings                           ``'…'.format(…)``: ones that 3.12 allows and 3.6 does not are among them
``class A(Generic[X])``             ``class A(Generic)``, with ``__orig_bases__`` as it would be
``list[X]`` and the like            an alias, of the module `older`
decorators of any form              a name, assigned before the definition
``def __getattr__`` of a module     asked by the module's class, which `older` sets
``@lru_cache``                      ``@lru_cache()``
``subprocess.run(text=True)``       ``universal_newlines=True``
``capture_output=True``             ``stdout=subprocess.PIPE, stderr=subprocess.PIPE``
``x.removeprefix(y)``, ``suffix``   a function of `older`
modules and names that came later   imported from `older` (NEWER)
the guard ``_PY_MIN``               the version of the target
==================================  ====================================================================================

Invariants:

* If a tree has none of these, `changed` is false. A class of Generic[X] alone is none: Python 3.6 has it.
* What has no row is an error that names the construct and the line: `match`, `except*`, `type`, parameters of types,
  names of NEWER_METHODS that are not called.

Pure; any thread may enter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from econtext.ansible.hoisting import Hoister, Stuck, has_walrus

OLDER = 'ansible.module_utils.econtext_older'
SELF = '_econtext_older'    # the name of `older` in a source
# Modules -> their names that came after Python 3.6; None: the whole module.
NEWER: dict[str, set[str] | None] = {
    'dataclasses': None,
    'contextvars': None,
    'typing': set('Annotated Concatenate Final ForwardRef Generic Literal LiteralString Never NoReturn NotRequired '
                  'OrderedDict ParamSpec Protocol Required Self SupportsIndex TypeAlias TypeGuard TypedDict Unpack '
                  'final get_args get_origin runtime_checkable get_type_hints *'.split()),
    'functools': {'cache', 'cached_property'},
    'contextlib': {'nullcontext'},
}
# Names that Python 3.6 has, but not in a form that goes with the rest: replaced only if something else has to be.
FORMER = {'Generic', 'get_type_hints', 'NoReturn', '*'}
# In `importlib`, a module that came later.
NEWER_MODULES = {'importlib': {'resources'}}
BUILTIN_TYPES = {'dict', 'frozenset', 'list', 'set', 'tuple', 'type'}
# Methods that Python 3.6 lacks: calls of them become calls of `older`.
NEWER_METHODS = {'removeprefix': 'str.removeprefix', 'removesuffix': 'str.removesuffix'}
# Arguments that Python 3.6 lacks, and that nothing here replaces.
NEWER_KEYWORDS = {'missing_ok': 'Path.unlink(missing_ok=)', 'dirs_exist_ok': 'shutil.copytree(dirs_exist_ok=)'}
STATEMENTS = {'Match': 'a match statement', 'TryStar': 'except*', 'TypeAlias': 'a type statement'}
PARENTHESES = re.compile(r'with\s*\(')
PROCESSES = {'run', 'Popen', 'check_output', 'check_call', 'call'}


class Newer(Exception):
    """A construct that cannot be made older; the text names the construct and the line."""


class Lowering(ast.NodeTransformer):
    """
    :param source: the text of the source.
    :param tree: the same, parsed; it is changed.
    :param target: the version of Python to run on.
    :param strings: whether f-strings must go even if nothing else has to.
    """

    def __init__(self, source: str, tree: ast.Module, target: tuple[int, int], *, strings: bool) -> None:
        self.source: str = source
        self.tree: ast.Module = tree
        self.target: tuple[int, int] = target
        self.strings: bool = strings
        self.bound: set[str] = bound(tree)
        self.used: dict[str, set[str]] = used(tree)
        self.changed: bool = strings
        self.needs_older: bool = False
        self.annotations: bool = False  # whether annotations are texts anyway
        self.hoister: Hoister = Hoister()

    # -- the whole source ------------------------------------------------------

    def lower(self) -> ast.Module:
        tree = self.tree
        self.annotations = any(isinstance(node, ast.ImportFrom) and node.module == '__future__'
                               and any(alias.name == 'annotations' for alias in node.names) for node in tree.body)
        lazy = any(isinstance(node, ast.FunctionDef) and node.name == '__getattr__' for node in tree.body)
        walrus = has_walrus(tree)
        self.generic_visit(tree)
        if walrus:
            self.changed = True
            try:
                tree.body = self.hoister.block(tree.body)
            except Stuck as error:
                raise Newer(str(error)) from error
        if lazy:
            tree.body.append(ast.Expr(self.older('attributes', ast.Name('__name__', ast.Load()))))
            self.changed = self.needs_older = True
        if self.needs_older:
            package, _, name = OLDER.rpartition('.')
            tree.body.insert(first_free(tree.body), ast.ImportFrom(package, [ast.alias(name, SELF)], 0))
        return tree

    def visit(self, node: ast.AST) -> ast.AST:
        kind = type(node).__name__
        if kind in STATEMENTS:
            raise newer(STATEMENTS[kind], node)
        if getattr(node, 'type_params', None):
            raise newer('parameters of types', node)
        found: ast.AST = super().visit(node)
        return found

    # -- imports ---------------------------------------------------------------

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module == '__future__' and not node.level:
            kept = [alias for alias in node.names if alias.name != 'annotations']
            if len(kept) == len(node.names):
                return node
            self.changed = True
            node.names = kept
            return node if kept else ast.Pass()
        if node.level or node.module is None:
            return node
        later = {alias.name for alias in node.names} & self.later(node.module)
        modules = NEWER_MODULES.get(node.module, set()) & {alias.name for alias in node.names}
        if not later and not modules:
            return node
        self.changed = self.changed or bool(modules or later - FORMER)
        place = OLDER if modules else f'{OLDER}.{node.module}'
        moved = [alias for alias in node.names if alias.name in later | modules]
        stay = [alias for alias in node.names if alias not in moved]
        made: list[ast.stmt] = [ast.ImportFrom(place, moved, 0)]
        if stay:
            made.insert(0, ast.ImportFrom(node.module, stay, 0))
        return together(made)

    def later(self, module: str) -> set[str]:
        """Return the names of a module of the standard library that are to come from `older`."""
        if module not in NEWER:
            return set()
        names = NEWER[module]
        return AnyName() if names is None else names

    def visit_Import(self, node: ast.Import) -> ast.AST:
        moved = [alias for alias in node.names if alias.name in NEWER and self.is_newer(alias)]
        if not moved:
            return node
        made: list[ast.stmt] = [ast.ImportFrom(OLDER, [alias], 0) for alias in moved]
        stay = [alias for alias in node.names if alias not in moved]
        if stay:
            made.insert(0, ast.Import(stay))
        return together(made)

    def is_newer(self, alias: ast.alias) -> bool:
        """Does the source use more of this module than Python 3.6 has?"""
        names = NEWER[alias.name]
        found = self.used.get(alias.asname or alias.name, set())
        self.changed = self.changed or names is None or bool(found & names - FORMER)
        return names is None or bool(found & names)

    # -- definitions -----------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self.function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.function(node)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = self.as_text(node.returns)
        before = self.decorators(node)
        self.generic_visit(node)
        return together([*before, node]) if before else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = self.as_text(node.annotation)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        if node.posonlyargs:
            self.changed = True
            node.args, node.posonlyargs = node.posonlyargs + node.args, []
        return self.generic_visit(node)

    def as_text(self, node: ast.expr | None) -> ast.expr | None:
        """Return an annotation as a text, if it is one anyway or cannot be evaluated."""
        if node is None or isinstance(node, ast.Constant) or not (self.annotations or self.has_newer_types(node)):
            return node
        self.changed = True
        return ast.Constant(ast.unparse(node))

    def has_newer_types(self, node: ast.AST) -> bool:
        return any((isinstance(each, ast.BinOp) and isinstance(each.op, ast.BitOr)) or self.is_builtin_type(each)
                   for each in ast.walk(node))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        annotation = self.as_text(node.annotation)
        assert annotation is not None
        node.annotation = annotation
        node.target = self.visit(node.target)   # type: ignore[assignment]
        if node.value is not None:
            node.value = self.visit(node.value)     # type: ignore[assignment]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before = self.decorators(node)
        if any(isinstance(base, ast.Subscript) for base in node.bases):
            self.changed = self.changed or any(map(self.is_builtin_type, node.bases))
            self.needs_older = True
            original = [self.alias(base) if isinstance(base, ast.Subscript) else base for base in node.bases]
            node.bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
            bases = ast.Assign([ast.Name('__orig_bases__', ast.Store())], ast.Tuple(original, ast.Load()))
            node.body.insert(1 if ast.get_docstring(node, clean=False) is not None else 0, bases)
        self.generic_visit(node)
        return together([*before, node]) if before else node

    def alias(self, node: ast.Subscript) -> ast.expr:
        args = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return self.older('alias', node.value, *args)

    def older(self, function: str, *args: ast.expr) -> ast.expr:
        """Return a call of a function of `older`."""
        return ast.Call(ast.Attribute(ast.Name(SELF, ast.Load()), function, ast.Load()), list(args), [])

    def decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
        """Make the decorators plain, and return what comes before the definition."""
        for number, each in enumerate(node.decorator_list):
            if ast.unparse(each) in ('functools.lru_cache', 'lru_cache'):
                self.changed = True
                node.decorator_list[number] = ast.Call(each, [], [])
        if all(map(is_plain, node.decorator_list)):
            return []
        self.changed = True
        before: list[ast.stmt] = []
        for number, each in enumerate(node.decorator_list):
            name = self.hoister.fresh()
            before.append(ast.Assign([ast.Name(name, ast.Store())], self.visit(each)))  # type: ignore[arg-type]
            node.decorator_list[number] = ast.Name(name, ast.Load())
        return before

    # -- statements and expressions ----------------------------------------------

    def visit_With(self, node: ast.With) -> ast.AST:
        if len(node.items) > 1 and PARENTHESES.match(ast.get_source_segment(self.source, node) or ''):
            self.changed = True
        return self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> ast.AST:
        if any(isinstance(each, ast.Continue) for statement in node.finalbody for each in own_nodes(statement)):
            raise newer('continue in a finally block', node)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == '_PY_MIN' and isinstance(node.value, ast.Tuple):
            self.changed = True
            node.value = ast.Tuple([ast.Constant(each) for each in self.target], ast.Load())
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        if not self.strings:
            return self.generic_visit(node)
        text, args = formatted(node)
        made = ast.Call(ast.Attribute(ast.Constant(text), 'format', ast.Load()), list(args), [])
        return self.generic_visit(made)

    def is_builtin_type(self, node: ast.AST) -> bool:
        return (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name)
                and node.value.id in BUILTIN_TYPES and node.value.id not in self.bound)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if self.is_builtin_type(node):
            self.changed = self.needs_older = True
            return self.visit(self.alias(node))
        if isinstance(node.slice, ast.Tuple) and any(isinstance(each, ast.Starred) for each in node.slice.elts):
            raise newer('a star in a subscript', node)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) \
                and function.value.id == 'subprocess' and function.attr in PROCESSES:
            self.processes(node)
        if isinstance(function, ast.Attribute) and function.attr in NEWER_METHODS and len(node.args) == 1 \
                and not node.keywords:
            self.changed = self.needs_older = True
            return self.older(function.attr, *map(self.visited, (function.value, node.args[0])))
        if isinstance(function, ast.Name) and function.id == 'zip' and node.keywords:
            raise newer('zip(strict=)', node)
        for keyword in node.keywords:
            if keyword.arg in NEWER_KEYWORDS:
                raise newer(NEWER_KEYWORDS[keyword.arg], node)
        return self.generic_visit(node)

    def visited(self, node: ast.expr) -> ast.expr:
        made = self.visit(node)
        assert isinstance(made, ast.expr), 'an expression stays one'
        return made

    def processes(self, node: ast.Call) -> None:
        for keyword in list(node.keywords):
            if keyword.arg == 'text':
                keyword.arg = 'universal_newlines'
                self.changed = True
            elif keyword.arg == 'capture_output':
                if not (isinstance(keyword.value, ast.Constant) and keyword.value.value is True):
                    raise newer('capture_output= that is not True', node)
                node.keywords.remove(keyword)
                pipe = ast.Attribute(ast.Name('subprocess', ast.Load()), 'PIPE', ast.Load())
                node.keywords += [ast.keyword(name, pipe) for name in ('stdout', 'stderr')]
                self.changed = True

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr in NEWER_METHODS:
            raise newer(NEWER_METHODS[node.attr], node)
        return self.generic_visit(node)


class AnyName(set[str]):
    """All names, for the set of those that a module has."""

    def __rand__(self, other: object) -> set[str]:
        assert isinstance(other, set)
        return set(other)


def newer(what: str, node: ast.AST) -> Newer:
    return Newer(f'{what}, line {getattr(node, "lineno", "?")}')


def together(statements: Sequence[ast.stmt]) -> ast.AST:
    """Return several statements in the place of one; NodeTransformer takes a list."""
    return list(statements)     # type: ignore[return-value]


def first_free(body: Sequence[ast.stmt]) -> int:
    """Return where the first import may stand: behind the docstring and what is imported of the future."""
    number = 0
    for number, node in enumerate(body):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == '__future__'
        if not (future or isinstance(node, ast.Pass) or (is_text and number == 0)):
            return number
    return len(body)


def own_nodes(node: ast.AST) -> list[ast.AST]:
    """Return the nodes of a statement without those of loops and functions in it."""
    found = [node]
    if not isinstance(node, (ast.For, ast.While, ast.AsyncFor, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            found += own_nodes(child)
    return found


def is_plain(node: ast.expr) -> bool:
    """Is this a decorator of Python 3.6: a dotted name, called or not?"""
    while isinstance(node, (ast.Attribute, ast.Call)):
        if isinstance(node, ast.Call):
            node = node.func
            if isinstance(node, ast.Call):
                return False
        else:
            node = node.value
            if isinstance(node, ast.Call):
                return False
    return isinstance(node, ast.Name)


def formatted(node: ast.JoinedStr) -> tuple[str, list[ast.expr]]:
    """Return an f-string as a text for `format`, and its arguments in order."""
    text, args = '', []
    for value in node.values:
        if isinstance(value, ast.Constant):
            text += str(value.value).replace('{', '{{').replace('}', '}}')
            continue
        assert isinstance(value, ast.FormattedValue)
        args.append(value.value)
        text += '{' + conversion(value)
        if isinstance(value.format_spec, ast.JoinedStr):
            text += ':'
            for each in value.format_spec.values:
                if isinstance(each, ast.Constant):
                    text += str(each.value)
                    continue
                assert isinstance(each, ast.FormattedValue)
                if each.format_spec is not None:
                    raise newer('a format within the format of a format', node)
                args.append(each.value)
                text += '{' + conversion(each) + '}'
        text += '}'
    return text, args


def conversion(node: ast.FormattedValue) -> str:
    return '!' + chr(node.conversion) if node.conversion != -1 else ''


def bound(tree: ast.Module) -> set[str]:
    """Return the names that a source binds anywhere."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.split('.')[0])
    return found


def used(tree: ast.Module) -> dict[str, set[str]]:
    """Return name -> attributes that a source reads of it."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
    return found
