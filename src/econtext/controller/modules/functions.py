"""
The source of a function: of one that a module holds, or that was typed in.

Another Python is sent the text of the function alone, on the lines where it stood, below a header that gives the
function what its place gave it: the variables of functions around it, and the class that its names are private to.

Invariants:

* A text is taken if compiling it makes the very code of the function: what merely stands on the same line is not.
  If an import hook has added to that code, as pytest does, the text is taken only if it is the one that can be meant.
* Source that may belong to something else, such as a line of a history, is taken only if it makes the very code.
* Nothing is run.

Any thread may enter.
"""

from __future__ import annotations
import __future__

import ast
import functools
import itertools
import linecache
import marshal
import os
import re
import stat
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from econtext.child import sourced
from econtext.child.sourced import AROUND, MARK
from econtext.controller.modules.parser import parse, quiet

Code = types.CodeType
Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef

NESTED = 0x10   # in the flags of code: it stands in a function
# Code has, as a constant, the full name of a class that it makes, and before Python 3.11 that of a function: around
# these is our header, too.
INSIDE = '<locals>.'
MOST_LINES = 2000   # of the history of an interpreter that are looked through
LONGEST = 200   # lines of a statement there
FUTURES: dict[str, int] = {name: getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}
# The names by which Python calls what was read from no file.
COMMAND, STDIN = '<string>', '<stdin>'


class Missing(Exception):
    """No source is to be had; the text says why, and what to do."""


class Source(NamedTuple):
    """The text of a function, and how to find the function in it."""

    path: str
    text: str
    names: tuple[str, ...]
    futures: tuple[str, ...]
    #: The decorators, as functions without arguments that return them, the first one first.
    decorators: tuple[Source, ...] = ()
    #: The names that functions around it give a value.
    around: frozenset[str] = frozenset()


class Text(NamedTuple):
    """Source that may hold the function; if it is not `sure` to be its own, only the very code counts."""

    text: str
    sure: bool


def source_of(function: types.FunctionType) -> Source:
    """Return the source of `function`; raises Missing if there is none."""
    return source_of_code(function.__code__, function.__module__ or '')


# Of the same code the same, whoever asks; a text that was changed since is another code.
@functools.lru_cache(maxsize=4096)
def found_of(key: Any, module: str) -> Source:
    return find(key.code, module)


class Key:
    """A code object, as itself: equal code may stand elsewhere."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def __hash__(self) -> int:
        return id(self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.code is self.code


def source_of_code(code: Code, module: str) -> Source:
    return found_of(Key(code), module)


def find(code: Code, module: str) -> Source:
    namespace = vars(sys.modules[module]) if module in sys.modules else {}
    seen = False
    for text in texts(code, namespace):
        seen = seen or text.sure
        source = best(text, code)
        if source is not None:
            return source
    raise Missing(nowhere(code, seen))


def nowhere(code: Code, seen: bool) -> str:
    """Say why there is no source of a function with that code."""
    if seen:
        return (f'its source is not what {code.co_filename} holds at line {code.co_firstlineno}: '
                'import it again after a change, or write it on lines of its own')
    where = {
        STDIN: 'it was read from standard input, which keeps no source',
        COMMAND: 'it was made of a text, which Python does not keep',
    }.get(code.co_filename, f'{code.co_filename} cannot be read')
    return f'its source is nowhere ({where}): save it in a file, and run or import that'


# -- where source may be ---------------------------------------------------------


def texts(code: Code, namespace: dict[str, Any]) -> Iterator[Text]:
    """Yield the sources that may hold the function with `code`, the likeliest first."""
    yield from listed(code, namespace)
    if code.co_filename == COMMAND:
        for text in commands(list(sys.orig_argv)):
            yield Text(text, False)
            yield Text(textwrap.dedent(text), False)
    elif code.co_filename == STDIN:
        text = standard_input()
        if text:
            yield Text(text, False)
        for text in history(code):
            yield Text(text, False)


def listed(code: Code, namespace: dict[str, Any]) -> Iterator[Text]:
    """Yield what `linecache` has: files, cells of notebooks, examples of doctest, and what newer Pythons keep."""
    of_code = getattr(linecache, '_getlines_from_code', None)
    lines = of_code(code) if of_code else None
    sure = code.co_filename not in (COMMAND, STDIN)
    if lines:
        yield Text(''.join(lines), sure)
    lines = linecache.getlines(code.co_filename, namespace)
    if lines:
        yield Text(''.join(lines), sure)
        # The file may have changed since these were read: before the import, or after.
        linecache.checkcache(code.co_filename)
        again = linecache.getlines(code.co_filename, namespace)
        if again and again != lines:
            yield Text(''.join(again), sure)


def commands(words: list[str]) -> Iterator[str]:
    """Yield what may be the program of `python -c`."""
    for word, following in itertools.pairwise([*words[1:], '']):
        if re.fullmatch('-[A-Za-z]*c', word):
            yield following
        elif word.startswith('-') and not word.startswith('--') and 'c' in word:
            yield word.partition('c')[2]


def standard_input() -> str:
    """Return the file that is the standard input of this program, or nothing; where it was read to stays."""
    try:
        info = os.fstat(0)
        if not stat.S_ISREG(info.st_mode):
            return ''
        return os.pread(0, info.st_size, 0).decode('utf-8', 'replace')
    except OSError:
        return ''


def history(code: Code) -> Iterator[str]:
    """Yield the statements of an interpreter's history that may be the one with `code`, the last one first."""
    readline: Any = sys.modules.get('readline')
    if readline is None:
        return
    count = readline.get_current_history_length()
    items = [str(readline.get_history_item(number) or '')
             for number in range(max(1, count - MOST_LINES), count + 1)]
    lines = '\n'.join(items).split('\n')
    word = 'lambda' if code.co_name == '<lambda>' else code.co_name
    for start in range(len(lines) - 1, -1, -1):
        offset = code.co_firstlineno - 1
        if any(word in line for line in lines[start + offset:start + offset + 10]):
            for end in range(start + offset + 1, min(len(lines), start + offset + LONGEST) + 1):
                yield '\n'.join(lines[start:end]) + '\n'


