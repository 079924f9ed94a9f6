"""
What in a source is newer than a version of Python.

Its user is told on this side, with file and line, what an older interpreter
would call "invalid syntax".

The strategy: a table of constructs, each with the version that brought it.  Most
are read off the syntax tree, which knows nothing of how a text was written; the
rest off tokens, and for f-strings, which were one token before 3.12, off the text.

Invariants:

* What this interpreter cannot parse has no construct, and is left to the target.
* What is named does not compile there: names, modules and meanings are not judged.

Pure; any thread may enter.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from econtext.controller.modules.literals import Found, Version, in_strings
from econtext.controller.modules.parser import parse

__all__ = ['CONSTRUCTS', 'Found', 'newer']

class Construct(NamedTuple):
    since: Version
    what: str
    kinds: tuple[str, ...]
    holds: Callable[[Any], bool]


def always(_node: Any) -> bool:
    return True


def is_dotted(decorator: Any) -> bool:
    """Is this what decorators were before 3.9: a dotted name, perhaps called?"""
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    while isinstance(named, ast.Attribute):
        named = named.value
    return isinstance(named, ast.Name)


def any_starred(values: list[Any]) -> bool:
    return any(isinstance(value, ast.Starred) for value in values)


def stars(node: ast.Call) -> list[str]:
    """Return of each argument, in the order of the text, whether it is starred, once or twice."""
    arguments: list[Any] = [*node.args, *node.keywords]
    arguments.sort(key=lambda each: (each.lineno, each.col_offset))
    return [
        '*' if isinstance(each, ast.Starred)
        else '**' if isinstance(each, ast.keyword) and each.arg is None
        else '=' if isinstance(each, ast.keyword)
        else ''
        for each in arguments
    ]


def unpacks_twice(node: ast.Call) -> bool:
    """Are there arguments that a call took only since 3.5?"""
    found = stars(node)
    if found.count('*') > 1 or found.count('**') > 1:
        return True
    behind = found[found.index('**') + 1 :] if '**' in found else []
    if behind:
        return True
    return '*' in found and '' in found[found.index('*') :]


def keyword_behind_star(node: ast.Call) -> bool:
    found = stars(node)
    return '*' in found and '=' in found[found.index('*') :]


def future(*names: str) -> Callable[[ast.ImportFrom], bool]:
    return lambda node: node.module == '__future__' and any(a.name in names for a in node.names)


def is_constant(kind: type) -> Callable[[ast.Constant], bool]:
    return lambda node: isinstance(node.value, kind)


def starred_index(node: ast.Subscript) -> bool:
    """Is it ``a[*b]``, which is no ``a[(*b,)]``: a tuple without brackets begins where its first value does."""
    if not isinstance(node.slice, ast.Tuple):
        return isinstance(node.slice, ast.Starred)
    first = node.slice.elts[0] if node.slice.elts else node.slice
    bare = (first.lineno, first.col_offset) == (node.slice.lineno, node.slice.col_offset)
    return bare and any_starred(node.slice.elts)


def starred_outside_brackets(node: ast.Return | ast.Yield) -> bool:
    value = node.value
    if not isinstance(value, ast.Tuple) or not any_starred(value.elts):
        return False
    return (value.lineno, value.col_offset) == (value.elts[0].lineno, value.elts[0].col_offset)


def default_of_parameter(node: Any) -> bool:
    return getattr(node, 'default_value', None) is not None


FUNCTION = ('FunctionDef', 'AsyncFunctionDef')
COMPREHENSION = ('ListComp', 'SetComp', 'GeneratorExp')
DISPLAY = ('List', 'Tuple', 'Set')

CONSTRUCTS = (
    Construct((2, 5), 'a conditional expression', ('IfExp',), always),
    Construct((2, 5), '"except" and "finally" of one "try"', ('Try',),
              lambda node: bool(node.handlers and node.finalbody)),
    Construct((2, 5), 'a relative import', ('ImportFrom',), lambda node: node.level > 0),
    Construct((2, 5), 'from __future__ import absolute_import', ('ImportFrom',),
              future('absolute_import', 'with_statement')),
    Construct((2, 6), 'from __future__ import print_function', ('ImportFrom',),
              future('print_function', 'unicode_literals')),
    Construct((2, 6), '"with"', ('With',), always),
    Construct((2, 6), '"except … as"', ('ExceptHandler',), lambda node: node.name is not None),
    Construct((2, 6), "b''", ('Constant',), is_constant(bytes)),
    Construct((2, 6), 'a decorated class', ('ClassDef',), lambda node: bool(node.decorator_list)),
    Construct((2, 6), 'a keyword behind *arguments', ('Call',), keyword_behind_star),
    Construct((2, 7), 'a set display', ('Set',), always),
    Construct((2, 7), 'a comprehension of a set or dict', ('SetComp', 'DictComp'), always),
    Construct((2, 7), 'a "with" of several', ('With',), lambda node: len(node.items) > 1),
    Construct((3, 0), '"nonlocal"', ('Nonlocal',), always),
    Construct((3, 0), 'a parameter by keyword only', ('arguments',), lambda node: bool(node.kwonlyargs)),
    Construct((3, 0), 'an annotation', ('arg',), lambda node: node.annotation is not None),
    Construct((3, 0), 'an annotation', FUNCTION, lambda node: node.returns is not None),
    Construct((3, 0), 'a keyword of a class', ('ClassDef',), lambda node: bool(node.keywords)),
    Construct((3, 0), '"raise … from"', ('Raise',), lambda node: node.cause is not None),
    Construct((3, 0), 'a starred target', ('Starred',), lambda node: isinstance(node.ctx, ast.Store)),
    Construct((3, 3), '"yield from"', ('YieldFrom',), always),
    Construct((3, 5), '"async"', ('AsyncFunctionDef',), always),
    Construct((3, 5), '"@" between values', ('MatMult',), always),
    Construct((3, 5), 'a starred value in a display', DISPLAY,
              lambda node: isinstance(node.ctx, ast.Load) and any_starred(node.elts)
              if hasattr(node, 'ctx') else any_starred(node.elts)),
    Construct((3, 5), 'a dict in a dict display', ('Dict',), lambda node: None in node.keys),
    Construct((3, 5), 'several unpackings in a call', ('Call',), unpacks_twice),
    Construct((3, 5), 'from __future__ import generator_stop', ('ImportFrom',), future('generator_stop')),
    Construct((3, 6), 'an f-string', ('JoinedStr',), always),
    Construct((3, 6), 'an annotated variable', ('AnnAssign',), always),
    Construct((3, 6), 'an asynchronous comprehension', ('comprehension',), lambda node: bool(node.is_async)),
    Construct((3, 7), 'from __future__ import annotations', ('ImportFrom',), future('annotations')),
    Construct((3, 8), '":="', ('NamedExpr',), always),
    Construct((3, 8), 'a parameter by position only', ('arguments',), lambda node: bool(node.posonlyargs)),
    Construct((3, 8), 'a starred value in "return" or "yield"', ('Return', 'Yield'), starred_outside_brackets),
    Construct((3, 9), 'a decorator that is any expression', (*FUNCTION, 'ClassDef'),
              lambda node: not all(is_dotted(each) for each in node.decorator_list)),
    Construct((3, 10), '"match"', ('Match',), always),
    Construct((3, 11), '"except*"', ('TryStar',), always),
    Construct((3, 11), 'a starred index', ('Subscript',), starred_index),
    Construct((3, 11), 'a starred annotation', ('arg',), lambda node: isinstance(node.annotation, ast.Starred)),
    Construct((3, 12), 'the "type" statement', ('TypeAlias',), always),
    Construct((3, 12), 'type parameters', (*FUNCTION, 'ClassDef'),
              lambda node: bool(getattr(node, 'type_params', None))),
    Construct((3, 13), 'the default of a type parameter', ('TypeVar', 'ParamSpec', 'TypeVarTuple'),
              default_of_parameter),
    Construct((3, 14), 'a t-string', ('TemplateStr',), always),
    Construct((3, 15), 'an unpacking comprehension', COMPREHENSION, lambda node: isinstance(node.elt, ast.Starred)),
    Construct((3, 15), 'an unpacking comprehension', ('DictComp',), lambda node: node.value is None),
    Construct((3, 15), 'a lazy import', ('Import', 'ImportFrom'), lambda node: bool(getattr(node, 'is_lazy', 0))),
)  # fmt: skip
BY_KIND: dict[str, list[Construct]] = {}
for _construct in CONSTRUCTS:
    for _kind in _construct.kinds:
        BY_KIND.setdefault(_kind, []).append(_construct)


def newer(source: bytes | str, version: Version) -> list[Found]:
    """Return what in `source` came after `version`, the oldest line first."""
    return [each for each in late(source) if not has(version, each)]


def late(source: bytes | str) -> list[Found]:
    """Return what in `source` some Python lacks, be it an older or a later one; the oldest line first."""
    tree = parse(source)
    if tree is None:
        return []
    text = source if isinstance(source, str) else decoded(source)
    found = [*in_tree(tree), *in_tokens(text), *in_strings(tree, text)]
    return sorted(set(found))


def has(version: Version, found: Found) -> bool:
    """Has `version` what was `found`?  Some was there in 2, perhaps with another meaning, and gone, and came again."""
    if found.what in (UNICODE, LISTED):
        return version[0] == 2 or version >= found.since
    return version[:2] >= found.since


def decoded(source: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return source.decode(encoding).replace('\r\n', '\n')


# -- the tree -----------------------------------------------------------------

UNICODE = "u''"
LISTED = '"except" with a list that has no parentheses'


def in_tree(tree: ast.AST) -> Iterator[Found]:
    printing = False
    for node in ast.walk(tree):
        for construct in BY_KIND.get(type(node).__name__, ()):
            if construct.holds(node):
                yield Found(line_of(node), construct.since, construct.what)
        if isinstance(node, FUNCTIONS):
            yield from in_function(node)
        elif isinstance(node, ast.ImportFrom):
            printing = printing or future('print_function')(node)
        elif isinstance(node, ast.Try) and node.finalbody:
            yield from in_finally(node.finalbody)
        elif isinstance(node, ast.Constant) and node.kind == 'u':
            yield Found(node.lineno, (3, 3), UNICODE)
    if not printing:
        yield from printed(tree)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def line_of(node: Any) -> int:
    """Return the line of `node`, or of the first in it that has one."""
    decorators = getattr(node, 'decorator_list', None)
    if decorators:
        return int(decorators[0].lineno)
    for each in ast.walk(node):
        if hasattr(each, 'lineno'):
            return int(each.lineno)
    return 1


def own_nodes(nodes: list[Any], without: tuple[type, ...]) -> Iterator[Any]:
    """Yield all nodes below `nodes`, but not what is in those of the types `without`."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, without):
            waiting.extend(ast.iter_child_nodes(node))