# -- the function in a source ----------------------------------------------------


@functools.lru_cache(maxsize=64)
def parsed(text: str) -> Any:
    return parse(text.encode('utf-8', 'surrogatepass'))


@functools.lru_cache(maxsize=64)
def imported(text: str) -> frozenset[str]:
    """Return the names that a text imports outside of functions and classes."""
    found: set[str] = set()
    waiting: list[ast.AST] = [parsed(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((alias.asname or alias.name).partition('.')[0] for alias in node.names)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
            waiting.extend(ast.iter_child_nodes(node))
    return frozenset(found - {'*'})


def best(text: Text, code: Code) -> Source | None:
    """Return the source in `text` that makes `code`; None if there is none."""
    tree = parsed(text.text)
    if tree is None or (code.co_name not in text.text and code.co_name != '<lambda>'):
        return None
    loose = []
    for node, around in candidates(tree, code):
        source = extract(text.text, node, around, code)
        made = None if source is None else compiled(source, imported(text.text))
        if source is None or made is None:
            continue
        if same(made, code):
            return source
        if resembles(made, code):
            loose.append(source)
    # Two that resemble it, neither of which is it: nobody can say which one is meant.
    return loose[0] if text.sure and len(loose) == 1 else None


def candidates(tree: ast.Module, code: Code) -> Iterator[tuple[Defined, tuple[Defined, ...]]]:
    """Yield the functions in `tree` that begin where `code` does, each with what is around it, the innermost last."""
    waiting: list[tuple[ast.AST, tuple[Defined, ...]]] = [(tree, ())]
    while waiting:
        node, around = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            name = '<lambda>' if isinstance(node, ast.Lambda) else node.name
            if name == code.co_name and first_line(node) == code.co_firstlineno:
                yield node, around
        inside = (*around, node) if isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)) else around
        waiting.extend((child, inside) for child in reversed(list(ast.iter_child_nodes(node))))


def first_line(node: Defined) -> int:
    """Return the line where Python says that a function begins: at its first decorator."""
    decorators: list[ast.expr] = getattr(node, 'decorator_list', [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def extract(text: str, node: Defined, around: tuple[Defined, ...], code: Code) -> Source | None:
    """Return the source of `node` alone, which is to make `code`; None if the text does not tell where it ends."""
    futures = tuple(name for name, flag in FUTURES.items() if code.co_flags & flag)
    free = tuple(name for name in code.co_freevars if name != '__class__')
    kind = class_around(around) if '__class__' in code.co_freevars or is_private(code, around) else None
    if isinstance(node, ast.Lambda):
        cut = expression(text, node, free, kind)
    else:
        cut = statement(text, node, free, kind)
    if cut is None:
        return None
    names = ((AROUND,) if free else ()) + ((kind,) if kind else ()) + (code.co_name,)
    decorators = []
    for each in getattr(node, 'decorator_list', ()):
        decorator = decorator_of(text, each, code, futures)
        if decorator is None:
            return None
        decorators.append(decorator)
    return Source(code.co_filename, cut, names, futures, tuple(decorators), bound_in(around))


def class_around(around: tuple[Defined, ...]) -> str | None:
    """Return the name of the innermost class around a function, whose private names it uses."""
    return next((node.name for node in reversed(around) if isinstance(node, ast.ClassDef)), None)


def is_private(code: Code, around: tuple[Defined, ...]) -> bool:
    """Does `code` use names that are private to the class around it?"""
    kind = class_around(around)
    if kind is None:
        return False
    start = f'_{kind.lstrip("_")}__'
    return any(name.startswith(start) for each in codes(code)
               for name in (*each.co_names, *each.co_varnames, *each.co_freevars, *each.co_cellvars))


def codes(code: Code) -> Iterator[Code]:
    """Yield `code` and all code in it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, Code):
            yield from codes(const)


def expression(text: str, node: ast.expr, free: tuple[str, ...], kind: str | None) -> str | None:
    """Return the text of a lambda, or of a decorator, in a header; behind it the lines in which it stood."""
    segment = ast.get_source_segment(text, node)
    if segment is None:
        return None
    line = f'{AROUND}_value = ({segment})\n'
    if kind:
        line = f'class {kind}: {line}'
    before = node.lineno - 1
    if free and kind:
        line = f'def {AROUND}({", ".join(free)}):\n {line}'
        before -= 1
    elif free:
        line = f'def {AROUND}({", ".join(free)}): {line}'
    if before < 0:
        return None
    lines = text.splitlines(True)[node.lineno - 1:node.end_lineno]
    return '\n' * before + line + f'{MARK}{node.lineno}\n' + ''.join('#' + each for each in lines)


def statement(
    text: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, free: tuple[str, ...], kind: str | None
) -> str | None:
    """Return the lines of a function or a class, without its decorators, below a header."""
    lines = text.splitlines(True)[node.lineno - 1:node.end_lineno]
    if not lines[-1].endswith('\n'):
        lines[-1] += '\n'
    header = [f'def {AROUND}({", ".join(free)}):\n'] if free else []
    if kind:
        header.append(' ' * len(header) + f'class {kind}:\n')
    indentation = lines[0][:len(lines[0]) - len(lines[0].lstrip())]
    if indentation and not header:
        header = ['if 1:\n']
    before = node.lineno - 1 - len(header)
    if before < 0 or lines[0][len(indentation):].split()[0] not in ('def', 'async', 'class'):
        return None
    end = f'{indentation}return {node.name}\n' if free and isinstance(node, ast.ClassDef) else ''
    return '\n' * before + ''.join(header) + ''.join(lines) + end + f'{MARK}{node.lineno}\n'


def decorator_of(text: str, node: ast.expr, code: Code, futures: tuple[str, ...]) -> Source | None:
    """Return a function that returns what the decorator `node` of a function with `code` is."""
    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    free = tuple(name for name in code.co_freevars if name in used)
    cut = expression(text, node, free, None)
    if cut is None:
        return None
    cut = cut.replace('_value = (', '_value = (lambda: (', 1).replace(f')\n{MARK}', f'))\n{MARK}', 1)
    return Source(code.co_filename, cut, (*([AROUND] if free else []), '<lambda>'), futures)


def bound_in(around: tuple[Defined, ...]) -> frozenset[str]:
    """Return the names that the functions around a function give a value."""
    found: set[str] = set()
    for function in around:
        if isinstance(function, ast.ClassDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node is not function:
                found.add(node.name)
            elif isinstance(node, ast.alias):
                found.add((node.asname or node.name).partition('.')[0])
    return frozenset(found)


# -- is it the one? --------------------------------------------------------------


def compiled(source: Source, names: frozenset[str] = frozenset()) -> Code | None:
    """
    Return the code that another Python would find in `source`; None if it is none that compiles.

    Where the text around it imports `names`, the compiler of some versions calls their attributes otherwise.
    """
    flags = sum(FUTURES[name] for name in source.futures)
    text = source.text + ''.join(f'\nimport {name}' for name in sorted(names) if name in source.text)
    with quiet():
        try:
            code: Code | None = compile(text, source.path, 'exec', flags, True)
        except (SyntaxError, ValueError, RecursionError):
            return None
    for name in source.names:
        code = sourced.inner(code, name)
    return code


def same(made: Code, code: Code) -> bool:
    """Does `made` do what `code` does, with the same names, at the same lines?"""
    if made.co_code != code.co_code or made.co_flags & ~NESTED != code.co_flags & ~NESTED:
        return False
    for name in ('co_name', 'co_argcount', 'co_posonlyargcount', 'co_kwonlyargcount', 'co_names', 'co_varnames',
                 'co_freevars', 'co_cellvars'):
        if getattr(made, name) != getattr(code, name):
            return False
    return len(made.co_consts) == len(code.co_consts) and all(
        map(same_constant, made.co_consts, code.co_consts))


def same_constant(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Code):
        return same(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same_constant, one, other))
    if isinstance(one, frozenset):
        return bool(one == other)
    if isinstance(one, str) and INSIDE in one and INSIDE in other:
        return one.rpartition(INSIDE)[2] == str(other).rpartition(INSIDE)[2]
    # 0.0 and -0.0 are equal, and other values.
    return marshal.dumps(one, 2) == marshal.dumps(other, 2)


def resembles(made: Code, code: Code) -> bool:
    """Could `code` be `made` to which an import hook has added? Then all that `made` uses is in it."""
    names = ('co_argcount', 'co_posonlyargcount', 'co_kwonlyargcount', 'co_freevars')
    if any(getattr(made, name) != getattr(code, name) for name in names):
        return False
    count = made.co_argcount + made.co_kwonlyargcount
    return (made.co_varnames[:count] == code.co_varnames[:count] and set(made.co_names) <= set(code.co_names)
            and set(made.co_varnames) <= set(code.co_varnames) and all(
                any(same_constant(one, other) for other in code.co_consts)
                for one in made.co_consts if not isinstance(one, Code)))