def in_function(node: Any) -> Iterator[Found]:
    """Find what only a whole function tells: a generator that returns a value, or that is asynchronous."""
    if isinstance(node, ast.Lambda):
        return
    inner = list(own_nodes(node.body, (*FUNCTIONS, ast.ClassDef)))
    if not any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in inner):
        return
    if isinstance(node, ast.AsyncFunctionDef):
        yield Found(line_of(node), (3, 6), 'an asynchronous generator')
    for each in inner:
        if isinstance(each, ast.Return) and each.value is not None:
            yield Found(each.lineno, (3, 3), 'a generator that returns a value')


def in_finally(body: list[ast.stmt]) -> Iterator[Found]:
    for each in own_nodes(body, (*FUNCTIONS, ast.ClassDef, ast.For, ast.AsyncFor, ast.While)):
        if isinstance(each, ast.Continue):
            yield Found(each.lineno, (3, 8), '"continue" in "finally"')


def printed(tree: ast.AST) -> Iterator[Found]:
    """Find calls of print that are no statements of Python 2."""
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, 'id', '') != 'print':
            continue
        if node.keywords or any_starred(node.args) or id(node) not in statements:
            yield Found(node.lineno, (3, 0), 'print as a function')


# -- tokens -------------------------------------------------------------------


def in_tokens(text: str) -> Iterator[Found]:
    try:
        tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline)
                  if token.type not in (tokenize.NL, tokenize.COMMENT)]
    except (tokenize.TokenError, SyntaxError):
        return
    for index, token in enumerate(tokens):
        word, line = token.string, token.start[0]
        if token.type == tokenize.NUMBER:
            if '_' in word:
                yield Found(line, (3, 6), '"_" in a number')
            if word[:2].lower() in ('0o', '0b'):
                yield Found(line, (2, 6), word[:2].lower() + ' before a number')
        elif token.type == tokenize.NAME and not word.isascii():
            yield Found(line, (3, 0), 'a name that is not ASCII')
        elif word == 'with' and token.type == tokenize.NAME:
            if in_parentheses(tokens, index + 1, ('as', ',')):
                yield Found(line, (3, 9), '"with" and its parentheses')
        elif word == 'except' and token.type == tokenize.NAME:
            if listed(tokens, index + 1):
                yield Found(line, (3, 14), LISTED)
        elif word == ')' and tokens[index - 1].string == ',':
            yield from comma_behind_star(tokens, index)


def in_parentheses(tokens: list[tokenize.TokenInfo], index: int, words: tuple[str, ...]) -> bool:
    """Do parentheses open at `index`, close before the colon, and hold one of `words` at their own level?"""
    if tokens[index].string != '(':
        return False
    depth, seen = 0, False
    for position in range(index, len(tokens)):
        word = tokens[position].string
        depth += (word in OPENING) - (word in CLOSING)
        seen = seen or (depth == 1 and word in words)
        if depth == 0:
            return seen and tokens[position + 1].string == ':'
    return False


OPENING, CLOSING = ('(', '[', '{'), (')', ']', '}')


def listed(tokens: list[tokenize.TokenInfo], index: int) -> bool:
    """Is there a comma outside brackets before the colon?"""
    depth = 0
    for token in tokens[index:]:
        depth += (token.string in OPENING) - (token.string in CLOSING)
        if depth == 0 and token.string in (',', ':'):
            return token.string == ','
    return False


def comma_behind_star(tokens: list[tokenize.TokenInfo], index: int) -> Iterator[Found]:
    """Look back from ``,)`` for ``*name`` or ``**name`` as the last of a call or of parameters."""
    depth, start, position = 0, index - 1, index - 2
    while position > 0:
        word = tokens[position].string
        depth += (word in CLOSING) - (word in OPENING)
        if depth < 0 or (depth == 0 and word == ','):
            break
        start, position = position, position - 1
    if tokens[start].string not in ('*', '**'):
        return
    while depth >= 0 and position > 0:
        position -= 1
        depth += (tokens[position].string in CLOSING) - (tokens[position].string in OPENING)
    line = tokens[start].start[0]
    before = tokens[position - 1]
    if before.type == tokenize.NAME and tokens[position - 2].string == 'def':
        yield Found(line, (3, 6), 'a comma behind the last *parameter')
    elif (before.type == tokenize.NAME and before.string not in ('return', 'in', 'yield', 'print')) or (
        before.string in CLOSING
    ):
        yield Found(line, (3, 5), 'a comma behind the last *argument')
